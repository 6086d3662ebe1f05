package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
)

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
		{"POST", "/v1/people/p02/erasure", `{"cause":"request"}`}, {"POST", "/v1/people/p02/export", `{"recipient":"age1x"}`}, {"PUT", "/v1/people/p02/items", `{"service":"s","items":{}}`},
		{"POST", "/v1/consents", `{"person":"p02","service":"s","version":"1","items":[],"purposes":[]}`},
		{"POST", "/v1/refusals", `{"person":"p02","service":"s","version":"1","screen":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`},
		{"GET", "/v1/people/p02/requests", ""}, {"POST", "/v1/people/p02/requests", `{"kind":"records","service":"s"}`},
		{"GET", "/v1/people/p02/stops", ""}, {"PUT", "/v1/people/p02/stops/mail", `{"state":"stopped"}`}, {"POST", "/v1/revocations", `{"person":"p02","service":"s"}`}} {
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
