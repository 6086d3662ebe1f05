package rest

import (
	"encoding/hex"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestRotateKeys: the form goes round, and what was changed on the way is
// refused before anything is signed or posted.
func TestRotateKeys(t *testing.T) {
	m := newMember(t)
	const path = "/v1/members/a-sha/keys"
	d := must[KeysDone](m, token.Admin, "POST", path, KeysForm{Roles: []string{record.RoleCosigner}})
	if len(d.Keys) != 1 || len(d.Votes) != 1 || d.Votes[0].Member != "a-sha" || d.Epoch != 0 || len(d.Records) != 0 {
		t.Fatalf("%+v", d)
	}
	if again := must[KeysDone](m, token.Admin, "POST", path, d); again.ID != d.ID || len(again.Votes) != 1 {
		t.Fatalf("the answer is not the next form: %+v", again)
	}
	form := KeysForm{ID: d.ID, Epoch: &d.Epoch, Keys: d.Keys, Submit: true}
	if a := m.ask(token.Admin, "POST", path, form); a.code() != "votes-missing" {
		t.Errorf("alone: %d %s", a.StatusCode, a.body)
	}
	for what, wrong := range map[string]KeysForm{
		"another's keys to prepare": {Roles: []string{record.RoleCosigner}},
		"no keys":                   {},
		"a key without a proof":     {Keys: []KeyOf{{Role: record.RoleCosigner, Key: d.Keys[0].Key}}},
		"another's proof":           {Keys: d.Keys},
	} {
		if a := m.ask(token.Admin, "POST", "/v1/members/b-sha/keys", wrong); a.StatusCode/100 != 4 {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if a := m.ask(token.Admin, "POST", path, KeysForm{Roles: []string{"peer"}}); a.StatusCode/100 != 4 {
		t.Errorf("the network key: %d %s", a.StatusCode, a.body)
	}
	raw, err := hex.DecodeString(d.ID)
	if err != nil {
		t.Fatal(err)
	}
	body := &record.MemberChange{Action: record.ActionRotate, Member: "a-sha", Keys: []record.NewKey{{Role: record.RoleCosigner, Key: sign.PublicKey(d.Keys[0].Key)}}}
	form.ID = "1b" + d.ID[2:] // the id before was used up by the refusal
	raw[0] = 0x1b
	for _, id := range []string{"c-sha", "b-sha"} {
		sig := m.c.Keys[id].Sign(sign.DomainGovernance, m.c.Origin, body.Ballot(record.ID(raw)))
		form.Votes = append(form.Votes, VoteOf{id, sig[:]})
	}
	if d = must[KeysDone](m, token.Admin, "POST", path, form); !d.Final || len(d.Votes) != 3 || d.Records[0].ID != form.ID {
		t.Fatalf("%+v", d)
	}
	if head, err := rules.Load[rules.Head](m.ledger.State(), rules.KeyHead); err != nil || head.Height <= d.Records[0].Height {
		t.Errorf("the epoch has not begun: %+v, %v", head, err)
	}
	p, err := rules.Load[rules.Policy](m.ledger.State(), rules.KeyPolicy)
	if err != nil || p.Epoch != 1 || p.Members[0].Key != sign.PublicKey(d.Keys[0].Key) {
		t.Errorf("%+v, %v", p, err)
	}
}
