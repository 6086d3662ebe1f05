package main

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes; see the package comment.
const (
	exitUnmet    = 1
	exitWrongUse = 2
	exitNotNow   = 3
)

// failure is an error with an exit code and what the user may do next.
type failure struct {
	code  int
	err   error
	hints []string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// unmet says that a check did not hold.
func unmet(err error, hints ...string) error { return &failure{exitUnmet, err, hints} }

// wrongUse says that the command line, a file or a setting is wrong.
func wrongUse(err error, hints ...string) error { return &failure{exitWrongUse, err, hints} }

// notPossible says that it could not be done now.
func notPossible(err error, hints ...string) error { return &failure{exitNotNow, err, hints} }

// report prints an error with its hints and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(w, "akashi: %v\n", err)
	var f *failure
	if !errors.As(err, &f) {
		return exitNotNow
	}
	for _, h := range f.hints {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
	return f.code
}
