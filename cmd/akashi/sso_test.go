package main

import (
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestSignInAcrossMembers: nobody registered anything, and a person whom member 0 knows
// as yui signs in at member 1, where she is y1, with her account at member 0: after she
// has connected the two, by her own word, and no more strongly than she showed there.
func TestSignInAcrossMembers(t *testing.T) {
	c := startTown(t)
	jar, err := cookiejar.New(nil)
	c.must(err)
	b := &http.Client{Timeout: c.http.Timeout, Transport: c.http.Transport, Jar: jar}
	there := strings.TrimSuffix(browserURL(c.base, 1), "/")
	c.bank()
	link, err := c.app(1).Link(t.Context(), "y1", time.Minute)
	c.must(err)
	r := &pages{c, b, there}
	r.enter(there + "/enter?code=" + url.QueryEscape(link.Code))
	c.until("member 1 knows where member 0's pages are", func() bool { return strings.Contains(r.get("/signin/sessions"), `value="member-0"`) })

	at0 := &pages{c, b, c.issuer}
	at0.enter(c.link("yui"))
	screen := r.form("/signin/sessions", "/signin/oidc", url.Values{"with": {"member-0"}, "connect": {"1"}})
	back := waits.FindString(html.UnescapeString(screen))
	if back == "" {
		t.Fatalf("connecting does not ask her to sign in at member 0 anew\n%s", screen)
	}
	at0.get(strings.TrimPrefix(c.link("yui"), c.issuer))
	screen = at0.get(back)
	if !strings.Contains(screen, "加盟企業1に、あなたであることを伝えますか") || strings.Contains(screen, "髙橋") {
		t.Fatalf("member 0 asks\n%s", screen)
	}
	number := compared.FindString(screen)
	screen = at0.answer(screen, url.Values{"act": {"tell"}})
	if number == "" || compared.FindString(screen) != number || !strings.Contains(screen, "この2つのアカウントをつなぎますか") || !strings.Contains(screen, ">y1<") {
		t.Fatalf("member 1 does not name both accounts, one as %q\n%s", number, screen)
	}
	if page := r.get("/signin/sessions"); strings.Contains(page, "とつながっています") {
		t.Fatalf("connected before she said so\n%s", page)
	}
	if page := r.send(screen, "/signin/connect", url.Values{"act": {"connect"}, "asked": {asked.FindStringSubmatch(screen)[1]}}); !strings.Contains(page, "加盟企業0とつながっています") || compared.FindString(page) != number {
		t.Fatalf("connected\n%s", page)
	}
	r.form("/signin/sessions", "/signin/sessions", url.Values{"id": {"all"}})
	if page := r.get("/"); strings.Contains(page, "まちの銀行</h3>") && strings.Contains(page, `action="/leave"`) {
		t.Fatalf("still signed in at member 1\n%s", page)
	}

	if page := at0.answer(r.form("/signin?next=/services/bank", "/signin/oidc", url.Values{"with": {"member-0"}, "next": {"/services/bank"}}), url.Values{"act": {"no"}}); strings.Contains(page, `action="/leave"`) {
		t.Errorf("she did not tell, and is signed in\n%s", page)
	}
	page := at0.answer(r.form("/signin?next=/services/bank", "/signin/oidc", url.Values{"with": {"member-0"}, "next": {"/services/bank"}}), url.Values{"act": {"tell"}})
	if !strings.Contains(page, `action="/services/bank"`) || !strings.Contains(page, "まちの銀行") {
		t.Fatalf("signed in with member 0\n%s", page)
	}
	if !strings.Contains(page, `value="erase" disabled`) {
		t.Error("a link at member 0 counts as a strong proof at member 1")
	}

	page = r.get("/signin/sessions")
	id := connected.FindStringSubmatch(page)
	if id == nil {
		t.Fatalf("no connection to end\n%s", page)
	}
	if page := r.send(page, "/signin/disconnect", url.Values{"id": {id[1]}}); strings.Contains(page, `action="/signin/disconnect"`) || strings.Contains(page, `action="/leave"`) || !strings.Contains(page, `action="/signin/recover"`) && !strings.Contains(page, `href="/signin/recover"`) {
		t.Errorf("disconnected by a session that came by it\n%s", page)
	}
	if page := at0.answer(r.form("/signin", "/signin/oidc", url.Values{"with": {"member-0"}}), url.Values{"act": {"tell"}}); !strings.Contains(page, "登録が見つかりません") {
		t.Errorf("disconnected, and known\n%s", page)
	}

	c.person("ren", "09000000002") // whom member 1 does not know
	ren := c.link("ren")
	asked := at0.get(strings.TrimPrefix(ren, c.issuer))
	if !strings.Contains(asked, "として入っています") || !strings.Contains(at0.get("/signin/sessions"), `action="/signin/sessions"`) {
		t.Fatalf("his link takes her browser to his account unasked\n%s", asked)
	}
	at0.enter(ren)
	if page := at0.answer(r.form("/signin", "/signin/oidc", url.Values{"with": {"member-0"}}), url.Values{"act": {"tell"}}); !strings.Contains(page, "登録が見つかりません") {
		t.Errorf("a stranger\n%s", page)
	}
}

// bank opens a service of member 1, with somebody.
func (c *town) bank() {
	c.t.Helper()
	text := record.Text{Ja: "まちの銀行", En: "Town bank"}
	admin, err := c.client(1, c.tokens["admin"])
	c.must(err)
	_, err = admin.OpenService(c.t.Context(), rest.ServiceForm{ID: "bank", Name: text, Contact: text, Fields: []string{"name"}})
	c.must(err)
	_, err = c.app(1).Register(c.t.Context(), custody.Registration{Person: "y1", Service: "bank", Source: "self", Items: map[string]string{"name": "髙橋 結"}})
	c.must(err)
}

// pages are those of one member in somebody's browser, which follows redirects.
type pages struct {
	c    *town
	http *http.Client
	base string
}

func (p *pages) get(path string) string {
	p.c.t.Helper()
	r := &reader{p.c, p.http}
	req, err := http.NewRequestWithContext(p.c.t.Context(), http.MethodGet, p.base+path, nil)
	p.c.must(err)
	_, _, page := r.do(req)
	return page
}

// enter opens a one-time link and presses its page's button, wherever the page asks.
func (p *pages) enter(link string) {
	p.c.t.Helper()
	at, err := url.Parse(link)
	p.c.must(err)
	page := p.get(at.RequestURI())
	if strings.Contains(page, `action="/enter"`) {
		page = p.send(page, "/enter", url.Values{"act": {"enter"}, "code": {at.Query().Get("code")}})
	}
	if !strings.Contains(page, `action="/leave"`) {
		p.c.t.Fatalf("the link signs nobody in\n%s", page)
	}
}

// form sends a form of the page at from.
func (p *pages) form(from, to string, form url.Values) string {
	p.c.t.Helper()
	return p.send(p.get(from), to, form)
}

func (p *pages) send(page, to string, form url.Values) string {
	p.c.t.Helper()
	token := formToken.FindStringSubmatch(page)
	if token == nil {
		p.c.t.Fatalf("no form for %s on\n%s", to, page)
	}
	form.Set("form", token[1])
	req, err := http.NewRequestWithContext(p.c.t.Context(), http.MethodPost, p.base+to, strings.NewReader(form.Encode()))
	p.c.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, _, page = (&reader{p.c, p.http}).do(req)
	return page
}

// connected is a connection in the list, compared the number of one, asked what the page
// that connects has asked.
var (
	asked     = regexp.MustCompile(`name="asked" value="([^"]+)"`)
	connected = regexp.MustCompile(`action="/signin/disconnect">.*?name="id" value="([0-9A-Za-z/]+)"`)
	compared  = regexp.MustCompile(`<b class="mono">[0-9]{4}</b>`)
)

// waits is an authorization that waits for somebody to sign in.
var waits = regexp.MustCompile(`/oauth/authorize/[A-Za-z0-9_-]+`)

var asks = regexp.MustCompile(`action="(/oauth/authorize/[^"]+)"`)

// answer answers a screen of an authorization.
func (p *pages) answer(screen string, form url.Values) string {
	p.c.t.Helper()
	to := asks.FindStringSubmatch(screen)
	if to == nil {
		p.c.t.Fatalf("no question on\n%s", screen)
	}
	return p.send(screen, to[1], form)
}
