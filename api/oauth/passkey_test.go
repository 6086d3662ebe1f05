package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// TestPasskey: in a real browser with a virtual authenticator, a person adds a
// passkey in a session that a link began, leaves, and signs in with it on the way of
// an app's request.
func TestPasskey(t *testing.T) {
	m := newSiteOn(t, "localhost")
	ctx := browsertest.Open(t)
	token, _, err := m.sessions.Start("p01", session.Link, "Chromium")
	fatal(t, err)
	f := m.flow(m.client(nil), "service")
	browsertest.Run(t, ctx,
		browsertest.Command(webauthn.Enable, webauthn.EnableParams{}),
		browsertest.Command(webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{Protocol: "ctap2", Transport: "internal",
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}}),
		browsertest.Command(network.SetCookie, network.SetCookieParams{Name: session.CookieSession, Value: token, URL: m.url}),
		chromedp.Navigate(m.url+"/signin/sessions"),
		chromedp.WaitVisible(chromedp.CSS("#passkey")),
		chromedp.Click(chromedp.CSS("#passkey")),
		chromedp.WaitVisible(chromedp.CSS(".passkey-kept")),
	)
	all, err := m.sessions.List("p01")
	fatal(t, err)
	if len(all) != 1 || !all[0].Strong(time.Now(), time.Minute) {
		t.Fatalf("after adding: %+v", all)
	}
	if _, err := m.sessions.Lookup(token); err == nil {
		t.Error("the session kept its token when the person proved more")
	}
	_, err = m.sessions.Revoke("p01", "")
	fatal(t, err)
	browsertest.Run(t, ctx,
		chromedp.Navigate(m.url+"/oauth/authorize?"+f.query().Encode()),
		chromedp.WaitVisible(chromedp.CSS("#passkey")),
		chromedp.Click(chromedp.CSS("#passkey")),
		chromedp.WaitVisible(chromedp.CSS(".genuine")),
	)
	at, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
	fatal(t, err)
	if !strings.HasPrefix(at, m.url+"/oauth/authorize/") {
		t.Errorf("the passkey led to %s", at)
	}
	all, err = m.sessions.List("p01")
	fatal(t, err)
	if len(all) != 1 || all[0].Methods[0].Method != session.Passkey {
		t.Errorf("signed in: %+v", all)
	}
	confirmed(t, ctx, m, f)
}

// confirmed gives the consent that a screen asks for, in the browser: without a
// finger on the authenticator nothing is given, with it the passkey's answer is in
// the consent.
func confirmed(t *testing.T, ctx context.Context, m *site, f *flow) {
	t.Helper()
	absent := func(absent bool) {
		t.Helper()
		browsertest.Run(t, ctx, chromedp.Evaluate[chromedp.Void](`navigator.credentials.get = `+map[bool]string{true: `() => Promise.reject(new DOMException("", "NotAllowedError"))`, false: `CredentialsContainer.prototype.get`}[absent]))
	}
	browsertest.Run(t, ctx, browsertest.Seen("#confirm-hint"))
	absent(true)
	browsertest.Run(t, ctx, browsertest.Click("button[value=give]"), browsertest.Seen("#confirm-without"))
	browsertest.Accessible(t, ctx, "the consent screen when no passkey was used")
	browsertest.Shot(t, ctx, "consent-passkey", 360, 1280)
	if n := len(m.consented(t, "p01")); n != 0 {
		t.Fatalf("%d consents without the passkey", n)
	}
	absent(false)
	browsertest.Run(t, ctx, browsertest.Click("button[value=give]"))
	wait(t, "the consents", func() bool { return len(m.consented(t, "p01")) > 0 })
	for _, v := range m.consented(t, "p01") {
		if v.Passkey != m.url {
			t.Errorf("%+v", v)
		}
	}
}

// A passkey that was added with nothing but a code is not strong at once, and no
// ceremony is begun or ended by a stranger.
func TestPasskeyForms(t *testing.T) {
	m := newSiteOn(t, "localhost")
	b := m.browser()
	_, page := b.get("/signin")
	v := fields(page)
	for name, change := range map[string]func(url.Values){
		"no form token":   func(v url.Values) { v.Del("form") },
		"add, no session": func(v url.Values) { v.Set("add", "1") },
		"nothing begun":   func(v url.Values) { v.Set("credential", "{}") },
		"no credential":   func(v url.Values) {},
		"another's handle": func(v url.Values) {
			v.Set("credential", `{"id":"AA","rawId":"AA","type":"public-key","response":{"userHandle":"AAAA"}}`)
		},
		"not a credential":  func(v url.Values) { v.Set("credential", "\xff") },
		"a huge credential": func(v url.Values) { v.Set("credential", strings.Repeat("x", 1<<20)) },
	} {
		w := url.Values{"form": v["form"]}
		change(w)
		if resp, body := b.post("/signin/passkey/end", w); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	if resp, body := b.post("/signin/passkey/begin", url.Values{"form": v["form"]}); resp.StatusCode != 200 || !strings.Contains(body, `"userVerification":"required"`) || !strings.Contains(body, `"rpId":"localhost"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, _ := b.post("/signin/passkey/begin", url.Values{}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("begun without a form: %s", resp.Status)
	}
	b = m.shown("p01", session.Link, 0)
	_, page = b.get("/signin/sessions")
	if resp, body := b.post("/signin/passkey/remove", url.Values{"form": fields(page)["form"], "id": {"00"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("one of none taken away: %s %s", resp.Status, body)
	}
}
