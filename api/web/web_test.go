package web_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// opened opens a one-time link in a browser in which nobody is signed in, and returns the
// browser's cookie and what the page's button sends.
func opened(t testing.TB, base, code string) (cookie, form string) {
	t.Helper()
	resp, body := visit(t, "GET", base+"/enter?code="+code, "", "")
	token := formToken.FindStringSubmatch(body)
	if resp.StatusCode != http.StatusOK || token == nil || len(resp.Cookies()) != 1 || !strings.HasSuffix(resp.Cookies()[0].Name, session.CookieSignIn) {
		t.Fatalf("the link: %s %v\n%s", resp.Status, resp.Cookies(), body)
	}
	return resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value, url.Values{"act": {"enter"}, "form": {token[1]}, "code": {code}}.Encode()
}

// entered signs in with the one-time link and returns the session's cookie.
func entered(t testing.TB, base, code string) string {
	t.Helper()
	browser, form := opened(t, base, code)
	resp, _ := visit(t, "POST", base+"/enter", browser, form)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("enter: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	for _, c := range resp.Cookies() {
		if c.Name == "akashi_session" {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.MaxAge <= 0 || c.MaxAge > int(session.MaxLife.Seconds()) || c.Path != "/" {
				t.Errorf("session cookie %v", c)
			}
			return c.Name + "=" + c.Value
		}
	}
	t.Fatal("no session cookie")
	return ""
}

var formToken = regexp.MustCompile(`name="form" value="([0-9a-f]{64})"`)

// onlyHeard is what stands in a page for screen readers alone.
var onlyHeard = regexp.MustCompile(`<span class="vh">.*?</span>`)

func TestPages(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	css, cssBody := visit(t, "GET", srv.URL+"/assets/akashi.css", "", "")
	if css.StatusCode != 200 || css.Header.Get("ETag") == "" {
		t.Fatalf("stylesheet: %s", css.Status)
	}
	index := s.view.Consents[0].Index
	for path, want := range map[string]string{
		"/": "わたしの同意", "/?lang=en": "My consents", "/verify": "控えを確かめる", "/verify?lang=en": "Check a receipt",
		"/receipts/" + itoa(index): "同意の控え", "/receipts/" + itoa(index) + "?lang=en": "consent", "/nowhere": "見つかりません",
		"/all": "これで全部ですか", "/all?lang=en": "Is this all?", "/history": "情報の流れ", "/history?lang=en": "Where it went",
		"/receipts": "同意の控え", "/receipts?lang=en": "Withdrawal", "/requests": "情報を見せてほしい", "/requests?lang=en": "Art. 33(5)", "/stops": "メールマガジン", "/stops?lang=en": "Newsletters",
		"/services/coupon": "止めて、中身も消す", "/services/coupon?lang=en": "Only stop",
		"/services/alert/alert": "次の情報を", "/services/alert/alert?lang=en": "Nothing is handed over",
	} {
		for _, who := range []string{cookie, ""} {
			resp, body := visit(t, "GET", srv.URL+path, who, "")
			if who != "" && !strings.Contains(body, want) {
				t.Errorf("%s: no %q", path, want)
			}
			if strings.Contains(body, "‹") {
				t.Errorf("%s: a text that the catalogue lacks: %.60s", path, body[strings.Index(body, "‹"):])
			}
			checkPage(t, path, resp, body)
			for _, heard := range onlyHeard.FindAllString(body, -1) {
				if strings.Count(heard, "（") != strings.Count(heard, "）") || strings.Count(heard, "(") != strings.Count(heard, ")") {
					t.Errorf("%s: a screen reader says %q", path, heard)
				}
			}
			if n := len(body) + len(cssBody); n > 60_000 {
				t.Errorf("%s: %d bytes with its stylesheet", path, n)
			}
		}
	}
}

// What is one person's own asks for a sign-in; who was signed in hears that time
// has passed.
func TestSignedOut(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	for _, path := range []string{"/all", "/all.akashi.json", "/receipts/1"} {
		for cookie, want := range map[string]string{"": "Please sign in", "akashi_session=gone": "It was closed because time had passed"} {
			resp, body := visit(t, "GET", srv.URL+path+"?lang=en", cookie, "")
			if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, want) {
				t.Errorf("%s with %q: %s, no %q", path, cookie, resp.Status, want)
			}
		}
	}
}

// checkPage holds what is true of every page of the server.
func checkPage(t *testing.T, path string, resp *http.Response, body string) {
	t.Helper()
	csp := resp.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self' data:", "connect-src 'self'",
		"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s: policy without %s", path, part)
		}
	}
	for _, word := range []string{"確認済み", "合いました", "本物です", "All calculations match", "This receipt is genuine", "Verified", "pf-ok", `class="res ok`} {
		if strings.Contains(body, word) {
			t.Errorf("%s: the server says %q", path, word)
		}
	}
	for _, bad := range []string{" style=", "<style", "http://", "https://", " onclick", "<script>"} {
		if strings.Contains(body, bad) {
			t.Errorf("%s: %q in a page", path, bad)
		}
	}
	if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s: headers %v", path, resp.Header)
	}
	if n := strings.Count(body, "<h1"); n != 1 {
		t.Errorf("%s: %d h1", path, n)
	}
}

// What a page cannot show stands on every page that shows something.
func TestUnseen(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	for path, who := range map[string]string{"/": "", "/?": cookie, "/verify": "", "/receipts/" + itoa(s.view.Consents[0].Index): cookie} {
		_, body := visit(t, "GET", srv.URL+path, who, "")
		if !strings.Contains(body, `class="not`) {
			t.Errorf("%s says nothing of what it cannot show", path)
		}
	}
}

func TestEnter(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	for _, h := range [][]string{{"HEAD"}, {"GET", "Sec-Purpose", "prefetch;prerender"}, {"GET", "Purpose", "prefetch"}} {
		if resp, _ := visit(t, h[0], srv.URL+"/enter?code=once", "", "", h[1:]...); len(resp.Cookies()) != 0 || resp.StatusCode != 503 {
			t.Errorf("%v: %s", h, resp.Status)
		}
	}
	cookie := entered(t, srv.URL, "once")
	for _, path := range []string{"/enter?code=once", "/enter", "/enter?code=" + strings.Repeat("x", 500)} {
		resp, body := visit(t, "GET", srv.URL+path, "", "")
		if resp.StatusCode != 401 || len(resp.Cookies()) != 0 || !strings.Contains(body, "このリンクは、もう使えません") {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if resp, body := visit(t, "GET", srv.URL+"/", cookie, ""); resp.StatusCode != 200 || !strings.Contains(body, "髙橋 花子") {
		t.Errorf("with a session: %s", resp.Status)
	}
	resp, _ := visit(t, "GET", srv.URL+"/", "akashi_session=other", "")
	if resp.StatusCode != 401 || !strings.Contains(resp.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("a session that has ended: %s, %q", resp.Status, resp.Header.Get("Set-Cookie"))
	}
	if resp, _ := visit(t, "GET", srv.URL+"/receipts/5", "", ""); resp.StatusCode != 401 {
		t.Errorf("a receipt without a session: %s", resp.Status)
	}
}

func TestSecureCookies(t *testing.T) {
	s := newStory(t)
	h, err := web.New(s, web.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t, h)
	browser, form := opened(t, srv, "once")
	resp, _ := visit(t, "POST", srv+"/enter", browser, form)
	if c := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-akashi_session=") || !strings.Contains(c, "Secure") {
		t.Errorf("cookie %q", c)
	}
}

func TestNewRefuses(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := web.New(&story{}, web.Options{}); err == nil {
		t.Error("no logger accepted")
	}
	if _, err := web.New(nil, web.Options{Log: log}); err == nil {
		t.Error("no backend accepted")
	}
}

func TestStop(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	_, body := visit(t, "GET", srv.URL+"/", cookie, "")
	token := formToken.FindStringSubmatch(body)
	if token == nil || strings.Contains(body, "token-once") {
		t.Fatal("no form token, or the session's own")
	}
	form := url.Values{"form": {token[1]}, "service": {"coupon"}, "purpose": {"coupon"}, "once": {"k1"}}
	with := func(k, v string) string {
		f := url.Values{}
		for name := range form {
			f.Set(name, form.Get(name))
		}
		f.Set(k, v)
		return f.Encode()
	}
	for name, c := range map[string]struct {
		cookie, form string
		header       []string
		status       int
	}{
		"no session":       {"", form.Encode(), nil, 401},
		"other session":    {"akashi_session=other", form.Encode(), nil, 403},
		"no token":         {cookie, with("form", ""), nil, 403},
		"other token":      {cookie, with("form", strings.Repeat("0", 64)), nil, 403},
		"another site":     {cookie, form.Encode(), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another origin":   {cookie, form.Encode(), []string{"Origin", "https://evil.example"}, 403},
		"no purpose":       {cookie, with("purpose", ""), nil, 422},
		"no key":           {cookie, with("once", ""), nil, 422},
		"too long":         {cookie, with("service", strings.Repeat("a", 300)), nil, 422},
		"unknown purpose":  {cookie, with("purpose", "other"), nil, 404},
		"by GET":           {cookie, "GET", nil, 404},
		"more than a form": {cookie, with("x", strings.Repeat("a", 20<<10)), nil, 403},
	} {
		method, body := "POST", c.form
		if body == "GET" {
			method, body = "GET", ""
		}
		resp, _ := visit(t, method, srv.URL+"/consents/stop", c.cookie, body, c.header...)
		if resp.StatusCode != c.status && !(name == "by GET" && resp.StatusCode == 405) {
			t.Errorf("%s: %s, want %d", name, resp.Status, c.status)
		}
	}
	s.stopped = nil
	resp, _ := visit(t, "POST", srv.URL+"/consents/stop", cookie, form.Encode(), "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/" || len(s.stopped) != 1 || s.stopped[0] != (web.Withdrawal{Service: "coupon", Purpose: "coupon", Once: "k1"}) {
		t.Fatalf("%s to %q: %v", resp.Status, resp.Header.Get("Location"), s.stopped)
	}
	said := resp.Cookies()[0]
	_, body = visit(t, "GET", srv.URL+"/", cookie+"; "+said.Name+"="+said.Value, "")
	if !strings.Contains(body, "止めました。") || !strings.Contains(body, "とりやめました") {
		t.Error("the page does not say what was done")
	}
	if _, body := visit(t, "GET", srv.URL+"/", cookie+"; akashi_said=<b>", ""); strings.Contains(body, "<b>>") || strings.Contains(body, "‹") {
		t.Error("a made-up word is shown")
	}
	for err, status := range map[error]int{web.ErrBusy: 503, web.ErrNotFinal: 503, errors.New("disk"): 500} {
		s.err = err
		if resp, body := visit(t, "POST", srv.URL+"/consents/stop", cookie, form.Encode()); resp.StatusCode != status || strings.Contains(body, "disk") {
			t.Errorf("%v: %s", err, resp.Status)
		}
	}
	s.err = nil
	resp, _ = visit(t, "POST", srv.URL+"/leave", cookie, url.Values{"form": {token[1]}}.Encode())
	if resp.StatusCode != 303 || len(s.sessions) != 0 {
		t.Errorf("leave: %s, %d sessions", resp.Status, len(s.sessions))
	}
}

// TestStartInTheLanguageOfThePage: what is sealed of a consent is the language and the
// button of the page that was answered, not what another tab changed to afterwards.
func TestStartInTheLanguageOfThePage(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	for path, want := range map[string]web.Grant{
		"/?lang=ja-easy":                     {Language: "ja-easy", Button: "オフ", Service: "coupon", Purpose: "mail", Again: true},
		"/services/alert/alert?lang=ja-easy": {Language: "ja-easy", Button: "いいよ", Service: "alert", Purpose: "alert", Version: "3"},
		"/services/library/mail?lang=en":     {Language: "en", Button: "Agree", Service: "library", Purpose: "mail", Version: "1"},
	} {
		_, page := visit(t, "GET", srv.URL+path, cookie, "")
		form := url.Values{}
		for _, m := range regexp.MustCompile(`name="([a-z]+)" value="([^"]*)"`).FindAllStringSubmatch(page[strings.Index(page, `action="/consents/start"`):], -1) {
			if !form.Has(m[1]) && m[1] != "item" && m[1] != "answer" {
				form.Set(m[1], m[2])
			}
		}
		s.granted = nil
		resp, _ := visit(t, "POST", srv.URL+"/consents/start", cookie+"; akashi_lang=ja", form.Encode())
		if len(s.granted) != 1 || s.granted[0].Language != want.Language || s.granted[0].Button != want.Button || s.granted[0].Purpose != want.Purpose {
			t.Errorf("%s: %s, sealed %+v", path, resp.Status, s.granted)
		}
	}
}

// Starting is guarded as stopping is, and says why where it is refused.
func TestStart(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	_, body := visit(t, "GET", srv.URL+"/services/alert/alert", cookie, "")
	token := formToken.FindStringSubmatch(body)[1]
	full := url.Values{"form": {token}, "service": {"alert"}, "purpose": {"alert"}, "version": {"3"}, "once": {"k1"}, "item": {"name"}, "lang": {"ja"}}
	for name, c := range map[string]struct {
		cookie, key, value string
		status             int
	}{
		"no session": {"", "x", "", 401}, "no token": {cookie, "form", "", 403}, "no version": {cookie, "version", "", 422}, "no language": {cookie, "lang", "", 422}, "another language": {cookie, "lang", "fr", 422}, "no service": {cookie, "service", "", 422},
		"an empty item": {cookie, "item", "", 422}, "a long key": {cookie, "once", strings.Repeat("a", 300), 422}, "no": {cookie, "answer", "no", 303}, "yes": {cookie, "answer", "yes", 303},
	} {
		f := url.Values{}
		for k := range full {
			f[k] = full[k]
		}
		f.Set(c.key, c.value)
		s.granted = nil
		resp, _ := visit(t, "POST", srv.URL+"/consents/start", c.cookie, f.Encode())
		if resp.StatusCode != c.status || (len(s.granted) > 0) != (name == "yes") {
			t.Errorf("%s: %s, %v", name, resp.Status, s.granted)
		}
	}
	s.err = &web.Refused{Code: "guardian-missing"}
	if resp, body := visit(t, "POST", srv.URL+"/consents/start", cookie, full.Encode()); resp.StatusCode != 422 || !strings.Contains(body, "16歳") || !strings.Contains(body, "guardian-missing") {
		t.Errorf("refused: %s %s", resp.Status, body)
	}
	s.err = nil
	for _, path := range []string{"/services/alert/UPPER%20", "/services/coupon/coupon", "/services/none/none"} { // not an id, another's, nobody's
		if resp, _ := visit(t, "GET", srv.URL+path, cookie, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestReceiptFile(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	index := s.view.Consents[0].Index
	resp, body := visit(t, "GET", srv.URL+"/receipts/"+itoa(index)+".akashi.json", cookie, "")
	want, err := s.build(index)
	if err != nil || body != string(want) || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment; ") {
		t.Errorf("%v, %d bytes of %d, %q", err, len(body), len(want), resp.Header.Get("Content-Disposition"))
	}
	resp, body = visit(t, "GET", srv.URL+"/receipts/"+itoa(index)+".pdf", cookie, "")
	if !strings.HasPrefix(body, "%PDF-") || resp.Header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment; ") {
		t.Errorf("paper: %s, %.20q", resp.Status, body)
	}
	resp, body = visit(t, "GET", srv.URL+"/receipts/"+itoa(index)+".svg", cookie, "")
	if !strings.HasPrefix(body, "<svg") || resp.Header.Get("Content-Type") != "image/svg+xml" || strings.Contains(body, "style") {
		t.Errorf("code: %s, %.20q", resp.Status, body)
	}
	slip, err := receipt.Slip(want)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := receipt.Verify([]byte(slip), s.c.Policy()); err != nil || v.Kind != "consent" || len(slip) > 2677 {
		t.Errorf("a slip of %d characters: %+v, %v", len(slip), v, err)
	}
	for _, id := range []string{itoa(index) + ".exe", itoa(index) + ".", "0", "007", "-1", "x", "99999", "18446744073709551616", itoa(index) + ".json"} {
		if resp, _ := visit(t, "GET", srv.URL+"/receipts/"+id, cookie, ""); resp.StatusCode != 404 {
			t.Errorf("receipt %s: %s", id, resp.Status)
		}
	}
	s.err = web.ErrErased
	if resp, body := visit(t, "GET", srv.URL+"/receipts/"+itoa(index), cookie, ""); resp.StatusCode != 410 || !strings.Contains(body, "消去されました") {
		t.Errorf("erased: %s", resp.Status)
	}
}

func TestLanguage(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	for _, c := range []struct {
		query, cookie, accept, want string
	}{
		{"", "", "", "ja"}, {"?lang=en", "", "", "en"}, {"?lang=xx", "", "", "ja"}, {"", "akashi_lang=en", "", "en"},
		{"?lang=ja", "akashi_lang=en", "en", "ja"}, {"?lang=ja-easy", "", "en", "ja"}, {"", "akashi_lang=ja-easy", "en", "ja"}, {"", "", "en-GB,en;q=0.9,ja;q=0.8", "en"}, {"", "", "fr, ja", "ja"}, {"", "", "en;q=0, ja", "ja"},
		{"", "akashi_lang=zz", "de", "ja"},
	} {
		resp, body := visit(t, "GET", srv.URL+"/"+c.query, c.cookie, "", "Accept-Language", c.accept)
		if !strings.Contains(body, `<html lang="`+c.want+`"`) || resp.Header.Get("Content-Language") != c.want {
			t.Errorf("%+v: %q", c, resp.Header.Get("Content-Language"))
		}
	}
}

// Easy Japanese has readings above every kanji, and in attributes plain text.
func TestEasy(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	for _, path := range []string{"/", "/history", "/receipts", "/requests", "/stops", "/services/alert/alert", "/services/coupon", "/all", "/verify", "/receipts/" + itoa(s.view.Consents[0].Index), "/nowhere"} {
		resp, body := visit(t, "GET", srv.URL+path+"?lang=ja-easy", cookie, "")
		if !strings.Contains(body, `<html lang="ja" data-texts="ja-easy">`) || !strings.Contains(body, "<rt>") || strings.Contains(body, "‹") || regexp.MustCompile(`\p{Han}\|\p{Hiragana}`).MatchString(body) {
			t.Errorf("%s in easy Japanese: %s", path, resp.Status)
		}
		if i := strings.Index(body, "<title>"); strings.Contains(body[i:strings.Index(body, "</title>")], "<r") {
			t.Errorf("%s: mark-up in the title", path)
		}
		for _, attribute := range regexp.MustCompile(`="[^"]*&lt;r(uby|t)`).FindAllString(body, -1) {
			t.Errorf("%s: mark-up in an attribute: %s", path, attribute)
		}
		checkPage(t, path, resp, body)
	}
}

// Names come from others: they are shown as they are, but cannot break the page
// or pass for another name by what cannot be seen.
func TestNames(t *testing.T) {
	s := newStory(t)
	s.view.Name = "髙橋﨑𠮷葛\U000e0100 <b>x</b>"
	s.board.Services[0].Name = text("ab\u202egnp\u200b社\"><script>alert(1)</script>", "")
	s.board.Services[1].Name = record.Text{Ja: "مرحبا", En: "مرحبا"}
	srv := serve(t, s, s.c.Policy())
	_, body := visit(t, "GET", srv.URL+"/", entered(t, srv.URL, "once"), "")
	for _, want := range []string{"髙橋﨑𠮷葛\U000e0100 &lt;b&gt;x&lt;/b&gt;", `ab<span class="inv">U+202E</span>gnp<span class="inv">U+200B</span>社&#34;&gt;&lt;script&gt;`, "<bdi>مرحبا</bdi>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "<b>x") || strings.Contains(strings.ReplaceAll(body, "aria-label", ""), "\u202egnp\u200b社\"><") {
		t.Error("a name is not escaped")
	}
	if _, body := visit(t, "GET", srv.URL+"/?lang=en", "", ""); !strings.Contains(body, `<bdi lang="ja">ab`) {
		t.Error("Japanese in an English page is not marked as such")
	}
}

// A consent to a service that the board leaves out is shown all the same.
func TestNothingHidden(t *testing.T) {
	s := newStory(t)
	s.board.Services = s.board.Services[1:]
	s.events0 = append(s.events0, web.Event{Kind: "kind-99", From: members["aoba"], State: "of-tomorrow"})
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	_, home := visit(t, "GET", srv.URL+"/", cookie, "")
	_, body := visit(t, "GET", srv.URL+"/history", cookie, "")
	if !strings.Contains(home, ">coupon</bdi></h3>") || !strings.Contains(body, "記録（kind-99）") || !strings.Contains(body, "of-tomorrow") || strings.Contains(body, "‹") {
		t.Error("a service or an event is missing")
	}
}

func TestOlderEvents(t *testing.T) {
	s := newStory(t)
	s.events0 = nil
	for i := uint64(40); i > 0; i-- {
		s.events0 = append(s.events0, web.Event{Index: i, Kind: "provision", From: members["aoba"], To: members["kitahi"], TimeMs: int64(i) * 9e6})
	}
	srv := serve(t, s, s.c.Policy())
	cookie, seen, path := entered(t, srv.URL, "once"), 0, "/history"
	older := regexp.MustCompile(`href="(\?before=\d+)"`)
	for path != "" {
		_, body := visit(t, "GET", srv.URL+path, cookie, "")
		seen += strings.Count(body, `<article class="ev">`)
		path = ""
		if m := older.FindStringSubmatch(body); m != nil {
			path = "/history" + m[1]
		}
	}
	if seen != 40 {
		t.Errorf("%d of 40 events on all pages", seen)
	}
}
