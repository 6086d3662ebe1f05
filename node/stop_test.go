package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/evidence"
)

// TestStopDuringStart: Raft delivers entries before start has returned, and one
// of them may say that the node must halt. Nothing is closed under the hands of
// what is still being opened.
func TestStopDuringStart(t *testing.T) {
	n := &Node{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), closing: make(chan struct{}), started: make(chan struct{}), stopped: make(chan struct{})}
	why := errors.New("why")
	n.stop(why)
	select {
	case <-n.stopped:
		t.Error("closed before start returned")
	case <-time.After(50 * time.Millisecond):
	}
	close(n.started)
	if err := n.Wait(); err != why {
		t.Errorf("stopped with %v", err)
	}
}

// TestForkGrace: after a fork a node still answers for a while, so that members
// can ask each other for their seals; any other reason stops it at once.
func TestForkGrace(t *testing.T) {
	for _, tt := range []struct {
		why   error
		grace time.Duration
	}{{fmt.Errorf("%w: size 7", cosign.ErrForked), forkGrace}, {errors.New("the disk"), 0}} {
		synctest.Test(t, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			kept, err := evidence.Open(t.TempDir(), log)
			if err != nil {
				t.Fatal(err)
			}
			n := &Node{Log: log, kept: kept, closing: make(chan struct{}), started: make(chan struct{}), stopped: make(chan struct{})}
			close(n.started)
			begun := time.Now()
			n.stopCosigning(tt.why)
			if err := n.Wait(); err != tt.why {
				t.Errorf("stopped with %v", err)
			}
			if took := time.Since(begun); took != tt.grace {
				t.Errorf("%v: stopped after %v, want %v", tt.why, took, tt.grace)
			}
		})
	}
}
