// Command akashi is the one binary of the ledger: a member's node, the offline
// verifier, the auditor, and a local consortium to try it all.
//
// # Exit codes
//
//	0  done; of verify, audit and demo: everything held
//	1  a check did not hold: a proof is refused, an audit found something, a
//	   promise of the demo was broken
//	2  wrong use: unknown flags, missing or unreadable files, contradictions
//	3  it could not be done now: a node or the network is not there, or this
//	   node had to stop
//
// Answers go to standard output. Errors go to standard error: the message, then
// lines that begin with "hint:".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(report(os.Stderr, err))
}
