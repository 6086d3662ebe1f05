package cosign

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// An epoch is a policy epoch: the ends that are larger than the one that closed
// the epoch before, up to its own closing one.
type epoch struct {
	policy *rules.Policy
	after  uint64 // size of the end that closed the epoch before
}

// ErrNoKey says that the key file lacks the cosigner key that the consortium has
// put in force for this member.
var ErrNoKey = errors.New("the key file lacks this member's cosigner key in force")

// epochsOf reads all epochs of a state. At the closing end of one, the next is
// there already.
func epochsOf(st *store.State) ([]epoch, error) {
	now, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err != nil {
		return nil, err
	}
	var all []epoch
	after := uint64(0)
	for e := range now.Epoch {
		past, err := rules.Load[rules.Past](st, rules.KeyPast(e))
		if err != nil {
			return nil, err
		}
		if past == nil {
			return nil, fmt.Errorf("%w: the policy of epoch %d is missing", store.ErrDamaged, e)
		}
		all = append(all, epoch{&past.Policy, after})
		if after = past.Closing.Size; past.Closing.Height == st.Height { // the next batch writes it
			after = st.Size
		}
	}
	return append(all, epoch{now, after}), nil
}

// of returns the policy under which an end of a size is final. For sizes that
// are not derived yet it is the newest that is known: what is verified under it
// counts only if it turns out to be the right one (kept.key).
func (s *Cosigner) of(size uint64) *rules.Policy {
	s.epochMu.RLock()
	defer s.epochMu.RUnlock()
	i := len(s.epochs) - 1
	for i > 0 && s.epochs[i].after >= size {
		i--
	}
	return s.epochs[i].policy
}

// begins takes the policy of the epoch that begins after an end.
func (s *Cosigner) begins(next *rules.Policy, closing store.End) {
	s.epochMu.Lock()
	s.epochs = append(s.epochs, epoch{next, closing.Size})
	s.epochMu.Unlock()
	s.address(next)
	s.Log.Info("a policy epoch begins", "epoch", next.Epoch, "after", closing.Height)
}

func member(p *rules.Policy, id string) *rules.Cosigner {
	for i := range p.Members {
		if p.Members[i].ID == id {
			return &p.Members[i]
		}
	}
	return nil
}

// seated reports whether this member cosigns ends of a size.
func (s *Cosigner) seated(size uint64) bool {
	p := s.of(size)
	return p.Epoch >= s.Since && member(p, s.Self) != nil
}

// An era is a member in a policy epoch.
type era struct {
	member string
	epoch  uint64
}

func (s *Cosigner) era(e entry) era { return era{e.Member, s.of(e.Size).Epoch} }

// counts reports whether a cosignature was verified under the key that its
// member has in the epoch of its size.
func (s *Cosigner) counts(e entry) bool {
	m := member(s.of(e.Size), e.Member)
	return m != nil && m.Key == e.key
}

// ErrNoSeat says that this member is none in a policy epoch: it joins later, or has
// left.
var ErrNoSeat = errors.New("no member in this policy epoch")

// own returns this member's name and key for ends of a size.
func (s *Cosigner) own(size uint64) (name string, key sign.Key, err error) {
	p := s.of(size)
	m := member(p, s.Self)
	if m == nil || p.Epoch < s.Since {
		return "", sign.Key{}, fmt.Errorf("%w: %s, epoch %d", ErrNoSeat, s.Self, p.Epoch)
	}
	for _, k := range s.Keys() {
		if k.Public() == m.Key {
			return m.Name, k, nil
		}
	}
	return "", sign.Key{}, fmt.Errorf("%w: policy epoch %d, key %s", ErrNoKey, p.Epoch, sign.CosignerKey(m.Name, m.Key))
}
