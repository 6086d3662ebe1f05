package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/session"
)

// TestUpstream: a person comes back from the identity provider and is signed in, in
// the browser that went there, once, and strongly.
func TestUpstream(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	m.call("app", "POST", "/v1/people", object{"person": "p01", "service": "portal", "source": "self", "lookup": object{"oidc": "sub-1"}, "items": object{}}, nil)
	away := func(b *browser) string {
		t.Helper()
		resp, page := b.get("/signin?next=/oauth/x")
		if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "form-action 'self' "+idp.URL) || !strings.Contains(page, "認証アプリ") {
			t.Fatalf("%v\n%s", resp.Header, page)
		}
		resp, page = b.post("/signin/oidc", fields(page))
		if resp.StatusCode != 303 || !strings.HasPrefix(resp.Header.Get("Location"), idp.URL) {
			t.Fatalf("%s to %q\n%s", resp.Status, resp.Header.Get("Location"), page)
		}
		resp, _ = b.get(resp.Header.Get("Location"))
		return resp.Header.Get("Location")
	}
	idp.Is("sub-1", nil)
	b := m.browser()
	back := away(b)
	if resp, _ := m.browser().get(back); resp.StatusCode != http.StatusForbidden {
		t.Errorf("in another browser: %s", resp.Status)
	}
	back = away(b)
	if resp, page := b.get(back); resp.StatusCode != 303 || resp.Header.Get("Location") != "/oauth/x" {
		t.Fatalf("%s to %q\n%s", resp.Status, resp.Header.Get("Location"), page)
	}
	all, err := m.sessions.List("p01")
	fatal(t, err)
	if len(all) != 1 || all[0].Methods[0].Method != session.Upstream || !all[0].Strong(time.Now(), time.Minute) {
		t.Fatalf("%+v", all)
	}
	if resp, _ := b.get(back); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a second time: %s", resp.Status)
	}
	for name, x := range map[string]struct {
		subject string
		spoil   func(map[string]any)
		change  func(url.Values)
	}{
		"a stranger":       {"sub-9", nil, nil},
		"another nonce":    {"sub-1", func(c map[string]any) { c["nonce"] = "x" }, nil},
		"no nonce":         {"sub-1", func(c map[string]any) { delete(c, "nonce") }, nil},
		"another audience": {"sub-1", func(c map[string]any) { c["aud"] = "other" }, nil},
		"another issuer":   {"sub-1", func(c map[string]any) { c["iss"] = "https://evil.example" }, nil},
		"expired":          {"sub-1", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, nil},
		"no subject":       {"", nil, nil},
		"another state":    {"sub-1", nil, func(q url.Values) { q.Set("state", session.NewSecret()) }},
		"no state":         {"sub-1", nil, func(q url.Values) { q.Del("state") }},
		"a mix-up":         {"sub-1", nil, func(q url.Values) { q.Set("iss", "https://evil.example") }},
		"a made-up code":   {"sub-1", nil, func(q url.Values) { q.Set("code", "x") }},
		"state twice":      {"sub-1", nil, func(q url.Values) { q.Add("state", "x") }},
	} {
		idp.Is(x.subject, x.spoil)
		b := m.browser()
		u, err := url.Parse(away(b))
		fatal(t, err)
		q := u.Query()
		if x.change != nil {
			x.change(q)
		}
		u.RawQuery = q.Encode()
		if resp, page := b.get(u.String()); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s to %q\n%.300s", name, resp.Status, resp.Header.Get("Location"), page)
		}
	}
	if all, _ := m.sessions.List("p01"); len(all) != 1 {
		t.Errorf("%d sessions", len(all))
	}
}
