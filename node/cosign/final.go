package cosign

import (
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A Final is a checkpoint with at least k members' cosignatures, under the policy
// of its epoch.
type Final struct {
	End       store.End
	Sigs      []MemberSig  // ascending by member
	Witnessed []WitnessSig // by external witnesses
	Policy    *rules.Policy
	logKey    sign.Key

	once, shownOnce sync.Once
	note, shown     []byte
}

// MemberSig is a member's cosignature.
type MemberSig struct {
	Member string
	sign.Cosignature
}

// Note returns the signed note of the checkpoint: the log's line and those of the
// policy's members and witnesses, nobody else's.
func (f *Final) Note() []byte {
	f.once.Do(func() { f.note = f.noteWith(f.named) })
	return f.note
}

// NoteOf returns the signed note of a checkpoint that a header cites, under the
// policy of its epoch.
func NoteOf(p *rules.Policy, c *record.Cited, logKey sign.Key) ([]byte, error) {
	keys, cosigs := map[string]sign.PublicKey{}, []sign.Cosignature{}
	for _, s := range c.Sigs {
		m := member(p, s.Member)
		if m == nil {
			return nil, fmt.Errorf("%s is no member in policy epoch %d", s.Member, p.Epoch)
		}
		keys[m.Name] = m.Key
		cosigs = append(cosigs, sign.Cosignature{Signer: m.Name, Time: s.Time, Sig: s.Sig})
	}
	return sign.FormatNote(sign.Checkpoint{Origin: p.Origin, Size: c.Size, Root: c.Root}, logKey, cosigs, keys)
}

func (f *Final) noteWith(witness func(WitnessSig) bool) []byte {
	keys, cosigs := map[string]sign.PublicKey{}, []sign.Cosignature{}
	for _, m := range f.Policy.Members {
		keys[m.Name] = m.Key
	}
	for _, s := range f.Sigs {
		cosigs = append(cosigs, s.Cosignature)
	}
	for _, w := range f.Witnessed {
		if witness(w) {
			keys[w.Witness.Name] = w.Witness.Key
			cosigs = append(cosigs, w.Cosignature)
		}
	}
	note, err := sign.FormatNote(f.End.Checkpoint(f.Policy.Origin), f.logKey, cosigs, keys)
	if err != nil {
		panic("cosign: " + err.Error()) // every kept cosignature is of a policy member or a witness
	}
	return note
}

// FreshAt returns the k-th newest cosignature time, in Unix seconds.
func (f *Final) FreshAt() uint64 {
	sigs := make([]sign.Cosignature, len(f.Sigs))
	for i, s := range f.Sigs {
		sigs[i] = s.Cosignature
	}
	return sign.KthNewest(sigs, f.Policy.K)
}

// Cited returns the checkpoint as a header cites it: with the k newest
// cosignatures.
func (f *Final) Cited() record.Cited {
	sigs := slices.Clone(f.Sigs)
	sort.SliceStable(sigs, func(i, j int) bool { return sigs[i].Time > sigs[j].Time })
	sigs = sigs[:f.Policy.K]
	sort.Slice(sigs, func(i, j int) bool { return sigs[i].Member < sigs[j].Member })
	c := record.Cited{Height: f.End.Height, Size: f.End.Size, Root: f.End.Root}
	for _, s := range sigs {
		c.Sigs = append(c.Sigs, record.CitedSig{Member: s.Member, Time: s.Time, Sig: s.Sig})
	}
	return c
}

func (s *Cosigner) assemble(end store.End, sigs map[string]entry) *Final {
	f := &Final{End: end, Policy: s.of(end.Size), logKey: s.LogKey}
	for _, m := range f.Policy.Members {
		e, ok := sigs[m.ID]
		if ok && e.Size == end.Size && e.Root == end.Root && e.key == m.Key {
			f.Sigs = append(f.Sigs, MemberSig{m.ID, sign.Cosignature{Signer: m.Name, Time: e.Time, Sig: e.Sig}})
		}
	}
	if len(f.Sigs) < f.Policy.K {
		return nil
	}
	return f
}

// newer reports whether f says more than the other about the same end.
func (f *Final) newer(other *Final) bool {
	return len(f.Sigs) > len(other.Sigs) || len(f.Witnessed) > len(other.Witnessed) || f.FreshAt() > other.FreshAt()
}
