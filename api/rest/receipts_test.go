package rest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

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
	m.post("pf", m.c.Rotate("a-sha", []string{record.RoleRecord}, "b-sha", "c-sha", "pf"))
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

// TestReceiptOfTheOtherHalf: what a recipient wrote about a hand-over is its subject's,
// too; it stays sealed where it is another member's. Several receipts are what they are
// one by one.
func TestReceiptOfTheOtherHalf(t *testing.T) {
	m := newMember(t)
	consent, provision := person(t, m)
	m.desk.open = nil
	received := func(intent uint64) uint64 {
		rec, err := record.Parse(m.c.Leaves[intent])
		if err != nil {
			t.Fatal(err)
		}
		m.post("b-sha", m.c.Received(rec))
		return m.final.State.First
	}
	own := received(provision)
	stranger := m.c.Person("p02").Handle("a-portal", 0)
	granted, err := record.Parse(m.c.Leaves[consent])
	if err != nil {
		t.Fatal(err)
	}
	m.post("a-sha", m.c.Grant(stranger, granted.Body.(*record.Consent).Terms, 0))
	m.post("a-sha", m.c.Provision(stranger.Public(), 1, 0, "b-sha"))
	other := received(m.final.State.First)
	if a := m.ask(token.Subject, "GET", fmt.Sprintf("/v1/records/%d/receipt", other), nil); a.code() != codeRole {
		t.Errorf("somebody else's: %d %s", a.StatusCode, a.body)
	}
	a := m.ask(token.Subject, "GET", fmt.Sprintf("/v1/records/%d/receipt", own), nil)
	if v, err := receipt.Verify(a.body, m.c.Policy()); err != nil || v.Kind != "provision.received" || bytes.Contains(a.body, []byte(`"opening"`)) {
		t.Errorf("%d %v %+v", a.StatusCode, err, v)
	}
	api := m.srv.Config.Handler.(*server)
	indexes, i := []uint64{own, other, provision, consent}, 0
	for b, err := range api.Receipts(t.Context(), "p01", indexes) {
		one, err1 := api.Receipt(t.Context(), "p01", indexes[i])
		if CodeOf(err) != CodeOf(err1) || !bytes.Equal(b, one) {
			t.Errorf("leaf %d: %v and %v, %d and %d bytes", indexes[i], err, err1, len(b), len(one))
		}
		i++
	}
	if i != len(indexes) {
		t.Errorf("%d of %d receipts", i, len(indexes))
	}
}
