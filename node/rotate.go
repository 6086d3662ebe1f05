package node

import (
	"errors"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// A member's keys are replaced in this order: Prepare makes the next key
// durable; the members vote on a record that names it; from the batch after that
// record on the register has it, and this node finds it in its key file. No step
// on this machine belongs to the change itself, so a crash at any point leaves
// nothing to repair. Old keys stay in the file: the closing end of an epoch is
// signed with the old one even if that happens after a restart.

func (n *Node) cosignerKeys() []sign.Key {
	n.keysMu.RLock()
	defer n.keysMu.RUnlock()
	return n.keys.Of(record.RoleCosigner)
}

// recordKey returns the key that the register has for this member now.
func (n *Node) recordKey() (sign.Key, bool) { return n.key(n.Settings.Member) }

// key returns the signing key of an issuer of ours: the one that the register
// has for it, and for a party that is not admitted yet the one that is ready. Who has
// left has none.
func (n *Node) key(issuer string) (sign.Key, bool) {
	p, err := n.issuers.of(n.ledger.State(), issuer)
	if err != nil {
		n.Log.Error("a party could not be read", "party", issuer, "err", err)
		return sign.Key{}, false
	}
	if p.left {
		return sign.Key{}, false
	}
	n.keysMu.RLock()
	defer n.keysMu.RUnlock()
	if issuer == n.Settings.Member && p.known {
		return find(n.keys.Of(record.RoleRecord), p.key)
	}
	k, ok := n.keys.Parties[issuer]
	return k, ok
}

func find(keys []sign.Key, pub sign.PublicKey) (sign.Key, bool) {
	i := slices.IndexFunc(keys, func(k sign.Key) bool { return k.Public() == pub })
	if i < 0 {
		return sign.Key{}, false
	}
	return keys[i], true
}

// errNoKey says that the register names a key for this member that it has not.
var errNoKey = errors.New("this member's key is not here")

// signHold signs in the domain "hold" with this member's key.
func (n *Node) signHold(b []byte) (sign.Signature, error) {
	k, ok := n.key(n.Settings.Member)
	if !ok {
		return sign.Signature{}, errNoKey
	}
	return k.Sign(sign.DomainHold, n.Founding.Origin, b), nil
}

// approve signs with the second approver's key that the register has. Without
// that key the signature is one that the desk refuses.
func (n *Node) approve(b []byte) sign.Signature {
	key := n.keys.Approver
	p, err := rules.Load[rules.Party](n.ledger.State(), rules.KeyParty(n.Settings.Member))
	if err == nil && p != nil && len(p.Approver) == sign.PublicKeySize {
		n.keysMu.RLock()
		defer n.keysMu.RUnlock()
		if k, ok := find(n.keys.Of(record.RoleApprover), sign.PublicKey(p.Approver)); ok {
			key = k
		}
	}
	return key.Sign(sign.DomainApproval, n.Origin(), b)
}

// Sign signs with the member's record key, such as a ballot (domain
// "governance").
func (n *Node) Sign(d sign.Domain, payload []byte) (sign.Signature, error) {
	k, ok := n.recordKey()
	if !ok {
		return sign.Signature{}, errNoRecordKey
	}
	return k.Sign(d, n.Origin(), payload), nil
}

var errNoRecordKey = errors.New("the key file lacks the signing key that the register has for this member")

// Prepare returns this member's next key in a role (record.RoleCosigner and so
// on), durable before its public half is known to anyone. One that was prepared
// before and never came into force is taken again.
func (n *Node) Prepare(role string) (sign.PublicKey, error) {
	if role != record.RoleApprover && role != record.RoleCosigner && role != record.RoleRecord {
		return sign.PublicKey{}, record.Refuse(record.CodeRecordMalformed, "role %q", role)
	}
	n.keysMu.Lock()
	defer n.keysMu.Unlock()
	for _, k := range n.keys.Spare[role] {
		if used, err := n.used(role, k.Public()); err != nil || !used {
			return k.Public(), err
		}
	}
	k := sign.NewKey()
	spare := n.keys.Spare[role]
	n.keys.Spare[role] = append(slices.Clone(spare), k)
	if err := n.keys.Save(n.Dir); err != nil {
		n.keys.Spare[role] = spare
		return sign.PublicKey{}, err
	}
	return k.Public(), nil
}

// used reports whether a key of this member is in force, or was.
func (n *Node) used(role string, k sign.PublicKey) (bool, error) {
	st := n.ledger.State()
	retired, err := rules.Load[rules.Retired](st, rules.KeyRetired(k))
	if err != nil || retired != nil {
		return retired != nil, err
	}
	if role == record.RoleCosigner {
		policy, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
		return err == nil && slices.ContainsFunc(policy.Members, func(m rules.Cosigner) bool { return m.Key == k }), err
	}
	p, err := rules.Load[rules.Party](st, rules.KeyParty(n.Settings.Member))
	return err == nil && (p.Key == k || string(p.Approver) == string(k[:])), err
}

// Prove signs a ballot with a key that this member prepared. It reports false
// where it has no such key.
func (n *Node) Prove(role string, k sign.PublicKey, ballot []byte) (sign.Signature, bool) {
	n.keysMu.RLock()
	defer n.keysMu.RUnlock()
	for _, own := range n.keys.Of(role) {
		if own.Public() == k {
			return own.Sign(sign.DomainGovernance, n.Origin(), ballot), true
		}
	}
	return sign.Signature{}, false
}
