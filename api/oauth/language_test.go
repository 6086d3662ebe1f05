package oauth_test

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// inLanguage follows a page's own link to another language.
func (b *browser) inLanguage(page, lang string) (*http.Response, string) {
	b.m.t.Helper()
	link := regexp.MustCompile(`<a href="([^"]*[?&](?:amp;)?lang=` + lang + `(?:&[^"]*)?)"`).FindStringSubmatch(page)
	if link == nil {
		b.m.t.Fatalf("no link to %s\n%s", lang, page)
	}
	resp, body := b.get(html.UnescapeString(link[1]))
	if resp.StatusCode != 200 || strings.Contains(body, "‹") {
		b.m.t.Fatalf("%s: %s\n%s", link[1], resp.Status, body)
	}
	return resp, body
}

// TestRefuseInAnotherLanguage: a refusal whose outcome was not known, so that the page
// said to try again, can be said again in another language or on another day, each of
// which makes other bytes of the screen.
func TestRefuseInAnotherLanguage(t *testing.T) {
	m := newSite(t)
	b := m.shown("p01", session.Passkey, 0)
	_, page := b.get("/oauth/authorize?" + m.flow(m.client(nil)).query().Encode())
	here := action.FindStringSubmatch(page)[1]
	_, page = b.inLanguage(page, "en")
	screen, err := hex.DecodeString(fields(page).Get("screen"))
	fatal(t, err)
	_, err = m.n.Desk().Decline(t.Context(), oauth.AnswerCall(here[strings.LastIndexByte(here, '/')+1:], "p01", "refuse"),
		custody.DeclineRequest{Person: "p01", Service: "portal", Version: "1", Screen: screen})
	fatal(t, err)
	said := len(m.events("p01"))
	_, page = b.inLanguage(page, "ja")
	form := fields(page)
	form.Set("act", "refuse")
	if resp, page := b.post(here, form); resp.StatusCode != http.StatusSeeOther || !strings.Contains(resp.Header.Get("Location"), "error=access_denied") {
		t.Errorf("%s to %q\n%s", resp.Status, resp.Header.Get("Location"), page)
	}
	if n := len(m.events("p01")); said == 0 || n != said {
		t.Errorf("%d events, then %d", said, n)
	}
}

// TestConsentAgain: a consent whose outcome was not known, so that the page said to try
// again, is the same one when it is given again in another language, and keeps what its
// person answered first. Another choice, and another person's, is a consent of its own.
func TestConsentAgain(t *testing.T) {
	m := newSite(t)
	m.person("p02")
	f := m.flow(m.client(nil))
	desk := m.slow()
	b := m.shown("p01", session.Passkey, 0)
	_, page := b.get("/oauth/authorize?" + f.query().Encode())
	here := action.FindStringSubmatch(page)[1]
	answer := func(b *browser, lang string, items ...string) (*http.Response, string) {
		_, page := b.get(here)
		_, page = b.inLanguage(page, lang)
		form := fields(page)
		form["act"], form["purpose"], form["item"] = []string{"give"}, []string{"service"}, items
		return b.post(here, form)
	}
	for _, x := range []struct {
		lang, title string
		err         error
	}{{"ja-easy", "サインを まっています", outbox.ErrUnknown}, {"ja", "加盟企業の署名がそろっていません", outbox.ErrUnknown}, {"en", "Busy", outbox.ErrExpired}} {
		desk.meanwhile = func() error { return x.err }
		if resp, page := answer(b, x.lang); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, x.title) {
			t.Errorf("%s: %s\n%s", x.lang, resp.Status, page)
		}
	}
	first := m.events("p01")
	if len(first) != 1 || first[0].Kind != "consent" || first[0].Opening["language"] != "ja-easy" {
		t.Fatalf("%+v", first)
	}
	desk.meanwhile = func() error { return outbox.ErrUnknown }
	if resp, _ := answer(b, "en", "service/name"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Error(resp.Status)
	}
	if all := m.events("p01"); len(all) != 2 || slices.Equal(all[1].Items, first[0].Items) {
		t.Errorf("another choice: %+v", all)
	}
	desk.meanwhile = func() error { return outbox.ErrUnknown }
	answer(m.shown("p02", session.Passkey, 0), "en")
	if theirs := m.events("p02"); len(theirs) != 1 {
		t.Errorf("somebody else's: %+v", theirs)
	}
	resp, page := answer(b, "en")
	f.code(t, resp, page)
	if n := len(m.events("p01")); n != 2 {
		t.Errorf("%d events", n)
	}
}

// TestConsentAgainSensitive: the tick for sensitive data is the person's choice. Given
// again without it, the same purposes are another answer, which is asked for the tick and
// does not stand by the first; with it, they are the first answer.
func TestConsentAgainSensitive(t *testing.T) {
	m := newSite(t)
	f := m.flow(m.client(nil))
	desk := m.slow()
	b := m.shown("p01", session.Passkey, 0)
	_, page := b.get("/oauth/authorize?" + f.query().Encode())
	here := action.FindStringSubmatch(page)[1]
	answer := func(tick ...string) (*http.Response, string) {
		_, page := b.get(here)
		form := fields(page)
		form["act"], form["purpose"], form["sensitive"] = []string{"give"}, []string{"care"}, tick
		return b.post(here, form)
	}
	desk.meanwhile = func() error { return outbox.ErrExpired }
	if resp, page := answer("yes"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	if resp, page := answer(); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, "配慮の要る情報について、えらんでください") {
		t.Errorf("without the tick: %s to %q\n%s", resp.Status, resp.Header.Get("Location"), page)
	}
	resp, page := answer("yes")
	f.code(t, resp, page)
	if n := len(m.events("p01")); n != 1 {
		t.Errorf("ticked again, and %d events", n)
	}
}

// TestLanguageOfAProblem: the language links of an error after a form lead to a page in
// that language, with a session and without.
func TestLanguageOfAProblem(t *testing.T) {
	m := newSite(t)
	for who, b := range map[string]*browser{"somebody": m.shown("p01", session.Link, 0), "nobody": m.browser()} {
		for _, path := range []string{"/signin", "/signin/code", "/signin/recover", "/signin/connect", "/signin/disconnect", "/signin/apps", "/signin/paper", "/signin/paper/end", "/signin/oidc", "/signin/passkey/remove", "/signin/sessions"} {
			resp, page := b.post(path, url.Values{})
			link := regexp.MustCompile(`<a href="([^"]+[?&]lang=en)"`).FindStringSubmatch(page)
			if resp.StatusCode < 400 || link == nil {
				t.Fatalf("%s: %s: %s\n%s", who, path, resp.Status, page)
			}
			resp, page = b.get(html.UnescapeString(link[1]))
			for hop := 0; hop < 2 && resp.StatusCode == http.StatusSeeOther; hop++ {
				resp, page = b.get(resp.Header.Get("Location"))
			}
			if resp.StatusCode != http.StatusOK && path != "/signin/connect" || !strings.Contains(page, `<html lang="en">`) {
				t.Errorf("%s: %s: its language link %s answers %s", who, path, link[1], resp.Status)
			}
			b.get("/signin?lang=ja")
		}
	}
}

// TestLanguageOfAConsent: a person changes the language on every page of the way; the
// way goes on, and what is sealed is the language that the answered screen had.
func TestLanguageOfAConsent(t *testing.T) {
	m := newSite(t)
	f := m.flow(m.client(nil))
	b := m.browser()
	resp, _ := b.get("/oauth/authorize?" + f.query().Encode())
	_, page := b.get(resp.Header.Get("Location"))
	_, page = b.inLanguage(page, "en")
	resp, page = b.inLanguage(page, "ja-easy")
	if !strings.Contains(page, `<body class="easy">`) || !strings.Contains(page, `<html lang="ja">`) || resp.Header.Get("Content-Language") != "ja" ||
		!strings.Contains(page, "<ruby>番号<rp>（</rp><rt>ばんごう</rt><rp>）</rp></ruby>を おくる") {
		t.Errorf("not in easy Japanese:\n%s", page)
	}
	form := fields(page)
	form.Set("address", "090000001")
	resp, _ = b.post("/signin", form)
	code := <-m.codes
	if code.Language != "ja-easy" {
		t.Errorf("the code is sent in %q", code.Language)
	}
	_, page = b.get(resp.Header.Get("Location"))
	_, page = b.inLanguage(page, "en")
	form = fields(page)
	form.Set("code", code.Code)
	resp, page = b.post("/signin/code", form)
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	_, page = b.get(resp.Header.Get("Location"))
	number := regexp.MustCompile(`</span>([0-9]{4})</p>`)
	english, here, asked := fields(page), action.FindStringSubmatch(page)[1], number.FindStringSubmatch(page)
	_, page = b.inLanguage(page, "ja-easy")
	easy := fields(page)
	if easy.Get("form") != english.Get("form") || action.FindStringSubmatch(page)[1] != here || asked == nil || number.FindString(page) != asked[0] {
		t.Errorf("another authorization after another language")
	}
	if easy.Get("screen") == english.Get("screen") || !strings.Contains(page, "いいよ。はじめる") || strings.Contains(page, "checked") {
		t.Errorf("the screen in easy Japanese:\n%s", page)
	}
	answer := func(form url.Values) url.Values {
		form.Set("act", "give")
		form["purpose"] = []string{"service"}
		return form
	}
	if resp, page := b.post(here, answer(english)); resp.StatusCode != http.StatusConflict || !strings.Contains(page, easy.Get("screen")) {
		t.Errorf("the English screen was answered after another was shown: %s", resp.Status)
	}
	if n := len(m.events("p01")); n != 0 {
		t.Errorf("%d events before anything was agreed to", n)
	}
	resp, page = b.post(here, answer(easy))
	f.code(t, resp, page)
	shown, err := hex.DecodeString(easy.Get("screen"))
	fatal(t, err)
	sealed := 0
	for _, e := range m.events("p01") {
		if e.Kind == "consent" {
			sealed++
			if e.Opening["language"] != "ja-easy" || e.Opening["button"] != "いいよ。はじめる" || e.Opening["screen"] != base64.StdEncoding.EncodeToString(shown) {
				t.Errorf("sealed %v %v %v, shown %s", e.Opening["language"], e.Opening["button"], e.Opening["screen"], easy.Get("screen"))
			}
		}
	}
	if sealed != 1 {
		t.Errorf("%d consents", sealed)
	}
}
