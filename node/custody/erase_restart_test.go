package custody

import (
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// planOf returns a plan to tell b-sha and to close a handle.
func planOf(key sign.PublicKey) *erasurePlan {
	return &erasurePlan{Erasure: newID(), Own: []string{"a-sha"}, Tell: []holderTold{{Holder: "b-sha", Handles: []sign.PublicKey{key}}},
		Close: []handleClosing{{Handle: key, Issuer: "a-sha"}}, ByIssuer: true}
}

// TestAdoptedThenRestarted: a plan that was adopted is given up after further starts, too.
func TestAdoptedThenRestarted(t *testing.T) {
	w, a, _ := handedOver(t)
	key := openHandle(t, a)
	p := planOf(key)
	noErr(t, a.vault.Put(p.pieces()...))
	w.reopen(a)
	w.reopen(a)
	for range 3 {
		w.later(3 * time.Hour)
		w.duties()
	}
	a.shredSpent()
	ids, err := a.vault.List("t/")
	noErr(t, err)
	if len(ids) != 0 || len(a.erasing.all()) != 0 || a.erasing.closes(key) {
		t.Errorf("%d pieces, %d plans are left; the handle counts as closing: %t", len(ids), len(a.erasing.all()), a.erasing.closes(key))
	}
}

// TestRestartAfterEnd: the desk stops between the end of an erasure and the rotation that
// destroys what is spent. It starts again, and has that destroyed.
func TestRestartAfterEnd(t *testing.T) {
	w, a, _ := handedOver(t)
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	for _, job := range a.erasing.all() {
		noErr(t, a.endErasure(job)) // what runErasure does last
	}
	w.reopen(a) // before the next pass
	w.duties()
	a.shredSpent()
	for _, kind := range []string{"t/", "e/"} {
		if ids, err := a.vault.List(kind); err != nil || len(ids) != 0 {
			t.Errorf("%q is left, %v", ids, err)
		}
	}
}

// TestCrashInSealSteps: a crash between the vault entries and the blobs of a plan leaves
// nothing.
func TestCrashInSealSteps(t *testing.T) {
	w, a, _ := handedOver(t)
	key := openHandle(t, a)
	p := planOf(key)
	noErr(t, a.sealSteps(p.Erasure, map[string]any{"a": &erasureStart{Ref: refMarker}, "b": p}))
	noErr(t, a.Blobs.Delete(erasureKey(p.Erasure, "a"), erasureKey(p.Erasure, "b"))) // as if they had not been written
	w.reopen(a)
	w.duties()
	if a.erasing.closes(key) {
		t.Error("the handle counts as closing, though nothing was begun")
	}
}

// TestCrashInAdoption: a desk that stops as soon as it adopted a plan goes on with it.
func TestCrashInAdoption(t *testing.T) {
	w, a, _ := handedOver(t)
	p := planOf(openHandle(t, a))
	noErr(t, a.vault.Put(p.pieces()...))
	for range 2 {
		w.reopen(a)
		if job := a.erasing.job(p.Erasure); job == nil || len(job.pieces) != 1 {
			t.Fatalf("%+v", job)
		}
	}
}

// TestStaleGivesUpNothing: a node that came up with an older state, and is cut off for
// longer than a record may take, goes on with an erasure that is in the ledger.
func TestStaleGivesUpNothing(t *testing.T) {
	w, a, b := handedOver(t)
	key := openHandle(t, a)
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	old := w.state()
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	now := w.state()
	w.set(func() { w.final = old; w.staleBy = 3 * time.Hour })
	w.reopen(a)
	w.pass(2 * time.Hour)
	w.duties()
	w.set(func() { w.final = now; w.staleBy = 0; w.refuse = nil })
	for range 3 {
		w.pass(40 * time.Minute)
		w.duties()
	}
	v, err := a.Erasure(ctx, view.ID)
	h, herr := rules.HandleState(w.state(), key)
	noErr(t, herr)
	if err != nil || len(v.Pending) != 0 || b.People(ctx) != 0 || h.Closed == 0 {
		t.Errorf("%+v, %v; %d people at b-sha, handle closed at %d", v, err, b.People(ctx), h.Closed)
	}
}
