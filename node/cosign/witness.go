package cosign

import (
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// # Witnesses
//
// A checkpoint that k members cosigned is offered to the external witnesses (the
// callback Offer). What they return is verified and put beside the members'
// cosignatures of the same end, until a higher end is final. Where the policy
// requires witnesses, an end is final only with enough of theirs; what waits for
// them is kept in offered. The members' own agreement does not wait: batches go
// on being cited and cosigned (Quorum), up to the bound of package replica.

// maxOffered bounds the ends that wait for witnesses. More than replica lets be
// open cannot come, except while a node catches up; then the oldest can be spared.
const maxOffered = 64

// Quorum returns the highest checkpoint that k members cosigned, whether or not
// the witnesses that the policy requires did; nil before the first since start.
func (s *Cosigner) Quorum() *Final { return s.final.Load() }

// Current returns the highest final checkpoint, nil before the first since
// start.
func (s *Cosigner) Current() *Final { return s.shown.Load() }

// Changed returns a channel that is closed when Quorum or Current next rises: take
// it before asking them.
func (s *Cosigner) Changed() <-chan struct{} { return *s.changed.Load() }

// tell wakes who waits on Changed. The caller holds finalMu.
func (s *Cosigner) tell() {
	next := make(chan struct{})
	close(*s.changed.Swap(&next))
}

// promote takes a checkpoint that k members cosigned. The caller holds finalMu.
func (s *Cosigner) promote(f *Final) {
	i, have := slices.BinarySearchFunc(s.offered, f.End.Size, func(o *Final, size uint64) int {
		return int(min(max(int64(o.End.Size)-int64(size), -1), 1))
	})
	if have {
		s.offered[i] = f
	} else {
		s.offered = slices.Insert(s.offered, i, f)
	}
	if len(s.offered) > maxOffered {
		delete(s.witnessed, s.offered[0].End.Size)
		s.offered = slices.Delete(s.offered, 0, 1)
	}
	s.show()
	s.tell()
	if !have && s.Offer != nil {
		s.Offer(s, f)
	}
}

// show makes the highest offered end final that has what the policy wants. The
// caller holds finalMu.
func (s *Cosigner) show() {
	cur := s.shown.Load()
	for i := len(s.offered) - 1; i >= 0; i-- {
		o := s.offered[i]
		f := &Final{End: o.End, Sigs: o.Sigs, Policy: o.Policy, logKey: o.logKey}
		for _, w := range s.Witnesses {
			if cs, ok := s.witnessed[f.End.Size][w.Name]; ok {
				f.Witnessed = append(f.Witnessed, WitnessSig{w, cs})
			}
		}
		if f.required() < f.Policy.WitnessK {
			continue
		}
		if cur != nil && (f.End.Size < cur.End.Size || f.End.Size == cur.End.Size && !f.newer(cur)) {
			return
		}
		s.shown.Store(f)
		for _, old := range s.offered[:i] {
			delete(s.witnessed, old.End.Size)
		}
		s.offered = slices.Delete(s.offered, 0, i)
		s.Config.Final(f)
		return
	}
}

// TakeWitness takes what a witness returned for an end of ours. A cosignature
// for an end that is no longer of use is passed over.
func (s *Cosigner) TakeWitness(size uint64, cs sign.Cosignature) error {
	i := slices.IndexFunc(s.Witnesses, func(w record.Witness) bool { return w.Name == cs.Signer })
	if i < 0 {
		return fmt.Errorf("cosignature of %q, which is no witness of ours", cs.Signer)
	}
	s.finalMu.Lock()
	defer s.finalMu.Unlock()
	at := slices.IndexFunc(s.offered, func(o *Final) bool { return o.End.Size == size })
	if at < 0 {
		return nil
	}
	o := s.offered[at]
	if err := cs.Verify(s.Witnesses[i].Key, o.End.Checkpoint(o.Policy.Origin)); err != nil {
		return fmt.Errorf("cosignature of witness %s: %w", cs.Signer, err)
	}
	if s.witnessed[size] == nil {
		s.witnessed[size] = map[string]sign.Cosignature{}
	}
	if old, ok := s.witnessed[size][cs.Signer]; !ok || cs.Time > old.Time {
		s.witnessed[size][cs.Signer] = cs
		s.show()
		s.tell()
	}
	return nil
}

// WitnessSig is the cosignature of an external witness.
type WitnessSig struct {
	Witness record.Witness
	sign.Cosignature
}

// required counts the cosignatures of witnesses that the policy wants.
func (f *Final) required() (n int) {
	for _, w := range f.Witnessed {
		if f.named(w) {
			n++
		}
	}
	return n
}

// named reports whether the policy of the end has the witness in its group.
func (f *Final) named(w WitnessSig) bool {
	return slices.ContainsFunc(f.Policy.Witnesses, func(p record.Witness) bool {
		return p.Required && p.Name == w.Witness.Name && p.Key == w.Witness.Key
	})
}

// Shown returns the note with the cosignatures of all witnesses beside it, those
// too that the policy does not name: for readers who pass over lines of keys that
// they do not know (C2SP signed-note).
func (f *Final) Shown() []byte {
	f.shownOnce.Do(func() {
		f.shown = f.noteWith(func(WitnessSig) bool { return true })
	})
	return f.shown
}
