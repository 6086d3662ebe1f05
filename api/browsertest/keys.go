package browsertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// stop describes where the focus is: a selector of the element, its place among all
// that the page offers to the keyboard, and what is wrong with it.
type stop struct {
	Name  string   `json:"name"`
	Place int      `json:"place"`
	Of    int      `json:"of"`
	Wrong []string `json:"wrong"`
}

const stopScript = `(() => {
	const group = (e) => [...document.querySelectorAll("input[type=radio]")].filter((x) => x.name === e.name && x.form === e.form && !x.disabled);
	const one = (e) => e.type !== "radio" || (group(e).find((x) => x.checked) ?? group(e)[0]) === e; // of a group of radio buttons one is reached
	const all = [...document.querySelectorAll("a[href],button,input,select,textarea,summary,[tabindex='0']")].filter((e) => !e.disabled && e.type !== "hidden" && e.tabIndex >= 0 && e.checkVisibility() && e.getClientRects().length && one(e));
	const e = document.activeElement, at = all.indexOf(e), wrong = [];
	if (at < 0) return { name: e?.tagName ?? "nothing", place: -1, of: all.length, wrong };
	const seen = e.checkVisibility({ opacityProperty: true }) ? e : e.parentElement.querySelector(".btn") ?? e; // of a file input our own button is seen
	const style = getComputedStyle(seen), box = e.getBoundingClientRect();
	if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 3) wrong.push("its focus is not seen");
	if (box.top < -1 || box.bottom > innerHeight + 1 && box.height < innerHeight || box.left < -1 || box.right > innerWidth + 1)
		wrong.push("it has the focus beyond the window: " + [box.left, box.top, box.right, box.bottom].map(Math.round) + " of " + innerWidth + " by " + innerHeight);
	const over = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height / 2, innerHeight / 2));
	if (over && !e.contains(over) && !over.contains(e) && !(e.labels && [...e.labels].some((l) => l.contains(over)))) wrong.push("it is covered by " + over.tagName);
	return { name: e.id ? "#" + e.id : e.name ? e.name + "=" + e.value : e.textContent.trim() || e.tagName, place: at, of: all.length, wrong };
})()`

// Reached presses the tab key until the focus leaves the page, and returns what it
// came to, in this order: ids, name=value of buttons, else the text. It wants the
// order of the document, all that there is, and each focus to be seen.
func Reached(t *testing.T, ctx context.Context) []string {
	t.Helper()
	Run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute("tabindex"); scrollTo(0, 0)`))
	var names []string
	for {
		Run(t, ctx, chromedp.KeyEvent(kb.Tab))
		s := Get(t, ctx, chromedp.Evaluate[stop](stopScript))
		if s.Place != len(names) {
			if len(names) < s.Of {
				t.Errorf("after %q the tab key leads to %s, the %d. of %d", names, s.Name, s.Place+1, s.Of)
			}
			return names
		}
		for _, w := range s.Wrong {
			t.Errorf("%s: %s", s.Name, w)
		}
		if names = append(names, s.Name); len(names) > 200 {
			t.Fatal("the tab key finds no end")
		}
	}
}

// TabTo presses the tab key until the element has the focus.
func TabTo(t *testing.T, ctx context.Context, selector string) {
	t.Helper()
	for range 100 {
		Run(t, ctx, chromedp.KeyEvent(kb.Tab))
		if Get(t, ctx, chromedp.Evaluate[bool](fmt.Sprintf("document.activeElement.matches(%q)", selector))) {
			return
		}
	}
	t.Fatalf("the tab key does not reach %s", selector)
}

// Press sends keys to what has the focus.
func Press(t *testing.T, ctx context.Context, keys string) {
	t.Helper()
	Run(t, ctx, chromedp.KeyEvent(keys))
}
