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

// TestWeakSessionsOffer: a session with a code or a paper alone offers no button that is
// then refused. Its page says what is needed and leads there, where there is a way, and
// from there back to the same page, which then has the buttons.
func TestWeakSessionsOffer(t *testing.T) {
	const remove, end, confirm = `action="/signin/passkey/remove"`, `action="/signin/paper/end"`, `href="/signin?next=/signin/sessions"`
	idp := idptest.New(t)
	m := newSiteWith(t, "localhost", idp)
	idp.Is("sub-1", authTime(0))
	fatal(t, m.n.Desk().AddLookup(t.Context(), "p01", "oidc", "sub-1"))
	owner := m.enter("p01", session.Link)
	owner.passkey(t, "p01")
	owner.printed(t)
	if _, page := owner.get("/signin/sessions"); !strings.Contains(page, remove) || !strings.Contains(page, end) || strings.Contains(page, confirm) {
		t.Fatalf("the owner's page\n%s", page)
	}
	for _, how := range []session.Method{session.Code, session.Paper} {
		b := m.enter("p01", how)
		_, page := b.get("/signin/sessions")
		if strings.Contains(page, remove) || strings.Contains(page, end) || !strings.Contains(page, "外すには、パスキーか") || strings.Count(page, confirm) != 3 {
			t.Errorf("%s: buttons that will be refused, or no way to what is needed\n%s", how, page)
		}
		for _, path := range []string{"/signin/passkey/remove", "/signin/paper/end", "/signin/paper"} {
			if resp, page := b.post(path, url.Values{"form": fields(page)["form"], "replaces": {"0"}}); resp.StatusCode != http.StatusForbidden || !strings.Contains(page, confirm) {
				t.Errorf("%s: %s leads nowhere: %s\n%s", how, path, resp.Status, page)
			}
		}
		_, page = b.get("/signin?next=/signin/sessions")
		resp, _ := b.post("/signin/oidc", fields(page))
		resp, _ = b.get(resp.Header.Get("Location"))
		if resp, page = b.get(resp.Header.Get("Location")); resp.Header.Get("Location") != "/signin/sessions" {
			t.Fatalf("%s: confirmed, and led to %q: %s\n%s", how, resp.Header.Get("Location"), resp.Status, page)
		}
		if _, page = b.get("/signin/sessions"); !strings.Contains(page, remove) || !strings.Contains(page, end) || strings.Contains(page, confirm) {
			t.Errorf("%s: after it\n%s", how, page)
		}
	}

	m = newSiteOn(t, "localhost") // nobody but the desk knows more of p01
	b := m.enter("p01", session.Code)
	b.passkey(t, "p01")
	if _, page := b.get("/signin/sessions"); strings.Contains(page, remove) || !strings.Contains(page, "外すには、パスキーか") || strings.Contains(page, confirm) {
		t.Errorf("a passkey that waits for three days is no way to confirm\n%s", page)
	}
}

// TestPasskeyInAnOpenBrowser: whoever finds a browser that its person signed in with a
// while ago adds no passkey that counts at once: it would be a strong proof of theirs,
// and erase.
func TestPasskeyInAnOpenBrowser(t *testing.T) {
	m := newSiteOn(t, "localhost")
	for _, x := range []struct {
		how    session.Method
		ago    time.Duration
		strong bool
	}{
		{session.Link, time.Minute, true}, {session.Passkey, time.Minute, true},
		{session.Link, session.Recent + time.Minute, false}, {session.Passkey, session.Recent + time.Minute, false},
		{session.Upstream, 6 * time.Hour, false}, {session.Code, 0, false},
	} {
		_, err := m.sessions.Revoke("p01", "")
		fatal(t, err)
		b := m.shown("p01", x.how, x.ago)
		if _, page := b.get("/signin/sessions"); strings.Contains(page, "3日後から") == x.strong {
			t.Errorf("%s, %v ago: the page says the contrary\n%s", x.how, x.ago, page)
		}
		b.passkey(t, string(x.how)+x.ago.String())
		all, err := m.sessions.List("p01")
		fatal(t, err)
		if len(all) != 1 || all[0].Strong(time.Now(), session.Recent) != x.strong {
			t.Errorf("%s, %v ago: %+v", x.how, x.ago, all)
		}
	}
}
