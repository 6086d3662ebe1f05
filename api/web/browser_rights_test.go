package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Requests, the three stops, and the end of a service with its erasure, as a
// person does them.
func TestBrowserRights(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, entry(srv.URL, "once"), chromedp.Navigate(srv.URL+"/requests"), click("#k-correction"),
		chromedp.SendKeys(chromedp.CSS("#r-n"), "「髙」の字です"), click(".ask button"), seen(".said-note"))
	if len(s.filed) != 1 || s.filed[0].Kind != "correction" || s.filed[0].Note != "「髙」の字です" || s.filed[0].Service != "alert" {
		t.Errorf("filed %+v", s.filed)
	}
	if got := textOf(t, ctx, "#main"); !strings.Contains(got, "2026年12月19日までに決める") || !strings.Contains(got, "「髙」の字です") {
		t.Errorf("the request: %s", got)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/requests"))
	shot(t, ctx, "requests", 360, 768, 1280)
	narrow(t, ctx, "requests")
	run(t, ctx, chromedp.Navigate(srv.URL+"/stops"), click(".bare li:nth-child(3) button"), seen(".said-note"))
	if !s.stops[2].Stopped || s.stops[0].Stopped || s.stops[1].Stopped {
		t.Errorf("stops %+v", s.stops)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/stops"))
	shot(t, ctx, "stops", 360, 768, 1280)
	narrow(t, ctx, "stops")

	// A link is not enough to erase; a passkey is.
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`a[href="/services/coupon"]`), seen(".ask"))
	if !get(t, ctx, chromedp.Evaluate[bool](`document.querySelector("#w-erase").disabled`)) {
		t.Error("a link is enough to erase")
	}
	s.strong = true
	run(t, ctx, chromedp.Navigate(srv.URL+"/services/coupon"))
	shot(t, ctx, "ending", 360, 768, 1280)
	narrow(t, ctx, "ending")
	run(t, ctx, click("#w-erase"), click(".decide button"), settled("ok"))
	if got := textOf(t, ctx, "#main"); !strings.Contains(got, "4か所のうち2か所が消しました") || !strings.Contains(got, "写しを盗まれたと届け出ています") || !strings.Contains(got, "みなと市") || len(s.ended) != 1 {
		t.Errorf("the erasure: %s, %v", got, s.ended)
	}
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#said").open = true`))
	shot(t, ctx, "erasure", 360, 768, 1280)
	narrow(t, ctx, "erasure")
	accessible(t, ctx, "the erasure")
	w.Check(t, srv.URL)
}

// What a form must carry, and what is refused.
func TestRightsForms(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	_, body := visit(t, "GET", srv.URL+"/requests", cookie, "")
	token := formToken.FindStringSubmatch(body)[1]
	with := func(kv ...string) string {
		f := url.Values{"form": {token}, "once": {"k1"}}
		for i := 0; i < len(kv); i += 2 {
			f.Set(kv[i], kv[i+1])
		}
		return f.Encode()
	}
	for name, c := range map[string]struct {
		path, form string
		status     int
	}{
		"request":              {"/requests", with("kind", "records", "service", "alert"), 303},
		"request without kind": {"/requests", with("service", "alert"), 422},
		"request, long":        {"/requests", with("kind", "records", "service", "alert", "note", strings.Repeat("あ", 700)), 422},
		"request, no UTF-8":    {"/requests", with("kind", "records", "service", "alert", "note", "\xff"), 422},
		"request, no token":    {"/requests", with("kind", "records", "service", "alert", "form", ""), 403},
		"stop":                 {"/stops", with("kind", "mail", "state", "stopped"), 303},
		"stop of another kind": {"/stops", with("kind", "all", "state", "stopped"), 422},
		"stop without a state": {"/stops", with("kind", "mail"), 422},
		"end":                  {"/services/coupon", with("what", "stop"), 303},
		"end without a choice": {"/services/coupon", with(), 422},
		"erase by a link":      {"/services/coupon", with("what", "erase"), 403},
		"end without a token":  {"/services/coupon", with("what", "stop", "form", "x"), 403},
		"end of no service":    {"/services/NO", with("what", "stop"), 422},
	} {
		if resp, _ := visit(t, "POST", srv.URL+c.path, cookie, c.form); resp.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", name, resp.Status, c.status)
		}
		if resp, _ := visit(t, "POST", srv.URL+c.path, "", c.form); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session: %s", name, resp.Status)
		}
	}
	if len(s.filed) != 1 || len(s.ended) != 1 || s.ended[0] != "coupon" {
		t.Errorf("filed %v, ended %v", s.filed, s.ended)
	}
	for _, id := range []string{"x", strings.Repeat("A", 32), strings.Repeat("ab", 16)} {
		if resp, _ := visit(t, "GET", srv.URL+"/erasures/"+id, "", ""); resp.StatusCode != 404 {
			t.Errorf("erasure %s: %s", id, resp.Status)
		}
	}
}

// Global Privacy Control is heeded, said, and announced.
func TestSignal(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	if _, body := visit(t, "GET", srv.URL+"/stops", cookie, "", "Sec-GPC", "0"); strings.Contains(body, "GPC") || strings.Count(body, `aria-checked="true"`) != 3 {
		t.Error("a signal that was not given")
	}
	visit(t, "GET", srv.URL+"/", cookie, "", "Sec-GPC", "1") // heeded on whatever page
	if _, body := visit(t, "GET", srv.URL+"/stops", cookie, ""); strings.Contains(body, "GPC") || strings.Count(body, `aria-checked="false"`) != 2 {
		t.Error("the signal is heeded on its own page only")
	}
	_, body := visit(t, "GET", srv.URL+"/stops", cookie, "", "Sec-GPC", "1")
	if !strings.Contains(body, "GPC") || strings.Count(body, `aria-checked="false"`) != 2 || !strings.Contains(body, "ブラウザーの設定から") {
		t.Error("the signal is not heeded")
	}
	resp, body := visit(t, "GET", srv.URL+"/.well-known/gpc.json", "", "")
	if resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"gpc": true`) {
		t.Errorf("gpc.json: %s %s", resp.Status, body)
	}
}

// A kept receipt is verified from the disk, without a server, and notices a
// changed byte.
func TestBrowserKept(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	resp, page := visit(t, "GET", srv.URL+"/receipts/"+itoa(s.view.Consents[0].Index)+".html", cookie, "")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment; ") || strings.Contains(page, "@@") || strings.Contains(page, "‹") {
		t.Fatalf("%s, %d bytes", resp.Status, len(page))
	}
	for _, word := range []string{"本物です", "合いました", "pf-ok", srv.URL} {
		if strings.Contains(page, word) {
			t.Errorf("the file says %q", word)
		}
	}
	srv.CloseClientConnections()
	srv.Close()
	w := watched(t, ctx)
	open := func(name, page string) step {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		return chromedp.Navigate("file://" + file)
	}
	run(t, ctx, open("receipt.html", page), settled("ok"))
	if got := textOf(t, ctx, "#claim"); got != "この文は、記録から導いた文と同じでした。" {
		t.Errorf("words: %s", got)
	}
	shot(t, ctx, "kept", 360, 1280)
	accessible(t, ctx, "a kept receipt")
	run(t, ctx, open("bad.html", strings.Replace(page, "まちなかクーポン", "むりょうクーポン", 1)), settled("ng"))
	w.Check(t, "file://")
}
