package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpShowsNoToken: AKASHI_TOKEN is in no command's help.
func TestHelpShowsNoToken(t *testing.T) {
	t.Setenv("AKASHI_TOKEN", "s3cret-of-an-admin")
	var out bytes.Buffer
	with := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		if f := c.Flags().Lookup("token"); f != nil {
			with++
			if err := f.Value.Set("another"); err != nil || strings.Contains(f.Value.String(), "another") {
				t.Errorf("%s: %v", c.Name(), err)
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	for _, c := range commands {
		look(c(&env{nil, &out, &out}))
	}
	if with < 6 || strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "AKASHI_TOKEN") {
		t.Errorf("%d commands with a token; help:\n%s", with, out.String())
	}
}
