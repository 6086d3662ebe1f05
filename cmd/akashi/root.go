package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// env is what a command may touch of the outside.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// screen returns the styled standard output.
func (e *env) screen() *screen { return newScreen(e.stdout) }

// Groups of commands in the help.
const (
	groupTry   = "try"
	groupCheck = "check"
	groupRun   = "run"
)

// commands make every command of the binary. A further one (in a file of its
// own) needs a line here.
var commands = []func(*env) *cobra.Command{
	demoCommand, devCommand,
	verifyCommand, auditCommand, exportCommand,
	benchCommand, initCommand, genesisCommand, joinCommand, serveCommand, backupCommand, restoreCommand, tokenCommand, rotateCommand, removeCommand, voteCommand, statusCommand, repairCommand, versionCommand,
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	e := &env{stdin, stdout, stderr}
	root := &cobra.Command{
		Use:   "akashi",
		Short: "A consent and audit ledger for a consortium 証",
		Long: `Akashi (証, "proof") is a consent and audit ledger for a consortium.

Members run a node each. Every consent, withdrawal and hand-over of a person's
data goes into one log that all of them replicate and none of them can rewrite.
Start with:  akashi demo`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
	}
	root.AddGroup(&cobra.Group{ID: groupTry, Title: "Try it:"}, &cobra.Group{ID: groupCheck, Title: "Check:"},
		&cobra.Group{ID: groupRun, Title: "Run a member's node:"})
	for _, c := range commands {
		root.AddCommand(c(e))
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return wrongUse(err, "akashi "+strings.TrimPrefix(cmd.CommandPath(), "akashi ")+" --help lists the flags")
	})
	err := root.ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return notPossible(errors.New("interrupted"))
	}
	return err
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := cmd.CommandPath() + " --help lists the commands"
	if s := cmd.SuggestionsFor(name); len(s) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + s[0] + "?"
	}
	return wrongUse(fmt.Errorf("unknown command %q", name), hint)
}

// args wraps a cobra check of arguments so that it exits as wrong use.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return wrongUse(err, "usage: "+cmd.UseLine())
		}
		return nil
	}
}
