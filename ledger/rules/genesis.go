package rules

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Parameters that the founders may set and members may change by vote, with the
// values that hold where they did not.
var Parameters = map[string]string{
	"receive-hours":   "24",          // hours until an intent is overdue
	"sensor-approver": "public-body", // category of parties that approve sensors
	"phase":           "",            // a consortium's own word
}

// Found derives batch 0 from the genesis leaf: without Raft, and the same for
// everyone. It checks every founder's signature.
func Found(leaf []byte) (*Result, error) {
	rec, err := record.Parse(leaf)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	g, ok := rec.Body.(*record.Genesis)
	if !ok {
		return nil, fmt.Errorf("genesis: leaf 0 is of kind %v", rec.Kind)
	}
	f := &g.Founding
	signed := canon.Must(f)
	for i := range f.Members {
		if err := sign.Verify(f.Members[i].Key, sign.DomainGenesis, f.Origin, signed, g.Signatures[i]); err != nil {
			return nil, fmt.Errorf("genesis: member %s: %w", f.Members[i].ID, err)
		}
	}
	t := newTx(nothing{})
	found(t, f, merkle.LeafHash(leaf))
	return &Result{
		Leaves: [][]byte{leaf}, Writes: t.sorted(), TimeMs: f.CreatedMs,
		Seal: record.Seal{Version: record.Version, Kind: record.KindSeal, Rules: Version, RegisterV: RegisterVersion},
	}, nil
}

// nothing is the register before genesis.
type nothing struct{}

func (nothing) Get([]byte) ([]byte, error) { return nil, nil }

func found(t *tx, f *record.Founding, leaf merkle.Hash) {
	policy := &Policy{Origin: f.Origin, LogKey: f.LogKey, K: sign.Quorum(len(f.Members)), StoryTime: f.StoryTime,
		Witnesses: f.Witnesses, WitnessK: f.WitnessK}
	dir := &Directory{}
	for i := range f.Members {
		m := &f.Members[i]
		dir.Parties = append(dir.Parties, m.ID)
		policy.Members = append(policy.Members, Cosigner{ID: m.ID, Name: m.Cosigner, Key: m.CosignKey})
		t.save(KeyParty(m.ID), &Party{ID: m.ID, Member: true, Host: m.ID, Key: m.Key, Categories: m.Categories,
			Name: m.Name, Regime: m.Regime, Country: m.Country, Approver: m.Approver[:]})
	}
	t.save(KeyPolicy, policy)
	t.save(KeyDirectory, dir)
	t.save(KeyHead, &Head{Header: record.Digest(leaf), TimeMs: f.CreatedMs, Rules: Version, RegisterV: RegisterVersion})
	for i := range f.Attributes {
		t.save(KeyAttribute(f.Attributes[i].Code), &f.Attributes[i])
	}
	for i := range f.Purposes {
		t.save(KeyPurpose(f.Purposes[i].Code), &f.Purposes[i])
	}
	if len(f.Levels) > 0 {
		t.save("levels", f.Levels)
	}
	for name, v := range Parameters {
		t.save(KeyParameter(name), &Value{v})
	}
	for _, p := range f.Parameters {
		t.save(KeyParameter(p.Name), &Value{p.Value})
	}
}
