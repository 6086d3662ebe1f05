package oauth_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// coupon is a service as people know them, an app of its provider's partner, and the
// address that the app gets its answers at.
type coupon struct {
	*site
	idp    *idptest.Provider
	client rest.ClientMade
	app    string
	looks  map[string]bool // titles of pages that were looked at
}

func newCoupon(t *testing.T) *coupon {
	idp := idptest.New(t)
	m := newSiteWith(t, "localhost", idp)
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<!doctype html><h1 id=\"app\">app</h1>"))
	}))
	t.Cleanup(answers.Close)
	text := func(ja, en string) object { return object{"ja": ja, "en": en} }
	m.call("admin", "POST", "/v1/parties", object{"id": "aoba", "name": text("青葉交通株式会社", "Aoba Transit"), "regime": "ch4", "country": "JP"}, nil)
	m.call("admin", "POST", "/v1/parties", object{"id": "kitahi", "name": text("北灯モール", "Kitahi Mall"), "regime": "ch4", "country": "JP"}, nil)
	m.call("admin", "POST", "/v1/services", object{"id": "coupon", "name": text("まちなかクーポン", "Town coupons"), "contact": text("まちなかクーポン窓口 0120-000-000", "Town coupons, 0120-000-000"), "fields": []string{"allergy", "city", "email", "member-no", "name"}}, nil)
	c := &coupon{site: m, idp: idp, app: answers.URL + "/back", looks: map[string]bool{}}
	c.terms("1", "P1Y")
	m.call("app", "POST", "/v1/people", object{"person": "p02", "service": "coupon", "source": "self", "lookup": object{"phone": "090000002"},
		"items": object{"name": "髙橋 結", "email": "p02@example.jp", "member-no": "M-2", "city": "みなと市", "allergy": "なし"}}, nil)
	c.client = m.client(func(f object) {
		f["service"], f["party"], f["redirectUris"], f["name"] = "coupon", "aoba", []string{c.app}, text("まちなかアプリ", "Town app")
	})
	return c
}

func (c *coupon) terms(version, expiry string) {
	text := func(ja, en string) object { return object{"ja": ja, "en": en} }
	c.call("admin", "POST", "/v1/terms", object{"service": "coupon", "version": version, "effective": "2020-01-01T00:00:00+09:00", "retention": "P30D",
		"text":       text("この規約は、まちなかクーポンの利用について定めます。\n\n第1条　あ社は、次の情報を青葉交通にわたします。", "These terms are about the use of town coupons.\n\n1. The provider hands the following to Aoba Transit."),
		"withdrawal": text("「わたしの同意」から、いつでもやめられます。クーポンの配信が止まります。", "Stop at any time under “My consents”. The coupons end."),
		"scopes": []any{
			object{"purpose": "coupon", "required": []string{"member-no"}, "optional": []string{"city", "name"}, "recipients": []string{"aoba"}, "maxExpiry": expiry},
			object{"purpose": "news", "required": []string{"email"}, "recipients": []string{"aoba"}, "maxExpiry": expiry},
			object{"purpose": "lunch", "required": []string{"allergy"}, "recipients": []string{"aoba", "kitahi"}, "maxExpiry": "P6M"},
		}}, nil)
}

// ask is the address with which the app asks.
func (c *coupon) ask() string {
	f := c.flow(c.client)
	f.detail["service"], f.detail["required"] = "coupon", []string{"coupon"}
	f.extra.Set("redirect_uri", c.app)
	return c.url + "/oauth/authorize?" + f.query().Encode()
}

// entered signs p02 in by a code, in the browser.
func (c *coupon) entered(ctx context.Context) {
	c.t.Helper()
	browsertest.Run(c.t, ctx, browsertest.Seen("#address"), chromedp.SendKeys(chromedp.CSS("#address"), "090000002"+kb.Enter), browsertest.Seen("#code"))
	code := <-c.codes
	browsertest.Run(c.t, ctx, chromedp.SendKeys(chromedp.CSS("#code"), code.Code+kb.Enter))
}

var languages = []struct{ name, seen string }{{"en", `html[lang="en"] body:not(.easy) h1`}, {"ja-easy", `html[lang="ja"] body.easy h1`}, {"ja", `html[lang="ja"] body:not(.easy) h1`}}

// looked puts a page as it stands through axe-core in each language, wants no
// sideways scroll, and takes its pictures.
func (c *coupon) looked(ctx context.Context, name string, widths ...int) {
	c.t.Helper()
	for _, lang := range languages {
		link := chromedp.CSS(fmt.Sprintf(`.util a:is([href$="lang=%[1]s"], [href*="lang=%[1]s&"])`, lang.name))
		browsertest.Run(c.t, ctx, chromedp.Click(link), browsertest.Seen(lang.seen))
		c.look(ctx, name, lang.name, widths...)
	}
}

// look is looked in the language that the page has. Each page has pictures in
// Japanese, the most important ones in every language.
func (c *coupon) look(ctx context.Context, name, lang string, widths ...int) {
	c.t.Helper()
	if text := browsertest.TextOf(c.t, ctx, "body"); strings.Contains(text, "‹") {
		c.t.Errorf("%s (%s): a text is missing", name, lang)
	}
	browsertest.AccessibleIn(c.t, ctx, lang, name+" ("+lang+")")
	if lang == "ja" {
		c.looks[browsertest.Get(c.t, ctx, chromedp.Title())] = true
		browsertest.Shot(c.t, ctx, name, widths...)
	} else if name == "signin" || name == "consent" {
		browsertest.Shot(c.t, ctx, name+strings.TrimPrefix("-"+lang, "-ja"), 360, 1280)
	}
}

// TestBrowserPages looks at every page of the server, in each language.
func TestBrowserPages(t *testing.T) {
	c := newCoupon(t)
	ctx := browsertest.Open(t)
	w := browsertest.Watched(t, ctx)
	ask := c.ask()
	browsertest.Run(t, ctx, chromedp.Navigate(ask), browsertest.Seen("#passkey"))
	c.looked(ctx, "signin", 360, 768, 1280)
	browsertest.Run(t, ctx, chromedp.SendKeys(chromedp.CSS("#address"), "090000002"+kb.Enter), browsertest.Seen("#code"))
	c.looked(ctx, "signin-code", 360, 768, 1280)
	code := <-c.codes
	browsertest.Run(t, ctx, chromedp.SendKeys(chromedp.CSS("#code"), "000000"+kb.Enter), browsertest.Seen("[role=alert]"))
	browsertest.Accessible(t, ctx, "a wrong code")
	browsertest.Run(t, ctx, chromedp.SendKeys(chromedp.CSS("#code"), code.Code+kb.Enter), browsertest.Seen(".genuine"))
	c.looked(ctx, "consent", 360, 768, 1280)
	browsertest.Run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
	browsertest.Accessible(t, ctx, "the consent screen with its full terms")
	fair(t, ctx)
	browsertest.Run(t, ctx, browsertest.Click("button[value=give]"), browsertest.Seen("#app"))
	if at := browsertest.Location(t, ctx); !strings.HasPrefix(at, c.app+"?") || !strings.Contains(at, "code=") {
		t.Fatalf("agreed: %s", at)
	}
	c.second()
	browsertest.Run(t, ctx, chromedp.Navigate(c.ask()), browsertest.Seen(".changes"))
	c.looked(ctx, "consent-again", 360, 768, 1280)
	browsertest.Run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
	browsertest.Accessible(t, ctx, "changed terms in full")
	browsertest.Run(t, ctx, chromedp.Navigate(c.url+"/signin/sessions"), browsertest.Seen(".con"))
	c.looked(ctx, "sessions", 360, 768, 1280)
	c.members(ctx)
	browsertest.Run(t, ctx, chromedp.Navigate(c.url+"/oauth/authorize?client_id=nobody"), browsertest.Seen("h1"))
	c.looked(ctx, "problem", 360, 768, 1280)
	c.connects(ctx)
	c.papers(ctx)
	for name, titles := range oauth.PageTitles() {
		if !slices.ContainsFunc(titles, func(title string) bool { return c.looks[title+"｜あかし"] }) {
			t.Errorf("the page %s, with the title %q, is looked at by nobody: %q", name, titles, slices.Collect(maps.Keys(c.looks)))
		}
	}
	if said := w.Never("https://"); said != "" {
		t.Error(said)
	}
}

// members looks at what is there where other members' pages are known.
func (c *coupon) members(ctx context.Context) {
	c.t.Helper()
	c.others = []oauth.Member{{ID: "b-sha", Name: record.Text{Ja: "みなと銀行", En: "Minato Bank"}, Origin: "http://b.localhost:1"}}
	look := func(name, path, ready string) {
		browsertest.Run(c.t, ctx, chromedp.Navigate(c.url+path), browsertest.Seen(ready))
		browsertest.Run(c.t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
		browsertest.Accessible(c.t, ctx, name)
	}
	fatal(c.t, c.n.Desk().AddLookup(c.t.Context(), "p02", "member", "c-sha/sub"))
	look("sessions with members, by a code", "/signin/sessions", `section[aria-labelledby=sm] .con`)
	look("signing in with members", "/signin", `summary`)
	f := c.flow(rest.ClientMade{ClientView: rest.ClientView{ID: "member:b-sha"}})
	f.extra = url.Values{"authorization_details": {""}, "redirect_uri": {"http://b.localhost:1/signin/oidc/callback/a-sha"}}
	browsertest.Run(c.t, ctx, chromedp.Navigate(c.url+"/oauth/authorize?"+f.query().Encode()), browsertest.Seen(`button[value=tell]`))
	c.looked(ctx, "introduce", 360, 768, 1280)
	fair(c.t, ctx)
	c.others = nil
}

// connects looks at the page that names both accounts before they are connected.
func (c *coupon) connects(ctx context.Context) {
	c.t.Helper()
	c.idp.Is("somebody", authTime(time.Minute))
	b := c.shown("p02", session.Passkey, time.Minute)
	if resp, page := b.comesBack(); resp.Header.Get("Location") != "/signin/connect" {
		c.t.Fatalf("%s\n%s", resp.Status, page)
	}
	at, err := url.Parse(c.url)
	fatal(c.t, err)
	for _, k := range b.c.Jar.Cookies(at) {
		browsertest.Run(c.t, ctx, browsertest.Command(network.SetCookie, network.SetCookieParams{Name: k.Name, Value: k.Value, URL: c.url}))
	}
	browsertest.Run(c.t, ctx, chromedp.Navigate(c.url+"/signin/connect"), browsertest.Seen(`button[value=connect]`))
	c.looked(ctx, "connect", 360, 768, 1280)
	fair(c.t, ctx)
	browsertest.Run(c.t, ctx, chromedp.Navigate(c.url+"/signin/sessions"), browsertest.Seen(`form[action="/signin/disconnect"]`))
	browsertest.Accessible(c.t, ctx, "connections that may be ended")
}

// fair: nothing is ticked, and refusing is the same size as agreeing, beside it.
func fair(t *testing.T, ctx context.Context) {
	t.Helper()
	if n := browsertest.Get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("input:checked").length`)); n != 0 {
		t.Errorf("%d boxes are ticked", n)
	}
	if d := browsertest.Get(t, ctx, chromedp.Evaluate[float64](`(() => { const [a, b] = [...document.querySelectorAll(".decide .acts button")].map((x) => x.getBoundingClientRect());
		return Math.abs(a.width - b.width) + Math.abs(a.height - b.height) + Math.abs(a.top - b.top) })()`)); d > 1 {
		t.Errorf("the buttons differ by %v px", d)
	}
}

// TestBrowserKeyboard goes from the app's request to its answer with the keyboard
// alone: the tab key reaches all there is, in the order of the page, and shows where
// it is.
func TestBrowserKeyboard(t *testing.T) {
	c := newCoupon(t)
	ctx := browsertest.Open(t)
	reach := func(want ...string) {
		t.Helper()
		got := browsertest.Reached(t, ctx)
		at := -1
		for _, w := range want {
			i := slices.Index(got, w)
			if i <= at {
				t.Errorf("%s is not reached in its turn: %q", w, got)
			}
			at = i
		}
	}
	press := func(selector, keys string) {
		t.Helper()
		browsertest.TabTo(t, ctx, selector)
		browsertest.Press(t, ctx, keys)
	}
	browsertest.Run(t, ctx, chromedp.Navigate(c.ask()), browsertest.Seen("#passkey"))
	reach("本文へ", "#passkey", "認証アプリで続ける", "#address", "番号を送る")
	press("#address", "090000002"+kb.Enter)
	browsertest.Run(t, ctx, browsertest.Seen("#code"))
	code := <-c.codes
	reach("#code", "続ける", "もう一度送る")
	press("#code", code.Code+kb.Enter)
	browsertest.Run(t, ctx, browsertest.Seen(".genuine"))
	for _, width := range []int{1280, 320} {
		browsertest.Run(t, ctx, browsertest.View(width, false))
		reach("本文へ", "#i-coupon/city", "#i-coupon/name", "#p-news", "#p-lunch", "#sensitive", "規約の全文（第1版）", "act=give", "act=refuse", "act=later")
	}
	press("#p-news", " ")
	press(`[name=act][value=give]`, kb.Enter)
	browsertest.Run(t, ctx, browsertest.Seen("#app"))
	at, err := url.Parse(browsertest.Location(t, ctx))
	fatal(t, err)
	if at.Query().Get("code") == "" {
		t.Fatalf("agreed with the keyboard: %s\n%s", at, browsertest.TextOf(t, ctx, "body"))
	}
	now, err := c.n.Desk().ScopesNow(t.Context(), "p02", "coupon")
	fatal(t, err)
	if len(now) != 2 {
		t.Errorf("agreed to %+v", now)
	}
	browsertest.Run(t, ctx, browsertest.Command(network.ClearBrowserCookies, struct{}{}), chromedp.Navigate(c.ask()))
	c.entered(ctx)
	browsertest.Run(t, ctx, browsertest.Seen(".genuine"))
	press(`[name=act][value=refuse]`, kb.Enter)
	browsertest.Run(t, ctx, browsertest.Seen("#app"))
	if at := browsertest.Location(t, ctx); !strings.HasPrefix(at, c.app+"?") || !strings.Contains(at, "error=access_denied") {
		t.Errorf("refused with the keyboard: %s", at)
	}
}

// TestBrowserExampleApp looks at what the app of docs/examples shows, in both of its
// languages.
func TestBrowserExampleApp(t *testing.T) {
	m := newSite(t)
	e := startExample(t, m)
	ctx := browsertest.Open(t)
	b := m.browser()
	look := func(seen string) {
		t.Helper()
		u, err := url.Parse(e.url)
		fatal(t, err)
		for _, c := range b.c.Jar.Cookies(u) {
			browsertest.Run(t, ctx, browsertest.Command(network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: e.url}))
		}
		browsertest.AccessibleAt(t, ctx, e.url+"/", browsertest.Seen(seen))
	}
	look(`form[action="/login"]`)
	e.begin(b)
	look(".n")
	e.answer(b, give())
	look("#service dl")
	m.withdraw("p01", "service")
	b.send(e.url+"/read", nil)
	look("#service code")
	e.answer(b, url.Values{"act": {"refuse"}})
	look("[role=status]")
}
