package oauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/rest"
)

// TestPushed: of a pushed request only what was pushed counts, once, for its client.
func TestPushed(t *testing.T) {
	m := newSite(t)
	c, another := m.client(nil), m.client(nil)
	push := func(f *flow) (int, string) {
		resp, b := m.post("/oauth/par", c, f.query())
		var v struct {
			URI   string `json:"request_uri"`
			Error string `json:"error"`
		}
		fatal(t, json.Unmarshal(b, &v))
		return resp.StatusCode, v.URI + v.Error
	}
	b := m.browser()
	b.signIn("p01", "/")
	for name, change := range map[string]func(f *flow){
		"detail":    func(f *flow) { f.detail["purposes"] = []string{"world"} },
		"redirect":  func(f *flow) { f.extra.Set("redirect_uri", "https://evil.example/") },
		"challenge": func(f *flow) { f.extra.Set("code_challenge", "") },
		"another":   func(f *flow) { f.extra.Set("request_uri", "urn:ietf:params:oauth:request_uri:x") },
		"object":    func(f *flow) { f.extra.Set("request", "eyJhbGciOiJub25lIn0.e30.") },
		"age":       func(f *flow) { f.extra.Set("max_age", "5m") },
		"prompt":    func(f *flow) { f.extra.Set("prompt", "none login") },
		"twice":     func(f *flow) { f.extra["state"] = []string{"a", "b"} },
	} {
		f := m.flow(c, "service")
		change(f)
		if status, answer := push(f); status/100 != 4 || strings.HasPrefix(answer, "urn:") {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if _, said := b.get("/.well-known/openid-configuration"); !strings.Contains(said, `"request_uri_parameter_supported": false`) { // true where it is absent
		t.Errorf("requests by reference are promised:\n%s", said)
	}
	f := m.flow(c, "service")
	for _, name := range []string{"max_age", "request", "registration"} { // left out, RFC 6749 §3.1
		f.extra.Set(name, "")
	}
	if status, answer := push(f); status != 201 {
		t.Errorf("parameters without a value: %d %s", status, answer)
	}
	f = m.flow(c, "service")
	f.extra.Set("max_age", "600")
	status, uri := push(f)
	if status != 201 {
		t.Fatalf("%d %s", status, uri)
	}
	resp, _ := b.get("/oauth/authorize?" + url.Values{"client_id": {another.ID}, "request_uri": {uri}}.Encode())
	if resp.StatusCode/100 != 4 {
		t.Errorf("another client's: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	_, uri = push(f)
	// what stands beside request_uri counts for nothing
	_, page := b.get("/oauth/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {uri}, "state": {"evil"}, "code_challenge": {challenge("evil")},
		"authorization_details": {`[{"type":"akashi_consent","service":"portal","purposes":["care"]}]`}}.Encode())
	if !action.MatchString(page) || strings.Contains(page, "見まもり") {
		t.Fatalf("%s", page)
	}
	v := fields(page)
	v.Set("act", "give")
	resp, page = b.post(action.FindStringSubmatch(page)[1], v)
	if got := m.token(c, f.exchange(f.code(t, resp, page))); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if resp, _ := m.post("/oauth/par", rest.ClientMade{}, f.query()); resp.StatusCode != 401 {
		t.Errorf("pushed without a secret: %s", resp.Status)
	}
}
