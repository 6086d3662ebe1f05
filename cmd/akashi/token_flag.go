package main

import (
	"os"

	"github.com/spf13/cobra"
)

// tokenFlag adds --token, whose default is AKASHI_TOKEN. Help says the name of that
// variable only: a default that the flags know would stand there.
func tokenFlag(cmd *cobra.Command, token *string, usage string) {
	*token = os.Getenv("AKASHI_TOKEN")
	cmd.Flags().Var((*tokenValue)(token), "token", usage)
}

// tokenValue is a token that no help shows.
type tokenValue string

func (t *tokenValue) String() string     { return "" }
func (t *tokenValue) Set(s string) error { *t = tokenValue(s); return nil }
func (t *tokenValue) Type() string       { return "string" }
