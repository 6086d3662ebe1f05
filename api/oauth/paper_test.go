package oauth_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

var onPaper = regexp.MustCompile(`<p class="mono paper-code" translate="no">([^<]+)</p>`)

// printed makes the paper of the person who is signed in.
func (b *browser) printed(t *testing.T) string {
	t.Helper()
	_, page := b.get("/signin/sessions")
	form := url.Values{"form": fields(page)["form"], "replaces": regexp.MustCompile(`name="replaces" value="([^"]+)"`).FindStringSubmatch(page)[1:]}
	resp, page := b.post("/signin/paper", form)
	if again, _ := b.post("/signin/paper", form); again.StatusCode != http.StatusSeeOther {
		t.Errorf("the form sent again: %s", again.Status)
	}
	m := onPaper.FindStringSubmatch(page)
	if resp.StatusCode != 200 || m == nil || !strings.Contains(page, "<svg") {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	return html.UnescapeString(m[1])
}

// entered is a browser with a session of a method.
func (m *site) enter(ref string, how session.Method) *browser {
	m.t.Helper()
	token, _, err := m.sessions.Start(ref, how, "Firefox")
	fatal(m.t, err)
	b := m.browser()
	at, err := url.Parse(m.url)
	fatal(m.t, err)
	b.c.Jar.SetCookies(at, []*http.Cookie{{Name: session.CookieSession, Value: token}})
	return b
}

// TestRecover: with the paper and nothing else a person comes back in another browser;
// everything else of theirs ends, and the paper opens neither erasure nor export, also
// not by a passkey that is added after it.
func TestRecover(t *testing.T) {
	m := newSiteOn(t, "localhost")
	m.person("p02")
	old := m.enter("p01", session.Link)
	paper := old.printed(t)
	other := m.enter("p02", session.Link)
	theirs := other.printed(t)

	b := m.browser()
	open := func(secret string) url.Values {
		t.Helper()
		resp, page := b.get("/signin/recover?" + url.Values{"paper": {secret}}.Encode())
		if resp.StatusCode != 200 || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %v", resp.Status, resp.Header)
		}
		return url.Values{"form": fields(page)["form"], "paper": {secret}}
	}
	for name, secret := range map[string]string{"a guess": session.NewSecret(), "nothing": "", "a script": `"><script>`, "a name": "p01", "long": strings.Repeat("A", 8<<10)} {
		form := open(secret[:min(len(secret), 200)])
		form.Set("paper", secret)
		if resp, page := b.post("/signin/recover", form); resp.StatusCode != http.StatusUnprocessableEntity || strings.Contains(page, "<script>") {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	form := open(paper)
	if resp, _ := b.post("/signin/recover", url.Values{"paper": {paper}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another page's form: %s", resp.Status)
	}
	open(paper) // however often it is opened
	if resp, page := b.post("/signin/recover", form); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/signin/sessions" {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	if resp, _ := old.get("/signin/sessions"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the lost telephone is still signed in: %s", resp.Status)
	}
	if resp, _ := other.get("/signin/sessions"); resp.StatusCode != 200 {
		t.Errorf("another person was signed out: %s", resp.Status)
	}
	b.passkey(t, "p01")
	all, err := m.sessions.List("p01")
	fatal(t, err)
	if len(all) != 1 || all[0].Strong(time.Now(), time.Hour) || all[0].Methods[0].Method != session.Paper {
		t.Errorf("after paper and a new passkey: %+v", all)
	}
	if _, page := b.get("/signin/sessions"); strings.Contains(page, `action="/signin/paper"`) || !strings.Contains(page, "には") {
		t.Error("a paper alone makes another, or the passkey does not wait")
	}
	_, page := b.get("/signin/sessions")
	if resp, _ := b.post("/signin/paper", url.Values{"form": fields(page)["form"], "replaces": {"0"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a paper after a paper: %s", resp.Status)
	}
	if resp, _ := b.post("/signin/recover", open(paper)); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("used twice: %s", resp.Status)
	}
	// Another person's paper, in a browser with a session: it becomes theirs.
	if resp, _ := b.post("/signin/recover", open(theirs)); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the other's paper: %s", resp.Status)
	}
	if all, err = m.sessions.List("p02"); err != nil || len(all) != 1 || all[0].Methods[0].Method != session.Paper {
		t.Errorf("%+v %v", all, err)
	}
	if code := m.enter("p01", session.Code); code != nil {
		_, page := code.get("/signin/sessions")
		if resp, _ := code.post("/signin/paper", url.Values{"form": fields(page)["form"], "replaces": {"0"}}); resp.StatusCode != http.StatusForbidden {
			t.Errorf("made after a code alone: %s", resp.Status)
		}
	}
}

// papers looks at the page of a new paper and at the one where it is used: the printed
// code leads back to the person's own.
func (c *coupon) papers(ctx context.Context) {
	t := c.t
	t.Helper()
	secret := ""
	for _, lang := range languages {
		token, _, err := c.sessions.Start("p02", session.Link, "Chromium") // each shows anew who they are
		fatal(t, err)
		browsertest.Run(t, ctx, browsertest.Command(network.SetCookie, network.SetCookieParams{Name: session.CookieSession, Value: token, URL: c.url}),
			chromedp.Navigate(c.url+"/signin/sessions?lang="+lang.name), browsertest.Click(`form[action="/signin/paper"] button`), browsertest.Seen(".paper-code"))
		c.look(ctx, "signin-paper", lang.name, 360, 768, 1280)
		secret = strings.Join(strings.Fields(browsertest.TextOf(t, ctx, ".paper-code")), "")
	}
	browsertest.Run(t, ctx, browsertest.Command(network.ClearBrowserCookies, struct{}{}), chromedp.Navigate(c.url+"/signin/recover?paper="+secret), browsertest.Seen("#paper"))
	c.looked(ctx, "signin-recover", 360, 768, 1280)
	browsertest.Run(t, ctx, chromedp.Navigate(c.url+"/signin/recover?paper="+secret), browsertest.Click("form .btn.pri"), browsertest.Seen(".con"))
	if at := browsertest.Location(t, ctx); at != c.url+"/signin/sessions" {
		t.Errorf("came back to %s", at)
	}
}
