package node

import (
	"crypto/rand"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// MemberOf fills in the public keys of a member's entry in the founding.
func (k *Keys) MemberOf(m record.MemberInfo, origin string) record.MemberInfo {
	m.Key, m.CosignKey = k.Record.Public(), k.Cosigner.Public()
	m.Peer, m.Approver = k.Peer.Public(), k.Approver.Public()
	m.Cosigner = m.ID + "." + origin
	return m
}

// SignFounding returns a founder's signature.
func (k *Keys) SignFounding(f *record.Founding) sign.Signature {
	return k.Record.Sign(sign.DomainGenesis, f.Origin, canon.Must(f))
}

// GenesisLeaf returns leaf 0 of the log that the founders signed. Signatures are
// in the order of the members.
func GenesisLeaf(f *record.Founding, sigs []sign.Signature) ([]byte, error) {
	if len(f.Members) == 0 {
		return nil, fmt.Errorf("a consortium needs members")
	}
	r := &record.Record{Kind: record.KindGenesis, ID: NewID(), Issuer: f.Members[0].ID,
		Body: &record.Genesis{Founding: *f, Signatures: sigs}}
	return r.Leaf()
}

// NewID draws a record id.
func NewID() record.ID {
	var id record.ID
	if _, err := rand.Read(id[:]); err != nil {
		panic("node: no randomness: " + err.Error())
	}
	return id
}
