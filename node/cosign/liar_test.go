package cosign

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// remark replaces the mark, as if this member had cosigned that before.
func (a *alone) remark(mk Mark) {
	a.t.Helper()
	a.s.Close()
	m, err := openMark(a.dir, []sign.Key{a.c.Member("a-sha").Cosign}, a.c.Origin, false, a.c.Member("a-sha").Cosign)
	if err != nil {
		a.t.Fatal(err)
	}
	defer m.f.Close()
	if err := m.write(mk, a.c.Member("a-sha").Cosign); err != nil {
		a.t.Fatal(err)
	}
}

func (a *alone) goesOn(what string) {
	a.t.Helper()
	select {
	case err := <-a.stopped:
		a.t.Fatalf("%s: the node stops: %v", what, err)
	case <-time.After(100 * time.Millisecond):
	}
}

// TestRelabelledHeight: the height of a cosignature is not signed, so one liar
// can relay everybody's true ones under another height. Nobody is to blame for
// that but the liar, and nobody stops.
func TestRelabelledHeight(t *testing.T) {
	a := newAlone(t)
	first := a.batch()
	a.batch()
	first.Height = 2
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, first, uint64(a.now.Unix())+5)); err != nil {
			t.Fatal(err)
		}
	}
	a.goesOn("true cosignatures under another height")
	if n := len(a.kept.Items()); n != 0 {
		t.Errorf("%d files of evidence against the innocent", n)
	}
}

// TestForkBeyondTheMark: a state that was lost is derived anew from what others
// deliver. Where that passes the mark on another way nothing is signed, also
// where no batch ends at the mark's size.
func TestForkBeyondTheMark(t *testing.T) {
	a := newAlone(t)
	size := a.l.State().Size
	a.remark(Mark{Height: 1, Size: size + 3, Root: record.Digest{1}, Time: 5})
	a.open()
	a.batch()
	a.goesOn("below the mark")
	if end := a.batch(); end.Size <= size+3 {
		t.Fatal("the batch does not pass the mark")
	}
	select {
	case err := <-a.stopped:
		if !errors.Is(err, ErrForked) {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(patience):
		t.Error("cosigned what contradicts the mark")
	}
}

// TestNothingFinalBelowTheMark: old cosignatures do not take back what was
// shown before a restart.
func TestNothingFinalBelowTheMark(t *testing.T) {
	ahead, a := newAlone(t), newAlone(t)
	ahead.batch()
	end := ahead.batch()
	a.remark(Mark{Height: 2, Size: end.Size, Root: end.Root, Time: 5})
	a.open()
	old := a.batch()
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, old, uint64(a.now.Unix()))); err != nil {
			t.Fatal(err)
		}
	}
	if h := a.height(); h >= 0 {
		t.Fatalf("final at height %d, below the mark", h)
	}
	a.batch()
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, end, uint64(a.now.Unix()))); err != nil {
			t.Fatal(err)
		}
	}
	a.eventually("final again", func() bool { return a.height() == 2 })
}

// TestLostMarkOfRebuiltState: a state that begins again at genesis is no leave
// to begin a new mark.
func TestLostMarkOfRebuiltState(t *testing.T) {
	a := newAlone(t)
	a.s.Close()
	if err := os.Remove(filepath.Join(a.dir, "cosigned.mark")); err != nil {
		t.Fatal(err)
	}
	c := a.config()
	c.Fresh = false
	if _, err := New(c); !errors.Is(err, ErrMarkLost) {
		t.Errorf("started without the mark: %v", err)
	}
}

// TestSpoiltInAdvance: a cosignature under a height that we have not derived yet
// does not keep the member's true one out.
func TestSpoiltInAdvance(t *testing.T) {
	ahead, a := newAlone(t), newAlone(t)
	first, unix := ahead.batch(), uint64(a.now.Unix())+60
	end := ahead.batch()
	first.Height = 2
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, first, unix)); err != nil {
			t.Fatal(err)
		}
	}
	a.batch()
	a.batch()
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, end, unix)); err != nil {
			t.Fatal(err)
		}
	}
	a.eventually("final", func() bool { return a.height() == 2 })
}
