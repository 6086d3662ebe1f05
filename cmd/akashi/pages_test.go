package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// reader is a person's browser without a picture: cookies and forms.
type reader struct {
	c    *town
	http *http.Client
}

// reader signs in with the one-time link of a person.
func (c *town) reader(person string) *reader {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	c.must(err)
	r := &reader{c, &http.Client{Timeout: c.http.Timeout, Transport: c.http.Transport, Jar: jar}}
	(&pages{c, r.http, c.issuer}).enter(c.link(person))
	return r
}

func (r *reader) get(path string) (status int, h http.Header, body string) {
	r.c.t.Helper()
	req, err := http.NewRequestWithContext(r.c.t.Context(), http.MethodGet, r.c.issuer+path, nil)
	r.c.must(err)
	return r.do(req)
}

func (r *reader) do(req *http.Request) (int, http.Header, string) {
	r.c.t.Helper()
	resp, err := r.http.Do(req)
	r.c.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	r.c.must(err)
	return resp.StatusCode, resp.Header, string(b)
}

var formToken = regexp.MustCompile(`name="form" value="([0-9a-f]+)"`)

// send posts a form of the page at from, with its token.
func (r *reader) send(from, to string, form url.Values) (int, string) {
	r.c.t.Helper()
	_, _, page := r.get(from)
	token := formToken.FindStringSubmatch(page)
	if token == nil {
		r.c.t.Fatalf("no form on %s\n%s", from, page)
	}
	form.Set("form", token[1])
	form.Set("once", rand.Text())
	req, err := http.NewRequestWithContext(r.c.t.Context(), http.MethodPost, r.c.issuer+to, strings.NewReader(form.Encode()))
	r.c.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, _, body := r.do(req)
	return status, body
}

// TestPagesOfANode reads every page of a node in every language: it answers, and what
// it shows is this person's.
func TestPagesOfANode(t *testing.T) {
	c := startTown(t)
	index, erasure := c.lived()
	r := c.reader("yui")
	c.changed(r)
	r.signals()
	type row struct {
		path        string
		ja, en, any string // that the page says, in Japanese (also the easy one without a text of its own), English, every language
		easy        string // in easy Japanese, without its readings
	}
	rows := []row{
		{"/", "まちのお店", "Town shop", "/services/shop", ""},
		{"/services/shop", "まちのお店", "Town shop", `action="/services/shop"`, ""},
		{"/services/shop/research", "市区町村", "municipality", `value="research"`, ""},
		{"/history", "加盟企業1", "Member 1", "/receipts/" + index, ""},
		{"/history?kind=given&service=shop", "氏名", "name", `href="/receipts/` + index + `"`, ""},
		{"/receipts", "まちのお店", "Town shop", "/receipts/" + index, ""},
		{"/receipts/" + index, "加盟企業1", "Member 1", "/receipts/" + index + ".akashi.json", ""},
		{"/receipts/" + index + ".akashi.json", "", "", `"proof"`, ""},
		{"/receipts/" + index + ".html", "加盟企業1", "Member 1", "akashi/page", ""},
		{"/receipts/" + index + ".pdf", "", "", "%PDF-", ""},
		{"/receipts/" + index + ".svg", "", "", "<svg", ""},
		{"/all", "まちのお店", "Town shop", `data-check="/all.akashi.json"`, ""},
		{"/all.akashi.json", "", "", `"akashi-completeness/v1"`, ""},
		{"/requests", "まちのお店", "Town shop", "わたしの記録をください", ""},
		{"/stops", "決めました", "by you", `value="marketing"`, ""},
		{"/verify", "控え", "receipt", `id="file"`, ""},
		{"/erasures/" + erasure, "加盟企業2（加盟企業0の鍵の写し）", "Member 2 (copies of the keys of Member 0)", erasure + ".akashi.json", ""},
		{"/erasures/" + erasure + ".akashi.json", "", "", `"akashi-erasure/v1"`, ""},
		{"/.well-known/gpc.json", "", "", `"gpc": true`, ""},
		{"/assets/akashi.css", "", "", "--ink", ""},
		{"/signin", "本人の確認", "Sign in", `action="/signin/oidc"`, "認証アプリで つづける"},
		{"/signin/code", "届いた番号", "Enter the code", `action="/signin/code"`, "とどいた 番号を 入れてください"},
		{"/signin/sessions", "この端末", "This one", `action="/signin/sessions"`, "知らない ものは、おわらせてください"},
		{"/signin/recover", "紙に書いてある", "Characters on the paper", `action="/signin/recover"`, "紙に ある 文字"},
		{"/.well-known/openid-configuration", "", "", c.issuer + "/oauth/authorize", ""},
		{"/.well-known/oauth-authorization-server", "", "", `"issuer"`, ""},
		{"/oauth/jwks", "", "", `"keys"`, ""},
		{"/oauth/assets/consent.css", "", "", "{", ""},
	}
	for _, row := range rows {
		for _, lang := range []string{"ja", "en", "ja-easy"} {
			path := row.path + "?lang=" + lang
			if strings.Contains(row.path, "?") {
				path = row.path + "&lang=" + lang
			}
			status, h, page := r.get(path)
			want := []string{row.any, map[string]string{"ja": row.ja, "en": row.en, "ja-easy": cmp.Or(row.easy, row.ja)}[lang]}
			if status != http.StatusOK || !containsAll(plain(page), want) {
				t.Errorf("%s: %d, want %q\n%.3000s", path, status, want, page)
			}
			if strings.HasPrefix(h.Get("Content-Type"), "text/html") && h.Get("Content-Disposition") == "" {
				if tag := map[string]string{"ja": "ja", "en": "en", "ja-easy": "ja"}[lang]; h.Get("Content-Language") != tag || !strings.Contains(page, `<html lang="`+tag+`"`) {
					t.Errorf("%s is in %q", path, h.Get("Content-Language"))
				}
			}
		}
	}
	r.speaks(map[string]string{"/": "ja-easy", "/signin/sessions": "en", "/signin": "ja-easy", "/history": "ja"})
	for _, pattern := range append(web.Paths(), oauth.Patterns()...) {
		at := strings.TrimSuffix(pattern, "{$}")
		elsewhere := []string{"/enter", "/leave", "/consents/"} // changes: see changed
		if !slices.Contains(elsewhere, pattern) && !slices.ContainsFunc(rows, func(r row) bool { return strings.HasPrefix(r.path, at) }) {
			t.Errorf("no row for %s", pattern)
		}
	}
	r.renewed()
	if status, _ := r.send("/", "/leave", url.Values{}); status != http.StatusOK {
		t.Errorf("leaving: %d", status)
	}
	for _, path := range []string{"/history", "/receipts", "/all", "/requests", "/stops", "/services/shop", "/receipts/" + index} {
		if status, _, page := r.get(path + "?lang=ja"); status != http.StatusUnauthorized || strings.Contains(page, "まちのお店") || !strings.Contains(page, "/signin?next=") {
			t.Errorf("%s after leaving: %d\n%s", path, status, page)
		}
	}
}

// renewed publishes new terms of the shop: what changed since yui agreed is marked on
// the page on which a purpose is turned on, and what the shop did so far is counted.
func (r *reader) renewed() {
	r.c.t.Helper()
	const at = "/services/shop/research?lang=ja"
	if _, _, page := r.get(at); strings.Contains(page, `class="mk"`) || !strings.Contains(page, "このサービスの、これまで") {
		r.c.t.Errorf("nothing has changed:\n%.3000s", page)
	}
	r.c.terms("2", "規約の全文。付則。")
	r.c.until("new terms", func() bool {
		_, _, page := r.get(at)
		return strings.Contains(page, "第2版")
	})
	_, _, page := r.get(at)
	if want := []string{"第1版の規約から変わったこと", "<li>規約の全文</li>", `<ins class="mk"><b>変更</b> <bdi>規約の全文。付則。</bdi></ins>`}; !containsAll(page, want) {
		r.c.t.Errorf("changed terms: want %q\n%.5000s", want, page)
	}
	_, _, page = r.get("/services/shop?lang=ja")
	if want := []string{"<dt>わたした</dt><dd class=\"num\">1<", "<dt>とりやめた</dt><dd class=\"num\">1<", `href="/history?service=shop"`}; !containsAll(page, want) {
		r.c.t.Errorf("the service so far: want %q\n%.5000s", want, page)
	}
}

// speaks chooses a language on some pages: it holds on those of the portal and of
// signing in.
func (r *reader) speaks(chosen map[string]string) {
	r.c.t.Helper()
	for at, lang := range chosen {
		r.get(at + "?lang=" + lang)
		for _, path := range []string{"/", "/requests", "/signin", "/signin/sessions", "/oauth/authorize?client_id=nobody", at} {
			_, _, page := r.get(path)
			want := map[string]string{"ja": `<html lang="ja"`, "en": `<html lang="en"`, "ja-easy": `<body class="easy">`}[lang]
			if !strings.Contains(page, want) || strings.Contains(page, `class="easy"`) != (lang == "ja-easy") {
				r.c.t.Errorf("%s after %s on %s:\n%.500s", path, lang, at, page)
			}
		}
	}
}

var rubies = regexp.MustCompile(`<rp>[^<]*</rp>|<rt>[^<]*</rt>|</?ruby>|</?wbr>`)

// plain takes the readings off a page in easy Japanese.
func plain(page string) string { return rubies.ReplaceAllString(page, "") }

// lived gives yui two consents and a provision, and somebody else an erasure. It
// returns the index of the provision and the number of the erasure.
func (c *town) lived() (index, erasure string) {
	c.t.Helper()
	ctx := c.t.Context()
	_, err := c.app(0).Consent(ctx, custody.ConsentRequest{Person: "yui", Service: "shop", Version: "1", Purposes: []string{"service", "survey"}, Items: []string{"name", "email"}})
	c.must(err)
	done, err := c.app(0).Provide(ctx, custody.ProvideRequest{Person: "yui", Service: "shop", To: "member-1", Purpose: "service", Items: []string{"name"}})
	c.must(err)
	for _, r := range done.Records {
		if r.Kind == record.KindProvision.String() {
			index = fmt.Sprint(r.Index)
		}
	}
	c.person("ren", "09000000002")
	c.until("a custodian", c.guarded)
	gone, err := c.app(0).Erase(ctx, "ren", "request")
	c.must(err)
	return index, gone.Erasure.ID
}

// guarded reports whether a custodian has agreed to keep copies of member 0's keys: an
// erasure from then on waits for it, too.
func (c *town) guarded() bool {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.issuer+"/v1/custodians", nil)
	c.must(err)
	req.Header.Set("Authorization", "Bearer "+c.tokens["admin"])
	_, b := c.do(req)
	var v rest.CustodiansView
	c.must(json.Unmarshal(b, &v))
	return len(v.Custodians) == 1 && v.Custodians[0].Class != ""
}

// signals sends Global Privacy Control with some page: it stops what she has not
// decided about herself, and that it came from her browser is said.
func (r *reader) signals() {
	r.c.t.Helper()
	off := func() int {
		_, _, page := r.get("/stops?lang=ja")
		if n := strings.Count(page, "ブラウザーの設定から"); n > 1 {
			r.c.t.Errorf("the signal stopped %d kinds", n)
		}
		return strings.Count(page, `aria-checked="false"`)
	}
	if n := off(); n != 1 {
		r.c.t.Errorf("%d stops before the signal", n)
	}
	req, err := http.NewRequestWithContext(r.c.t.Context(), http.MethodGet, r.c.issuer+"/history", nil)
	r.c.must(err)
	req.Header.Set("Sec-GPC", "1")
	r.do(req)
	if n := off(); n != 2 {
		r.c.t.Errorf("%d stops after the signal, want her own and the group's", n)
	}
}

// changed makes every change that a page offers short of erasing.
func (c *town) changed(r *reader) {
	c.t.Helper()
	for _, change := range []struct {
		from, to string
		form     url.Values
		want     string
	}{
		{"/", "/consents/stop", url.Values{"service": {"shop"}, "purpose": {"survey"}}, "止めました"},
		{"/", "/consents/start", url.Values{"service": {"shop"}, "purpose": {"survey"}, "again": {"1"}, "lang": {"ja"}}, "始めました"},
		{"/services/shop/research", "/consents/start", url.Values{"service": {"shop"}, "purpose": {"research"}, "version": {"1"}, "answer": {"no"}, "lang": {"ja"}}, "同意しませんでした"},
		{"/requests", "/requests", url.Values{"kind": {"records"}, "service": {"shop"}, "note": {"わたしの記録をください"}}, "請求を受け付けました"},
		{"/stops", "/stops", url.Values{"kind": {"marketing"}, "state": {"stopped"}}, "すぐに効いています"},
	} {
		if status, page := r.send(change.from, change.to, change.form); status != http.StatusOK || !strings.Contains(page, change.want) {
			c.t.Errorf("%s: %d, want %q\n%.2000s", change.to, status, change.want, page)
		}
	}
}
