package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Pictures of the pages are written to docs/shots with
//
//	go test ./api/web -run TestBrowser -shots
var shots = flag.Bool("shots", false, "write the pictures in docs/shots anew")

const shotsDir = "../../docs/shots"

// browser starts a Chromium of its own. It is skipped only on purpose: a
// verifier that nobody ran is none.
func browser(t *testing.T) context.Context {
	if testing.Short() {
		t.Skip("-short: the pages are not opened in a browser")
	}
	path := chromium(t)
	dir, err := os.MkdirTemp("", "akashi-web-")
	if err != nil {
		t.Fatal(err)
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(dir)}
	for _, f := range []string{"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-default-apps", "disable-dev-shm-usage", "hide-scrollbars", "mute-audio"} {
		opts = append(opts, chromedp.Flag(f, true))
	}
	// Only this machine: a page that asked another host would fail here.
	opts = append(opts, chromedp.Flag("lang", "ja"), chromedp.Flag("accept-lang", "ja"), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"))
	ctx, stop := context.WithTimeout(context.Background(), 4*time.Minute)
	ctx, kill := chromedp.NewExecAllocator(ctx, opts...)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeTab()
		kill()
		stop()
		os.RemoveAll(dir)
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// chromium finds the browser; on a machine that is ours alone (root) it is
// installed where Debian's packages can be had.
func chromium(t *testing.T) string {
	find := func() string {
		for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
			if p, err := exec.LookPath(name); name != "" && err == nil {
				return p
			}
		}
		return ""
	}
	if p := find(); p != "" {
		return p
	}
	const install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk"
	if _, err := exec.LookPath("apt-get"); err == nil && os.Getuid() == 0 {
		t.Log("chromium is missing: " + install)
		out, err := exec.Command("sh", "-c", install).CombinedOutput()
		if p := find(); p != "" {
			return p
		}
		t.Logf("%v\n%s", err, out)
	}
	t.Fatal("the pages and their verifier are tested in Chromium, and none was found. Install chromium and fonts-noto-cjk " +
		"(Debian: apt-get install chromium fonts-noto-cjk), or name it in CHROMIUM; go test -short leaves these tests out.")
	return ""
}

// watch notes every request and every complaint of the browser.
type watch struct {
	mu       sync.Mutex
	requests []string
	faults   []string
}

func watched(t *testing.T, ctx context.Context) *watch {
	t.Helper()
	w := &watch{}
	err := chromedp.Listen(ctx, func(ev any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			w.requests = append(w.requests, e.Request.URL)
		case *runtime.EventExceptionThrown:
			w.faults = append(w.faults, "exception: "+e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Source == "security" || strings.Contains(e.Entry.Text, "Content Security Policy") {
				w.faults = append(w.faults, e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, ctx, command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}))
	return w
}

// check wants requests to one origin only and no complaints.
func (w *watch) check(t *testing.T, base string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if !strings.HasPrefix(r, base+"/") && !strings.HasPrefix(r, "data:") {
			t.Errorf("a request to %s", r)
		}
	}
	for _, f := range w.faults {
		t.Error(f)
	}
	if len(w.requests) == 0 {
		t.Error("no request was seen: the watch does not work")
	}
}

// step is an action without a result.
type step = chromedp.Action[chromedp.Void]

// command sends a command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

func run(t *testing.T, ctx context.Context, actions ...step) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seen(selector string) step  { return chromedp.WaitVisible(chromedp.CSS(selector)) }
func click(selector string) step { return chromedp.Click(chromedp.CSS(selector)) }
func upload(selector, file string) step {
	return chromedp.SetUploadFiles(chromedp.CSS(selector), []string{file})
}

// textOf returns what a reader sees of an element.
func textOf(t *testing.T, ctx context.Context, selector string) string {
	t.Helper()
	return get(t, ctx, chromedp.Text(chromedp.CSS(selector)))
}

func settled(state string) step { return seen(`#check[data-state="` + state + `"]`) }

func view(width int, dark bool) step {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return chromedp.Steps(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: 800, DeviceScaleFactor: 1, Mobile: width < 500}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

// overflow is by how many pixels the page is too wide.
func overflow(t *testing.T, ctx context.Context) int {
	t.Helper()
	return get(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`))
}

// shot takes the whole page in each width and scheme, and wants no sideways
// overflow.
func shot(t *testing.T, ctx context.Context, name string, widths ...int) {
	t.Helper()
	for _, width := range widths {
		for _, dark := range []bool{false, true} {
			run(t, ctx, view(width, dark))
			if over := overflow(t, ctx); over > 0 {
				t.Errorf("%s at %d px is %d px too wide", name, width, over)
			}
			file := filepath.Join(shotsDir, fmt.Sprintf("%s-%d%s.png", name, width, map[bool]string{true: "-dark"}[dark]))
			if *shots {
				if err := os.WriteFile(file, smaller(t, get(t, ctx, chromedp.FullScreenshot(100))), 0o644); err != nil {
					t.Error(err)
				}
			}
			if info, err := os.Stat(file); err != nil {
				t.Errorf("no picture of this page: %v (make them with -shots)", err)
			} else if info.Size() > 300_000 {
				t.Errorf("%s: a picture of %d bytes", file, info.Size())
			}
		}
	}
	run(t, ctx, view(1280, false))
}

// smaller draws a picture with at most 200 of its colours, the most frequent
// that differ visibly: pages have few, and edges of letters do not need more.
func smaller(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.Color]int{}
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			count[img.At(x, y)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] }) {
		if len(palette) < 200 && (len(palette) < 32 || distance(c, palette.Convert(c)) > 20) {
			palette = append(palette, c)
		}
	}
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(palette.Index(c))
	}
	few := image.NewPaletted(r, palette)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[img.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func distance(a, b color.Color) int {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	d := func(x, y uint32) int { return max(int(x), int(y))>>8 - min(int(x), int(y))>>8 }
	return d(ar, br) + d(ag, bg) + d(ab, bb)
}

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
	shot(t, ctx, "start", 360, 1280)
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=once"), seen(".cons"))
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
	run(t, ctx, chromedp.Navigate(srv.URL+"/?lang=ja"), click(`button[role=switch]`), seen(".said-note"))
	if len(s.stopped) != 1 || s.stopped[0].Purpose != "coupon" || !strings.Contains(textOf(t, ctx, ".said-note"), "止めました") {
		t.Errorf("one tap: %v, %q", s.stopped, textOf(t, ctx, ".said-note"))
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/"), click(`button[role=switch][aria-checked=false]`), seen(".said-note"))
	if len(s.granted) != 1 || s.granted[0].Purpose != "coupon" || !s.granted[0].Again || s.granted[0].Button != "オフ" || !strings.Contains(textOf(t, ctx, ".said-note"), "始めました") {
		t.Errorf("one tap back: %+v, %q", s.granted, textOf(t, ctx, ".said-note"))
	}
	w.check(t, srv.URL)
}

// A purpose that a person never agreed to is shown in full, nothing is ticked,
// and refusing is the same size as agreeing.
func TestBrowserOffer(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=once"), click(`a[href="/services/alert/alert"]`), seen(".ask"))
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
	w.check(t, srv.URL)
}

// The history draws who handed how often to whom, with a table of the same.
func TestBrowserHistory(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=once"), chromedp.Navigate(srv.URL+"/history"), seen(".flow"))
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
	w.check(t, srv.URL)
}

func location(t *testing.T, ctx context.Context) string {
	t.Helper()
	return get(t, ctx, chromedp.Location())
}

// narrow wants no sideways scroll at 320 px.
func narrow(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	run(t, ctx, view(320, false))
	over := overflow(t, ctx)
	if run(t, ctx, view(1280, false)); over > 0 {
		t.Errorf("%s at 320 px is %d px too wide", name, over)
	}
}

func TestBrowserReceipt(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	index := s.view.Consents[0].Index
	address := srv.URL + "/receipts/" + itoa(index)
	run(t, ctx, chromedp.Navigate(srv.URL+"/enter?code=once"), chromedp.Navigate(address), settled("ok"))
	if got := textOf(t, ctx, "#check"); !strings.Contains(got, "計算は、すべて合いました") || !strings.Contains(got, "3者が署名している") ||
		!strings.Contains(got, "minato（署名なし）") || !strings.Contains(got, "鍵の番号は、あなたが見くらべます") || !strings.Contains(got, "/log/policy") {
		t.Errorf("steps: %s", got)
	}
	if got := textOf(t, ctx, "#claim"); got != "この文は、記録から導いた文と同じでした。" {
		t.Errorf("words: %s", got)
	}
	shot(t, ctx, "receipt", 360, 1280)
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
	w.check(t, srv.URL)
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
	shot(t, ctx, "verify", 360, 1280)
	narrow(t, ctx, "verify")

	// Offline from here on, and with no session at any time.
	srv.CloseClientConnections()
	srv.Close()
	run(t, ctx, upload("#policyfile", policyFile),
		upload("#file", file("good.akashi.json", good)), settled("ok"))
	if got := textOf(t, ctx, "#check"); !strings.Contains(got, "あなたが渡したものです") {
		t.Errorf("keys: %s", got)
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
	if err := w.only(srv.URL+"/log/policy", srv.URL+"/receipts/"); err != "" {
		t.Error(err)
	}
	w.check(t, srv.URL)
}

// only returns a request that should not have been made.
func (w *watch) only(never ...string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		for _, n := range never {
			if strings.HasPrefix(r, n) {
				return "a request to " + r
			}
		}
	}
	return ""
}

// Without JavaScript a person still sees, stops, saves and leaves, and nothing
// is called verified.
func TestBrowserWithoutJavaScript(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	run(t, ctx, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(srv.URL+"/enter?code=once"), chromedp.Navigate(srv.URL+"/receipts/"+itoa(s.view.Consents[0].Index)))
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
