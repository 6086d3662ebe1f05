package ledgertest

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Rotate returns the record by which members replace keys of one of them, in
// the running policy epoch; roles ascending.
func (c *Consortium) Rotate(member string, roles []string, voters ...string) *record.Record {
	r, b := c.change(record.ActionRotate, member, voters)
	for _, role := range roles {
		b.Keys = append(b.Keys, record.NewKey{Role: role, Key: c.fresh().Public()})
	}
	c.SignBallot(r)
	return r
}

// Join returns the record by which members admit another, with keys of its own
// and the category consortium.
func (c *Consortium) Join(id string, voters ...string) *record.Record {
	r, b := c.change(record.ActionAdd, id, voters)
	m := Member{ID: id, Approver: c.fresh(), Cosign: c.fresh(), Peer: c.fresh(), Key: c.fresh()}
	c.Members = append(slices.DeleteFunc(slices.Clone(c.Members), func(o Member) bool { return o.ID == id }), m)
	info := c.info(m)
	b.Info = &info
	b.Keys = []record.NewKey{{Role: record.RoleApprover, Key: info.Approver}, {Role: record.RoleCosigner, Key: info.CosignKey},
		{Role: record.RoleNetwork, Key: info.Peer}, {Role: record.RoleRecord, Key: info.Key}}
	c.SignBallot(r)
	return r
}

// Remove returns the record by which members end the membership of one of them.
func (c *Consortium) Remove(id string, voters ...string) *record.Record {
	r, _ := c.change(record.ActionRemove, id, voters)
	c.SignBallot(r)
	return r
}

// change makes the record of a change that ends the running policy epoch.
func (c *Consortium) change(action, member string, voters []string) (*record.Record, *record.MemberChange) {
	b := &record.MemberChange{Action: action, Epoch: Value[rules.Policy](c, rules.KeyPolicy).Epoch, Member: member}
	for _, id := range voters {
		b.Votes = append(b.Votes, record.MemberVote{Member: id})
	}
	return c.plain(record.KindMember, b), b
}

// fresh draws a key and keeps its private half.
func (c *Consortium) fresh() sign.Key {
	seed := c.draw()
	k, err := sign.KeyFromSeed(seed[:])
	if err != nil {
		panic(err) // the seed has the right size
	}
	c.next[k.Public()] = k
	return k
}

// SignBallot signs a change of members again: proofs with the keys that it names,
// and the votes of those whom it names.
func (c *Consortium) SignBallot(r *record.Record) {
	b := r.Body.(*record.MemberChange)
	ballot := b.Ballot(r.ID)
	for i, k := range b.Keys {
		if own, ok := c.next[k.Key]; ok {
			b.Keys[i].Proof = own.Sign(sign.DomainGovernance, c.Origin, ballot)
		}
	}
	for i, v := range b.Votes {
		b.Votes[i].Sig = c.Keys[v.Member].Sign(sign.DomainGovernance, c.Origin, ballot)
	}
}
