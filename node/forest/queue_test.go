package forest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// sender is a forest of which the commits go to a function.
func sender(t *testing.T, send func(entry []byte) error) *Forest {
	f := &Forest{Config: Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Send: func(_ context.Context, e []byte) error { return send(e) }}}
	f.init()
	t.Cleanup(func() { f.cancel() })
	return f
}

func commitOf(key sign.Key) *forest.Commit {
	c := &forest.Commit{Tree: 1, Issuer: "a-sha", Leaves: []forest.Leaf{{Value: []byte("v")}}}
	c.Sign(key, "o")
	return c
}

// TestSeeTwice: two calls with the same leaves make one and the same commit, and
// both hear what became of it.
func TestSeeTwice(t *testing.T) { synctest.Test(t, seeTwice) }

func seeTwice(t *testing.T) {
	var sent sync.WaitGroup
	sent.Add(2)
	f := sender(t, func([]byte) error { sent.Done(); return nil })
	c := commitOf(sign.NewKey())
	done := make(chan error, 2)
	for range 2 {
		go func() {
			res, err := f.see(c.Entry())
			if err == nil && len(res.Outcomes) != 1 {
				err = errors.New("no outcome")
			}
			done <- err
		}()
	}
	sent.Wait()
	f.Applied(c.Entry(), &forest.Result{Outcomes: make([]forest.Outcome, 1)})
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(900 * time.Millisecond): // before it would be sent again
			t.Fatal("a call does not hear that its commit is applied")
		}
	}
	if len(f.waiting) != 0 {
		t.Error("something is left")
	}
}

// TestSeeForged: an entry that ends as the commit does, and is another, says nothing
// of it.
func TestSeeForged(t *testing.T) {
	sent := make(chan struct{}, 8)
	f := sender(t, func([]byte) error { sent <- struct{}{}; return nil })
	c := commitOf(sign.NewKey())
	done := make(chan *forest.Result, 1)
	go func() {
		res, _ := f.see(c.Entry())
		done <- res
	}()
	<-sent
	forged := append([]byte{0x74, 0xff}, c.Sig[:]...)
	f.Applied(forged, &forest.Result{Refused: &record.Refusal{Code: record.CodeRecordMalformed}})
	f.Applied(c.Entry(), &forest.Result{Outcomes: make([]forest.Outcome, 1)})
	if res := <-done; res == nil || res.Refused != nil {
		t.Fatalf("%+v", res)
	}
}

// TestSignedAnew: a commit that was signed before its issuer's key was replaced is no
// refusal of its leaves.
func TestSignedAnew(t *testing.T) {
	old, now := sign.NewKey(), sign.NewKey()
	key := old
	var f *Forest
	f = sender(t, func(entry []byte) error {
		c, err := forest.Parse(entry)
		if err != nil {
			return err
		}
		res := &forest.Result{Outcomes: make([]forest.Outcome, 1)}
		if sign.Verify(now.Public(), sign.DomainTree, "o", c.Signed(), c.Sig) != nil {
			key, res = now, &forest.Result{Refused: &record.Refusal{Code: record.CodeSignature}}
		}
		f.Applied(entry, res)
		return nil
	})
	f.Origin, f.Key = "o", func(string) (sign.Key, bool) { return key, true }
	l := &lane{f: f, laneKey: laneKey{"a-sha", 1}}
	if res, err := l.signed(commitOf(old)); err != nil || res.Refused != nil {
		t.Fatalf("%+v %v", res, err)
	}
	now = sign.NewKey() // one that this node lacks
	f.Key = func(string) (sign.Key, bool) { return old, true }
	if res, err := l.signed(commitOf(old)); err != nil || res.Refused == nil {
		t.Fatalf("%+v %v", res, err)
	}
}
