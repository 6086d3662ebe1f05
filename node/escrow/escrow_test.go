package escrow

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestCopies: every key comes to the custodian, what is erased goes there too and is
// attested, and the rest comes back.
func TestCopies(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks", "p/hana/c/portal", "l/phone/1")
	w.begin()
	w.put(2, "p/taro/ks")
	w.put(3, "w/one-time")
	if st := w.sender.Status()[0]; st.Complete || st.Waiting != 2 || st.Oldest.IsZero() {
		t.Errorf("before they are sent: %+v", st)
	}
	w.duties()
	if got := w.kept(); got != "1112" || !w.sender.Status()[0].Complete {
		t.Errorf("copies %q, status %+v", got, w.sender.Status())
	}

	e := w.erase(1)
	w.duties()
	if got := w.erasure(e); w.kept() != "2" || len(got.Copies) != 1 || got.Copies[0].TimeMs == 0 || got.Copies[0].Generation < 2 {
		t.Errorf("after the erasure: copies %q, %+v", w.kept(), got)
	}
	back, f, err := w.fetched()
	if err != nil || back != "p/taro/ks" || f != (Fetched{Entries: 1}) {
		t.Errorf("fetched %q, %+v, %v", back, f, err)
	}
	for _, secret := range []string{"p/taro", "secret of", "phone"} { // what the keeper can see of it
		for _, v := range w.copies.m {
			if bytes.Contains(v, []byte(secret)) {
				t.Errorf("%q stands in a blob", secret)
			}
		}
		noErr(t, w.keeper.Vault.Each("", func(id string, value []byte) error {
			if bytes.Contains(value, []byte(secret)) || bytes.Contains([]byte(id), []byte(secret)) {
				t.Errorf("the keeper can read %q", secret)
			}
			return nil
		}))
	}
}

// TestLateCopy: a copy that was on its way while its key was erased is not taken.
func TestLateCopy(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.down = true
	w.put(1, "p/hana/ks")
	value, err := w.own.Get("p/hana/ks")
	noErr(t, err)
	late, _, err := w.sender.copyOf("p/hana/ks", value)
	noErr(t, err)
	w.duties()
	e := w.erase(1)
	w.duties()
	if w.erasure(e).Copies[0].TimeMs == 0 {
		t.Error("a custodian that had no copy did not attest")
	}
	w.down = false
	_, err = w.sender.put(context.Background(), "b-sha", []sealedCopy{late})
	noErr(t, err)
	if w.kept() != "" {
		t.Error("a copy with a tombstone was taken in")
	}
}

// keeperDown is a world with copies of two people at a keeper that is down.
func keeperDown(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	w.put(2, "p/taro/ks")
	w.begin()
	w.closeKeeper()
	return w
}

// TestKeeperWasDown: what is erased meanwhile is destroyed and attested at its
// return; before the owner has attested, nothing is.
func TestKeeperWasDown(t *testing.T) {
	w := keeperDown(t)
	e := w.erase(1)
	early := w.c.Erasure([]record.KeyNumber{record.KeyNumber(num(2))}, "a-sha", "c-sha")
	w.must("a-sha", early)
	w.duties()
	w.openKeeper()
	w.duties()
	if got := w.erasure(e).Copies[0]; got.TimeMs == 0 || w.kept() != "" {
		t.Errorf("copies %q, %+v", w.kept(), got)
	}
	if w.erasure(early).Copies[0].TimeMs != 0 {
		t.Error("attested before the owner")
	}
	w.must("a-sha", w.c.Attestation(early.ID))
	w.duties()
	if w.erasure(early).Copies[0].TimeMs == 0 {
		t.Error("c-sha, which is another member, holds it up")
	}
}

// TestNotFinal: a tombstone that is not final destroys nothing.
func TestNotFinal(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	w.begin()
	w.behind = true
	e := w.erase(1)
	w.duties()
	if w.kept() != "1" {
		t.Error("destroyed before it was final")
	}
	w.behind = false
	w.must("pf", w.c.Tick())
	w.duties()
	if w.kept() != "" || w.erasure(e).Copies[0].TimeMs == 0 {
		t.Error("not destroyed when it was")
	}
}

// TestOldVault: a custodian's vault of yesterday brings nobody back. It answers
// nothing, drops what was erased, says so, and is sent the rest.
func TestOldVault(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	w.begin()
	w.closeKeeper()
	blobs := w.copies.copied()
	slot, err := os.ReadFile(w.slot)
	noErr(t, err)
	w.openKeeper()
	w.put(2, "p/taro/ks")
	w.duties()
	w.erase(1)
	w.duties()
	attested := w.status().Generation
	w.closeKeeper()
	w.copies = blobs
	noErr(t, os.WriteFile(w.slot, slot, 0o600))
	w.openKeeper()
	if _, f, err := w.fetched(); err == nil {
		t.Errorf("an old vault answered: %+v", f)
	}
	_, err = w.keeper.Handle(context.Background(), "a-sha", canon.Must(&message{What: callOffer}))
	wantCode(t, err, record.CodeCustodianStale)
	w.duties()
	if got := w.status().Generation; got >= attested {
		t.Errorf("generation %d, it had attested %d: nobody can see that it went back", got, attested)
	}
	w.duties()
	if w.kept() != "2" {
		t.Errorf("copies %q", w.kept())
	}
}

func (w *world) status() *rules.Custodian {
	w.t.Helper()
	c, err := rules.Load[rules.Custody](w.state(), rules.KeyCustody("a-sha"))
	noErr(w.t, err)
	return c.Of("b-sha")
}

// TestEnd: a custodian that the owner ends destroys everything and says so; one that
// does not agree keeps nothing.
func TestEnd(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	w.accepts = false
	w.must("a-sha", w.c.Custodian("a-sha", "b-sha", 0))
	w.duties()
	if w.status().Class != "" || w.kept() != "" {
		t.Errorf("it did not agree: %+v, copies %q", w.status(), w.kept())
	}
	w.accepts = true
	w.duties()
	if w.kept() != "1" {
		t.Fatalf("copies %q", w.kept())
	}
	end := w.c.Custodian("a-sha", "b-sha", 0)
	end.Body.(*record.Custodian).End = true
	w.must("a-sha", end)
	w.duties()
	if w.kept() != "" || !w.status().Gone {
		t.Errorf("copies %q, %+v", w.kept(), w.status())
	}
	_, err := w.keeper.Handle(context.Background(), "a-sha", canon.Must(&message{What: callOffer}))
	wantCode(t, err, record.CodeCustodianUnknown)
}

// TestLost: copies that are lost close the erasures before them; the next custodian
// is sent everything.
func TestLost(t *testing.T) {
	w := keeperDown(t)
	e := w.erase(1)
	w.must("a-sha", w.c.CustodianLost("a-sha", "b-sha", record.LostDestroyed))
	custody, err := rules.Load[rules.Custody](w.state(), rules.KeyCustody("a-sha"))
	noErr(t, err)
	if got := w.erasure(e); got.Lost(got.Copies[0], custody) == nil {
		t.Error("the loss does not close the erasure")
	}
	noErr(t, os.Remove(w.slot))
	w.copies = &memory{}
	w.openKeeper()
	w.begin()
	if w.kept() != "2" {
		t.Errorf("copies %q", w.kept())
	}
}

// TestGone: what the vault has no more, without an erasure, goes at the next
// comparison.
func TestGone(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/r/2026-12")
	w.put(2, "p/taro/ks")
	w.begin()
	_, err := w.own.Shred("p/hana/r/2026-12")
	noErr(t, err)
	w.sender.Compare()
	w.duties()
	if w.kept() != "2" {
		t.Errorf("copies %q", w.kept())
	}
}

// TestManyPages: lists and gets of more than one page.
func TestManyPages(t *testing.T) {
	w := newWorld(t)
	var want int
	for range 3 * maxCopies {
		var b [8]byte
		rand.Read(b[:])
		w.put(byte(want%9)+1, "l/x/"+string(b[:]))
		want++
	}
	w.begin()
	if _, f, err := w.fetched(); err != nil || f.Entries != want {
		t.Errorf("%+v, %v, want %d", f, err, want)
	}
}

// TestLyingKeeper: what a keeper changes in its answers is noticed.
func TestLyingKeeper(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	w.put(2, "p/taro/ks")
	w.begin()
	labels, err := w.keeper.labels("a-sha")
	noErr(t, err)
	w.erase(1)
	hana := labels[0]
	for name, change := range map[string]func(what string, b []byte) []byte{
		"an erased copy under a number that lives": func(what string, b []byte) []byte {
			if what != callList {
				return b
			}
			other := Label{Number: Number(num(2)), Copy: hana.Copy}
			x := other.bytes()
			return canon.Must(&listAnswer{Labels: x[:]})
		},
		"a list out of order": func(what string, b []byte) []byte {
			if what != callList {
				return b
			}
			x, y := labels[1].bytes(), labels[0].bytes()
			return canon.Must(&listAnswer{Labels: append(x[:], y[:]...)})
		},
		"no progress": func(what string, b []byte) []byte {
			var a getAnswer
			if what != callGet || canon.UnmarshalMax(b, MaxResponse, &a) != nil {
				return b
			}
			a.Done = 0
			return canon.Must(&a)
		},
		"rubbish": func(string, []byte) []byte { return []byte{0xff} },
	} {
		w.change = change
		back, _, err := w.fetched()
		if back != "" && back != "p/taro/ks" {
			t.Errorf("%s: fetched %q", name, back)
		}
		if err == nil && name != "an erased copy under a number that lives" {
			t.Errorf("%s: not noticed", name)
		}
		w.change = nil
	}
}

// TestGoneWithoutTombstone: what no erasure names goes at the custodian as soon as it
// has gone from the vault.
func TestGoneWithoutTombstone(t *testing.T) {
	w := newWorld(t)
	w.put(0, "t/plan", "desk/mac")
	w.begin()
	w.duties()
	if w.kept() != "00" {
		t.Fatalf("copies %q", w.kept())
	}
	_, err := w.own.Shred("t/plan")
	noErr(t, err)
	w.sender.Changed("t/plan")
	w.duties()
	if back, f, err := w.fetched(); err != nil || back != "desk/mac" || f.Entries != 1 || !w.sender.Status()[0].Complete {
		t.Errorf("fetched %q, %+v, %v", back, f, err)
	}
}
