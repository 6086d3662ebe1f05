package cosign

import (
	"fmt"
	"maps"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// An oddEntry is a member's cosignature over another log than ours. A member
// that tells one log alone may be as honest as we are, if the leader gave it
// other batches; one that tells ours too is not.
type oddEntry struct {
	entry
	told, shown, proven bool // Differs heard of it; a fork was shown; its signer's lie was
}

// rootAt returns the root of our own log at a size, and whether we have derived
// as much.
func (s *Cosigner) rootAt(size uint64) (root record.Digest, derived bool, err error) {
	s.mu.Lock()
	end, ok := s.ends[size]
	s.mu.Unlock()
	if ok {
		return end.Root, true, nil
	}
	st := s.State()
	if size > st.Size {
		return root, false, nil
	}
	h, err := st.Tree().RootAt(size, st)
	return record.Digest(h), true, err
}

// differs keeps a verified cosignature over another root than ours.
func (s *Cosigner) differs(e entry) {
	list := s.odd[e.Member]
	for _, o := range list {
		if o.Size == e.Size && o.Root == e.Root {
			return
		}
		if o.Size == e.Size {
			s.pairs = append(s.pairs[:min(len(s.pairs), maxOdd)], [2]entry{o.entry, e})
		}
	}
	if len(list) < maxOdd { // a liar can sign for ever
		s.odd[e.Member] = append(list, &oddEntry{entry: e})
		s.Log.Error("a member cosigned another log than ours", "member", e.Member, "size", e.Size)
	}
}

// agree notes that a member cosigned our own log up to a size. It reports
// whether the member has cosigned another log, too.
func (s *Cosigner) agree(e entry) bool {
	if at := s.era(e); s.counts(e) && e.Size > s.agreed[at].Size {
		s.agreed[at] = e
	}
	return len(s.odd[e.Member]) > 0
}

// forget drops what is too far back among the roots that are final.
func (s *Cosigner) forget() { keepLargest(s.recent, keepRecent) }

// keepLargest leaves the most entries with the largest sizes.
func keepLargest[V any](m map[uint64]V, most int) {
	if len(m) <= most {
		return
	}
	sizes := slices.Sorted(maps.Keys(m))
	for _, size := range sizes[:len(sizes)-most] {
		delete(m, size)
	}
}

// judge looks at what came before we had derived as much, makes evidence, and
// returns why this node must stop, if it must. Only the signer calls it.
func (s *Cosigner) judge() error {
	if err := s.compare(); err != nil {
		return err
	}
	if err := s.accuse(); err != nil {
		s.Log.Error("evidence could not be made", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forked()
}

// compare judges kept cosignatures by what we have derived since.
func (s *Cosigner) compare() error {
	s.mu.Lock()
	var passed []entry
	for size, sigs := range s.sigs {
		end, ours := s.ends[size]
		for _, e := range sigs {
			switch {
			case size > s.newest.Size:
			case !s.counts(e): // checked before its policy epoch was known, under another's key
				delete(sigs, e.Member)
				s.kept[e.Member]--
			case ours && e.Root == end.Root:
				s.agree(e)
			default:
				passed = append(passed, e)
			}
		}
	}
	s.mu.Unlock()
	for _, e := range passed {
		root, derived, err := s.rootAt(e.Size)
		if err != nil {
			return err
		}
		if !derived || root == e.Root {
			continue
		}
		s.mu.Lock()
		if s.sigs[e.Size][e.Member] == e {
			delete(s.sigs[e.Size], e.Member)
			s.kept[e.Member]--
		}
		s.differs(e)
		s.mu.Unlock()
	}
	return nil
}

// accuse makes evidence of what contradicts itself.
func (s *Cosigner) accuse() error {
	type finding struct {
		policy *rules.Policy
		a, b   receipt.Cosigned
		member string
	}
	var found, told []finding
	s.mu.Lock()
	for _, p := range s.pairs {
		if s.counts(p[0]) && s.counts(p[1]) {
			found = append(found, finding{policy: s.of(p[0].Size), a: s.cosigned(p[:1]...), b: s.cosigned(p[1:]...)})
		}
	}
	s.pairs = nil
	for _, list := range s.odd {
		for _, o := range list {
			policy := s.of(o.Size) // one file is under one policy: both sides are of its epoch
			if !o.told {
				o.told = true
				told = append(told, finding{policy: policy, a: s.cosigned(o.entry), member: o.Member})
			}
			if a := s.agreed[era{o.Member, policy.Epoch}]; !o.proven && a.Size >= o.Size {
				o.proven = true
				found = append(found, finding{policy: policy, a: s.cosigned(o.entry), b: s.cosigned(a)})
			}
			if own := s.agreed[era{s.Self, policy.Epoch}]; !o.shown && !o.proven && own.Size >= o.Size {
				o.shown = true
				found = append(found, finding{policy: policy, a: s.cosigned(s.oddAt(o)...), b: s.cosigned(s.alike(own)...)})
			}
		}
	}
	s.mu.Unlock()
	for _, f := range told {
		s.Differs(f.policy.Sign(), f.member, f.a)
	}
	for _, f := range found {
		file, err := receipt.BuildCheckpoints(f.policy.Sign(), f.a, f.b, s.past)
		if err != nil {
			return err
		}
		s.Evidence(file)
	}
	return nil
}

// past tells how our own log began.
func (s *Cosigner) past(size, later uint64) (merkle.Edge, []merkle.Hash, error) {
	st := s.State()
	edge, err := st.Tree().Edge(size, st)
	if err != nil {
		return edge, nil, err
	}
	path, err := st.Consistency(size, later)
	return edge, path, err
}

// oddAt returns who cosigned what o did, and alike who cosigned our own end.
func (s *Cosigner) oddAt(o *oddEntry) (all []entry) {
	for _, list := range s.odd {
		for _, other := range list {
			if other.Size == o.Size && other.Root == o.Root {
				all = append(all, other.entry)
			}
		}
	}
	return all
}

func (s *Cosigner) alike(own entry) []entry {
	all := []entry{own}
	for _, e := range s.sigs[own.Size] {
		if e.Root == own.Root && e.Member != s.Self && s.counts(e) {
			all = append(all, e)
		}
	}
	return all
}

// cosigned returns what entries over one checkpoint say. There is at least one.
func (s *Cosigner) cosigned(entries ...entry) receipt.Cosigned {
	c := receipt.Cosigned{Checkpoint: sign.Checkpoint{Origin: s.Origin, Size: entries[0].Size, Root: entries[0].Root}}
	for _, e := range entries {
		name := member(s.of(e.Size), e.Member).Name
		c.Sigs = append(c.Sigs, sign.Cosignature{Signer: name, Time: e.Time, Sig: e.Sig})
	}
	return c
}

// forked returns why this node must stop: k members cosigned what is not ours,
// or so many are on another log that nothing of ours can become final. As many
// liars as the consortium tolerates, n - k at most, cause neither.
// What has no evidence yet does not count.
func (s *Cosigner) forked() error {
	gone, p := 0, s.of(s.newest.Size)
	for id, list := range s.odd {
		if member(p, id) != nil && slices.ContainsFunc(list, func(o *oddEntry) bool { return o.shown && s.agreed[era{id, s.of(o.Size).Epoch}].Size < o.Size }) {
			gone++
		}
		for _, o := range list {
			if n := len(s.oddAt(o)); n >= s.of(o.Size).K && (o.shown || o.proven) {
				return fmt.Errorf("%w: %d members cosigned another root at size %d", ErrForked, n, o.Size)
			}
		}
	}
	if n := len(p.Members); n-gone < p.K {
		return fmt.Errorf("%w: %d of %d members cosigned another log, and %d make anything final", ErrForked, gone, n, p.K)
	}
	return nil
}
