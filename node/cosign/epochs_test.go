package cosign

import (
	"bytes"
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// rotate derives a batch that replaces a member's cosigner key, and returns its
// end with the next key.
func (a *alone) rotate(id string) (store.End, sign.Key) {
	a.t.Helper()
	rec := a.c.Rotate(id, []string{record.RoleCosigner}, "a-sha", "b-sha", "c-sha")
	next := a.c.PrivateKey(*rec.Body.(*record.MemberChange).Key(record.RoleCosigner))
	if id == "a-sha" {
		a.mu.Lock()
		a.keys = append(a.keys, next) // prepared before anyone voted
		a.mu.Unlock()
	}
	return a.governs(rec), next
}

// governs derives a batch that closes a policy epoch.
func (a *alone) governs(rec *record.Record) store.End {
	a.t.Helper()
	a.c.Pass(1000)
	e := a.c.Entry(a.c.Submit("pf", rec))
	a.applied++
	b, err := a.l.Apply(a.applied, canon.Must(e))
	if err != nil || b.Result.Next == nil {
		a.t.Fatalf("%v: next %v, %v", rec.Kind, b.Result, err)
	}
	a.c.Apply(e)
	a.s.Derived(b.End, b.Result.Next)
	return b.End
}

// TestEpochForsaken: who leaves is told until the end with which it leaves is final,
// also where an earlier epoch becomes final when that end is derived already.
func TestEpochForsaken(t *testing.T) {
	a := newAlone(t)
	unix := uint64(a.now.Unix())
	final := func(end store.End) {
		t.Helper()
		a.hears("b", true, a.from("b-sha", end, unix))
		a.hears("d", true, a.from("pf", end, unix))
		a.eventually("final", func() bool { return a.height() == int(end.Height) })
	}
	told := func() bool { return a.s.addressed()["c-sha"] != nil }
	a.rotate("a-sha")
	leaves := a.governs(a.c.Remove("c-sha", "a-sha", "b-sha", "pf")) // the last end of epoch 1
	final(leaves)
	if epoch := a.s.Current().Policy.Epoch; epoch != 1 || !told() {
		t.Fatalf("at the end with which it leaves: epoch %d, told %v", epoch, told())
	}
	final(a.batch())
	if epoch := a.s.Current().Policy.Epoch; epoch != 2 || told() {
		t.Fatalf("after it: epoch %d, told %v", epoch, told())
	}
}

func (a *alone) hears(what string, ok bool, msg []byte) {
	a.t.Helper()
	if err := a.s.Receive(msg); (err == nil) != ok {
		a.t.Errorf("%s: %v", what, err)
	}
}

// TestEpochKeys: the closing end counts under the old keys only, those after it
// under the new ones only.
func TestEpochKeys(t *testing.T) {
	a := newAlone(t)
	unix := uint64(a.now.Unix())
	old := a.c.Member("b-sha").Cosign
	closing, next := a.rotate("b-sha")
	a.hears("the closing end under the new key", false, a.signedBy(next, "b-sha", closing, unix))
	a.hears("c", true, a.from("c-sha", closing, unix))
	if a.height() >= int(closing.Height) {
		t.Fatal("two members made the closing end final")
	}
	a.hears("the closing end under the old key", true, a.signedBy(old, "b-sha", closing, unix))
	a.eventually("the closing end", func() bool { return a.height() == int(closing.Height) })
	if f := a.s.Current(); f.Policy.Epoch != 0 {
		t.Errorf("closing end under epoch %d", f.Policy.Epoch)
	}
	end := a.batch()
	a.hears("the next end under the retired key", false, a.signedBy(old, "b-sha", end, unix))
	a.hears("c", true, a.from("c-sha", end, unix))
	a.hears("the next end under the new key", true, a.signedBy(next, "b-sha", end, unix))
	a.eventually("the next end", func() bool { return a.height() == int(end.Height) })
	f := a.s.Current()
	if f.Policy.Epoch != 1 {
		t.Errorf("next end under epoch %d", f.Policy.Epoch)
	}
	if _, err := f.Policy.Sign().Open(f.Note()); err != nil {
		t.Errorf("its note: %v", err)
	}
}

// TestEpochHeardEarly: what is heard before its epoch is derived, and was checked
// under a key that then is retired, does not count when the end is reached; the
// true one does.
func TestEpochHeardEarly(t *testing.T) {
	ahead, a := newAlone(t), newAlone(t)
	unix := uint64(a.now.Unix())
	ahead.keys = a.keys
	rec := a.c.Rotate("b-sha", []string{record.RoleCosigner}, "a-sha", "b-sha", "c-sha")
	next := a.c.PrivateKey(*rec.Body.(*record.MemberChange).Key(record.RoleCosigner))
	post := func(x *alone, r *record.Record) store.End {
		x.c.Pass(1000)
		e := x.c.Entry(x.c.Submit("pf", r))
		x.applied++
		b, err := x.l.Apply(x.applied, canon.Must(e))
		if err != nil || b.Result.Void != nil {
			t.Fatal(b, err)
		}
		x.c.Apply(e)
		x.s.Derived(b.End, b.Result.Next)
		return b.End
	}
	ahead.c = a.c.Clone(t)
	post(ahead, rec)
	tick := a.c.Tick()
	end := post(ahead, tick)
	retired := a.c.Member("b-sha").Cosign
	a.hears("the retired key, early", true, a.signedBy(retired, "b-sha", end, unix+50))
	a.hears("the new key, early", false, a.signedBy(next, "b-sha", end, unix+60))
	a.hears("c, early", true, a.from("c-sha", end, unix))
	post(a, rec)
	if got := post(a, tick); got != end {
		t.Fatal("the two logs differ")
	}
	a.eventually("signed", func() bool { return a.s.signedSize() == end.Size })
	if a.height() == int(end.Height) {
		t.Fatal("a cosignature under a retired key counted")
	}
	a.hears("the new key", true, a.signedBy(next, "b-sha", end, unix))
	a.eventually("final", func() bool { return a.height() == int(end.Height) })
}

// signedSize is the largest size that this member has cosigned.
func (s *Cosigner) signedSize() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := uint64(0)
	for n, m := range s.sigs {
		if _, own := m[s.Self]; own {
			size = max(size, n)
		}
	}
	return size
}

// TestEpochOwnKey: this member's own key is replaced, and the node is started
// again before, at and after the switch: the mark holds, and each end is signed
// with its epoch's key.
func TestEpochOwnKey(t *testing.T) {
	a := newAlone(t)
	unix := uint64(a.now.Unix())
	final := func(end store.End) {
		t.Helper()
		a.hears("b", true, a.from("b-sha", end, unix))
		a.hears("c", true, a.from("c-sha", end, unix))
		a.eventually("final", func() bool { return a.height() == int(end.Height) })
		f := a.s.Current()
		if _, err := f.Policy.Sign().Open(f.Note()); err != nil {
			t.Errorf("note of height %d: %v", end.Height, err)
		}
		want := a.keys[f.Policy.Epoch].Public()
		if m := member(f.Policy, "a-sha"); m.Key != want || !bytes.Contains(f.Note(), []byte(m.Name)) {
			t.Errorf("height %d is not under our key of epoch %d", end.Height, f.Policy.Epoch)
		}
	}
	again := func() {
		t.Helper()
		a.s.Close()
		a.open()
	}
	again()
	closing, _ := a.rotate("a-sha")
	final(closing)
	again()
	final(closing)
	end := a.batch()
	final(end)
	again()
	final(end)
	final(a.batch())
	a.s.Close()
	all := a.keys
	a.keys = all[:1]
	if _, err := New(a.config()); !errors.Is(err, ErrNoKey) {
		t.Errorf("started without the key in force: %v", err)
	}
	a.keys = all[1:]
	s, err := New(a.config())
	if err != nil {
		t.Fatalf("the key in force alone: %v", err)
	}
	s.Close()
}
