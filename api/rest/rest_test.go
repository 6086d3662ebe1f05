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
		{token.Subject, "POST", "/v1/people/p01/export", `{"recipient":"age1x"}`, "export", "p01 age1x"},
		{token.Subject, "POST", "/v1/people/p01/erasure", `{"cause":"request"}`, "erase", custody.EraseRequest{Person: "p01", Cause: "request"}},
		{token.Subject, "POST", "/v1/people/p01/erasure", `{"cause":"withdrawal","service":"portal"}`, "erase", custody.EraseRequest{Person: "p01", Cause: "withdrawal", Service: "portal"}},
		{token.Subject, "POST", "/v1/consents", `{"person":"p01","service":"s","version":"1","items":["name"],"purposes":["service"]}`, "consent",
			custody.ConsentRequest{Person: "p01", Service: "s", Version: "1", Items: []string{"name"}, Purposes: []string{"service"}}},
		{token.Subject, "POST", "/v1/refusals", `{"person":"p01","service":"s","version":"1","screen":"AQI=","later":true}`, "decline",
			custody.DeclineRequest{Person: "p01", Service: "s", Version: "1", Screen: []byte{1, 2}, Later: true}},
		{token.Subject, "POST", "/v1/revocations", `{"person":"p01","service":"s"}`, "withdraw", custody.WithdrawRequest{Person: "p01", Service: "s"}},
		{token.Manager, "POST", "/v1/stops", `{"person":"p01","service":"s"}`, "withdraw", custody.WithdrawRequest{Person: "p01", Service: "s", Stop: true}},
		{token.App, "POST", "/v1/provisions", `{"person":"p01","service":"s","to":"b-sha","items":["name"],"purpose":"service"}`, "provide",
			custody.ProvideRequest{Person: "p01", Service: "s", To: "b-sha", Items: []string{"name"}, Purpose: "service"}},
		{token.App, "POST", "/v1/provisions/" + intent + "/received", `{"howAcquired":"consent"}`, "receive", custody.ReceiveRequest{Intent: intent, HowAcquired: "consent"}},
		{token.App, "POST", "/v1/provisions/" + intent + "/undelivered", `{"reason":"no-consent"}`, "undeliver", record.CodeNoConsent},
		{token.Manager, "POST", "/v1/provisions/" + intent + "/onward", `{"to":"*"}`, "onward", "*"},
		{token.Subject, "GET", "/v1/erasures/" + intent, "", "erasure", intent},
		{token.App, "POST", "/v1/readings", `{"sensor":"x1","readings":[{"values":{"count":3}}]}`, "readings", nil},
		{token.Auditor, "GET", "/v1/readings/4/proof?site=north", "", "prove", []any{"north", uint64(4)}},
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
		if c.method == "POST" && c.what != "export" { // which enters nothing
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
		if c.method == "GET" || c.what == "export" {
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
