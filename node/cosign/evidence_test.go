package cosign

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/store"
)

// names returns kind and signers of what is kept.
func (a *alone) names() (out []string) {
	for _, it := range a.kept.Items() {
		name := it.Kind
		for _, s := range it.Signers {
			name += " " + s
		}
		out = append(out, name)
	}
	return out
}

// send plays the cosignature of other members.
func (a *alone) send(end store.End, members ...string) {
	a.t.Helper()
	for _, m := range members {
		if err := a.s.Receive(a.from(m, end, uint64(a.now.Unix()))); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *alone) keeps(what string, want ...string) {
	a.t.Helper()
	a.eventually(what, func() bool { return slices.Equal(a.names(), want) })
}

func (a *alone) stops(what string) {
	a.t.Helper()
	select {
	case err := <-a.stopped:
		if !errors.Is(err, ErrForked) {
			a.t.Errorf("%s: stopped with %v", what, err)
		}
	case <-time.After(patience):
		a.t.Errorf("%s: this node goes on", what)
	}
}

func other(end store.End, n byte) store.End {
	end.Root[0] ^= n
	return end
}

// TestConflictIsEvidence: one other root is kept as evidence and stops nobody,
// whatever the liar does next; two of four leave no three on our log.
func TestConflictIsEvidence(t *testing.T) {
	a := newAlone(t)
	end := a.batch()
	forged := other(end, 1)
	a.send(forged, "b-sha")
	a.keeps("a fork", "fork")
	a.goesOn("one of four differs")
	a.send(end, "c-sha", "pf")
	a.eventually("final without the liar", func() bool { return a.height() == 1 })

	end = a.batch()
	a.send(other(end, 1), "c-sha", "pf")
	a.stops("two of four differ, or three")
	if a.height() > 1 {
		t.Error("a conflicting end became final")
	}
	a.mu.Lock()
	told := slices.Clone(a.told)
	a.mu.Unlock()
	slices.Sort(told)
	// Two of four are enough for the stop, which may come before the third is heard.
	if two, three := []string{"b-sha", "c-sha"}, []string{"b-sha", "c-sha", "pf"}; !slices.Equal(told, two) && !slices.Equal(told, three) {
		t.Errorf("told of %q, want %q or %q", told, two, three)
	}
	if names := a.names(); len(names) < 2 { // c-sha and pf cosigned ours before: that alone is no lie
		t.Errorf("stopped with %q", names)
	}
}

// TestTwoRootsNameTheSigner: a member that cosigns our log and another, in
// either order, is named; and no other is.
func TestTwoRootsNameTheSigner(t *testing.T) {
	t.Run("ours first", func(t *testing.T) {
		a := newAlone(t)
		end := a.batch()
		a.send(end, "b-sha")
		a.send(other(end, 1), "b-sha")
		a.keeps("the liar", "checkpoint b-sha")
		a.goesOn("one of four lies")
	})
	t.Run("ours later", func(t *testing.T) {
		a := newAlone(t)
		end := a.batch()
		a.send(other(end, 1), "b-sha")
		a.keeps("a fork at first", "fork")
		next := a.batch()
		a.send(next, "b-sha")
		a.keeps("the liar by a later end of ours", "fork", "checkpoint b-sha")
	})
	t.Run("both unknown to us", func(t *testing.T) {
		ahead, a := newAlone(t), newAlone(t)
		ahead.batch()
		end := ahead.batch()
		a.send(end, "b-sha", "c-sha")
		a.send(other(end, 1), "b-sha")
		a.keeps("the liar", "checkpoint b-sha")
		a.goesOn("one of four lies")
	})
	t.Run("two others", func(t *testing.T) {
		a := newAlone(t)
		end := a.batch()
		a.send(other(end, 1), "b-sha")
		a.send(other(end, 2), "b-sha")
		a.eventually("the liar", func() bool { return slices.Contains(a.names(), "checkpoint b-sha") })
	})
	t.Run("late", func(t *testing.T) {
		a := newAlone(t)
		first := a.batch()
		a.send(first, "b-sha", "c-sha")
		next := a.batch()
		a.send(next, "b-sha", "c-sha")
		a.eventually("final", func() bool { return a.height() == 2 })
		a.send(other(first, 1), "b-sha")
		a.keeps("the liar, for what is final already", "checkpoint b-sha")
	})
}

// TestForkFoundWhenWeGetThere: cosignatures over another log, for a size that we
// have not derived, are judged once we have.
func TestForkFoundWhenWeGetThere(t *testing.T) {
	ahead, a := newAlone(t), newAlone(t)
	end := ahead.batch()
	a.send(other(end, 1), "b-sha", "c-sha", "pf")
	a.goesOn("nothing to compare with")
	if n := len(a.names()); n != 0 {
		t.Errorf("%d files of evidence before anything was derived", n)
	}
	a.batch()
	a.stops("k members went another way")
	if names := a.names(); !slices.Contains(names, "fork") {
		t.Errorf("stopped with %q", names)
	}

	// where no batch of ours ends at that size
	b := newAlone(t)
	size := b.l.State().Size
	odd := store.End{Size: size + 1, Root: end.Root}
	b.send(odd, "c-sha", "pf")
	b.goesOn("nothing to compare with")
	b.batch()
	b.stops("two of four went another way")
	if names := b.names(); !slices.Contains(names, "fork") {
		t.Errorf("stopped with %q", names)
	}
}

// TestEvidenceIsBounded: a liar can sign other roots for ever; neither memory nor
// disk follow, and finality goes on.
func TestEvidenceIsBounded(t *testing.T) {
	a := newAlone(t)
	end := a.batch()
	a.send(end, "b-sha")
	for i := range 100 {
		a.send(other(end, byte(i+1)), "b-sha")
	}
	a.send(end, "c-sha")
	a.eventually("final", func() bool { return a.height() == 1 })
	a.eventually("the liar is named", func() bool { return slices.Contains(a.names(), receipt.EvidenceCheckpoint+" b-sha") })
	a.goesOn("one of four lies a hundred times")
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if n := len(a.s.odd["b-sha"]); n > maxOdd {
		t.Errorf("%d cosignatures of a liar in memory", n)
	}
	if n := len(a.kept.Items()); n > 2*maxOdd {
		t.Errorf("%d files of evidence", n)
	}
}
