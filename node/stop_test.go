package node

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
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
