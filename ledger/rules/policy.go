package rules

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// # Policy epochs
//
// A change of members (kind member) ends a policy epoch. Its batch is the
// epoch's closing one: final under the old policy, like all before it. The next
// batch is the first of the new epoch and must cite the closing checkpoint, with
// k cosignatures under the old policy. So an epoch begins only on a final end of
// the one before, and the log itself holds the proof of it for ever.

// Policy says who cosigns in a policy epoch.
type Policy struct {
	Epoch     uint64           `cbor:"1,keyasint"`
	First     uint64           `cbor:"2,keyasint"` // height of the epoch's first batch
	Origin    string           `cbor:"3,keyasint"`
	LogKey    sign.PublicKey   `cbor:"4,keyasint"`
	K         int              `cbor:"5,keyasint"`
	Members   []Cosigner       `cbor:"6,keyasint"` // ascending by id
	StoryTime bool             `cbor:"7,keyasint,omitempty"`
	Witnesses []record.Witness `cbor:"8,keyasint,omitempty"`
	WitnessK  int              `cbor:"9,keyasint,omitempty"` // how many of the required ones must cosign
}

// Cosigner is a member's cosigner key.
type Cosigner struct {
	ID   string         `cbor:"1,keyasint"`
	Name string         `cbor:"2,keyasint"`
	Key  sign.PublicKey `cbor:"3,keyasint"`
}

// Sign returns the policy in the form of package sign.
func (p *Policy) Sign() *sign.Policy {
	s := &sign.Policy{Origin: p.Origin, Log: p.LogKey, K: p.K, WitnessK: p.WitnessK}
	for _, m := range p.Members {
		s.Members = append(s.Members, sign.PolicyMember{ID: m.ID, Signer: m.Name, Key: m.Key})
	}
	for _, w := range p.Witnesses {
		if w.Required {
			s.Witnesses = append(s.Witnesses, sign.PolicyWitness{Signer: w.Name, Key: w.Key})
		}
	}
	return s
}

// Past is the policy of an epoch that is over, with the end that closed it. Size
// and root of the end are written by the batch that follows it.
type Past struct {
	Policy  Policy `cbor:"1,keyasint"`
	Closing End    `cbor:"2,keyasint"`
}

// Retired marks a member's key that was replaced.
type Retired struct {
	Member string `cbor:"1,keyasint"`
	Height uint64 `cbor:"2,keyasint"` // of the closing batch
}

// PolicyAt returns the policy under which the end of a height is final, nil
// where the view is older than the height or has no genesis.
func PolicyAt(v View, height uint64) (*Policy, error) {
	p, err := Load[Policy](v, KeyPolicy)
	for err == nil && p != nil && p.First > height {
		var past *Past
		if past, err = Load[Past](v, KeyPast(p.Epoch-1)); err == nil && past == nil {
			return nil, fmt.Errorf("the register lacks the policy of epoch %d", p.Epoch-1)
		} else if err == nil {
			p = &past.Policy
		}
	}
	return p, err
}

// Next returns the policy of the epoch that a change begins, when it ends this
// one with the batch of a height.
func (p *Policy) Next(c *record.MemberChange, height uint64) *Policy {
	next := *p
	next.Epoch, next.First, next.Members = p.Epoch+1, height+1, slices.Clone(p.Members)
	i, _ := slices.BinarySearchFunc(next.Members, c.Member, func(m Cosigner, id string) int { return strings.Compare(m.ID, id) })
	switch c.Action {
	case record.ActionAdd:
		next.Members = slices.Insert(next.Members, i, Cosigner{ID: c.Member, Name: c.Info.Cosigner, Key: c.Info.CosignKey})
	case record.ActionRemove:
		next.Members = slices.Delete(next.Members, i, i+1)
	case record.ActionRotate:
		if key := c.Key(record.RoleCosigner); key != nil {
			next.Members[i].Key = *key
		}
	}
	next.K = sign.Quorum(len(next.Members))
	return &next
}

// member carries a change of members out, with the votes of k members of the
// policy that it ends. It counts in that epoch only: no signature on it can be
// used again.
func (b *batch) member(body *record.MemberChange) error {
	now, err := load[Policy](b.tx, KeyPolicy)
	if err != nil {
		return err
	}
	switch {
	case now.Epoch != b.policy.Epoch || body.Epoch != now.Epoch:
		return record.Refuse(record.CodePolicyEpoch, "the votes are for epoch %d; the next change is for epoch %d", body.Epoch, now.Epoch)
	case len(body.Votes) < b.policy.K:
		return record.Refuse(record.CodeVotesMissing, "%d members, %d are needed", len(body.Votes), b.policy.K)
	}
	switch body.Action {
	case record.ActionAdd:
		err = b.join(body.Info)
	case record.ActionRemove:
		err = b.leave(body.Member)
	default:
		err = b.rotate(body)
	}
	if err != nil {
		return err
	}
	b.save(KeyPolicy, b.policy.Next(body, b.height))
	b.save(KeyPast(b.policy.Epoch), &Past{Policy: *b.policy, Closing: End{Height: b.height}})
	return nil
}

// rotate replaces keys of a member. All is checked before anything is written.
func (b *batch) rotate(body *record.MemberChange) error {
	p, m, err := b.seated(body.Member)
	if err != nil {
		return err
	}
	for _, k := range body.Keys {
		if err := b.freeKey(k.Key); err != nil {
			return err
		}
	}
	for _, k := range body.Keys {
		switch k.Role {
		case record.RoleCosigner:
			b.retire(m.Key, p.ID)
		case record.RoleRecord:
			b.retire(p.Key, p.ID)
			p.Key = k.Key
		case record.RoleApprover:
			b.retire(sign.PublicKey(p.Approver), p.ID)
			p.Approver = k.Key[:]
		}
	}
	b.save(KeyParty(p.ID), p)
	return nil
}

func (b *batch) retire(k sign.PublicKey, member string) {
	b.save(KeyRetired(k), &Retired{Member: member, Height: b.height})
}

// freeKey refuses a key that is a member's in any role, a witness's, the log's, or
// one that was replaced: the owner of a retired key could otherwise sign under another
// name, and an old signature would count again.
func (b *batch) freeKey(k sign.PublicKey) error {
	if old, err := b.get(KeyRetired(k)); err != nil {
		return err
	} else if old != nil || k == b.policy.LogKey {
		return record.Refuse(record.CodeKeyTaken, "a key that was replaced, or the log's")
	}
	for _, w := range b.policy.Witnesses {
		if w.Key == k {
			return record.Refuse(record.CodeKeyTaken, "the key of witness %s", w.Name)
		}
	}
	for _, m := range b.policy.Members {
		p, err := need[Party](b.tx, KeyParty(m.ID), record.CodeMemberNotActive)
		if err != nil {
			return err
		}
		if m.Key == k || p.Key == k || bytes.Equal(p.Approver, k[:]) || bytes.Equal(p.Peer, k[:]) {
			return record.Refuse(record.CodeKeyTaken, "a key of %s", m.ID)
		}
	}
	return nil
}

// policyOf returns the policy under which a cited end is final: that of the
// running epoch or, for the end that closed the one before, the policy before.
func (b *batch) policyOf(c *record.Cited) (*Policy, error) {
	if c.Height >= b.policy.First {
		return b.policy, nil
	}
	if c.Height+1 != b.policy.First {
		return nil, record.Refuse(record.CodeBatchCited, "height %d lies in a policy epoch that is over", c.Height)
	}
	past, err := need[Past](b.tx, KeyPast(b.policy.Epoch-1), record.CodeBatchCited)
	if err != nil {
		return nil, err
	}
	return &past.Policy, nil
}

// closeEpoch completes the end of the epoch before, in the first batch after it.
func (b *batch) closeEpoch() error {
	if b.policy.Epoch == 0 || b.policy.First != b.height {
		return nil
	}
	past, err := load[Past](b.tx, KeyPast(b.policy.Epoch-1))
	if err != nil {
		return err
	}
	past.Closing = End{Height: b.head.Height, Size: b.prev.Size, Root: record.Digest(b.prev.Root)}
	b.save(KeyPast(b.policy.Epoch-1), past)
	return nil
}
