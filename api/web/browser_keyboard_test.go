package web_test

import (
	"context"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// press goes to an element with the tab key and presses keys on it.
func press(t *testing.T, ctx context.Context, selector, keys string) {
	t.Helper()
	browsertest.TabTo(t, ctx, selector)
	browsertest.Press(t, ctx, keys)
}

// TestBrowserKeyboard does everything that a person can do in the portal with the
// keyboard alone. The tab key reaches all there is, in the order of the page, and
// shows where it is, also at 320 px (a page of 1280 px at 400 %).
func TestBrowserKeyboard(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	s.strong = true
	run(t, ctx, entry(srv.URL, "once"), seen(".cons"))
	for _, path := range []string{"/", "/history", "/receipts", "/requests", "/stops", "/services/alert/alert", "/services/coupon", "/verify", "/all"} {
		for _, width := range []int{1280, 320} {
			run(t, ctx, view(width, false), chromedp.Navigate(srv.URL+path), seen("h1"))
			if path == "/all" {
				run(t, ctx, settled("ok"))
			}
			got := browsertest.Reached(t, ctx)
			if i := slices.Index(got, "本文へ"); i != 0 || len(got) < 10 {
				t.Errorf("%s at %d px: the way to the text is not the first of %q", path, width, got)
			}
			if n := get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("dialog,[popover],[aria-haspopup],[tabindex]:not([tabindex='0'],[tabindex='-1'])").length`)); n != 0 {
				t.Errorf("%s: %d things cover the page or change its order, and the escape key closes nothing", path, n)
			}
		}
	}
	run(t, ctx, view(1280, false), chromedp.Navigate(srv.URL+"/"), seen(".cons"))
	press(t, ctx, ".skip", kb.Enter)
	if !get(t, ctx, chromedp.Evaluate[bool](`document.activeElement.id === "main"`)) {
		t.Error("the skip link leads elsewhere")
	}
	press(t, ctx, "button[role=switch]", " ")
	run(t, ctx, seen(".said-note"))
	if len(s.stopped) != 1 {
		t.Errorf("stopped %v", s.stopped)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), seen(".cons"))
	press(t, ctx, "button[role=switch][aria-checked=false]", kb.Enter)
	run(t, ctx, seen(".said-note"))
	if len(s.granted) != 1 {
		t.Errorf("started again: %v", s.granted)
	}
	press(t, ctx, `a[href="/services/alert/alert"]`, kb.Enter)
	run(t, ctx, seen("#i-name"))
	press(t, ctx, "#i-name", " ")
	press(t, ctx, "button[value=yes]", kb.Enter)
	run(t, ctx, seen(".said-note"))
	if len(s.granted) != 2 || len(s.granted[1].Items) != 1 {
		t.Errorf("agreed: %+v", s.granted)
	}
	press(t, ctx, `a[href="/history"]`, kb.Enter)
	run(t, ctx, seen("#every-go"))
	press(t, ctx, ".ev summary", kb.Enter)
	if !get(t, ctx, chromedp.Evaluate[bool](`document.querySelector(".ev details").open`)) {
		t.Error("the details do not open")
	}
	press(t, ctx, "#every-go", kb.Enter)
	run(t, ctx, seen("#every-res .ok"))
	press(t, ctx, `a[href="/requests"]`, kb.Enter)
	run(t, ctx, seen("#r-n"))
	press(t, ctx, "[name=kind]", " "+kb.ArrowDown)
	press(t, ctx, "#r-n", "「髙」の字です")
	press(t, ctx, ".ask button", kb.Enter)
	run(t, ctx, seen(".said-note"))
	if len(s.filed) != 1 || s.filed[0].Note != "「髙」の字です" {
		t.Errorf("filed %+v", s.filed)
	}
	press(t, ctx, `a[href="/stops"]`, kb.Enter)
	run(t, ctx, seen(".bare"))
	press(t, ctx, ".bare li:nth-child(2) button", " ")
	run(t, ctx, seen(".said-note"))
	if !s.stops[1].Stopped || s.stops[0].Stopped {
		t.Errorf("stops %+v", s.stops)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/services/coupon"), seen("#w-erase"))
	press(t, ctx, "[name=what]", " "+kb.ArrowDown)
	press(t, ctx, ".decide button", kb.Enter)
	run(t, ctx, settled("ok"))
	if !slices.Equal(s.ended, []string{"coupon erase"}) {
		t.Errorf("ended %q", s.ended)
	}
}
