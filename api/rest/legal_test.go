package rest

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestFilings: a filing is announced, read and ended.
func TestFilings(t *testing.T) {
	m := newMember(t)
	form := map[string]any{"number": "f-1", "from": "2027-04-01T00:00:00+09:00", "items": []string{"user-id", "name"}}
	d := must[custody.Done](m, token.Manager, "POST", "/v1/filings", form)
	if d.Records[0].Kind != "optout.filing" || !d.Final {
		t.Fatalf("%+v", d)
	}
	v := must[FilingView](m, token.Auditor, "GET", "/v1/filings/f-1", nil)
	if v.Number != "f-1" || v.FromMs != 1806505200000 || strings.Join(v.Items, " ") != "name user-id" {
		t.Errorf("%+v", v)
	}
	must[custody.Done](m, token.Admin, "DELETE", "/v1/filings/f-1", nil)
	for name, c := range map[string]struct {
		role         token.Role
		method, path string
		body         any
		code         string
		status       int
	}{
		"ended":         {token.App, "GET", "/v1/filings/f-1", nil, "optout-not-filed", 409},
		"end again":     {token.Admin, "DELETE", "/v1/filings/f-1", nil, "optout-not-filed", 409},
		"bad number":    {token.App, "GET", "/v1/filings/F%201", nil, "optout-not-filed", 409},
		"app announces": {token.App, "POST", "/v1/filings", form, codeRole, 403},
		"app ends":      {token.App, "DELETE", "/v1/filings/f-1", nil, codeRole, 403},
		"no items":      {token.Admin, "POST", "/v1/filings", map[string]any{"number": "f-2", "from": "2027-04-01T00:00:00Z", "items": []string{}}, codeInvalid, 400},
		"unknown item":  {token.Admin, "POST", "/v1/filings", map[string]any{"number": "f-2", "from": "2027-04-01T00:00:00Z", "items": []string{"shoe-size"}}, "item.unknown", 422},
		"before 1970":   {token.Admin, "POST", "/v1/filings", map[string]any{"number": "f-2", "from": "1960-04-01T00:00:00Z", "items": []string{"name"}}, codeInvalid, 400},
		"bad id":        {token.Admin, "POST", "/v1/filings", map[string]any{"number": "届出", "from": "2027-04-01T00:00:00Z", "items": []string{"name"}}, "record.malformed", 400},
	} {
		if a := m.ask(c.role, c.method, c.path, c.body); a.code() != c.code || a.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d %s", name, a.StatusCode, a.body, c.status, c.code)
		}
	}
}

// TestLegalRoutes: hand-overs without consent reach the desk as they were asked
// for, by those who may, and come back as problems.
func TestLegalRoutes(t *testing.T) {
	m := newMember(t)
	out := custody.OptOutRequest{Person: "p01", Service: "a-portal", Filing: "f-1", To: "b-sha", Items: []string{"name"}, Purpose: "service"}
	d := must[custody.Done](m, token.App, "POST", "/v1/provisions/optout", out, "Idempotency-Key", "k1")
	if got, ok := m.desk.asked.(custody.OptOutRequest); !ok || got.Filing != "f-1" || m.desk.call.Key != "k1" || d.Key != "k1" {
		t.Fatalf("%+v of %+v", m.desk.asked, m.desk.call)
	}
	ask := custody.ExceptionRequest{Person: "p01", Service: "a-portal", To: "police", Items: []string{"name"}, Purpose: "x", Date: "2027-04-02",
		Ground: "law", Statute: "s", Request: "r", Reason: "y", Necessity: "z"}
	v := must[custody.ExceptionView](m, token.App, "POST", "/v1/exceptions", ask)
	if m.desk.what != "ask-exception" || v.State != "asked" {
		t.Fatalf("%s, %+v", m.desk.what, v)
	}
	if l := must[ExceptionList](m, token.Manager, "GET", "/v1/exceptions", nil); l.Exceptions == nil {
		t.Error("null for an empty list")
	}
	must[custody.ExceptionView](m, token.Manager, "GET", "/v1/exceptions/"+v.ID, nil)
	must[custody.Done](m, token.Manager, "POST", "/v1/exceptions/"+v.ID+"/approval", map[string]any{})
	if asker := "manager/test/"; m.desk.call.Client != asker || m.desk.asked != 0 {
		t.Errorf("approved by %+v with %v bytes", m.desk.call, m.desk.asked)
	}
	a := m.ask(token.App, "GET", "/v1/exceptions/"+v.ID+"/items", nil)
	if a.StatusCode != 200 || a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(string(a.body), `"name":"n"`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	approval := "/v1/exceptions/" + v.ID + "/approval"
	for name, c := range map[string]struct {
		role         token.Role
		method, path string
		body         any
		code         string
	}{
		"app approves":     {token.App, "POST", approval, map[string]any{}, codeRole},
		"subject asks":     {token.Subject, "POST", "/v1/exceptions", ask, codeRole},
		"auditor's items":  {token.Auditor, "GET", "/v1/exceptions/" + v.ID + "/items", nil, codeRole},
		"short signature":  {token.Manager, "POST", approval, map[string]any{"signature": []byte("short")}, codeInvalid},
		"id":               {token.Manager, "POST", "/v1/exceptions/xyz/approval", map[string]any{}, codeParameter},
		"reference":        {token.App, "POST", "/v1/provisions/optout", custody.OptOutRequest{Person: "P 01"}, codeInvalid},
		"unknown field":    {token.App, "POST", "/v1/provisions/optout", `{"consent":"x"}`, codeInvalid},
		"someone's optout": {token.Subject, "POST", "/v1/provisions/optout", out, codeRole},
	} {
		if a := m.ask(c.role, c.method, c.path, c.body); a.code() != c.code {
			t.Errorf("%s: %d %s, want %s", name, a.StatusCode, a.body, c.code)
		}
	}
	for code, status := range map[record.Code]int{record.CodeApprover: 403, record.CodeLegalGround: 409, record.CodeRequestMissing: 409,
		record.CodeDisclosureFields: 422, record.CodeNecessity: 422, custody.CodeAskedUnknown: 404, custody.CodeAskedOpen: 409, record.CodeOptedOut: 409} {
		m.desk.err = record.Refuse(code, "")
		if a := m.ask(token.Manager, "POST", approval, map[string]any{}); a.code() != string(code) || a.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", code, a.StatusCode, a.body, status)
		}
	}
}
