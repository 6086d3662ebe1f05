package web_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/chromedp/chromedp"
)

// TestBrowserAccessible puts every page through axe-core, signed in and not, in each
// state that a page can show.
func TestBrowserAccessible(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	s.strong = true
	receipt := "/receipts/" + itoa(s.view.Consents[0].Index)
	erasure, _, err := s.End(t.Context(), person, "coupon", true, "once")
	if err != nil {
		t.Fatal(err)
	}
	pages := []struct {
		pattern, path, state string
		ready                step
	}{
		{"GET /{$}", "/", "", seen(".cons")},
		{"GET /enter", "/enter?code=other", "", seen("button[value=stay]")},
		{"GET /services/{service}/{purpose}", "/services/alert/alert", "", seen(".ask")},
		{"GET /services/{service}", "/services/coupon", "", seen(".ask")},
		{"GET /erasures/{id}", "/erasures/" + erasure, "", settled("ok")},
		{"GET /requests", "/requests", "", seen(".ask")},
		{"GET /stops", "/stops", "", seen(".bare")},
		{"GET /history", "/history", "", seen(".flow")},
		{"GET /history", "/history?kind=denied", "", seen(".tl")},
		{"GET /receipts", "/receipts", "", seen(".rcs")},
		{"GET /receipts/{id}", receipt, "", settled("ok")},
		{"GET /receipts/{id}", receipt, "changed", settled("ng")},
		{"GET /all", "/all", "", settled("ok")},
		{"GET /all", "/all", "changed", settled("ng")},
		{"GET /verify", "/verify", "", chromedp.WaitEnabled(chromedp.CSS("#file"))},
		{"", "/nowhere", "", seen("h1")},
	}
	looked := map[string]bool{}
	for _, path := range []string{"/", "/all", receipt, "/enter?code=once", "/enter?code=gone"} { // nobody has signed in
		t.Run("signed out "+named(path), func(t *testing.T) { accessibleAt(t, ctx, srv.URL+path, seen("h1")) })
	}
	s.codes["other"] = "m-2"
	run(t, ctx, entry(srv.URL, "once"))
	for _, p := range pages {
		looked[p.pattern] = true
		t.Run(named(p.path)+p.state, func(t *testing.T) {
			if p.state == "changed" {
				s.mangle = func(b []byte) []byte { return bytes.Replace(b, []byte("まちなか"), []byte("むらなか"), 1) }
				defer func() { s.mangle = nil }()
			}
			accessibleAt(t, ctx, srv.URL+p.path, p.ready)
		})
	}
	for _, pattern := range web.Pages() {
		if !looked[pattern] {
			t.Errorf("%s is looked at by nobody", pattern)
		}
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=ja"))
	run(t, ctx, chromedp.Navigate(srv.URL+"/history"), chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true })`))
	accessible(t, ctx, "the history with all details open")
	browsertest.Forced(t, ctx, "history", 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`button[role=switch]`), seen(".said-note"))
	accessible(t, ctx, "a consent was stopped")
	browsertest.Forced(t, ctx, "consents", 1280)
	for _, e := range []error{web.ErrErased, web.ErrNoSecret, web.ErrNotFinal, &web.Refused{Code: "consent.none"}, errors.New("a fault")} {
		s.err = e
		t.Run(named(e.Error()), func(t *testing.T) { accessibleAt(t, ctx, srv.URL+"/all", seen(".prob")) })
	}
	s.err = nil

	// What this test leans on: axe-core finds what is there.
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), chromedp.Evaluate[chromedp.Void](`document.documentElement.removeAttribute("lang")`))
	if got := violations(t, ctx); len(got) != 1 || !strings.HasPrefix(got[0], "html-has-lang") {
		t.Errorf("a page without a language: %q", got)
	}
}

// named is a name for a subtest by which -run can choose it.
func named(path string) string {
	return strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(strings.Trim(path, "/"))
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
