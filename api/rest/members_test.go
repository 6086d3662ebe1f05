package rest

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
)

// joinForm is the request of a candidate with keys of its own.
func (m *member) joinForm(id string, epoch uint64) (JoinForm, *record.MemberChange, record.ID) {
	k := node.NewKeys(sign.NewKey())
	info := k.MemberOf(record.MemberInfo{ID: id, Name: record.Text{Ja: id, En: id}, Regime: "ch4", Country: "JP", Addr: id + ".example:7000"}, m.c.Origin)
	rid, b := k.Request(info, m.c.Origin, epoch)
	return JoinFormOf(rid, b), b, rid
}

// vote adds other members' votes to a form.
func (m *member) votesOf(ballot []byte, ids ...string) (votes []VoteOf) {
	for _, id := range ids {
		sig := m.c.Keys[id].Sign(sign.DomainGovernance, m.c.Origin, ballot)
		votes = append(votes, VoteOf{id, sig[:]})
	}
	return votes
}

// TestAdmitAndRemoveMember: a candidate's request goes round as it is, what it could
// not become is refused before anyone signs, and the answer says what it costs.
func TestAdmitAndRemoveMember(t *testing.T) {
	m := newMember(t)
	f, b, id := m.joinForm("d-sha", 0)
	d := must[JoinDone](m, token.Admin, "POST", "/v1/members", f)
	if d.ID != f.ID || len(d.Votes) != 1 || d.Votes[0].Member != "a-sha" || len(d.Records) != 0 || d.Final {
		t.Fatalf("%+v", d)
	}
	if tol := d.Tolerance; tol.Before != (Bears{4, 3, 1, 1}) || tol.After != (Bears{5, 4, 1, 1}) || !strings.Contains(tol.Says.En, "4 of 5") {
		t.Errorf("%+v", tol)
	}
	if again := must[JoinDone](m, token.Admin, "POST", "/v1/members", d); again.ID != d.ID || len(again.Votes) != 1 {
		t.Fatalf("the answer is not the next form: %+v", again)
	}
	refused := func(what, code string, change func(*JoinForm)) {
		t.Helper()
		bad := f
		bad.Keys = append([]ProofOf(nil), f.Keys...)
		change(&bad)
		if a := m.ask(token.Admin, "POST", "/v1/members", bad); a.code() != code {
			t.Errorf("%s: %d %s, want %s", what, a.StatusCode, a.body, code)
		}
	}
	refused("a changed address", "signature.invalid", func(f *JoinForm) { f.Candidate.Address = "evil.example:1" })
	refused("no address", "record.malformed", func(f *JoinForm) { f.Candidate.Address = "" })
	refused("another epoch", "policy.epoch", func(f *JoinForm) { f.Epoch = 7 })
	refused("a proof of another", "signature.invalid", func(f *JoinForm) { f.Keys[0].Proof = f.Keys[1].Proof })
	refused("three keys", "request.malformed", func(f *JoinForm) { f.Keys = f.Keys[:3] })
	refused("one role twice", "signature.invalid", func(f *JoinForm) { f.Keys[0] = f.Keys[1] })
	refused("an id of nothing", "request.malformed", func(f *JoinForm) { f.ID = "x" })
	refused("alone", "votes-missing", func(f *JoinForm) { f.Submit = true })
	for _, taken := range []string{"b-sha", "pf"} {
		g, _, _ := m.joinForm(taken, 0)
		if a := m.ask(token.Admin, "POST", "/v1/members", g); a.code() != "party.exists" {
			t.Errorf("%s: %d %s", taken, a.StatusCode, a.body)
		}
	}
	f, b, id = m.joinForm("d-sha", 0) // the id before was used up by the refusal
	f.Submit, f.Votes = true, m.votesOf(b.Ballot(id), "b-sha", "c-sha")
	if d = must[JoinDone](m, token.Admin, "POST", "/v1/members", f); !d.Final || len(d.Votes) != 3 || d.Records[0].ID != f.ID {
		t.Fatalf("%+v", d)
	}
	p, err := rules.Load[rules.Policy](m.ledger.State(), rules.KeyPolicy)
	if err != nil || p.Epoch != 1 || p.K != 4 || len(p.Members) != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
}

// TestRemoveMember: the same for who leaves.
func TestRemoveMember(t *testing.T) {
	m := newMember(t)
	const path = "/v1/members/b-sha/removal"
	d := must[RemovalDone](m, token.Admin, "POST", path, RemovalForm{})
	if tol := d.Tolerance; len(d.Votes) != 1 || tol.After != (Bears{3, 2, 1, 0}) {
		t.Fatalf("%+v", d)
	}
	if again := must[RemovalDone](m, token.Admin, "POST", path, d); again.ID != d.ID || len(again.Votes) != 1 {
		t.Fatalf("the answer is not the next form: %+v", again)
	}
	for p, code := range map[string]string{"/v1/members/nobody/removal": "member-not-active", "/v1/members/%20/removal": "member-not-active"} {
		if a := m.ask(token.Admin, "POST", p, RemovalForm{}); a.code() != code {
			t.Errorf("%s: %d %s", p, a.StatusCode, a.body)
		}
	}
	if a := m.ask(token.App, "POST", path, RemovalForm{}); a.StatusCode != 403 {
		t.Errorf("an app: %d", a.StatusCode)
	}
	raw, err := hex.DecodeString(d.ID)
	if err != nil {
		t.Fatal(err)
	}
	b := &record.MemberChange{Action: record.ActionRemove, Member: "b-sha"}
	form := RemovalForm{ID: d.ID, Epoch: &d.Epoch, Votes: m.votesOf(b.Ballot(record.ID(raw)), "c-sha", "pf"), Submit: true}
	if d = must[RemovalDone](m, token.Admin, "POST", path, form); !d.Final || len(d.Votes) != 3 {
		t.Fatalf("%+v", d)
	}
	p, err := rules.Load[rules.Policy](m.ledger.State(), rules.KeyPolicy)
	if err != nil || p.K != 2 || len(p.Members) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
}

// TestMembers: everyone sees who they are, and how far their nodes have come.
func TestMembers(t *testing.T) {
	m := newMember(t)
	l := must[MemberList](m, "", "GET", "/v1/members", nil)
	if l.K != 3 || len(l.Members) != 4 || l.Members[0].Raft != "voter" || l.Members[1].Raft != "follower" || l.Members[1].Address != "b.example:7000" || l.Members[2].Raft != "none" {
		t.Errorf("%+v", l)
	}
}
