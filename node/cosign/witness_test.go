package cosign

import (
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// watched is a member of a consortium with witnesses. Their keys are by name.
type watched struct {
	*alone
	keys    map[string]sign.Key
	offered chan uint64
}

// newWatched has the witness w1, which the policy requires or not, and w2, which
// only this node asks.
func newWatched(t *testing.T, required bool) *watched {
	w := &watched{keys: map[string]sign.Key{"w1.example": sign.NewKey(), "w2.example": sign.NewKey()}, offered: make(chan uint64, 100)}
	of := func(name string) record.Witness {
		return record.Witness{Name: name, Key: w.keys[name].Public(), URL: "https://" + name, Required: required && name == "w1.example"}
	}
	o := ledgertest.Options{Change: func(f *record.Founding) {
		if f.Witnesses = []record.Witness{of("w1.example")}; required {
			f.WitnessK = 1
		}
	}}
	w.alone = newAloneIn(t, o, func(c *Config) {
		c.Witnesses = []record.Witness{of("w1.example"), of("w2.example")}
		c.Offer = func(s *Cosigner, f *Final) { w.offered <- f.End.Size }
	})
	return w
}

// agreed derives one more batch and lets k members cosign it.
func (w *watched) agreed() store.End {
	w.t.Helper()
	end := w.batch()
	for _, m := range []string{"b-sha", "pf"} {
		if err := w.s.Receive(w.from(m, end, uint64(w.now.Unix()))); err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually("k members", func() bool { f := w.s.Quorum(); return f != nil && f.End.Size == end.Size })
	return end
}

func (w *watched) cosigns(name string, end store.End) error {
	return w.s.TakeWitness(end.Size, w.keys[name].Cosign(name, end.Checkpoint(w.c.Origin), 1_900_000_000))
}

// TestRequiredWitness: without it nothing is final, while members go on agreeing;
// with it the newest end that it cosigned is.
func TestRequiredWitness(t *testing.T) {
	w := newWatched(t, true)
	first := w.agreed()
	if w.height() >= 0 {
		t.Fatalf("height %d is final without the witness", w.height())
	}
	second := w.agreed()
	for what, err := range map[string]error{
		"a stranger":    w.s.TakeWitness(second.Size, sign.NewKey().Cosign("w3.example", second.Checkpoint(w.c.Origin), 1)),
		"another's key": w.s.TakeWitness(second.Size, w.keys["w2.example"].Cosign("w1.example", second.Checkpoint(w.c.Origin), 1)),
		"another end":   w.s.TakeWitness(second.Size, w.keys["w1.example"].Cosign("w1.example", first.Checkpoint(w.c.Origin), 1)),
	} {
		if err == nil {
			t.Errorf("a cosignature of %s is taken", what)
		}
	}
	if err := w.cosigns("w2.example", second); err != nil || w.height() >= 0 {
		t.Fatalf("the other witness makes height %d final, %v", w.height(), err)
	}
	if err := w.cosigns("w1.example", first); err != nil || w.height() != 1 {
		t.Fatalf("height %d, %v", w.height(), err)
	}
	third := w.agreed()
	if err := w.cosigns("w1.example", third); err != nil || w.height() != 3 {
		t.Fatalf("height %d, %v", w.height(), err)
	}
	if err := w.cosigns("w1.example", second); err != nil || w.height() != 3 {
		t.Fatalf("a late cosignature: height %d, %v", w.height(), err)
	}
	policy, err := sign.ParsePolicy(w.s.Current().Policy.Sign().Format())
	if err != nil {
		t.Fatal(err)
	}
	open, err := policy.OpenExact(w.s.Current().Note())
	if err != nil || len(open.Witnessed) != 1 || open.Size != third.Size {
		t.Fatalf("%+v, %v", open, err)
	}
	tw, err := torchwood.ParsePolicy(w.s.Current().Policy.Sign().Format())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(w.s.Current().Note(), tw); err != nil {
		t.Errorf("another implementation refuses the note: %v", err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(w.s.Quorum().Note(), tw); err == nil {
		t.Error("what waits for the witness is a final note")
	}
}

// TestWitnessBeside: a witness that is not required delays nothing, is shown for
// the end that it cosigned only, and never stands in a note of the policy's keys.
func TestWitnessBeside(t *testing.T) {
	w := newWatched(t, false)
	end := w.agreed()
	w.eventually("final", func() bool { return w.height() == 1 })
	if size := <-w.offered; size != end.Size {
		t.Errorf("size %d was offered first, want %d", size, end.Size)
	}
	for _, name := range []string{"w1.example", "w2.example"} {
		if err := w.cosigns(name, end); err != nil {
			t.Fatal(err)
		}
	}
	f := w.s.Current()
	if shown := string(f.Shown()); !strings.Contains(shown, "— w1.example ") || !strings.Contains(shown, "— w2.example ") {
		t.Errorf("%s", shown)
	}
	if _, err := w.s.Current().Policy.Sign().OpenExact(f.Note()); err != nil {
		t.Errorf("the note of the policy's keys: %v", err)
	}
	if open, err := w.s.Current().Policy.Sign().Open(f.Shown()); err != nil || len(open.Cosigned) < 3 {
		t.Errorf("%+v, %v", open, err)
	}
	w.now = w.now.Add(Heartbeat)
	w.s.Beat()
	for _, m := range []string{"b-sha", "pf"} {
		if err := w.s.Receive(w.from(m, end, uint64(w.now.Unix()))); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("newer cosignatures", func() bool { return w.s.Current() != f })
	if !strings.Contains(string(w.s.Current().Shown()), "— w1.example ") {
		t.Error("the witness is forgotten when members cosign the same end again")
	}
	w.agreed()
	w.eventually("final", func() bool { return w.height() == 2 })
	if strings.Contains(string(w.s.Current().Shown()), "— w1.example ") {
		t.Error("the witness is shown for an end that it did not cosign")
	}
}

// TestOfferedEndsAreBounded: a witness that is away for long costs no memory.
func TestOfferedEndsAreBounded(t *testing.T) {
	w := newWatched(t, true)
	var last store.End
	for range maxOffered + 10 {
		last = w.agreed()
	}
	w.s.finalMu.Lock()
	n := len(w.s.offered)
	w.s.finalMu.Unlock()
	if n != maxOffered {
		t.Errorf("%d ends wait", n)
	}
	if err := w.cosigns("w1.example", last); err != nil || w.height() != maxOffered+10 {
		t.Errorf("height %d, %v", w.height(), err)
	}
}

// TestChanged: who waits hears of what k members cosigned, and of what a witness
// then makes final.
func TestChanged(t *testing.T) {
	w := newWatched(t, true)
	changed := w.s.Changed()
	end := w.agreed()
	<-changed
	changed = w.s.Changed()
	if err := w.cosigns("w1.example", end); err != nil {
		t.Fatal(err)
	}
	<-changed
	if w.height() != int(end.Height) {
		t.Errorf("height %d", w.height())
	}
}
