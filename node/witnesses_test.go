package node

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/witness"
)

// TestWitnessesOf joins the founding's witnesses and a node's own, and refuses a
// name or a key that is another's: a note with two lines of one key is refused by
// its readers.
func TestWitnessesOf(t *testing.T) {
	key := func(b byte) sign.PublicKey {
		seed := make([]byte, 32)
		seed[0] = b
		k, err := sign.KeyFromSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		return k.Public()
	}
	p := &rules.Policy{Origin: "log.example", LogKey: key(1), K: 1, Members: []rules.Cosigner{{ID: "a", Name: "a.log.example", Key: key(2)}},
		Witnesses: []record.Witness{{Name: "w1.example", Key: key(3), URL: "https://w1.example", Required: true}}}
	of := func(name string, b byte) WitnessSetting {
		return WitnessSetting{Vkey: sign.CosignerKey(name, key(b)), URL: "https://elsewhere.example"}
	}
	got, err := witnessesOf(p, []WitnessSetting{of("w1.example", 3), of("w2.example", 4)})
	if err != nil || len(got) != 2 || got[0].URL != "https://elsewhere.example" || !got[0].Required || got[1].Name != "w2.example" || got[1].Required {
		t.Errorf("%+v, %v", got, err)
	}
	if p.Witnesses[0].URL != "https://w1.example" {
		t.Error("the policy was changed")
	}
	for name, bad := range map[string][]WitnessSetting{
		"the log's name":          {of("log.example", 5)},
		"the log's key":           {of("w2.example", 1)},
		"a member's name":         {of("a.log.example", 5)},
		"a member's key":          {of("w2.example", 2)},
		"a member":                {of("a.log.example", 2)},
		"another key of one name": {of("w1.example", 5)},
		"another name of one key": {of("w2.example", 3)},
		"one key twice":           {of("w2.example", 5), of("w3.example", 5)},
		"one name twice":          {of("w2.example", 5), of("w2.example", 6)},
		"no key":                  {{Vkey: "w2.example+1+x", URL: "https://w2.example"}},
	} {
		if got, err := witnessesOf(p, bad); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, bad := range []WitnessSetting{{}, {Vkey: "x", URL: "https://w.example"}, {Vkey: of("w", 5).Vkey, URL: "w.example"}, {Vkey: of("w", 5).Vkey, URL: "https://u:p@w.example"}} {
		if bad.check() == nil {
			t.Errorf("%+v is a setting", bad)
		}
	}
}

// TestCandidateIsNoWitness: a node does not vote for who would stand in a note under
// the name or the key of a witness that only this node knows.
func TestCandidateIsNoWitness(t *testing.T) {
	theirs := sign.NewKey().Public()
	w := &witness.Client{Config: witness.Config{Witness: record.Witness{Name: "w.example", Key: theirs}}}
	n := &Node{Founding: &record.Founding{}, witnesses: []*witness.Client{w}}
	for name, m := range map[string]record.MemberInfo{
		"":         {Cosigner: "e.example", CosignKey: sign.NewKey().Public()},
		"its name": {Cosigner: "w.example", CosignKey: sign.NewKey().Public()},
		"its key":  {Cosigner: "e.example", CosignKey: theirs},
	} {
		m.Addr = "e.example:7000"
		var refusal *record.Refusal
		if err := n.CheckCandidate(&m); (err == nil) != (name == "") || err != nil && (!errors.As(err, &refusal) || refusal.Code != record.CodeKeyTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
