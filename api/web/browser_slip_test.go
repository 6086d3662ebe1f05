package web_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/chromedp/chromedp"
)

// TestBrowserSlip: the characters of a printed receipt's QR code are verified where they
// are pasted, without a network.
func TestBrowserSlip(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"), chromedp.WaitEnabled(chromedp.CSS("#slip")), chromedp.SetValue(chromedp.CSS("#policy"), string(s.c.Policy().Format())))
	srv.CloseClientConnections()
	srv.Close()
	paste := func(text string, want ...string) {
		t.Helper()
		state := seen(`#check:is([data-state="` + strings.Join(want, `"],[data-state="`) + `"])`)
		run(t, ctx, chromedp.SetValue(chromedp.CSS("#slip"), text), chromedp.Evaluate[chromedp.Void](`document.querySelector("#check").dataset.state = ""; document.querySelector("#slip").dispatchEvent(new Event("input"))`), state)
	}
	for _, e := range s.events0 {
		file, err := s.build(e.Index)
		if err != nil {
			t.Fatal(err)
		}
		text, err := receipt.Slip(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := receipt.Verify([]byte(text), s.c.Policy())
		if err != nil {
			t.Fatal(err)
		}
		paste(text+"\n", "ok")
		if got := textOf(t, ctx, "#words"); !strings.Contains(strings.ReplaceAll(got, "\n", ""), strings.Join(v.Human.Ja, "")) {
			t.Errorf("%s: %s, want %q", e.Kind, got, v.Human.Ja)
		}
		if got := textOf(t, ctx, "#nc"); !strings.Contains(got, "発行者の署名") {
			t.Errorf("not checked: %s", got)
		}
		for at := 8; at < len(text); at += len(text) / 7 { // one character is another
			b := []byte(text)
			if b[at]++; bytes.IndexByte([]byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"), b[at]) < 0 {
				b[at] = '0'
			}
			if _, err := receipt.Verify(b, s.c.Policy()); err == nil {
				continue
			}
			paste(string(b), "ng", "un") // un: of another log, or with a signature too few
		}
	}
	accessible(t, ctx, "a slip was pasted")
	paste("AKASHI1:", "ng")
	paste("AKASHI2:00", "un")
}
