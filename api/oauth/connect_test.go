package oauth_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/session"
)

// shown is a browser with a session by a proof that is so old.
func (m *site) shown(ref string, how session.Method, ago time.Duration) *browser {
	m.t.Helper()
	token, _, err := m.sessions.StartBy(ref, session.Proof{Method: how, At: time.Now().Add(-ago)}, "Firefox")
	fatal(m.t, err)
	b := m.browser()
	at, err := url.Parse(m.url)
	fatal(m.t, err)
	b.c.Jar.SetCookies(at, []*http.Cookie{{Name: session.CookieSession, Value: token}})
	return b
}

func authTime(ago time.Duration) func(map[string]any) {
	return func(c map[string]any) { c["auth_time"] = time.Now().Add(-ago).Unix() }
}

// TestConnectingIsFresh: accounts are connected, and papers made, only where more than a
// code was shown on both sides just now; and the other side is told to ask anew.
func TestConnectingIsFresh(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	for name, x := range map[string]struct {
		how         session.Method
		here, there time.Duration
		status      int
	}{
		"a link and a proof":    {session.Link, time.Minute, time.Minute, http.StatusSeeOther},
		"a link of long ago":    {session.Link, 11 * time.Minute, time.Minute, http.StatusForbidden},
		"a passkey of long ago": {session.Passkey, 11 * time.Minute, time.Minute, http.StatusForbidden},
		"a code":                {session.Code, 0, time.Minute, http.StatusForbidden},
		"long ago on that side": {session.Passkey, time.Minute, 11 * time.Minute, http.StatusForbidden},
	} {
		sub := strings.ReplaceAll(name, " ", "-")
		idp.Is(sub, authTime(x.there))
		b := m.shown("p01", x.how, x.here)
		_, page := b.get("/signin/sessions")
		form := url.Values{"form": fields(page)["form"], "connect": {"1"}, "replaces": {strconv.FormatInt(time.Time{}.UnixMilli(), 10)}}
		resp, _ := b.post("/signin/oidc", form)
		to, err := url.Parse(resp.Header.Get("Location"))
		fatal(t, err)
		if to.Query().Get("prompt") != "login" {
			t.Errorf("%s: the provider is not told to ask anew: %s", name, to)
		}
		resp, _ = b.get(to.String())
		resp, page = b.get(resp.Header.Get("Location"))
		if x.status == http.StatusSeeOther {
			if at := resp.Header.Get("Location"); at != "/signin/connect" {
				t.Fatalf("%s: %s to %q\n%.300s", name, resp.Status, at, page)
			}
			if _, found, err := m.n.Desk().Find(t.Context(), "oidc", sub); err != nil || found {
				t.Fatalf("%s: connected before the person said so, %v", name, err)
			}
			_, page = b.get("/signin/connect")
			resp, page = b.post("/signin/connect", url.Values{"form": form["form"], "asked": fields(page)["asked"], "act": {"connect"}})
		}
		_, found, err := m.n.Desk().Find(t.Context(), "oidc", sub)
		if err != nil || resp.StatusCode != x.status || found != (x.status == http.StatusSeeOther) {
			t.Errorf("%s: %s, connected %v, %v\n%.300s", name, resp.Status, found, err, page)
		}
		if x.there > 10*time.Minute {
			continue
		}
		want := http.StatusForbidden
		if x.status == http.StatusSeeOther {
			want = http.StatusOK
		}
		if resp, _ := b.post("/signin/paper", form); resp.StatusCode != want {
			t.Errorf("%s: a paper: %s", name, resp.Status)
		}
	}
}

// TestProofKeepsItsAge: what was shown elsewhere long ago is no proof of now, and a time
// to come is none later than now.
func TestProofKeepsItsAge(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	m.call("app", "POST", "/v1/people", object{"person": "p01", "service": "portal", "source": "self", "lookup": object{"oidc": "sub-1"}, "items": object{}}, nil)
	for _, ago := range []time.Duration{time.Hour, -time.Hour} {
		idp.Is("sub-1", authTime(ago))
		b := m.browser()
		resp, _ := b.get(b.away("").String())
		if resp, page := b.get(resp.Header.Get("Location")); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s\n%s", resp.Status, page)
		}
		all, err := m.sessions.List("p01")
		fatal(t, err)
		if len(all) != 1 || all[0].Last().After(time.Now()) || all[0].Strong(time.Now(), 10*time.Minute) != (ago < 0) {
			t.Errorf("%v ago: %+v", ago, all)
		}
		_, err = m.sessions.Revoke("p01", "")
		fatal(t, err)
	}

	f := m.flow(m.client(nil)) // what an app asks for is passed on
	f.extra = url.Values{"prompt": {"login"}, "max_age": {"60"}}
	b := m.browser()
	resp, _ := b.get("/oauth/authorize?" + f.query().Encode())
	_, page := b.get(resp.Header.Get("Location"))
	form := fields(page)
	resp, _ = b.post("/signin/oidc", form)
	to, err := url.Parse(resp.Header.Get("Location"))
	fatal(t, err)
	if q := to.Query(); q.Get("prompt") != "login" || q.Get("max_age") != "60" {
		t.Errorf("the provider is asked %s (next %q)", to, form.Get("next"))
	}
}
