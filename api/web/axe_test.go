package web_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserAccessible puts every page through axe-core.
func TestBrowserAccessible(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	receipt := srv.URL + "/receipts/" + itoa(s.view.Consents[0].Index)
	ready := seen("h1")
	for _, address := range []string{"/", "/verify", "/nowhere"} {
		accessibleAt(t, ctx, srv.URL+address, ready)
	}
	accessibleAt(t, ctx, srv.URL+"/all", ready) // nobody has signed in
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=once"))
	accessibleAt(t, ctx, srv.URL+"/", seen(".cons"))
	for address, ready := range map[string]step{"/services/alert/alert": seen(".ask"), "/history": seen(".flow"), "/receipts": seen(".rcs"),
		"/requests": seen(".ask"), "/stops": seen(".bare"), "/services/coupon": seen(".ask")} {
		accessibleAt(t, ctx, srv.URL+address, ready)
	}
	for _, path := range []string{"/", "/services/alert/alert"} {
		run(t, ctx, chromedp.Navigate(srv.URL+path+"?lang=ja-easy"))
		accessible(t, ctx, path+" in easy Japanese")
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=ja"))
	run(t, ctx, chromedp.Navigate(srv.URL+"/history"), chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
	accessible(t, ctx, "the history with all details open")
	accessibleAt(t, ctx, receipt, settled("ok"))
	accessibleAt(t, ctx, srv.URL+"/all", settled("ok"))
	s.mangle = func(b []byte) []byte { return bytes.Replace(b, []byte("まちなか"), []byte("むらなか"), 1) }
	accessibleAt(t, ctx, receipt, settled("ng"))
	accessibleAt(t, ctx, srv.URL+"/all", settled("ng"))
	s.mangle = nil
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`button[role=switch]`), seen(".said-note"))
	accessible(t, ctx, "a consent was stopped")

	// What this test leans on: axe-core finds what is there.
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.documentElement.removeAttribute("lang")`))
	if got := violations(t, ctx); len(got) != 1 || !strings.HasPrefix(got[0], "html-has-lang") {
		t.Errorf("a page without a language: %q", got)
	}
}

// TestBrowserAccessibleVerify: the page for saved files, before and after.
func TestBrowserAccessibleVerify(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	good, err := s.build(s.view.Consents[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"policy": s.c.Policy().Format(), "ok": good, "vectors.policy": vector(t, "receipt-consent.policy"),
		"all": vector(t, "completeness.akashi.json"), "un": []byte("\xff\xd8\xff"),
		"ng": bytes.Replace(good, []byte("まちなか"), []byte("むらなか"), 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, lang := range []string{"en", "ja"} {
		run(t, ctx, chromedp.Navigate(srv.URL+"/verify?lang="+lang), chromedp.WaitEnabled(chromedp.CSS("#file")), upload("#policyfile", filepath.Join(dir, "policy")))
		for _, state := range []string{"ok", "ng", "un"} {
			run(t, ctx, upload("#file", filepath.Join(dir, state)), settled(state))
			accessible(t, ctx, "/verify "+state+" ("+lang+")")
		}
		run(t, ctx, upload("#policyfile", filepath.Join(dir, "vectors.policy")), upload("#file", filepath.Join(dir, "all")), settled("ok"), seen("#rows h2"))
		accessible(t, ctx, "/verify all ("+lang+")")
	}
}
