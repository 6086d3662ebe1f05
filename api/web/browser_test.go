package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// What the tests of this package say to a browser.
var (
	browser      = browsertest.Open
	watched      = browsertest.Watched
	run          = browsertest.Run
	seen         = browsertest.Seen
	click        = browsertest.Click
	upload       = browsertest.Upload
	textOf       = browsertest.TextOf
	view         = browsertest.View
	shot         = browsertest.Shot
	narrow       = browsertest.Narrow
	location     = browsertest.Location
	violations   = browsertest.Violations
	accessible   = browsertest.Accessible
	accessibleAt = browsertest.AccessibleAt
)

type step = browsertest.Step

// entry opens a one-time link and signs in with it.
func entry(base, code string) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		return chromedp.Do(ctx, chromedp.Navigate(base+"/enter?code="+code), click("button[value=enter]"), seen(`form[action="/leave"]`))
	})
}

func command[P, R any](c cdp.Command[P, R], params P) step { return browsertest.Command(c, params) }

func get[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	return browsertest.Get(t, ctx, a)
}

func settled(state string) step { return seen(`#check[data-state="` + state + `"]`) }

// TestVerifierInBrowser runs assets/verify.js over the published vectors and
// over receipts of every kind, with WebCrypto and without.
func TestVerifierInBrowser(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	harness, err := os.ReadFile("testdata/cases.mjs")
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"cases": jsCases(t), "signatures": jsSignatures(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"", `Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });`} {
		script := strings.Replace(string(harness), "export async function run", "async function run", 1)
		run(t, ctx, chromedp.Navigate(srv.URL+"/verify"))
		faults := get(t, ctx, chromedp.Evaluate[[]string](fmt.Sprintf(`(async () => { %s %s
			const { cases, signatures } = %s;
			return run(await import("/assets/verify.js"), await import("/assets/ed25519.js"), await import("/assets/chain.js"), cases, signatures) })()`, without, script, input), chromedp.EvalAwaitPromise))
		for _, f := range faults {
			t.Errorf("%s %s", without, f)
		}
	}
}

func TestBrowserPerson(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), seen("h1"))
	shot(t, ctx, "start", 360, 768, 1280)
	run(t, ctx, entry(srv.URL, "once"), seen(".cons"))
	if where := location(t, ctx); where != srv.URL+"/" {
		t.Errorf("the link leads to %s", where)
	}
	shot(t, ctx, "consents", 360, 768, 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=en"), seen(".cons"))
	narrow(t, ctx, "consents in English")
	shot(t, ctx, "consents-en", 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=ja-easy"), seen(".cons"))
	narrow(t, ctx, "consents in easy Japanese")
	shot(t, ctx, "consents-easy", 360, 1280)
	s.codes["other"] = "m-2"
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=other&lang=ja"), seen("button[value=stay]"))
	shot(t, ctx, "enter", 360, 768, 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/nowhere"), seen(".prob"))
	shot(t, ctx, "not-found", 360, 768, 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=ja"), click(`button[role=switch]`), seen(".said-note"))
	if len(s.stopped) != 1 || s.stopped[0].Purpose != "coupon" || !strings.Contains(textOf(t, ctx, ".said-note"), "止めました") {
		t.Errorf("one tap: %v, %q", s.stopped, textOf(t, ctx, ".said-note"))
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`button[role=switch][aria-checked=false]`), seen(".said-note"))
	if len(s.granted) != 1 || s.granted[0].Purpose != "coupon" || !s.granted[0].Again || s.granted[0].Button != "オフ" || !strings.Contains(textOf(t, ctx, ".said-note"), "始めました") {
		t.Errorf("one tap back: %+v, %q", s.granted, textOf(t, ctx, ".said-note"))
	}
	w.Check(t, srv.URL)
}

// A purpose that a person never agreed to is shown in full, nothing is ticked,
// and refusing is the same size as agreeing.
func TestBrowserOffer(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, entry(srv.URL, "once"), click(`a[href="/services/alert/alert"]`), seen(".ask"))
	shot(t, ctx, "offer", 360, 768, 1280)
	narrow(t, ctx, "offer")
	if n := get(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("input:checked").length`)); n != 0 {
		t.Errorf("%d boxes are ticked", n)
	}
	if d := get(t, ctx, chromedp.Evaluate[float64](`(() => { const [a, b] = [...document.querySelectorAll(".decide button")].map((x) => x.getBoundingClientRect());
		return Math.abs(a.width - b.width) + Math.abs(a.height - b.height) })()`)); d > 1 {
		t.Errorf("the buttons differ by %v px", d)
	}
	run(t, ctx, click(`button[value=no]`), seen(".said-note"))
	if len(s.granted) != 0 || !strings.Contains(textOf(t, ctx, ".said-note"), "同意しませんでした") {
		t.Errorf("refused: %+v, %q", s.granted, textOf(t, ctx, ".said-note"))
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/services/alert/alert"), click("#i-name"), click(`button[value=yes]`), seen(".said-note"))
	if len(s.granted) != 1 || !slices.Equal(s.granted[0].Items, []string{"name"}) || s.granted[0].Version != "3" || s.granted[0].Clear || s.granted[0].Button != "同意する" {
		t.Errorf("agreed: %+v", s.granted)
	}
	s.past = web.Past{Agreed: 1, Given: 4, LastMs: s.events0[0].TimeMs}
	s.was = func(was web.Offer) *web.Offer {
		was.Version, was.Required, was.Recipients = "2", slices.Concat(was.Required, was.Optional[:1]), nil
		was.Optional, was.Text = was.Optional[1:], text("避難情報をお届けします。", "We send you evacuation alerts.")
		return &was
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/services/alert/alert"), seen(".changes"))
	shot(t, ctx, "offer-again", 360, 1280)
	narrow(t, ctx, "offer-again")
	w.Check(t, srv.URL)
}

// The history draws who handed how often to whom, with a table of the same.
func TestBrowserHistory(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, entry(srv.URL, "once"), chromedp.Navigate(srv.URL+"/history"), seen(".flow"))
	shot(t, ctx, "history", 360, 768, 1280)
	narrow(t, ctx, "history")
	got := get(t, ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("svg[role=img]")].flatMap((v) => [v.querySelector("title")?.textContent, v.querySelector("desc")?.textContent])`))
	if len(got) != 4 || got[0] == "" || !strings.Contains(got[1], "合計3回") || !strings.Contains(got[3], "合計3回") {
		t.Errorf("the pictures say %q", got)
	}
	run(t, ctx, click(".flow summary"))
	if table := textOf(t, ctx, ".flow table"); !strings.Contains(table, "中央警察署") || !strings.Contains(table, "合計") || !strings.Contains(table, "3回") {
		t.Errorf("the table says %s", table)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/history?kind=denied"), seen(".ev"))
	if text := textOf(t, ctx, "#main"); !strings.Contains(text, "求めを断りました") || strings.Contains(text, "同意しました") {
		t.Errorf("only refusals: %s", text)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/receipts"), seen(".rcs"))
	shot(t, ctx, "receipts", 360, 768, 1280)
	narrow(t, ctx, "receipts")
	w.Check(t, srv.URL)
}

func TestBrowserReceipt(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	index := s.view.Consents[0].Index
	address := srv.URL + "/receipts/" + itoa(index)
	run(t, ctx, entry(srv.URL, "once"), chromedp.Navigate(address), settled("ok"))
	if got := textOf(t, ctx, "#check"); !strings.Contains(got, "計算は、すべて合いました") || !strings.Contains(got, "3者が署名している") ||
		!strings.Contains(got, "minato（署名なし）") || !strings.Contains(got, "鍵の番号は、あなたが見くらべます") || !strings.Contains(got, "/log/policy") {
		t.Errorf("steps: %s", got)
	}
	if got := textOf(t, ctx, "#claim"); got != "この文は、記録から導いた文と同じでした。" {
		t.Errorf("words: %s", got)
	}
	shot(t, ctx, "receipt", 360, 768, 1280)
	narrow(t, ctx, "receipt")
	run(t, ctx, click("#steps button"), chromedp.Sleep(50*time.Millisecond))
	if got := textOf(t, ctx, "#h-res"); got != "この控えは、本物です" {
		t.Errorf("after comparing: %s", got)
	}
	run(t, ctx, chromedp.Navigate(address+"?lang=en"), settled("ok"))
	if got := textOf(t, ctx, "#claim"); got != "These words are the same as those derived from the record." {
		t.Errorf("English words: %s", got)
	}
	for _, e := range s.events0 { // every other receipt of the list
		run(t, ctx, chromedp.Navigate(srv.URL+"/receipts/"+itoa(e.Index)+"?lang=ja"), settled("ok"))
		if got := textOf(t, ctx, "#claim"); !strings.Contains(got, "同じでした") {
			t.Errorf("%s: %s", e.Kind, got)
		}
	}

	// The server changes a byte of the words, of the opening, of a signature.
	for _, c := range []struct{ field, step, code string }{
		{"Town Coupons", "state", "receipt.human"}, {`"nonce": "`, "form", "receipt.opening"}, {`"proof": "c2sp.org/tlog-proof@v1\nindex`, "place", "receipt"},
	} {
		s.mangle = func(b []byte) []byte {
			i := bytes.Index(b, []byte(c.field)) + len(c.field) - 1
			if strings.HasSuffix(c.field, "index") {
				i += 8 // the first hash of the path
				b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A']
			} else if c.field == `"nonce": "` {
				b[i+1] = map[bool]byte{true: 'B', false: 'A'}[b[i+1] == 'A']
			} else {
				b[i] ^= 1
			}
			return b
		}
		run(t, ctx, chromedp.Navigate(address), settled("ng"))
		got := textOf(t, ctx, `#steps>li[data-step="`+c.step+`"]`)
		if !strings.Contains(got, "合いません") || !strings.Contains(got, c.code) || textOf(t, ctx, "#h-res") != "合いません" {
			t.Errorf("%s: %s", c.field, got)
		}
		if got := textOf(t, ctx, "#claim"); !strings.Contains(got, "信じないでください") {
			t.Errorf("%s: the words are still claimed: %s", c.field, got)
		}
		if c.step == "form" {
			shot(t, ctx, "receipt-broken", 360, 1280)
		}
	}
	// The server draws other words than those of the file.
	calls := 0
	s.mangle = func(b []byte) []byte {
		if calls++; calls == 1 {
			return bytes.ReplaceAll(b, []byte("まちなかクーポン"), []byte("むりょうクーポン"))
		}
		return b
	}
	run(t, ctx, chromedp.Navigate(address), settled("ng"))
	s.mangle = nil
	w.Check(t, srv.URL)
}

func TestBrowserVerify(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good, err := s.build(s.view.Consents[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	policyFile := file("policy", s.c.Policy().Format())
	bad := bytes.Replace(good, []byte("まちなか"), []byte("むらなか"), 1)
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"), chromedp.WaitEnabled(chromedp.CSS("#file")))
	shot(t, ctx, "verify", 360, 768, 1280)
	narrow(t, ctx, "verify")

	// Offline from here on, and with no session at any time.
	srv.CloseClientConnections()
	srv.Close()
	run(t, ctx, upload("#policyfile", policyFile),
		upload("#file", file("good.akashi.json", good)), settled("ok"))
	if got := textOf(t, ctx, "#check"); !strings.Contains(got, "あなたが渡したものです") {
		t.Errorf("keys: %s", got)
	}
	if got := textOf(t, ctx, "#n-policyfile") + " " + textOf(t, ctx, "#n-file"); got != "policy good.akashi.json" {
		t.Errorf("chosen: %s", got)
	}
	if got := textOf(t, ctx, "#words"); !strings.Contains(got, "まちなかクーポン") {
		t.Errorf("words: %s", got)
	}
	shot(t, ctx, "verify-done", 360, 1280)
	run(t, ctx, upload("#file", file("bad.akashi.json", bad)), settled("ng"))
	if got := textOf(t, ctx, ".res"); !strings.Contains(got, "4番目") {
		t.Errorf("a byte of the words: %s", got)
	}
	for name, b := range map[string][]byte{"photo.json": []byte("\xff\xd8\xff"), "policy2": []byte("log nothing\n")} {
		run(t, ctx, upload("#file", file(name, b)), settled("un"))
		if got := textOf(t, ctx, "#h-res"); !strings.Contains(got, "読めませんでした") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if err := w.Never(srv.URL+"/log/policy", srv.URL+"/receipts/"); err != "" {
		t.Error(err)
	}
	w.Check(t, srv.URL)
}

// Without JavaScript a person still sees, stops, saves and leaves, and nothing
// is called verified.
func TestBrowserWithoutJavaScript(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	run(t, ctx, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), entry(srv.URL, "once"), chromedp.Navigate(srv.URL+"/receipts/"+itoa(s.view.Consents[0].Index)))
	body := textOf(t, ctx, "#main")
	if !strings.Contains(body, "まだ確かめていません") || !strings.Contains(body, "akashi verify FILE") || strings.Contains(body, "合いました") {
		t.Errorf("without JavaScript: %s", body)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`button[role=switch]`), seen(".said-note"), click(`form[action="/leave"] button`), seen(".hero"))
	if len(s.stopped) != 1 || len(s.sessions) != 0 {
		t.Errorf("stopped %v, sessions %d", s.stopped, len(s.sessions))
	}
	if where := location(t, ctx); where != srv.URL+"/" {
		t.Errorf("left to %s", where)
	}
}
