package browsertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Watch notes every request and every complaint of the browser.
type Watch struct {
	mu       sync.Mutex
	requests []string
	faults   []string
}

func Watched(t *testing.T, ctx context.Context) *Watch {
	t.Helper()
	w := &Watch{}
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
	Run(t, ctx, Command(network.Enable, network.EnableParams{}), Command(log.Enable, cdp.Empty{}))
	return w
}

// Check wants requests to these origins only, and no complaints.
func (w *Watch) Check(t *testing.T, origins ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		ours := func(origin string) bool { return strings.HasPrefix(r, origin+"/") }
		if !slices.ContainsFunc(origins, ours) && !strings.HasPrefix(r, "data:") {
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

// Never returns a request that should not have been made.
func (w *Watch) Never(never ...string) string {
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
