package rules

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// # Joining and leaving
//
// Both end a policy epoch (policy.go). A member joins with the batch that closes
// the epoch: it cosigns, votes, leads and submits from the next batch on, and no
// earlier consent covers it as a recipient. One that leaves does none of these
// from the next batch on. What it left behind stays: its handles, its services
// and the hand-overs to it that are open. Parties that it hosts have no node any
// more; they are not here until another member admits them.

// seated returns a member of the running policy.
func (b *batch) seated(id string) (*Party, *Cosigner, error) {
	p, err := need[Party](b.tx, KeyParty(id), record.CodeMemberNotActive)
	if err != nil {
		return nil, nil, err
	}
	m := b.policy.member(id)
	if m == nil || !p.Member || !p.Active() {
		return nil, nil, record.Refuse(record.CodeMemberNotActive, "%s", id)
	}
	return p, m, nil
}

// join admits a member. One that left may come back under its id, with new keys:
// that is also the way back for a member whose node was lost. All is checked
// before anything is written.
func (b *batch) join(m *record.MemberInfo) error {
	old, err := load[Party](b.tx, KeyParty(m.ID))
	switch {
	case err != nil:
		return err
	case old != nil && (!old.Member || old.Active()):
		return record.Refuse(record.CodePartyExists, "%s", m.ID)
	case len(b.policy.Members) >= record.MaxMembers:
		return record.Refuse(record.CodeRecordOversize, "the consortium has %d members", len(b.policy.Members))
	}
	if s, err := b.get(KeyService(m.ID)); err != nil {
		return err
	} else if s != nil {
		return record.Refuse(record.CodeDuplicate, "%s names a service", m.ID)
	}
	if err := b.freeName(m.Cosigner); err != nil {
		return err
	}
	for _, k := range []sign.PublicKey{m.Key, m.CosignKey, m.Approver, m.Peer} {
		if err := b.freeKey(k); err != nil {
			return err
		}
	}
	if err := b.list(m.ID, func(d *Directory) *[]string { return &d.Parties }); err != nil {
		return err
	}
	b.save(KeyParty(m.ID), &Party{ID: m.ID, Member: true, Host: m.ID, Key: m.Key, Joined: b.height, Categories: m.Categories,
		Name: m.Name, Regime: m.Regime, Country: m.Country, Approver: m.Approver[:], Peer: m.Peer[:], Addr: m.Addr})
	return nil
}

// freeName refuses a cosigner's name that stands in the policy: a note would have
// two lines under it.
func (b *batch) freeName(name string) error {
	taken := name == b.policy.Origin ||
		slices.ContainsFunc(b.policy.Members, func(m Cosigner) bool { return m.Name == name }) ||
		slices.ContainsFunc(b.policy.Witnesses, func(w record.Witness) bool { return w.Name == name })
	if taken {
		return record.Refuse(record.CodeDuplicate, "the cosigner's name %s", name)
	}
	return nil
}

// leave ends a membership. None of the member's keys comes back.
func (b *batch) leave(id string) error {
	p, m, err := b.seated(id)
	if err != nil {
		return err
	}
	if len(b.policy.Members) == 1 {
		return record.Refuse(record.CodeMemberLast, "%s", id)
	}
	b.retire(m.Key, id)
	b.retire(p.Key, id)
	b.retire(sign.PublicKey(p.Approver), id)
	if len(p.Peer) == sign.PublicKeySize {
		b.retire(sign.PublicKey(p.Peer), id)
	}
	p.Left = b.height
	b.save(KeyParty(id), p)
	return nil
}

// Here reports whether a party takes part now: it has not left, nor has the
// member whose node acts for it.
func Here(v View, p *Party) (bool, error) { return here(newTx(v), p) }

func here(t *tx, p *Party) (bool, error) {
	if !p.Active() || p.Host == p.ID {
		return p.Active(), nil
	}
	host, err := peek[Party](t, KeyParty(p.Host), record.CodePartyUnknown)
	if err != nil {
		return false, err
	}
	return host.Active(), nil
}
