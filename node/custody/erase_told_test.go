package custody

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// TestConfinedByAnotherHolder: a holder that says of a person's erasure that it is of a
// dataset only is refused; the issuer's word stands, and everything goes.
func TestConfinedByAnotherHolder(t *testing.T) {
	w := newWorld(t)
	victim := newRace(t, w, 1).people[0]
	a, b, c := w.members["a-sha"], w.members["b-sha"], w.members["c-sha"]
	key := w.passedOn(victim)
	if c.People(ctx) != 1 {
		t.Fatalf("%d people at c-sha", c.People(ctx))
	}
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: victim.ref, Cause: "request"})
	noErr(t, err)
	lie := &eraseRequest{Erasure: mustID(t, view.ID), Handles: []sign.PublicKey{key}, Size: w.state().Size, Dataset: make([]byte, 16)}
	_, err = c.serveErase(ctx, w.state(), "b-sha", lie)
	wantCode(t, err, record.CodeNotAuthorised)
	lie.Dataset = lie.Dataset[:15]
	_, err = c.serveErase(ctx, w.state(), "a-sha", lie)
	wantCode(t, err, record.CodeNotAuthorised)
	if c.erasing.job(lie.Erasure) != nil {
		t.Error("a refused word began something")
	}
	w.set(func() { w.refuse = nil })
	w.duties()
	v, err := a.Erasure(ctx, view.ID)
	if err != nil || len(v.Pending) != 0 || b.People(ctx)+c.People(ctx) != 0 {
		t.Errorf("%+v, %v; %d and %d people", v, err, b.People(ctx), c.People(ctx))
	}
}

// TestIssuerWidens: what the issuer says last of how far an erasure goes holds.
func TestIssuerWidens(t *testing.T) {
	w, a, b := handedOver(t)
	key := openHandle(t, a)
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.set(func() {
		w.posted = func(r outbox.Request) error { // so b-sha does not attest yet
			if r.Issuer == "b-sha" {
				return errors.New("no leader")
			}
			return nil
		}
	})
	_, err = b.serveErase(ctx, w.state(), "a-sha", &eraseRequest{Erasure: mustID(t, view.ID), Handles: []sign.PublicKey{key}, Size: w.state().Size, Dataset: make([]byte, 16)})
	noErr(t, err)
	if b.People(ctx) != 1 {
		t.Fatal("a word about another dataset destroyed something")
	}
	w.set(func() { w.refuse = nil })
	w.duties()
	w.set(func() { w.posted = nil })
	w.duties()
	v, err := a.Erasure(ctx, view.ID)
	if err != nil || len(v.Pending) != 0 || b.People(ctx) != 0 {
		t.Errorf("%+v, %v; %d people at b-sha", v, err, b.People(ctx))
	}
}

// TestHolderThatLeft: a holder whose member left the consortium is waited for no more; the
// certificate goes on naming it.
func TestHolderThatLeft(t *testing.T) {
	w, a, _ := handedOver(t)
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	for range 3 { // missed, delayed anew, closed
		w.pass(2 * time.Hour)
		w.duties()
	}
	if len(a.erasing.all()) != 1 {
		t.Fatalf("%d plans", len(a.erasing.all()))
	}
	w.must("a-sha", w.c.Remove("b-sha", "a-sha", "c-sha", "pf"))
	w.duties()
	a.shredSpent()
	ids, err := a.vault.List("t/")
	noErr(t, err)
	if v, err := a.Erasure(ctx, view.ID); err != nil || !slices.Equal(v.Pending, []string{"b-sha"}) || len(a.erasing.all())+len(ids) != 0 {
		t.Errorf("%+v, %v, %d plans, %q", v, err, len(a.erasing.all()), ids)
	}
}

// TestTwoClose: a handle that two plans close is about to be closed until both have ended.
func TestTwoClose(t *testing.T) {
	var e erasures
	key := sign.PublicKey{1}
	one, two := planOf(key), planOf(key)
	e.add(one, 0)
	e.add(one, 0)
	e.add(two, 0)
	e.remove(one)
	e.remove(one)
	if !e.closes(key) {
		t.Error("the other plan closes it")
	}
	if e.remove(two); e.closes(key) {
		t.Error("nobody closes it")
	}
}
