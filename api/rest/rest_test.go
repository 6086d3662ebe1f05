package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
	"golang.org/x/mod/sumdb/tlog"
)

func screen(service, version string) map[string]any {
	return map[string]any{"service": service, "version": version, "effective": "2027-04-01T09:00:00+09:00",
		"text": map[string]string{"ja": "同意の画面", "en": "screen"}, "withdrawal": map[string]string{"ja": "いつでも止められます"},
		"scopes": []any{map[string]any{"purpose": "service", "required": []string{"user-id"}, "optional": []string{"name", "birth-year"}, "recipients": []string{"b-sha"}}}}
}

// TestOffer: a party, a service and its terms come in by the API and are read
// back as they were sent.
func TestOffer(t *testing.T) {
	m := newMember(t)
	text := map[string]string{"ja": "店", "en": "shop"}
	d := must[custody.Done](m, token.Admin, "POST", "/v1/parties", map[string]any{"id": "shop", "name": text, "regime": "ch4", "country": "JP", "categories": []string{"z", "retail"}})
	if !d.Final || len(d.Records) != 1 || d.Records[0].Kind != "party" || d.Records[0].Code != "" {
		t.Fatalf("%+v", d)
	}
	d = must[custody.Done](m, token.Admin, "POST", "/v1/services", map[string]any{"id": "points", "name": text, "contact": text, "fields": []string{"user-id", "name"}}, "Akashi-As", "shop")
	if d.Records[0].Kind != "service" {
		t.Fatalf("%+v", d)
	}
	terms := must[TermsDone](m, token.Admin, "POST", "/v1/terms", screen("points", "1"), "Akashi-As", "shop")
	v := must[TermsView](m, "", "GET", "/v1/terms/"+terms.Hash, nil)
	if v.Hash != terms.Hash || v.Number != 1 || v.Index != terms.Records[0].Index || v.Screen.Scopes[0].Optional[0] != "birth-year" || v.Screen.Effective.Format("2006-01-02T15:04:05Z07:00") != "2027-04-01T09:00:00+09:00" {
		t.Errorf("%+v", v)
	}
	if h := (&record.Terms{Screen: v.Bytes}).Hash(); hex.EncodeToString(h[:]) != terms.Hash {
		t.Error("the bytes do not have the hash")
	}
	s := must[ServiceView](m, "", "GET", "/v1/services/points", nil)
	if s.Owner != "shop" || len(s.Terms) != 1 || s.Terms[0].Hash != terms.Hash {
		t.Errorf("%+v", s)
	}
	list := must[PartyList](m, "", "GET", "/v1/parties?limit=3", nil)
	if len(list.Parties) != 3 || list.Next != "c-sha" {
		t.Errorf("%+v", list)
	}
	list = must[PartyList](m, "", "GET", "/v1/parties?after=c-sha", nil)
	if len(list.Parties) != 2 || list.Parties[1].ID != "shop" || list.Parties[1].Host != "a-sha" || list.Parties[1].Member || !list.Parties[1].Active || list.Parties[1].Categories[0] != "retail" {
		t.Errorf("%+v", list)
	}
	if l := must[ServiceList](m, "", "GET", "/v1/services", nil); len(l.Services) != 1 || l.Services[0].ID != "points" {
		t.Errorf("%+v", l)
	}
	if a := must[Vocabulary](m, "", "GET", "/v1/attributes", nil); len(a.Attributes) != 6 || len(a.Purposes) != 2 || len(a.Levels) != 3 || len(a.Parameters) < 3 {
		t.Errorf("%+v", a)
	}
	must[custody.Done](m, token.Admin, "DELETE", "/v1/parties/shop", nil)
	if p := must[PartyList](m, "", "GET", "/v1/parties?after=pf", nil).Parties[0]; p.Active || p.Left == 0 {
		t.Errorf("%+v", p)
	}
	for path, code := range map[string]string{"/v1/parties/b-sha": codeRole, "/v1/parties/a-sha": codeRole, "/v1/parties/nobody": "party.unknown"} {
		if a := m.ask(token.Admin, "DELETE", path, nil); a.code() != code {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	// what is public by its nature is explained
	bad := screen("points", "2")
	bad["scopes"] = []any{map[string]any{"purpose": "Not An Id"}}
	a := m.ask(token.Admin, "POST", "/v1/terms", bad)
	if a.code() != "record.malformed" || !strings.Contains(string(a.body), "Not An Id") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestStatusAndClock(t *testing.T) {
	m := newMember(t)
	s := must[Status](m, "", "GET", "/v1/status", nil)
	if s.Member != "a-sha" || s.Final == nil || s.Final.Size != m.final.State.Size || !s.StoryTime || !s.Ready || s.Leader != "a-sha" {
		t.Errorf("%+v", s)
	}
	v := must[ClockView](m, token.Admin, "POST", "/v1/clock", map[string]any{"now": "2027-05-01T00:00:00.5+09:00", "wait": true})
	if v.NowMs != 1809097200500 || !v.Fresh || m.refresh != 1 {
		t.Errorf("%+v", v)
	}
	if a := m.ask(token.Admin, "POST", "/v1/clock", `{"now":"2027-04-30T00:00:00+09:00"}`); a.code() != codeClockBack {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	m.clock.story = false
	if a := m.ask(token.Admin, "POST", "/v1/clock", `{"now":"2028-04-30T00:00:00+09:00"}`); a.code() != codeRealClock {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestVote(t *testing.T) {
	m := newMember(t)
	ask := VoteForm{Topic: "receive", Sets: map[string]string{"receive-hours": "48", "phase": "2"}}
	v := must[VoteDone](m, token.Admin, "POST", "/v1/votes", ask)
	if len(v.Votes) != 1 || v.Votes[0].Member != "a-sha" || len(v.Records) != 0 {
		t.Fatalf("%+v", v)
	}
	id, _ := hex.DecodeString(v.ID)
	ballot := canon.Must(&record.Ballot{ID: record.ID(id), Topic: "receive", Sets: []record.Parameter{{Name: "phase", Value: "2"}, {Name: "receive-hours", Value: "48"}}})
	ask.ID, ask.Submit = v.ID, true
	if a := m.ask(token.Admin, "POST", "/v1/votes", ask); a.code() != "votes-missing" || a.StatusCode != 409 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	ask.ID = strings.Repeat("12", 16)
	id, _ = hex.DecodeString(ask.ID)
	ballot = canon.Must(&record.Ballot{ID: record.ID(id), Topic: "receive", Sets: []record.Parameter{{Name: "phase", Value: "2"}, {Name: "receive-hours", Value: "48"}}})
	for _, id := range []string{"c-sha", "b-sha"} {
		sig := m.c.Keys[id].Sign(sign.DomainGovernance, m.c.Origin, ballot)
		ask.Votes = append(ask.Votes, VoteOf{id, sig[:]})
	}
	if v = must[VoteDone](m, token.Admin, "POST", "/v1/votes", ask); !v.Final || len(v.Votes) != 3 || v.Records[0].ID != ask.ID {
		t.Fatalf("%+v", v)
	}
	if got := must[Vocabulary](m, "", "GET", "/v1/attributes", nil).Parameters; got[0] != (ParameterView{"phase", "2"}) {
		t.Errorf("%+v", got)
	}
}

// TestProofs verifies what the API proves with other people's code.
func TestProofs(t *testing.T) {
	m := newMember(t)

	m.post("a-sha", m.c.Tick(), m.c.Tick(), m.c.Tick())
	m.post("b-sha", m.c.Tick())
	policy, err := torchwood.ParsePolicy(m.c.Policy().Format())
	if err != nil {
		t.Fatal(err)
	}
	size := m.final.State.Size
	for i := range size {
		v := must[InclusionView](m, "", "GET", fmt.Sprintf("/v1/proofs/inclusion?index=%d", i), nil)
		if want := merkle.LeafHash(m.c.Leaves[i]); !bytes.Equal(v.LeafHash, want[:]) {
			t.Fatalf("leaf %d: other hash", i)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(m.c.Leaves[i]), []byte(v.Proof)); err != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
		v = must[InclusionView](m, "", "GET", fmt.Sprintf("/v1/proofs/inclusion?index=%d&size=%d", i, max(i+1, 5)), nil)
		if v.Proof != "" && max(i+1, 5) != size {
			t.Errorf("a proof at another size has the checkpoint")
		}
	}
	rec, err := record.Parse(m.c.Leaves[3])
	if err != nil {
		t.Fatal(err)
	}
	if v := must[InclusionView](m, "", "GET", "/v1/proofs/inclusion?id="+hex.EncodeToString(rec.ID[:]), nil); v.Index != 3 {
		t.Errorf("by id: %+v", v)
	}
	for from := range size + 1 {
		a := m.ask("", "GET", fmt.Sprintf("/v1/proofs/consistency?from=%d", from), nil)
		var v ConsistencyView
		if a.StatusCode != 200 || json.Unmarshal(a.body, &v) != nil {
			t.Fatalf("from %d: %d %s", from, a.StatusCode, a.body)
		}
		if from == 0 {
			continue
		}
		proof := tlog.TreeProof{}
		for _, h := range v.Path {
			proof = append(proof, tlog.Hash(h))
		}
		old, err := m.final.State.Tree().RootAt(from, m.final.State)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(proof, int64(size), tlog.Hash(m.final.State.Root), int64(from), tlog.Hash(old)); err != nil {
			t.Fatalf("from %d: %v", from, err)
		}
	}
	for key, present := range map[string]bool{"party/a-sha": true, "party/nobody": false, "head": true, "handle/" + strings.Repeat("00", 32): false} {
		v := must[RegisterView](m, token.Auditor, "GET", "/v1/proofs/register?key="+key, nil)
		seal, err := record.ParseSeal(v.Seal)
		if err != nil {
			t.Fatal(err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(v.Seal), []byte(v.Sealed)); err != nil {
			t.Fatal(err)
		}
		var p register.Proof
		if err := p.UnmarshalBinary(v.Proof); err != nil {
			t.Fatal(err)
		}
		value, there, err := register.Verify(merkle.Hash(seal.Register), v.Key, p)
		if err != nil || there != present || v.Present != present || !bytes.Equal(value, v.Value) {
			t.Errorf("%s: %v, %v", key, there, err)
		}
	}
	for path, code := range map[string]string{
		"inclusion": codeParameter, "inclusion?index=1&id=00": codeParameter, fmt.Sprintf("inclusion?index=%d", size): codeBeyond,
		fmt.Sprintf("inclusion?index=0&size=%d", size+1): codeBeyond, "inclusion?index=2&size=2": codeBeyond, "inclusion?index=0&size=0": codeBeyond,
		"inclusion?index=-1": codeParameter, "inclusion?index=01": codeParameter, "inclusion?index=18446744073709551615": codeParameter,
		"inclusion?id=" + strings.Repeat("00", 16): codeRecordUnknown, "consistency": codeParameter, "consistency?from=3&to=2": codeParameter,
		fmt.Sprintf("consistency?from=1&to=%d", size+1): codeBeyond,
	} {
		if a := m.ask("", "GET", "/v1/proofs/"+path, nil); a.code() != code {
			t.Errorf("%s: %d %s, want %s", path, a.StatusCode, a.body, code)
		}
	}
}

// person puts a consent of p01 to scope 0 of a service into the ledger, with its
// opening at the desk, and a hand-over under it.
func person(t *testing.T, m *member) (consent, provision uint64) {
	t.Helper()
	terms, hash := m.c.Terms(m.c.Screen("a-portal", "1"))
	m.post("a-sha", m.c.Service("a-portal"), terms)
	h := m.c.Person("p01").Handle("a-portal", 0)
	grant := m.c.Grant(h, hash, 0)
	m.post("a-sha", grant)
	consent = m.final.State.First
	intent := m.c.Provision(h.Public(), 1, 0, "b-sha")
	m.post("a-sha", intent)
	provision = m.final.State.First
	items := m.c.Items[intent.ID]
	m.desk.open = map[uint64]custody.RecordOpening{
		consent:   {Index: consent, ID: grant.ID, Kind: grant.Kind, Part: m.c.Openings[grant.ID]},
		provision: {Index: provision, ID: intent.ID, Kind: intent.Kind, Part: m.c.Openings[intent.ID], Items: &items},
	}
	return consent, provision
}

func TestReceipts(t *testing.T) {
	m := newMember(t)
	consent, provision := person(t, m)
	for _, index := range []uint64{consent, provision} {
		for _, role := range []token.Role{token.App, token.Auditor} {
			a := m.ask(role, "GET", fmt.Sprintf("/v1/records/%d/receipt?status=true", index), nil)
			if a.StatusCode != 200 || !strings.HasSuffix(a.Header.Get("Content-Disposition"), `.akashi.json"`) {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			if _, err := receipt.Verify(a.body, m.c.Policy()); err != nil {
				t.Fatal(err)
			}
			if open := bytes.Contains(a.body, []byte(`"opening"`)); open != (role == token.App) {
				t.Errorf("%s: opening %v", role, open)
			}
		}
	}
	// the openings of the model are about another reference than p01
	if a := m.ask(token.Subject, "GET", fmt.Sprintf("/v1/records/%d/receipt", consent), nil); a.code() != codeRole {
		t.Errorf("somebody else's receipt: %d %s", a.StatusCode, a.body)
	}
	m.desk.open = nil // erased: it is theirs by the handle
	a := m.ask(token.Subject, "GET", fmt.Sprintf("/v1/records/%d/receipt", consent), nil)
	if _, err := receipt.Verify(a.body, m.c.Policy()); a.StatusCode != 200 || err != nil {
		t.Errorf("own receipt: %d %v", a.StatusCode, err)
	}
	for path, code := range map[string]string{"0": codeNoReceipt, fmt.Sprint(m.final.State.Size - 1): codeNoReceipt, fmt.Sprint(m.final.State.Size): codeBeyond, "x": codeParameter} {
		if a := m.ask(token.App, "GET", "/v1/records/"+path+"/receipt", nil); a.code() != code {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if v := must[RecordView](m, token.App, "GET", fmt.Sprintf("/v1/records/%d", consent), nil); v.Kind != "consent" || v.Issuer != "a-sha" || !bytes.Equal(v.Leaf, m.c.Leaves[consent]) {
		t.Errorf("%+v", v)
	} else if w := must[RecordView](m, token.Subject, "GET", "/v1/records/"+v.ID, nil); w.Index != consent {
		t.Errorf("%+v", w)
	}
	if v := must[RecordView](m, token.Auditor, "GET", fmt.Sprintf("/v1/records/%d", m.final.State.Size-1), nil); v.Kind != "seal" || v.ID != "" {
		t.Errorf("%+v", v)
	}
	if a := m.ask(token.Subject, "GET", "/v1/records/0", nil); a.code() != codeRole {
		t.Errorf("genesis for a subject: %d", a.StatusCode)
	}
}

// TestReceiptAfterKeyChange: the leaf that gave the issuer its old key is found.
func TestReceiptAfterKeyChange(t *testing.T) {
	m := newMember(t)
	consent, _ := person(t, m)
	m.post("a-sha", m.c.KeyChange("a-sha"))
	m.post("a-sha", m.c.Tick())
	for _, index := range []uint64{consent, m.final.State.First} {
		a := m.ask(token.App, "GET", fmt.Sprintf("/v1/records/%d/receipt", index), nil)
		if _, err := receipt.Verify(a.body, m.c.Policy()); a.StatusCode != 200 || err != nil {
			t.Errorf("leaf %d: %d %v %s", index, a.StatusCode, err, a.body)
		}
	}
}

// TestHandleProof: one handle for who may see it, with its records or without.
func TestHandleProof(t *testing.T) {
	m := newMember(t)
	person(t, m)
	secret := m.c.Person("p01")
	var own, other string
	var list struct {
		Handles []struct {
			Handle []byte
			Events [][]byte
		}
	}
	if err := json.Unmarshal(m.ask(token.Subject, "GET", "/v1/people/p01/completeness", nil).body, &list); err != nil {
		t.Fatal(err)
	}
	for _, h := range list.Handles {
		if len(h.Events) > 0 {
			own = hex.EncodeToString(h.Handle)
		}
	}
	stranger := m.c.Person("p02").Handle("a-portal", 0).Public()
	other = hex.EncodeToString(stranger[:])
	for _, c := range []struct {
		who   token.Role
		query string
		want  int
		kinds bool
	}{
		{token.Subject, "?handle=" + own + "&events=true", 200, true}, {token.Subject, "?handle=" + own, 200, false},
		{token.Auditor, "?handle=" + own + "&events=true", 200, true}, {token.Auditor, "?handle=" + other, 200, false},
		{token.Subject, "?handle=" + other, 403, false}, {"", "?handle=" + own, 401, false},
		{token.Auditor, "", 400, false}, {token.Auditor, "?handle=zz", 400, false}, {token.Auditor, "?handle=" + strings.ToUpper(own), 400, false},
		{token.Auditor, "?handle=" + own + "&events=1", 400, false},
	} {
		a := m.ask(c.who, "GET", "/v1/proofs/handle"+c.query, nil)
		if a.StatusCode != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.who, c.query, a.StatusCode, a.body, c.want)
		}
		if c.want != 200 || a.StatusCode != 200 {
			continue
		}
		v, err := receipt.Verify(a.body, m.c.Policy())
		if err != nil || len(v.Handles) != 1 || (len(v.Handles[0].Kinds) > 0) != c.kinds || v.Handles[0].Present != strings.Contains(c.query, own) {
			t.Errorf("%s: %+v, %v", c.query, v, err)
		}
	}
	if key := secret.Handle("a-portal", 0).Public(); own != hex.EncodeToString(key[:]) {
		t.Errorf("handle %s", own)
	}
}

func TestCompletenessAndCertificate(t *testing.T) {
	m := newMember(t)
	person(t, m)
	a := m.ask(token.Subject, "GET", "/v1/people/p01/completeness", nil)
	if a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if _, err := receipt.VerifyComplete(a.body, m.c.Person("p01"), m.c.Policy()); err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.VerifyComplete(a.body, m.c.Person("p02"), m.c.Policy()); err == nil {
		t.Error("complete for somebody else")
	}
	erasure := m.c.Erasure([]record.KeyNumber{m.c.Number()}, "a-sha", "b-sha")
	m.post("a-sha", erasure)
	id := hex.EncodeToString(erasure.ID[:])
	for _, who := range []string{"", "b-sha", "a-sha"} {
		if who != "" {
			m.post(who, m.c.Attestation(erasure.ID))
		}
		a := m.ask(token.Subject, "GET", "/v1/erasures/"+id+"/certificate", nil)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		v, err := receipt.Verify(a.body, m.c.Policy())
		if err != nil {
			t.Fatal(err)
		}
		_ = v
	}
	if a := m.ask(token.Auditor, "GET", "/v1/erasures/"+strings.Repeat("00", 16)+"/certificate", nil); a.code() != "erasure-unknown" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestOpenings(t *testing.T) {
	m := newMember(t)
	consent, provision := person(t, m)
	a := m.ask(token.Auditor, "GET", "/v1/openings", nil)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 3 {
		t.Fatalf("%d %q %s", a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	var o OpeningLine
	if err := json.Unmarshal([]byte(lines[1]), &o); err != nil || o.Index != provision || o.Kind != "provision" || o.Items == nil {
		t.Errorf("%+v %v", o, err)
	}
	var end OpeningsEnd
	if err := json.Unmarshal([]byte(lines[2]), &end); err != nil || !end.End || end.Count != 2 {
		t.Errorf("%+v %v", end, err)
	}
	if a := m.ask(token.Auditor, "GET", fmt.Sprintf("/v1/openings?from=%d&to=%d", consent+1, consent+1), nil); string(a.body) != `{"end":true,"count":0}`+"\n" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if len(m.desk.who) != 2 || m.desk.who[0] != "auditor/test" {
		t.Errorf("accesses by %q", m.desk.who)
	}
	m.desk.err = record.Refuse(custody.CodeNotFinal, "")
	if a := m.ask(token.Auditor, "GET", "/v1/openings", nil); a.StatusCode != 503 || a.code() != "final.stale" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for path, code := range map[string]string{"?from=2&to=1": codeParameter, "?to=999999": codeBeyond} {
		if a := m.ask(token.Auditor, "GET", "/v1/openings"+path, nil); a.code() != code {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// TestDesk: every endpoint reaches the desk with who asks, and what.
func TestDesk(t *testing.T) {
	m := newMember(t)
	m.post("a-sha", m.c.Party("shop"))
	intent := strings.Repeat("ab", 16)
	for _, c := range []struct {
		role               token.Role
		method, path, body string
		what               string
		asked              any
	}{
		{token.App, "POST", "/v1/people", `{"person":"p01","service":"a-portal","items":{"name":"x"},"source":"self"}`, "register",
			custody.Registration{Person: "p01", Service: "a-portal", Items: map[string]string{"name": "x"}, Source: "self"}},
		{token.Subject, "GET", "/v1/people/p01", "", "disclose", custody.Ref("p01")},
		{token.Manager, "PUT", "/v1/people/p01/items", `{"service":"s","items":{"a":"b"}}`, "items", "p01s1"},
		{token.Subject, "GET", "/v1/people/p01/secret", "", "secret", custody.Ref("p01")},
		{token.Admin, "GET", "/v1/people/p01/consents", "", "consents", custody.Ref("p01")},
		{token.App, "GET", "/v1/people/p01/events", "", "events", custody.Ref("p01")},
		{token.Subject, "POST", "/v1/people/p01/erasure", `{"cause":"request"}`, "erase", custody.EraseRequest{Person: "p01", Cause: "request"}},
		{token.Subject, "POST", "/v1/consents", `{"person":"p01","service":"s","version":"1","items":["name"],"purposes":["service"]}`, "consent",
			custody.ConsentRequest{Person: "p01", Service: "s", Version: "1", Items: []string{"name"}, Purposes: []string{"service"}}},
		{token.Subject, "POST", "/v1/revocations", `{"person":"p01","service":"s"}`, "withdraw", custody.WithdrawRequest{Person: "p01", Service: "s"}},
		{token.Manager, "POST", "/v1/stops", `{"person":"p01","service":"s"}`, "withdraw", custody.WithdrawRequest{Person: "p01", Service: "s", Stop: true}},
		{token.App, "POST", "/v1/provisions", `{"person":"p01","service":"s","to":"b-sha","items":["name"],"purpose":"service"}`, "provide",
			custody.ProvideRequest{Person: "p01", Service: "s", To: "b-sha", Items: []string{"name"}, Purpose: "service"}},
		{token.App, "POST", "/v1/provisions/" + intent + "/received", `{"howAcquired":"consent"}`, "receive", custody.ReceiveRequest{Intent: intent, HowAcquired: "consent"}},
		{token.App, "POST", "/v1/provisions/" + intent + "/undelivered", `{"reason":"no-consent"}`, "undeliver", record.CodeNoConsent},
		{token.Manager, "POST", "/v1/provisions/" + intent + "/onward", `{"to":"*"}`, "onward", "*"},
		{token.Subject, "GET", "/v1/erasures/" + intent, "", "erasure", intent},
		{token.App, "POST", "/v1/readings", `{"sensor":"x1","readings":[{"values":{"count":3}}]}`, "readings", nil},
		{token.Auditor, "GET", "/v1/readings/4/proof", "", "prove", uint64(4)},
	} {
		var body any
		header := []string{}
		if c.method != "GET" {
			body = c.body
			header = []string{"Idempotency-Key", "k-1"}
			if c.role != token.Subject {
				header = append(header, "Akashi-As", "shop")
			}
		}
		path := c.path
		if c.method == "POST" {
			path += "?wait=committed"
		}
		a := m.ask(c.role, c.method, path, body, header...)
		if a.StatusCode != 200 {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.StatusCode, a.body)
			continue
		}
		if m.desk.what != c.what || c.asked != nil && fmt.Sprintf("%+v", m.desk.asked) != fmt.Sprintf("%+v", c.asked) {
			t.Errorf("%s %s: the desk was asked %s %+v", c.method, c.path, m.desk.what, m.desk.asked)
		}
		if c.method == "GET" {
			continue
		}
		want := custody.Call{Client: string(c.role) + "/test/", Key: "k-1", Committed: c.method == "POST", As: "shop"}
		if c.role == token.Subject {
			want.Client, want.As = want.Client+"p01", ""
		}
		if m.desk.call != want {
			t.Errorf("%s %s: call %+v, want %+v", c.method, c.path, m.desk.call, want)
		}
	}
	link := must[LinkView](m, token.App, "POST", "/v1/people/p01/link", `{"seconds":60}`)
	if who, err := m.tokens.Redeem(link.Code); err != nil || who.Person != "p01" {
		t.Errorf("%+v %v", who, err)
	}
}

// TestRefusals: what the desk and the outbox refuse with reaches the caller as
// status and code, and nothing else does.
func TestRefusals(t *testing.T) {
	m := newMember(t)
	const ask = `{"person":"p01","service":"s","version":"1","items":[],"purposes":["service"]}`
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{record.Refuse(record.CodeRevoked, "山田 太郎"), 409, "revoked"},
		{record.Refuse(custody.CodePersonUnknown, "山田 太郎"), 404, "person.unknown"},
		{outbox.ErrBusy, 503, "outbox.busy"},
		{outbox.ErrKeyReused, 409, "idempotency-key.reused"},
		{&outbox.UnknownError{Key: "k9"}, 503, "outcome.unknown"},
		{fmt.Errorf("read something: broken"), 500, "internal"},
	} {
		m.desk.err = c.err
		a := m.ask(token.App, "POST", "/v1/consents", ask, "Accept-Language", "en")
		if a.StatusCode != c.status || a.code() != c.code || a.Header.Get("Content-Language") != "en" || strings.Contains(string(a.body), "山田") || strings.Contains(string(a.body), "something") {
			t.Errorf("%v: %d %s", c.err, a.StatusCode, a.body)
		}
		if strings.Contains(c.code, "unknown") && c.status == 503 && !strings.Contains(string(a.body), `"idempotencyKey":"k9"`) {
			t.Errorf("no key to ask again: %s", a.body)
		}
	}
	if strings.Contains(m.log.String(), "太郎") {
		t.Errorf("the log names a person: %s", m.log)
	}
}

func TestRecords(t *testing.T) {
	m := newMember(t)
	post := func(leaves [][]byte, header ...string) (RecordsDone, answer) {
		a := m.ask(token.App, "POST", "/v1/records", map[string]any{"records": leaves}, header...)
		var d RecordsDone
		json.Unmarshal(a.body, &d)
		return d, a
	}
	leaf := func(issuer string, r *record.Record) []byte {
		r.Issuer = issuer
		return m.c.Leaf(r)
	}
	tick, twice := leaf("a-sha", m.c.Tick()), leaf("a-sha", m.c.Filing("f-1", 0, "nothing"))
	unpadded := bytes.TrimRight(tick, "\x00")
	d, a := post([][]byte{tick, twice, unpadded, {0xff}, leaf("b-sha", m.c.Tick()), leaf("a-sha", m.c.Party("shop")), leaf("a-sha", m.c.Tick())}, "Idempotency-Key", `quote"\`)
	if a.StatusCode != 200 || !d.Final || len(d.Records) != 7 || d.Key != `quote"\` {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for i, want := range []record.Code{"", "item.unknown", "record.padding", "", "not-authorised", "not-authorised", ""} {
		if i == 3 {
			if d.Records[i].Code == "" {
				t.Errorf("record %d: accepted", i)
			}
			continue
		}
		if d.Records[i].Code != want {
			t.Errorf("record %d: %+v, want %s", i, d.Records[i], want)
		}
	}
	if first, last := d.Records[0], d.Records[6]; last.Index != first.Index+1 || first.Height == 0 || first.TimeMs == 0 || first.ID == "" {
		t.Errorf("%+v, %+v", first, last)
	}
	// CBOR, admin, another spelling of the JSON, the party that is hosted
	m.post("a-sha", m.c.Party("shop"))
	b := canon.Must([][]byte{leaf("shop", m.c.Service("points"))})
	if a := m.ask(token.Admin, "POST", "/v1/records?wait=committed", b, "Content-Type", "application/cbor", "Akashi-As", "shop"); a.StatusCode != 200 || !strings.Contains(string(a.body), `"final":false`) || strings.Contains(string(a.body), "code") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	slow := ` { "records" : [ "` + strings.ReplaceAll(base64.StdEncoding.EncodeToString(leaf("a-sha", m.c.Tick())), "/", `\/`) + "\" ] } "
	if a := m.ask(token.Admin, "POST", "/v1/records", slow); a.StatusCode != 200 || strings.Contains(string(a.body), "code") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for body, code := range map[string]string{
		`{"records":[]}`: codeInvalid, `{}`: codeInvalid, `{"records":null}`: codeInvalid, `{"records":["AA"]}`: codeInvalid, `{"records":["AA==","A"]}`: codeInvalid,
		`{"records":["AA=="],"records":[]}`: codeJSONDuplicate, `{"records":["AA=="],"x":1}`: codeInvalid, `{"records":["AB=="]}`: "",
		`{"records":["A\nA=="]}`: codeInvalid, `{"records":["AA=="]}}`: codeJSON, `["AA=="]`: codeInvalid, `{"records":[1]}`: codeInvalid,
		`{"records":["` + strings.Repeat(`AA==","`, 1000) + `AA=="]}`: codeInvalid, strings.Repeat(" ", maxRecordsBody+1): codeOversize,
	} {
		if a := m.ask(token.Admin, "POST", "/v1/records", body); a.code() != code {
			t.Errorf("%.40s: %d %s, want %s", body, a.StatusCode, a.body, code)
		}
	}
	if a := m.ask(token.Admin, "POST", "/v1/records", []byte{0x81, 0x58, 1, 0}, "Content-Type", "application/cbor"); a.code() != "cbor.not-canonical" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := m.ask(token.Admin, "POST", "/v1/records", "x", "Content-Type", "text/plain"); a.code() != codeMedia || a.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for err, status := range map[error]int{outbox.ErrBusy: 503, outbox.ErrNoKey: 403, outbox.ErrTooLarge: 413, outbox.ErrStopped: 500} {
		m.box = err
		if _, a := post([][]byte{tick}); a.StatusCode != status || a.StatusCode == 503 && a.Header.Get("Retry-After") == "" {
			t.Errorf("%v: %d %s", err, a.StatusCode, a.body)
		}
	}
}

// TestRoles asks every route as everybody.
func TestRoles(t *testing.T) {
	m := newMember(t)
	for _, rt := range routes() {
		path := strings.NewReplacer("{ref}", "p01", "{id}", strings.Repeat("ab", 16), "{hash}", strings.Repeat("ab", 32), "{record}", "1").Replace(rt.path)
		if rt.name == "stream" {
			path += "?from=999999" // refused after the role was looked at
		}
		for _, role := range append([]token.Role{""}, token.Roles...) {
			var body any
			if rt.body != nil {
				body = `{"nothing": "that is known"}`
			}
			a := m.ask(role, rt.method, path, body)
			switch {
			case rt.roles == public:
				if a.StatusCode == 401 || a.StatusCode == 403 {
					t.Errorf("%s %s as %q: %d", rt.method, rt.path, role, a.StatusCode)
				}
			case role == "":
				if a.code() != codeAuth || a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s without a token: %d", rt.method, rt.path, a.StatusCode)
				}
			case !rt.roles.has(role):
				if a.code() != codeRole || a.StatusCode != 403 {
					t.Errorf("%s %s as %q: %d", rt.method, rt.path, role, a.StatusCode)
				}
			case a.StatusCode == 401 || a.StatusCode == 403 && !(role == token.Subject && rt.name == "record" || rt.name == "receipt" || rt.name == "end-party"):
				t.Errorf("%s %s as %q: %d %s", rt.method, rt.path, role, a.StatusCode, a.body)
			case rt.body != nil && a.code() != codeInvalid:
				t.Errorf("%s %s as %q: %d %s", rt.method, rt.path, role, a.StatusCode, a.body)
			}
		}
		if rt.roles == public {
			continue
		}
		for name, value := range map[string]string{"unknown": "Bearer admin_" + strings.Repeat("A", 43), "scheme": "Basic YTpi", "empty": "Bearer ", "long": "Bearer " + strings.Repeat("x", 9000)} {
			if a := m.ask("", rt.method, path, nil, "Authorization", value); a.StatusCode != 401 {
				t.Errorf("%s %s, %s: %d", rt.method, rt.path, name, a.StatusCode)
			}
		}
	}
	// a subject is asked about themself only
	for _, c := range [][3]string{{"GET", "/v1/people/p02", ""}, {"GET", "/v1/people/p02/secret", ""}, {"GET", "/v1/people/p02/completeness", ""},
		{"POST", "/v1/people", `{"person":"p02","service":"s","items":{},"source":"self"}`},
		{"POST", "/v1/people/p02/erasure", `{"cause":"request"}`}, {"PUT", "/v1/people/p02/items", `{"service":"s","items":{}}`},
		{"POST", "/v1/consents", `{"person":"p02","service":"s","version":"1","items":[],"purposes":[]}`},
		{"POST", "/v1/revocations", `{"person":"p02","service":"s"}`}} {
		var body any
		if c[2] != "" {
			body = c[2]
		}
		if a := m.ask(token.Subject, c[0], c[1], body); a.code() != codeRole {
			t.Errorf("%s %s: %d %s", c[0], c[1], a.StatusCode, a.body)
		}
	}
}

// TestBeforeTheFirst: nothing is said before something is final.
func TestBeforeTheFirst(t *testing.T) {
	m := newMember(t)
	m.early = true
	for _, rt := range routes() {
		path := strings.NewReplacer("{ref}", "p01", "{id}", strings.Repeat("ab", 16), "{hash}", strings.Repeat("ab", 32), "{record}", "1").Replace(rt.path)
		role := token.Admin
		if !rt.roles.has(role) {
			role = token.Role(rt.roles.names()[0])
		}
		if rt.early {
			continue
		}
		if a := m.ask(role, rt.method, path, nil); a.code() != codeNotFinal || a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", rt.method, rt.path, a.StatusCode, a.body)
		}
	}
	if s := must[Status](m, "", "GET", "/v1/status", nil); s.Final != nil {
		t.Errorf("%+v", s)
	}
}

func TestDescription(t *testing.T) {
	m := newMember(t)
	a := m.ask("", "GET", "/openapi.json", nil)
	var doc struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%q %v", doc.OpenAPI, err)
	}
	n := 0
	for _, rt := range routes() {
		op := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if op == nil || op["summary"] != rt.text.Ja || fmt.Sprint(op["x-akashi-roles"]) != fmt.Sprint(rt.roles.names()) || (op["security"] == nil) != (rt.roles == public) {
			t.Errorf("%s %s: %v", rt.method, rt.path, op)
		}
		if (op["requestBody"] == nil) != (rt.body == nil) {
			t.Errorf("%s %s: body %v", rt.method, rt.path, op["requestBody"])
		}
		n++
	}
	if bytes.Contains(a.body, []byte("unpkg")) || bytes.Contains(a.body, []byte("$schema")) {
		t.Error("the description has something that the library added")
	}
	for _, path := range []string{"/docs", "/schemas/Problem.json", "/openapi.yaml", "/v2"} {
		if a := m.ask("", "GET", path, nil); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestHeadersAndMetrics(t *testing.T) {
	m := newMember(t)
	for _, path := range []string{"/v1/status", "/nowhere", "/openapi.json", "/metrics", "/healthz", "/readyz"} {
		a := m.ask("", "GET", path, nil, "Origin", "https://evil.example")
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Access-Control-Allow-Origin": ""} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
	m.ask(token.App, "GET", "/v1/people/p01-hanako/consents", nil)
	m.ask(token.App, "GET", "/v1/people/p01-hanako/nothing", nil)
	a := m.ask("", "GET", "/metrics", nil)
	for _, want := range []string{`akashi_http_requests_total{route="GET /v1/people/{ref}/consents",status="200"} 1`, "akashi_final_size", "akashi_outbox_records", "go_goroutines"} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(string(a.body), "hanako") || strings.Contains(m.log.String(), "hanako") {
		t.Error("metrics or log name a person")
	}
	if a := m.ask("", "POST", "/v1/status", "{}"); a.StatusCode != 405 || a.code() != codeMethod || a.Header.Get("Allow") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	close(m.closing)
	if a := m.ask("", "GET", "/readyz", nil); a.StatusCode != 503 {
		t.Errorf("stopping: %d", a.StatusCode)
	}
}
