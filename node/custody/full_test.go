package custody

import (
	"errors"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
)

// TestFullVault: a member that can take no further person still erases those
// that it has, its own and those of whom it received data.
func TestFullVault(t *testing.T) {
	w, a, b := handedOver(t)
	w.maxEntries = 500
	for _, m := range []*member{a, b} {
		w.reopen(m)
		fill(t, m.vault)
	}
	_, err := a.Register(ctx, Call{}, Registration{Person: "one-more", Service: "a-portal", Items: map[string]string{"name": "田中"}, Source: "self"})
	if !errors.Is(err, vault.ErrFull) {
		t.Errorf("a full vault takes one more: %v", err)
	}
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.duties()
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || b.People(ctx) != 0 {
		t.Errorf("%+v, %d people at b-sha", view, b.People(ctx))
	}
}

// TestTooManyPeople: the bound counts people, registered or received, and not what
// is held of them.
func TestTooManyPeople(t *testing.T) {
	w, a, b := handedOver(t)
	for _, m := range []*member{a, b} {
		m.MaxPeople = 1
	}
	r := Registration{Person: "one-more", Service: "a-portal", Items: map[string]string{"name": "田中"}, Source: "self"}
	if _, err := a.Register(ctx, Call{}, r); !errors.Is(err, vault.ErrFull) {
		t.Errorf("one more is taken: %v", err)
	}
	r.Person = refMarker
	if _, err := a.Register(ctx, Call{}, r); err != nil {
		t.Errorf("who is there: %v", err)
	}
	w.must("a-sha", w.c.Service("a-second"))
	r.Service = "a-second"
	if _, err := a.Register(ctx, Call{}, r); err != nil {
		t.Errorf("a further service of who is there: %v", err)
	}
	a.MaxPeople = 2
	r.Person, r.Service, r.Items = "two", "a-portal", map[string]string{"name": "田中", "user-id": "u2"}
	_, err := a.Register(ctx, Call{}, r)
	noErr(t, err)
	w.consent("two", "service")
	done, err := a.Provide(ctx, Call{}, provideRequest("two"))
	noErr(t, err)
	w.duties()
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
	if !errors.Is(err, vault.ErrFull) {
		t.Errorf("one more is received: %v", err)
	}
	if here, _ := b.waiting.has(mustID(t, done.Records[0].ID)); !here {
		t.Error("the parcel is gone though it may still be received")
	}
}

// fill takes all the room that a vault has for people.
func fill(t *testing.T, v *vault.Vault) {
	t.Helper()
	for n, room := 0, 1000; room > 0; {
		var entries []vault.Entry
		for i := range room {
			entries = append(entries, vault.Entry{ID: fmt.Sprintf("x/%d", n+i), Value: []byte("full")})
		}
		err := v.Put(entries...)
		switch {
		case err == nil:
			n += room
		case errors.Is(err, vault.ErrFull):
			room /= 2
		default:
			t.Fatal(err)
		}
	}
}
