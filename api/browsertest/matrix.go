package browsertest

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// ui asks for every combination; without it a page is looked at in Japanese and
// English, light and dark, at 360 and 1280 px, once in easy Japanese, and its width at
// 320 px.
var ui = flag.Bool("ui", false, "look at every page in every language, width, scheme and state")

// Full reports whether every combination is asked for.
func Full() bool { return *ui }

// widths of which each page is looked at; 320 px is a page of 1280 px at 400 %.
func widths() []int {
	if *ui {
		return []int{320, 360, 768, 1280}
	}
	return []int{360, 1280}
}

// Accessible wants no violation of any of axe-core's rules, best practice included,
// on the page as it stands, in each width and scheme, and no sideways scroll; in
// full also with every detail open.
func Accessible(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	accessible(t, ctx, name)
	Narrow(t, ctx, name)
	Calm(t, ctx, name)
	if *ui && Get(t, ctx, chromedp.Evaluate[bool](`document.querySelector("details:not([open])") !== null`)) {
		Run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details:not([open])").forEach((d) => { d.open = true; d.dataset.opened = "" })`))
		accessible(t, ctx, name+", details open")
		Narrow(t, ctx, name+", details open")
		Run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details[data-opened]").forEach((d) => { d.open = false; delete d.dataset.opened })`))
	}
}

func accessible(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, width := range widths() {
		for _, dark := range []bool{false, true} {
			Run(t, ctx, View(width, dark))
			var tags []string
			if dark && !*ui {
				tags = []string{"cat.color"} // a scheme changes colours only
			}
			for _, v := range Violations(t, ctx, tags...) {
				t.Errorf("%s at %d px, dark %v: %s", name, width, dark, v)
			}
			if over := Overflow(t, ctx); over > 0 {
				t.Errorf("%s at %d px is %d px too wide", name, width, over)
			}
		}
	}
	Run(t, ctx, View(1280, false))
}

// AccessibleIn is Accessible for a page in a language. In easy Japanese, which has the
// page's parts and colours and other words, one look is enough without -ui.
func AccessibleIn(t *testing.T, ctx context.Context, lang, name string) {
	t.Helper()
	if lang != "ja-easy" || *ui {
		Accessible(t, ctx, name)
		return
	}
	Run(t, ctx, View(360, false))
	for _, v := range Violations(t, ctx) {
		t.Errorf("%s at 360 px: %s", name, v)
	}
	Narrow(t, ctx, name)
}

// AccessibleAt opens an address in each language, waits until it is ready, and
// wants it to be accessible.
func AccessibleAt(t *testing.T, ctx context.Context, address string, ready Step) {
	t.Helper()
	for _, lang := range []string{"ja-easy", "en", "ja"} {
		sep := "?"
		if strings.Contains(address, "?") {
			sep = "&"
		}
		Run(t, ctx, chromedp.Navigate(address+sep+"lang="+lang), ready)
		AccessibleIn(t, ctx, lang, address+" ("+lang+")")
	}
}

// media emulates what a reader set in their system.
func media(name, value string) Step {
	return Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: name, Value: value}}})
}

// Calm wants nothing to move where a reader asked for that, and what can be pressed
// to keep its outline where colours are forced.
func Calm(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	Run(t, ctx, media("prefers-reduced-motion", "reduce"))
	moving := Get(t, ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("*")].flatMap((e) => ["", "::before", "::after"].map((p) => [e, getComputedStyle(e, p)])).filter(([e, s]) =>
		[s.transitionDuration, s.animationDuration].some((d) => d.split(",").some((x) => parseFloat(x) > 0))).map(([e]) => e.tagName + "." + e.className)`))
	if len(moving) > 0 {
		t.Errorf("%s: %q move although motion is reduced", name, moving)
	}
	Run(t, ctx, media("forced-colors", "active"))
	faint := Get(t, ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".btn,.sw>i,input:not([type=hidden]),select,textarea,.card,.pf,.res,.pick")].filter((e) => e.checkVisibility({ opacityProperty: true }) && e.getClientRects().length).filter((e) => {
		const s = getComputedStyle(e), back = getComputedStyle(document.body).backgroundColor;
		return s.borderTopWidth === "0px" || s.borderTopColor === back || s.borderTopColor === "rgba(0, 0, 0, 0)" }).map((e) => e.tagName + "." + e.className)`))
	if len(faint) > 0 {
		t.Errorf("%s: %q have no outline where colours are forced", name, faint)
	}
	Run(t, ctx, View(1280, false))
}

// Forced takes a picture with forced colours.
func Forced(t *testing.T, ctx context.Context, name string, width int) {
	t.Helper()
	Run(t, ctx, View(width, false), media("forced-colors", "active"))
	picture(t, ctx, fmt.Sprintf("%s-forced-%d", name, width))
	Run(t, ctx, View(1280, false))
}
