package custody

import (
	"testing"
	"time"
)

// TestRotationsLeaveRoom: transient keys that fall due one after the other share a
// rotation; what somebody waits for does not wait.
func TestRotationsLeaveRoom(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	at := func(n string) vaultEntry { return vaultEntry{ID: "w/" + n + "/one", Value: []byte(n)} }
	noErr(t, a.vault.Put(at("1"), at("2"), at("3")))
	left := func() int {
		ids, err := a.vault.List("w/")
		noErr(t, err)
		return len(ids)
	}
	a.spend("w/1/one")
	a.destroyDue(ctx)
	if left() != 2 {
		t.Fatalf("%d left after the first", left())
	}
	a.spentMu.Lock()
	a.spendAt = time.Now().Add(time.Hour)
	a.spentMu.Unlock()
	a.spend("w/2/one")
	a.destroyDue(ctx)
	if left() != 2 {
		t.Error("a second rotation at once")
	}
	a.spend("w/3/one")
	a.shredSpent()
	if left() != 0 {
		t.Errorf("%d left of what was to go at once", left())
	}
}

// TestDamageHoldsNothingElseUp: a transient key in a damaged bucket keeps neither an
// erasure from its end nor other transient keys in the vault; it goes when the bucket is
// whole again.
func TestDamageHoldsNothingElseUp(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	spent := []string{"w/1/one", "w/2/one", "w/3/one"}
	for _, id := range spent {
		noErr(t, a.vault.Put(vaultEntry{ID: id, Value: []byte(id)}))
	}
	noErr(t, a.vault.Compact())
	mend := harmBucketOf(t, a, spent[0])
	a.spend(spent...)
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	left := func() (n int) {
		for _, id := range spent[1:] {
			has, err := a.vault.Has(id)
			noErr(t, err)
			if has {
				n++
			}
		}
		return n
	}
	if left() != 2 {
		t.Fatalf("%d of 2 are left: the erasure's rotation was to fail with them", left())
	}
	a.shredSpent()
	if left() != 0 {
		t.Errorf("%d are left beside the damaged one", left())
	}
	mend()
	a.shredSpent()
	if has, err := a.vault.Has(spent[0]); err != nil || has {
		t.Errorf("it is forgotten: %t, %v", has, err)
	}
}
