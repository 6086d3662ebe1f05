package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a machine lacks stands in a file, one line a test.
func TestLacks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "left-out")
	t.Setenv(leftOut, file)
	after := false
	for range 2 {
		t.Run("one", func(t *testing.T) {
			Lacks(t, "no disk of %d\nbytes", 7)
			after = true
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "TestLacks/one: no disk of 7 bytes\nTestLacks/one#01: no disk of 7 bytes\n" {
		t.Errorf("%q, %v", b, err)
	}
	if after {
		t.Error("the test went on")
	}
}

// A program that nobody has is named with its packages.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "second"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir) // no apt-get
	if got, err := Find([]string{"", "first", "second"}, "first"); err != nil || got != filepath.Join(dir, "second") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Find([]string{"first"}, "first-utils", "more"); err == nil || !strings.Contains(err.Error(), "first is needed") || !strings.Contains(err.Error(), "apt-get install first-utils more") {
		t.Error(err)
	}
}
