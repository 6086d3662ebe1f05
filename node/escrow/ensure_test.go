package escrow

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestEnsure: what is ensured is at the custodian when the call returns, whether or not
// its copies were compared before, and is not sent once more.
func TestEnsure(t *testing.T) {
	w := newWorld(t)
	noErr(t, w.sender.Ensure(context.Background(), "p/hana/ks")) // no custodian was named
	w.must("a-sha", w.c.Custodian("a-sha", "b-sha", 0))
	noErr(t, w.keeper.Duty(context.Background())) // it agrees
	w.put(1, "p/hana/ks")
	w.put(2, "p/taro/ks")
	noErr(t, w.sender.Ensure(context.Background(), "p/hana/ks"))
	if w.kept() != "1" {
		t.Fatalf("kept %q before the comparison", w.kept())
	}
	w.duties()
	w.put(3, "p/jiro/ks")
	w.put(4, "p/saki/ks")
	noErr(t, w.sender.Ensure(context.Background(), "p/jiro/ks"))
	if st := w.sender.Status()[0]; w.kept() != "123" || st.Waiting != 1 {
		t.Errorf("kept %q, %+v", w.kept(), st)
	}
	w.down = true // nothing is to be sent
	noErr(t, w.sender.Ensure(context.Background(), "p/jiro/ks"))
}

// TestEnsureFails: a custodian that is down, refuses, or has no place, is an error, and
// Duty sends what it lacks when it is back.
func TestEnsureFails(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.put(1, "p/hana/ks")
	w.down = true
	if err := w.sender.Ensure(context.Background(), "p/hana/ks"); err == nil || w.kept() != "" {
		t.Errorf("kept %q, %v", w.kept(), err)
	}
	w.down = false
	w.change = func(string, []byte) []byte { return nil }
	if err := w.sender.Ensure(context.Background(), "p/hana/ks"); err == nil {
		t.Error("an answer that is none is taken for one")
	}
	w.change = nil
	ctx, cancel := context.WithCancel(context.Background())
	w.silent = func(context.Context, string) error { cancel(); return ctx.Err() }
	if err := w.sender.Ensure(ctx, "p/hana/ks"); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
	w.silent = nil
	w.duties()
	if w.kept() != "1" {
		t.Errorf("kept %q", w.kept())
	}
}

// TestSilentCustodian: a custodian that does not answer holds up neither the other nor
// who waits for the first copy.
func TestSilentCustodian(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.must("a-sha", w.c.Custodian("a-sha", "c-sha", 0))
	w.must("c-sha", w.c.Custodian("a-sha", "c-sha", 1))
	ctx, cancel := context.WithCancel(context.Background())
	silent, done := make(chan struct{}, 8), make(chan struct{})
	w.silent = func(ctx context.Context, member string) error {
		if member != "c-sha" {
			return nil
		}
		silent <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	w.put(1, "p/hana/ks")
	go func() {
		defer close(done)
		w.sender.Duty(ctx)
	}()
	<-silent
	w.put(2, "p/taro/ks")
	noErr(t, w.sender.Ensure(ctx, "p/taro/ks"))
	w.put(3, "p/jiro/ks")
	for end := time.Now().Add(time.Minute); w.kept() != "123" && time.Now().Before(end); {
		w.sender.Duty(ctx)
	}
	if w.kept() != "123" {
		t.Errorf("kept %q", w.kept())
	}
	cancel()
	<-done
}
