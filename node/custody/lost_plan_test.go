package custody

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestEraseOutlivesItsPlan: the issuer of erasures, one of everything and one of a
// service, loses its disk before a recipient has heard of them, and no custodian has the
// plans. From the ledger and the desk's key the node knows whom to tell and what to close:
// the recipients destroy and attest, the handles end, and nobody else's does.
func TestEraseOutlivesItsPlan(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 3)
	a, b := w.members["a-sha"], w.members["b-sha"]
	gone, leaver, stays := race.people[0], race.people[1], race.people[2]
	for _, p := range race.people {
		for _, r := range []ProvideRequest{p.give("b-sha"), cardOf(p)} { // cards at c-sha
			_, err := a.Provide(ctx, Call{}, r)
			noErr(t, err)
		}
	}
	w.duties()
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	var ids []string
	for _, r := range []EraseRequest{{Person: gone.ref, Cause: "request"}, {Person: leaver.ref, Service: "a-portal", Cause: "request"}} {
		view, _, err := a.Erase(ctx, Call{}, r)
		noErr(t, err)
		ids = append(ids, view.ID)
	}
	w.replace(a, slices.DeleteFunc(copiesOf(t, a), func(e vault.Entry) bool { return isPiece(e.ID) }))
	w.set(func() { w.refuse = nil })
	w.duties()
	for i, id := range ids {
		if v, err := a.Erasure(ctx, id); err != nil || len(v.Pending) != 0 || len(v.Done) != 3-i {
			t.Errorf("%+v, %v", v, err)
		}
	}
	if got := (&seenByCamera{world: w, t: t}).names(b); !slices.Equal(got, []string{stays.marker + "a-portal"}) {
		t.Errorf("b-sha holds %q", got)
	}
	if got := (&seenByCamera{world: w, t: t}).names(w.members["c-sha"]); !slices.Equal(got, []string{leaver.marker + "a-card", stays.marker + "a-card"}) {
		t.Errorf("c-sha holds %q", got)
	}
	for range 3 {
		w.pass(40 * time.Minute)
		w.duties()
	}
	for _, c := range []struct {
		p       *raced
		service string
		closed  bool
	}{{gone, "a-portal", true}, {gone, "a-card", true}, {leaver, "a-portal", true}, {leaver, "a-card", false}, {stays, "a-portal", false}, {stays, "a-card", false}} {
		h, err := rules.HandleState(w.state(), towards(c.p, c.service))
		if err != nil || (h.Closed != 0) != c.closed {
			t.Errorf("handle of %s towards %s: %+v, %v", c.p.ref, c.service, h, err)
		}
	}
	if left := len(a.erasing.all()); left != 0 {
		t.Errorf("%d plans are left", left)
	}
	noErr(t, a.AfterLoss())
	if left := len(a.erasing.all()); left != 0 {
		t.Errorf("%d plans are made of erasures that are done", left)
	}
}
