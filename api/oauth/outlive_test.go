package oauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/custody"
)

// slowDesk is a desk at which something happens while a consent becomes final, instead
// of which the page may get an error.
type slowDesk struct {
	*custody.Desk
	meanwhile func() error
}

func (d *slowDesk) Consent(ctx context.Context, c custody.Call, r custody.ConsentRequest) (*custody.Done, error) {
	done, err := d.Desk.Consent(ctx, c, r)
	if do := d.meanwhile; do != nil {
		d.meanwhile = nil
		if said := do(); said != nil {
			return nil, said
		}
	}
	return done, err
}

// slow is a second server of the site, at a slowDesk.
func (m *site) slow() *slowDesk {
	m.t.Helper()
	desk := &slowDesk{Desk: m.n.Desk()}
	m.beside(func(o *oauth.Options) { o.Desk = desk })
	return desk
}

// beside is a second server of the site, with other options; the storage is the same.
func (m *site) beside(change func(*oauth.Options)) {
	m.t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	m.url = "http://" + srv.Listener.Addr().String()
	o := oauth.Options{Issuer: m.url, Member: m.n.Self(), Key: m.n.Desk().KeyFor("authorization server"), Blobs: m.n.Blobs(), Sessions: m.sessions,
		Desk: m.n.Desk(), State: m.n.FinalState, Changed: m.n.FinalChanged, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	change(&o)
	s, err := oauth.New(o)
	fatal(m.t, err)
	srv.Config.Handler = s
	srv.Start()
	m.t.Cleanup(func() { srv.Close(); s.Close() })
}

// TestGrantDuringDisconnect: what an app is given in a session that came by a connection
// does not outlive it, also where it ends while the consent is becoming final.
func TestGrantDuringDisconnect(t *testing.T) {
	m := newSite(t)
	k := m.client(nil)
	desk := m.slow()
	fatal(t, desk.AddLookup(t.Context(), "p01", "member", "b-sha/sub-1"))

	came, own := m.browser(), m.shown("p01", session.Passkey, 0)
	token, _, err := m.sessions.StartBy("p01", session.Proof{Method: session.Upstream, At: time.Now(), By: "member/b-sha/sub-1"}, "Firefox")
	fatal(t, err)
	at, err := url.Parse(m.url)
	fatal(t, err)
	came.c.Jar.SetCookies(at, []*http.Cookie{{Name: session.CookieSession, Value: token}})
	_, page := own.get("/signin/sessions")
	ended := false
	desk.meanwhile = func() error {
		ended = true
		if resp, _ := own.post("/signin/disconnect", url.Values{"id": {connectionID.FindStringSubmatch(page)[1]}, "form": fields(page)["form"]}); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%s", resp.Status)
		}
		return nil
	}
	f := m.flow(k, "service")
	resp, body := f.decide(came, "p01", give())
	if !ended {
		t.Fatalf("no consent: %s\n%s", resp.Status, body)
	}
	if got := m.token(k, f.exchange(f.code(t, resp, body))); got.status == http.StatusOK {
		t.Errorf("outlives its connection: access token %v, refresh token %v", got.Access != "", got.Refresh != "")
	}
}

// TestTokensWithoutTheirAccount: tokens that there are open nothing either once the
// account by which they came is not the person's.
func TestTokensWithoutTheirAccount(t *testing.T) {
	m := newSite(t)
	fatal(t, m.n.Desk().AddLookup(t.Context(), "p01", "member", "b-sha/sub-1"))
	b := m.browser()
	token, _, err := m.sessions.StartBy("p01", session.Proof{Method: session.Upstream, At: time.Now(), By: "member/b-sha/sub-1"}, "Firefox")
	fatal(t, err)
	at, err := url.Parse(m.url)
	fatal(t, err)
	b.c.Jar.SetCookies(at, []*http.Cookie{{Name: session.CookieSession, Value: token}})
	k := m.client(nil)
	f := m.flow(k, "service")
	resp, body := f.decide(b, "p01", give())
	got := m.token(k, f.exchange(f.code(t, resp, body)))
	if status, v := m.introspect(k, got.Access); got.status != http.StatusOK || status != http.StatusOK || v["active"] != true {
		t.Fatalf("%+v %d %v", got, status, v)
	}
	own := m.shown("p01", session.Passkey, 0)
	listed := func() bool {
		_, page := own.get("/signin/sessions")
		return strings.Contains(page, `action="/signin/apps"`)
	}
	if !listed() {
		t.Error("not listed while it lives")
	}
	fatal(t, m.n.Desk().RemoveLookup(t.Context(), "p01", "member", "b-sha/sub-1"))
	if listed() {
		t.Error("listed, and opens nothing")
	}
	if _, v := m.introspect(k, got.Access); v["active"] != false {
		t.Errorf("active without its account: %v", v)
	}
	if status, _, code := m.data(got.Access, "purpose=service&items=user-id"); status == http.StatusOK {
		t.Errorf("read without its account: %s", code)
	}
	if again := m.token(k, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); again.status == http.StatusOK {
		t.Error("refreshed without its account")
	}
}

// TestWhoseConsent: the consent screen says in whose account one decides, outside of what
// its hash covers, and how somebody else signs in.
func TestWhoseConsent(t *testing.T) {
	m := newSite(t)
	b := m.shown("p01", session.Link, 0)
	_, page := b.get("/oauth/authorize?" + m.flow(m.client(nil)).query().Encode())
	account, err := m.n.Desk().Hint("p01")
	fatal(t, err)
	here := action.FindStringSubmatch(page)
	if here == nil || account == "" || !strings.Contains(page, "あなたのアカウント："+account) || !strings.Contains(page, `href="/signin?next=`+strings.ReplaceAll(here[1], "/", "%2f")+`"`) {
		t.Fatalf("%q is not on the screen, or no way to sign in as another\n%s", account, page)
	}
	m.person("p02")
	_, page = m.shown("p02", session.Link, 0).get(here[1])
	if other, err := m.n.Desk().Hint("p02"); err != nil || !strings.Contains(page, other) || strings.Contains(page, account) {
		t.Errorf("%q is not on the screen, %v\n%s", other, err, page)
	}
}
