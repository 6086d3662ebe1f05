package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestDevLeavesWhatRuns: dev on a consortium whose nodes run, or on ports that are
// taken, says so and touches nothing: what runs is still found by its settings and pid.
func TestDevLeavesWhatRuns(t *testing.T) {
	o := devOptions{dir: filepath.Join(t.TempDir(), "dev"), members: 2, base: machine.FreePorts(t, 4*portStep)}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(memberDir(o.dir, 1), "pid")
	if err := os.WriteFile(pid, []byte("4711\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := func(base int, says string) {
		t.Helper()
		before := contentsOf(t, o.dir)
		asked := o
		asked.base = base
		err := dev(t.Context(), &env{stdout: io.Discard, stderr: io.Discard}, asked)
		var f *failure
		if !errors.As(err, &f) || f.code != exitNotNow || !strings.Contains(err.Error(), says) || len(f.hints) == 0 {
			t.Errorf("%v, want %q and a hint", err, says)
		}
		for name, was := range before {
			if now, err := os.ReadFile(name); err != nil || string(now) != was {
				t.Errorf("%s was changed: %v", name, err)
			}
		}
	}
	l, err := net.Listen("tcp", address(o.base, 1, portP2P))
	if err != nil {
		t.Fatal(err)
	}
	refused(o.base, "is taken")
	l.Close()

	blobs, err := store.OpenBlobs(filepath.Join(memberDir(o.dir, 1), "blobs"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	refused(o.base+2*portStep, "a node serves "+memberDir(o.dir, 1))
	if _, err := node.Start(memberDir(o.dir, 1), slog.New(slog.DiscardHandler)); !errors.Is(err, store.ErrLocked) || len(stopHints(err)) == 0 {
		t.Errorf("a second process on the directory: %v, hints %q", err, stopHints(err))
	}
	if err := blobs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unserved(o.dir, 2); err != nil {
		t.Errorf("nothing runs: %v", err)
	}
}

// TestStopHints: a node that does not start, since what it must have is lost, says so
// with a stable code and what to do.
func TestStopHints(t *testing.T) {
	if hints := stopHints(fmt.Errorf("start raft: %w", replica.ErrLogLost)); len(hints) != 1 || !strings.HasPrefix(hints[0], "raft.lost: ") {
		t.Errorf("%q", hints)
	}
	for _, x := range []struct {
		code string
		harm func(dir string) error
	}{
		{"mark.lost", func(dir string) error { return os.Remove(filepath.Join(dir, "cosigned.mark")) }},
		{"storage.damaged", func(dir string) error { return os.Remove(filepath.Join(dir, "blobs", "MANIFEST")) }},
	} {
		t.Run(x.code, func(t *testing.T) {
			o := devOptions{dir: filepath.Join(t.TempDir(), "dev"), members: 1, base: machine.FreePorts(t, portStep)}
			if err := foundDev(o); err != nil {
				t.Fatal(err)
			}
			dir, log := memberDir(o.dir, 0), slog.New(slog.DiscardHandler)
			n, err := node.Start(dir, log)
			if err != nil {
				t.Fatal(err)
			}
			for begin := time.Now(); n.Ready() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Since(begin) > patience {
					t.Fatal(n.Ready())
				}
			}
			if err := errors.Join(n.Close(), x.harm(dir)); err != nil {
				t.Fatal(err)
			}
			if n, err = node.Start(dir, log); err == nil {
				n.Close()
				t.Fatal("it starts")
			}
			if hints := stopHints(err); len(hints) != 1 || !strings.HasPrefix(hints[0], x.code+": ") {
				t.Errorf("%v: %q", err, hints)
			}
		})
	}
}

// contentsOf reads what dev may rewrite.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"member-*/config.json", "member-*/pid", "tokens.json"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range found {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(b)
		}
	}
	return out
}
