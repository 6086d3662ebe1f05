package oauth_test

import (
	"fmt"
	"html"
	"strings"
	"sync"
	"testing"

	"github.com/akashi-ledger/akashi/node/custody"
)

// TestNamesAreKept: a name comes out of the vault as it went in, byte by byte, for the
// person and for the app that they let read it.
func TestNamesAreKept(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	names := []string{"髙橋 結", "山﨑 太郎", "𠮷田 次郎", "ﾀｶﾊｼ ﾕｲ", strings.Repeat("寿限無", 20), "محمد", "山\u200b田\u202e花子", "葛\U000e0100城", "か\u3099", "が", "Ａｋａｓｈｉ", " 前後に空白 "}
	granted := make([]string, len(names)) // access tokens
	for i, name := range names {
		ref := fmt.Sprint("p", 10+i)
		m.call("app", "POST", "/v1/people", object{"person": ref, "service": "portal", "source": "self", "lookup": object{"phone": "0900000" + ref[1:]},
			"items": object{"name": name, "user-id": "u-" + ref}}, nil)
		var held custody.Disclosure
		m.call("app", "GET", "/v1/people/"+ref, nil, &held)
		kept := ""
		for _, it := range held.Classes[0].Items {
			if it.Code == "name" {
				kept = it.Value
			}
		}
		if kept != name {
			t.Errorf("%+q is kept as %+q", name, kept)
		}
		f := m.flow(c, "service")
		answer := give()
		answer["item"] = []string{"service/name"}
		resp, page := f.decide(m.browser(), ref, answer)
		granted[i] = m.token(c, f.exchange(f.code(t, resp, page))).Access
	}
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if _, d, code := m.data(granted[i], "purpose=service&items=name"); d.Items["name"] != name {
				t.Errorf("%+q is read as %+q %s", name, d.Items["name"], code)
			}
		})
	}
	wg.Wait()
}

// TestNamesAreShownSafely: a service, its recipient and its app with names that try to
// pass for others stand on every page that a person decides by with what has no shape
// written out, and apart from the words around them.
func TestNamesAreShownSafely(t *testing.T) {
	m := newSite(t)
	name := func(s string) object { return object{"ja": s, "en": s} }
	m.call("admin", "POST", "/v1/parties", object{"id": "odd-shop", "name": name("𠮷\u200b田"), "regime": "ch4", "country": "JP"}, nil)
	m.call("admin", "POST", "/v1/services", object{"id": "odd", "name": name("\u202e銀行<b>"), "contact": name("窓口\u2066"), "fields": []string{"name", "user-id"}}, nil)
	m.call("admin", "POST", "/v1/terms", object{"service": "odd", "version": "1", "effective": "2020-01-01T00:00:00+09:00", "text": name("全文\u202d"), "withdrawal": name("いつでも\u200f"), "retention": "P30D",
		"scopes": []any{object{"purpose": "service", "required": []string{"user-id"}, "recipients": []string{"odd-shop"}, "maxExpiry": "P1Y"}}}, nil)
	c := m.client(func(f object) { f["service"], f["party"], f["name"] = "odd", "odd-shop", name("محمد\u00ad") })
	f := m.flow(c, "service")
	f.detail["service"] = "odd"
	b := m.browser()
	_, page := f.screen(b, "p01")
	safe := func(what, page string, want ...string) {
		t.Helper()
		if strings.ContainsAny(html.UnescapeString(page), "\u202e\u200b\u2066\u202d\u200f\u00ad") || strings.Contains(page, "銀行<b>") {
			t.Errorf("%s: what cannot be seen, or mark-up, stands in the page\n%s", what, page)
		}
		for _, w := range want {
			if !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), w) {
				t.Errorf("%s: the page lacks %s\n%s", what, w, page)
			}
		}
	}
	mark := func(number string) string { return `<span class="inv">U+` + number + `</span>` }
	safe("the screen", page, "<bdi>"+mark("202E")+"銀行&lt;b&gt;</bdi>", "<bdi>𠮷"+mark("200B")+"田</bdi>", "<bdi>محمد"+mark("00AD")+"</bdi>", mark("2066"), mark("202D"), mark("200F"))
	resp, page := f.decide(b, "p01", give())
	m.token(c, f.exchange(f.code(t, resp, page)))
	_, page = b.get("/signin/sessions")
	safe("what apps may read", page, "<bdi>"+mark("202E")+"銀行&lt;b&gt;</bdi>", "محمد[U+00AD]", "[U+202E]銀行&lt;b&gt;")
}
