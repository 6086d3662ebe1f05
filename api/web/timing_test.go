package web_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// The time that a browser takes over the proof of a city is measured with
//
//	go test ./api/web -run TestBrowserTiming -v -timing
var timing = flag.Bool("timing", false, "measure verification in the browser at 10⁵ people and 10⁶ leaves")

// TestBrowserTiming verifies a completeness proof several times, with the secret
// and without, and says the median. Without -timing the log is a small one.
func TestBrowserTiming(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	handles, leaves := 3_000, uint64(10_000)
	if *timing {
		handles, leaves = 300_000, 1_000_000
	}
	s.crowd(handles, leaves)
	srv := serve(t, s, s.c.Policy())
	hana := s.c.Person("hana")
	file, err := receipt.BuildComplete(newest(s.c), receipt.CompleteOptions{
		Handle: func(id string, gen uint64) (sign.PublicKey, error) { return hana.Handle(id, gen).Public(), nil },
		Events: s.events,
	})
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"file": file, "policy": string(s.c.Policy().Format()), "secret": hana[:]})
	if err != nil {
		t.Fatal(err)
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"))
	got := get(t, ctx, chromedp.Evaluate[[]float64](fmt.Sprintf(`(async () => {
		const { verify, parsePolicy } = await import("/assets/verify.js");
		const input = %s;
		const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
		const median = async (secret) => {
			const times = [];
			for (let i = 0; i < 7; i++) {
				const began = performance.now();
				const v = await verify(bytes(input.file), [parsePolicy(input.policy)], undefined, secret);
				if (v.result !== "match") throw new Error(v.code + ": " + v.reason);
				times.push(performance.now() - began);
			}
			return times.sort((a, b) => a - b)[3];
		};
		return [await median(), await median(bytes(input.secret))];
	})()`, input), chromedp.EvalAwaitPromise))
	t.Logf("%d bytes, %d services and members: %.0f ms, with the secret %.0f ms (medians of 7)", len(file), len(s.board.Services)+len(s.board.Log.Members), got[0], got[1])
}
