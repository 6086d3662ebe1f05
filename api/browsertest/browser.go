// Package browsertest opens pages in a real Chromium for the tests of the packages
// that serve them: it looks at them (pictures), asks axe-core, and presses keys.
//
// Nothing but tests imports it. Pictures of the pages are written to docs/shots with
//
//	go test ./api/web ./api/oauth -run TestBrowser -shots
package browsertest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// shared is the Chromium of a package whose tests Main runs; nil: each test has one
// of its own.
var shared *process

// Main runs the tests of a package with one Chromium for all of them.
func Main(m *testing.M) int {
	shared = &process{}
	defer shared.stop()
	return m.Run()
}

// Open opens a tab that shares neither cookies nor anything stored with another test's.
// It is skipped only on purpose: a verifier that nobody ran is none.
func Open(t *testing.T) context.Context {
	if testing.Short() {
		t.Skip("-short: the pages are not opened in a browser")
	}
	p := shared
	if p == nil {
		p = &process{}
		t.Cleanup(p.stop)
	}
	p.start(t)
	limit := 10 * time.Minute
	if *ui {
		limit = 40 * time.Minute
	}
	ctx, closeTab := chromedp.NewContext(p.ctx, chromedp.WithNewBrowserContext())
	ctx, stop := context.WithTimeout(ctx, limit)
	t.Cleanup(func() {
		stop()
		closeTab()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return ctx
}

// process is a Chromium that runs.
type process struct {
	once sync.Once
	ctx  context.Context // its first tab
	ends []func()
}

// start starts it, once.
func (p *process) start(t *testing.T) {
	p.once.Do(func() {
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
		opts = append(opts, chromedp.Flag("lang", "ja"), chromedp.Flag("accept-lang", "ja"), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost"))
		ctx, kill := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, closeTab := chromedp.NewContext(ctx)
		p.ends = []func(){closeTab, kill, func() { os.RemoveAll(dir) }}
		if err := chromedp.Do(ctx); err != nil {
			t.Fatalf("start %s: %v", path, err)
		}
		p.ctx = ctx
	})
	if p.ctx == nil {
		t.Fatal("Chromium did not start, see the first test that wanted it")
	}
}

func (p *process) stop() {
	for _, end := range p.ends {
		end()
	}
}

// chromium finds the browser, or installs it.
func chromium(t *testing.T) string {
	path, err := machine.Find([]string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"}, "chromium", "fonts-noto-cjk")
	if err != nil {
		t.Fatalf("the pages and their verifier are tested in Chromium, which the variable CHROMIUM may name: %v", err)
	}
	return path
}

// Step is an action without a result.
type Step = chromedp.Action[chromedp.Void]

// Command sends a command of the protocol.
func Command[P, R any](c cdp.Command[P, R], params P) Step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

func Run(t *testing.T, ctx context.Context, actions ...Step) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func Get[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func Seen(selector string) Step  { return chromedp.WaitVisible(chromedp.CSS(selector)) }
func Click(selector string) Step { return chromedp.Click(chromedp.CSS(selector)) }
func Upload(selector, file string) Step {
	return chromedp.SetUploadFiles(chromedp.CSS(selector), []string{file})
}

// TextOf returns what a reader sees of an element.
func TextOf(t *testing.T, ctx context.Context, selector string) string {
	t.Helper()
	return Get(t, ctx, chromedp.Text(chromedp.CSS(selector)))
}

func View(width int, dark bool) Step {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return chromedp.Steps(
		Command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: 800, DeviceScaleFactor: 1, Mobile: width < 500}),
		Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

func Location(t *testing.T, ctx context.Context) string {
	t.Helper()
	return Get(t, ctx, chromedp.Location())
}
