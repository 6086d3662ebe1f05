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
