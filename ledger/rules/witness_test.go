package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestFoundingsWitnesses: the witnesses of the founding stand in the register, the
// required ones in the policy, and stay there in the next epoch; no member takes
// the key of one.
func TestFoundingsWitnesses(t *testing.T) {
	cosigner := []string{record.RoleCosigner}
	next := func(c *ledgertest.Consortium) *record.Record { return c.Rotate("b-sha", cosigner, three...) }
	drawn := rotated(t, next(ledgertest.New(t, ledgertest.Options{}))).Keys[0].Key // by every consortium of this seed
	key := ledgertest.New(t, ledgertest.Options{}).Key("witness").Public()
	for _, own := range []bool{false, true} {
		c := ledgertest.New(t, ledgertest.Options{Change: func(f *record.Founding) {
			f.Witnesses = []record.Witness{{Name: "w1.example", Key: key, URL: "https://w1.example", Required: true},
				{Name: "w2.example", Key: f.Members[0].Peer, URL: "https://w2.example"}}
			if f.WitnessK = 1; own {
				f.Witnesses[1].Key = drawn
			}
		}})
		if p := c.Policy(); len(p.Witnesses) != 1 || p.WitnessK != 1 || p.Witnesses[0].Signer != "w1.example" || p.Witnesses[0].Key != key {
			t.Errorf("policy: %+v", p)
		}
		got := c.Post("a-sha", next(c))[0]
		if own {
			if got != record.CodeKeyTaken {
				t.Errorf("a member takes the key of a witness: %q", got)
			}
			continue
		}
		p := ledgertest.Value[rules.Policy](c, rules.KeyPolicy)
		if got != "" || p.Epoch != 1 || len(p.Witnesses) != 2 || p.WitnessK != 1 {
			t.Errorf("after a change of members: %q, %+v", got, p)
		}
	}
}
