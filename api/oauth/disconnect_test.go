package oauth_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/session"
)

// comesBack takes a browser to the provider and back, for connecting, as far as the
// page that asks.
func (b *browser) comesBack() (*http.Response, string) {
	b.m.t.Helper()
	_, page := b.get("/signin/sessions")
	resp, _ := b.post("/signin/oidc", url.Values{"form": fields(page)["form"], "connect": {"1"}})
	resp, _ = b.get(resp.Header.Get("Location"))
	return b.get(resp.Header.Get("Location"))
}

// TestConnectIsAsked: what came back from the other side connects nothing by itself,
// and counts once, in the session that began it, by a form of its page.
func TestConnectIsAsked(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	m.person("p02")
	found := func(sub string) bool {
		ref, is, err := m.n.Desk().Find(t.Context(), "oidc", sub)
		fatal(t, err)
		if is && ref != "p01" {
			t.Errorf("%s finds %s", sub, ref)
		}
		return is
	}
	asked := func(sub string) (*browser, url.Values) {
		idp.Is(sub, authTime(time.Minute))
		b := m.shown("p01", session.Passkey, time.Minute)
		if resp, page := b.comesBack(); resp.Header.Get("Location") != "/signin/connect" {
			t.Fatalf("%s\n%s", resp.Status, page)
		}
		resp, page := b.get("/signin/connect")
		if resp.StatusCode != 200 || !strings.Contains(page, "•••001") || !strings.Contains(page, "認証アプリ") || !strings.Contains(page, "この2つのアカウント") {
			t.Fatalf("the page does not name both accounts: %s\n%s", resp.Status, page)
		}
		form := fields(page)
		form.Set("act", "connect")
		return b, form
	}

	b, form := asked("no-token")
	if resp, _ := b.post("/signin/connect", url.Values{"act": {"connect"}}); resp.StatusCode != http.StatusForbidden || found("no-token") {
		t.Errorf("without the form's token: %s", resp.Status)
	}
	req, err := http.NewRequest("POST", m.url+"/signin/connect", strings.NewReader(form.Encode()))
	fatal(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, _ := do(t, b.c, req); resp.StatusCode != http.StatusForbidden || found("no-token") {
		t.Errorf("from another site: %s", resp.Status)
	}
	b.get("/signin/connect?" + form.Encode())
	if found("no-token") {
		t.Error("a link connects")
	}

	_, form = asked("other-person")
	other := m.shown("p02", session.Passkey, time.Minute)
	if resp, _ := other.post("/signin/connect", form); resp.StatusCode != http.StatusForbidden || found("other-person") {
		t.Errorf("the form in another person's session: %s", resp.Status)
	}
	_, page := other.get("/signin/sessions")
	if resp, _ := other.post("/signin/connect", url.Values{"form": fields(page)["form"], "act": {"connect"}}); resp.StatusCode != http.StatusForbidden || found("other-person") {
		t.Errorf("another person's own form: %s", resp.Status)
	}

	b, form = asked("not-me")
	form.Set("act", "no")
	b.post("/signin/connect", form)
	form.Set("act", "connect")
	if resp, _ := b.post("/signin/connect", form); resp.StatusCode != http.StatusForbidden || found("not-me") {
		t.Errorf("after a no: %s", resp.Status)
	}

	b, form = asked("me")
	if resp, page := b.post("/signin/connect", form); resp.StatusCode != http.StatusSeeOther || !found("me") {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	fatal(t, m.n.Desk().RemoveLookup(t.Context(), "p01", "oidc", "me"))
	if resp, _ := b.post("/signin/connect", form); resp.StatusCode != http.StatusForbidden || found("me") {
		t.Errorf("a replay: %s", resp.Status)
	}
}

// TestConnectWhatWasShown: the form of a page that names one account does not connect
// another that came back meanwhile.
func TestConnectWhatWasShown(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	b := m.shown("p01", session.Passkey, time.Minute)
	come := func(sub string) {
		idp.Is(sub, authTime(time.Minute))
		if resp, page := b.comesBack(); resp.Header.Get("Location") != "/signin/connect" {
			t.Fatalf("%s\n%s", resp.Status, page)
		}
	}
	come("first")
	_, page := b.get("/signin/connect")
	form := fields(page)
	form.Set("act", "connect")
	come("second") // in another tab, whose page is not looked at
	resp, page := b.post("/signin/connect", form)
	for _, sub := range []string{"first", "second"} {
		if _, is, err := m.n.Desk().Find(t.Context(), "oidc", sub); err != nil || is {
			t.Errorf("another account than the page named: %s is connected, %s, %v", sub, resp.Status, err)
		}
	}
	if resp.StatusCode != http.StatusConflict || !strings.Contains(page, "別のアカウント") {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	form = fields(page)
	form.Set("act", "connect")
	b.post("/signin/connect", form)
	if _, is, err := m.n.Desk().Find(t.Context(), "oidc", "second"); err != nil || !is {
		t.Errorf("confirmed, and not connected: %v", err)
	}
}

var connectionID = regexp.MustCompile(`action="/signin/disconnect">.*?name="id" value="([0-9a-f]+)"`)

// TestDisconnect: a connection is listed, and undone with what came by it and nothing
// else; nobody else undoes it.
func TestDisconnect(t *testing.T) {
	m := newSite(t)
	m.person("p02")
	desk := m.n.Desk()
	fatal(t, desk.AddLookup(t.Context(), "p01", "member", "b-sha/sub-1"))
	by := func(ref, account string) *browser {
		t.Helper()
		b := m.shown(ref, session.Passkey, 0)
		at, err := url.Parse(m.url)
		fatal(t, err)
		token, _, err := m.sessions.StartBy(ref, session.Proof{Method: session.Upstream, At: time.Now(), By: account}, "Firefox")
		fatal(t, err)
		b.c.Jar.SetCookies(at, []*http.Cookie{{Name: session.CookieSession, Value: token}})
		return b
	}
	came, own := by("p01", "member/b-sha/sub-1"), m.shown("p01", session.Passkey, 0)
	k := m.client(nil)
	grant := func(b *browser) tokens {
		t.Helper()
		f := m.flow(k, "service")
		f.detail["required"] = []string{"service"}
		resp, body := f.decide(b, "p01", give())
		return m.token(k, f.exchange(f.code(t, resp, body)))
	}
	theirs, mine := grant(came), grant(own)

	_, page := own.get("/signin/sessions")
	id := connectionID.FindStringSubmatch(page)
	if id == nil || !strings.Contains(page, "b-shaとつながっています") {
		t.Fatalf("not listed\n%s", page)
	}
	known := func() bool {
		_, is, err := desk.Find(t.Context(), "member", "b-sha/sub-1")
		fatal(t, err)
		return is
	}
	if resp, _ := own.post("/signin/disconnect", url.Values{"id": {id[1]}}); resp.StatusCode != http.StatusForbidden || !known() {
		t.Errorf("without the form's token: %s", resp.Status)
	}
	if resp, _ := m.browser().post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(page)["form"]}); resp.StatusCode != http.StatusUnauthorized || !known() {
		t.Errorf("without a session: %s", resp.Status)
	}
	other := m.shown("p02", session.Passkey, 0)
	_, hers := other.get("/signin/sessions")
	if other.post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(hers)["form"]}); !known() {
		t.Error("another person's session ended it")
	}

	for range 2 { // a repeated form is no error, and ends no more
		if resp, page := own.post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(page)["form"]}); resp.StatusCode != http.StatusSeeOther || known() {
			t.Fatalf("%s\n%s", resp.Status, page)
		}
	}
	if resp, _ := came.get("/signin/sessions"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the session that came by it goes on: %s", resp.Status)
	}
	if resp, _ := own.get("/signin/sessions"); resp.StatusCode != http.StatusOK {
		t.Errorf("the person's own session: %s", resp.Status)
	}
	if got := m.token(k, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {theirs.Refresh}}); got.status == 200 {
		t.Error("a grant of a session that came by it goes on")
	}
	if got := m.token(k, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mine.Refresh}}); got.status != 200 {
		t.Errorf("the person's own grant ended: %+v", got)
	}
}

// TestDisconnectWeakly: whoever reads one message, or finds a paper, takes nobody's
// strong way in away, which could not be made again; their page says what it needs.
func TestDisconnectWeakly(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	accounts := map[string]string{"oidc": "sub-1", "member": "b-sha/sub-1"}
	for kind, value := range accounts {
		fatal(t, m.n.Desk().AddLookup(t.Context(), "p01", kind, value))
	}
	_, strong := m.shown("p01", session.Passkey, 0).get("/signin/sessions")
	ids := connectionID.FindAllStringSubmatch(strong, -1)
	if len(ids) != len(accounts) || strings.Contains(strong, "はずすには") {
		t.Fatalf("%d buttons\n%s", len(ids), strong)
	}
	for _, how := range []session.Method{session.Code, session.Paper} {
		b := m.shown("p01", how, 0)
		_, page := b.get("/signin/sessions")
		if connectionID.MatchString(page) || strings.Count(page, "とつながっています") != len(accounts) || !strings.Contains(page, "はずすには") {
			t.Errorf("%s: a button that will be refused, or nothing that says why\n%s", how, page)
		}
		for _, id := range ids {
			if resp, page := b.post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(page)["form"]}); resp.StatusCode != http.StatusForbidden || !strings.Contains(page, "番号だけでは、取り除けません") {
				t.Errorf("%s: %s\n%s", how, resp.Status, page)
			}
		}
		for kind, value := range accounts {
			if _, is, err := m.n.Desk().Find(t.Context(), kind, value); err != nil || !is {
				t.Errorf("by a code or a paper alone the connection %s ended: %v, %v", kind, how, err)
			}
		}
	}
	for _, how := range []session.Method{session.Link, session.Upstream} {
		b := m.shown("p01", how, time.Hour)
		_, page := b.get("/signin/sessions")
		id := connectionID.FindStringSubmatch(page)
		if id == nil {
			t.Fatalf("%s: no button\n%s", how, page)
		}
		if resp, page := b.post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(page)["form"]}); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %s\n%s", how, resp.Status, page)
		}
	}
	for kind, value := range accounts {
		if _, is, err := m.n.Desk().Find(t.Context(), kind, value); err != nil || is {
			t.Errorf("%s is still connected: %v", kind, err)
		}
	}
}

// TestConnectProvider: an account at the identity provider that its person connected is
// listed and undone like one at a member. Where the provider's sub is a lookup that the
// member made for itself, people neither connect nor undo it.
func TestConnectProvider(t *testing.T) {
	idp := idptest.New(t)
	m := newSiteWith(t, "127.0.0.1", idp)
	idp.Is("sub-1", authTime(time.Minute))
	offered := regexp.MustCompile(`name="connect" value="1"><button class="btn" name="with" value="">認証アプリとつなぐ<`)
	b := m.shown("p01", session.Passkey, time.Minute)
	if _, page := b.get("/signin/sessions"); !offered.MatchString(page) || strings.Contains(page, "とつながっています") {
		t.Fatalf("not offered\n%s", page)
	}
	b.comesBack()
	_, page := b.get("/signin/connect")
	if !strings.Contains(page, "いま認証アプリで確かめたのがあなた自身のときだけ") || strings.Contains(page, "確認の番号") {
		t.Errorf("the page compares a number that the provider's pages do not show\n%s", page)
	}
	form := fields(page)
	form.Set("act", "connect")
	b.post("/signin/connect", form)

	came := m.browser()
	resp, _ := came.get(came.away("").String())
	if resp, _ = came.get(resp.Header.Get("Location")); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("signing in by it: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	_, page = b.get("/signin/sessions")
	id := connectionID.FindStringSubmatch(page)
	if id == nil || !strings.Contains(page, "認証アプリとつながっています") || offered.MatchString(page) {
		t.Fatalf("not listed\n%s", page)
	}
	b.post("/signin/disconnect", url.Values{"id": {id[1]}, "form": fields(page)["form"]})
	if _, is, err := m.n.Desk().Find(t.Context(), "oidc", "sub-1"); err != nil || is {
		t.Errorf("undone, and found: %v", err)
	}
	if resp, _ := came.get("/signin/sessions"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the session that came by it goes on: %s", resp.Status)
	}

	fatal(t, m.n.Desk().AddLookup(t.Context(), "p01", "customer", "sub-1"))
	m.beside(func(o *oauth.Options) {
		o.Upstream = &oauth.Upstream{Issuer: idp.URL, ClientID: idp.ClientID, Secret: idp.Secret, Name: "認証アプリ", Lookup: "customer"}
	})
	b = m.shown("p01", session.Passkey, time.Minute)
	if _, page = b.get("/signin/sessions"); strings.Contains(page, "認証アプリ") {
		t.Errorf("the member's own lookup is offered or listed\n%s", page)
	}
	resp, page = b.post("/signin/oidc", url.Values{"form": fields(page)["form"], "connect": {"1"}})
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(page, "つなげませんでした") {
		t.Errorf("a form made by hand begins to connect: %s\n%s", resp.Status, page)
	}
}
