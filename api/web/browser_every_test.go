package web_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// verdict presses the button and wants a verdict: ok, un or ng.
func verdict(t *testing.T, ctx context.Context, want string) {
	t.Helper()
	run(t, ctx, click("#every-go"), seen("#every-res .res:not(:has(progress))"))
	if got := get(t, ctx, chromedp.Evaluate[string](`document.querySelector("#every-res .res").className`)); got != "res "+want {
		t.Errorf("%s, want %s: %s", got, want, textOf(t, ctx, "#every-res"))
	}
}

// TestBrowserEvery: the history and the list of receipts are verified at once.
func TestBrowserEvery(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, entry(srv.URL, "once"))
	for _, path := range []string{"/receipts", "/history?lang=en", "/history?lang=ja"} {
		run(t, ctx, chromedp.Navigate(srv.URL+path))
		verdict(t, ctx, "ok")
		if n := get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("[data-index] .pf.ok").length`)); n != len(s.events0) {
			t.Errorf("%s: %d of %d lines verified", path, n, len(s.events0))
		}
	}
	if said := get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("[data-said]").length`)); said < 6 {
		t.Errorf("%d words of the page are compared", said)
	}
	accessible(t, ctx, "the history, verified")
	shot(t, ctx, "history-verified", 360, 1280)
	narrow(t, ctx, "the history, verified")

	t.Run("filter", func(t *testing.T) {
		run(t, ctx, chromedp.Navigate(srv.URL+"/history?kind=denied"))
		verdict(t, ctx, "ok")
		if text := textOf(t, ctx, "#every-res"); !strings.Contains(text, "1件とも") {
			t.Errorf("one refusal: %s", text)
		}
	})
	t.Run("a receipt was changed", func(t *testing.T) {
		s.mangle = func(b []byte) []byte {
			return bytes.Replace(b, []byte("北灯モール"), []byte("東灯モール"), 1)
		}
		run(t, ctx, chromedp.Navigate(srv.URL+"/history"))
		verdict(t, ctx, "ng")
		accessible(t, ctx, "a history that does not match")
		s.mangle = nil
		if ng := get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("[data-index] .pf.ng").length`)); ng == 0 || ng == len(s.events0) {
			t.Errorf("%d lines do not match", ng)
		}
	})
	t.Run("the page says another recipient", func(t *testing.T) {
		i := slices.IndexFunc(s.events0, func(e web.Event) bool { return e.Kind == "provision" })
		to := s.events0[i].To
		s.events0[i].To = text("だれか", "somebody")
		run(t, ctx, chromedp.Navigate(srv.URL+"/history"))
		verdict(t, ctx, "ng")
		s.events0[i].To = to
		if ng := textOf(t, ctx, "#every-res"); !strings.Contains(ng, "#"+itoa(s.events0[i].Index)) || !strings.Contains(ng, "のうち1件") {
			t.Errorf("which: %s", ng)
		}
	})
	t.Run("one has no receipt", func(t *testing.T) {
		index := s.events0[0].Index
		old := s.receipts[index]
		delete(s.receipts, index)
		run(t, ctx, chromedp.Navigate(srv.URL+"/history"))
		verdict(t, ctx, "un")
		s.receipts[index] = old
		if un := textOf(t, ctx, "#every-res"); !strings.Contains(un, "この会社には控えがない：1件") {
			t.Errorf("one is missing: %s", un)
		}
	})
	w.Check(t, srv.URL)

	run(t, ctx, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(srv.URL+"/history"))
	if text := textOf(t, ctx, "#every"); !strings.Contains(text, "akashi verify FILE") || strings.Contains(text, "件を確かめる") {
		t.Errorf("without JavaScript: %s", text)
	}
}
