package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// visitor is a person's browser in the town.
type visitor struct {
	*town
	ctx  context.Context
	home string // where files are saved
}

func (c *town) visitor() *visitor {
	c.t.Helper()
	v := &visitor{c, browsertest.Open(c.t), c.t.TempDir()}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			at, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
			c.t.Logf("the browser is at %s (%v)", at, err)
		}
	})
	v.run(browsertest.Command(browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(v.ctx).BrowserContextID, DownloadPath: v.home}))
	return v
}

func (v *visitor) run(steps ...browsertest.Step) {
	v.t.Helper()
	browsertest.Run(v.t, v.ctx, steps...)
}

// open loads a page, and waits until something is seen on it.
func (v *visitor) open(path, ready string) {
	v.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = v.issuer + path
	}
	v.run(chromedp.Navigate(path))
	v.seen(ready)
}

// click presses something, and waits for what follows from it.
func (v *visitor) click(what, ready string) {
	v.t.Helper()
	v.seen(what)
	v.run(browsertest.Click(what))
	v.seen(ready)
}

// seen waits until something is seen, on whatever page a click has led to.
func (v *visitor) seen(selector string) {
	v.t.Helper()
	look := chromedp.Evaluate[bool](fmt.Sprintf(`document.readyState !== "loading" && !!document.querySelector(%q)?.getClientRects().length`, selector))
	v.until(selector+" is seen", func() bool {
		ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
		defer cancel()
		ok, err := chromedp.Run(ctx, look) // between two pages there may be none
		return err == nil && ok
	})
}

// says returns what the page says in an element, "" where there is none.
func (v *visitor) says(selector string) string {
	v.t.Helper()
	return browsertest.Get(v.t, v.ctx, chromedp.Evaluate[string](fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector)))
}

// see wants a page's element to come to say all of this. It loads the page again
// until it does.
func (v *visitor) see(path, selector string, want ...string) {
	v.t.Helper()
	said := ""
	for late := time.Now().Add(patience); ; {
		v.open(path, "h1")
		if said = v.says(selector); containsAll(said, want) {
			return
		}
		if time.Now().After(late) {
			v.t.Fatalf("%s does not say %q in %s:\n%s", path, want, selector, said)
		}
	}
}

func containsAll(s string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

// save presses a link that saves a file, and returns where it is.
func (v *visitor) save(link, name string) string {
	v.t.Helper()
	file := filepath.Join(v.home, name)
	v.run(browsertest.Click(link))
	v.until(name+" is saved", func() bool { // the browser renames it when it is whole
		info, err := os.Stat(file)
		return err == nil && info.Size() > 0
	})
	return file
}

// verified checks a saved file with the command.
func (v *visitor) verified(file string) string {
	v.t.Helper()
	return v.akashi("verify", file, "--policy", policyFile(v.dir))
}

// checked waits until the page has computed every step of a file's proof.
func (v *visitor) checked(steps int) {
	v.t.Helper()
	v.seen(`#check[data-state="ok"]`)
	if n := browsertest.Get(v.t, v.ctx, chromedp.Evaluate[int](`document.querySelectorAll("#steps>li .st.ok").length`)); n != steps {
		v.t.Fatalf("%d steps are checked, want %d:\n%s", n, steps, v.says("#check"))
	}
}
