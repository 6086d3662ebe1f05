package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// liar is a member whose pages say of their endpoints what they like, and that counts
// what is asked of its token endpoint.
type liar struct {
	*httptest.Server
	asked atomic.Int32
}

func newLiar(t *testing.T, change func(metadata object)) *liar {
	mux := http.NewServeMux()
	l := &liar{Server: httptest.NewServer(mux)}
	t.Cleanup(l.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		m := object{"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/jwks",
			"id_token_signing_alg_values_supported": []string{"ES256"}}
		if change != nil {
			change(m)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(m)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		l.asked.Add(1)
		http.Error(w, "no", http.StatusBadRequest)
	})
	return l
}

func (l *liar) member() oauth.Member {
	return oauth.Member{ID: "m-sha", Name: record.Text{Ja: "う社", En: "M"}, Origin: l.URL}
}

// away begins a sign-in with a member, or ("") the identity provider.
func (b *browser) away(with string) *url.URL {
	b.m.t.Helper()
	_, page := b.get("/signin")
	f := fields(page)
	f.Set("with", with)
	resp, page := b.post("/signin/oidc", f)
	if resp.StatusCode != http.StatusSeeOther {
		b.m.t.Fatalf("%s\n%s", resp.Status, page)
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	fatal(b.m.t, err)
	return to
}

func set(u *url.URL, name, value string) *url.URL {
	v, q := *u, u.Query()
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	v.RawQuery = q.Encode()
	return &v
}

// TestMixUp: a member whose pages send a browser on to the identity provider, with the
// challenge and nonce of its operator, is not handed the provider's code, not even where
// the provider does not say who it is (RFC 9700 §4.4).
func TestMixUp(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	m.call("app", "POST", "/v1/people", object{"person": "p01", "service": "portal", "source": "self", "lookup": object{"oidc": "sub-1"}, "items": object{}}, nil)
	idp.Is("sub-1", nil)
	evil := newLiar(t, nil)
	m.others = []oauth.Member{evil.member()}

	operator, victim := m.browser(), m.browser()
	mine, hers := operator.away(""), victim.away("m-sha")
	if a, b := mine.Query().Get("redirect_uri"), hers.Query().Get("redirect_uri"); a == b || b != m.url+"/signin/oidc/callback/m-sha" {
		t.Errorf("issuers share a callback: %s, %s", a, b)
	}
	resp, _ := victim.get(set(mine, "state", hers.Query().Get("state")).String())
	back, err := url.Parse(resp.Header.Get("Location"))
	fatal(t, err)
	for _, path := range []string{"/signin/oidc/callback", "/signin/oidc/callback/m-sha"} { // of the second the provider knows nothing; a lax one might
		hers := victim.away("m-sha")
		back := set(set(back, "state", hers.Query().Get("state")), "iss", "")
		back.Path = path
		if resp, page := victim.get(back.String()); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s\n%.300s", path, resp.Status, page)
		}
	}
	if n := evil.asked.Load(); n != 0 {
		t.Errorf("the member was handed %d codes", n)
	}
	if all, err := m.sessions.List("p01"); err != nil || len(all) != 0 {
		t.Errorf("%d sessions, %v", len(all), err)
	}

	at := operator.away("") // the provider's metadata says that it names itself
	resp, _ = operator.get(at.String())
	back, err = url.Parse(resp.Header.Get("Location"))
	fatal(t, err)
	if resp, _ := operator.get(set(back, "iss", "").String()); resp.StatusCode != http.StatusForbidden {
		t.Errorf("no iss: %s", resp.Status)
	}
}

// TestMemberStaysAtItsOrigin: what a member's metadata names elsewhere is not asked, its
// redirects are not followed, and its endless answers end.
func TestMemberStaysAtItsOrigin(t *testing.T) {
	m := newSite(t)
	aim := newLiar(t, nil)
	long := strings.Repeat("x", 2<<20)
	for name, x := range map[string]struct {
		change func(object)
		began  bool
	}{
		"token endpoint elsewhere": {func(o object) { o["token_endpoint"] = aim.URL + "/token" }, true},
		"a redirect":               {func(o object) { o["token_endpoint"] = o["issuer"].(string) + "/moved" }, true},
		"too long":                 {func(o object) { o["more"] = long }, false},
	} {
		evil := newLiar(t, x.change)
		evil.Config.Handler.(*http.ServeMux).Handle("/moved", http.RedirectHandler(aim.URL+"/token", http.StatusTemporaryRedirect))
		m.others = []oauth.Member{evil.member()}
		b := m.browser()
		if !x.began {
			_, page := b.get("/signin")
			f := fields(page)
			f.Set("with", "m-sha")
			if resp, _ := b.post("/signin/oidc", f); resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: %s", name, resp.Status)
			}
			continue
		}
		to := b.away("m-sha")
		q := url.Values{"state": {to.Query().Get("state")}, "iss": {evil.URL}, "code": {"c"}}
		if resp, _ := b.get("/signin/oidc/callback/m-sha?" + q.Encode()); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	if n := aim.asked.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
	m.others[0].Origin = "https://b.example;sandbox"
	resp, _ := m.browser().get("/signin")
	if p := resp.Header.Get("Content-Security-Policy"); strings.Contains(p, "sandbox") || !strings.HasSuffix(p, "form-action 'self'") {
		t.Errorf("a member's text in the policy: %s", p)
	}
}
