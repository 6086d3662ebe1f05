package custody

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// manyProvisions is a history that a person of the issue has.
const manyProvisions = 500

// A history is read page by page, newest first, and its counts are those of all
// records whatever the page.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	for i := range 7 {
		_, err := a.Provide(ctx, Call{Client: "app", Key: fmt.Sprint(i)}, provideRequest(ref))
		noErr(t, err)
	}
	w.duties()
	_, err := a.Provide(ctx, Call{Client: "app", Key: "denied"}, ProvideRequest{Person: ref, Service: "a-portal", To: "b-sha", Items: []string{"name"}, Purpose: "platform"})
	wantCode(t, err, record.CodePurposeNotConsented)
	all, err := a.Events(ctx, ref)
	noErr(t, err)
	var got []Event
	for q := (HistoryQuery{Limit: 4}); ; {
		h, err := a.History(ctx, ref, q)
		noErr(t, err)
		if h.Count != len(all) || len(h.Flows) != 1 || h.Flows[0] != (Flow{From: "a-sha", To: "b-sha", Kind: "provision", Count: 7}) {
			t.Fatalf("%d records, flows %+v", h.Count, h.Flows)
		}
		if len(h.Uses) != 1 || h.Uses[0].Purpose != "service" || h.Uses[0].TimeMs != all[7].TimeMs {
			t.Fatalf("uses %+v", h.Uses)
		}
		got = append(got, h.Events...)
		if q.Before = h.Older; h.Older == 0 {
			break
		}
	}
	slices.Reverse(got)
	if len(got) != len(all) {
		t.Fatalf("%d records over all pages, want %d", len(got), len(all))
	}
	for i := range got {
		if got[i].Index != all[i].Index || got[i].State != all[i].State || got[i].Kind != all[i].Kind {
			t.Errorf("record %d: %+v, want %+v", i, got[i], all[i])
		}
	}
	denials, err := a.History(ctx, ref, HistoryQuery{Limit: 4, Kinds: []string{"denial"}, Service: "a-portal"})
	noErr(t, err)
	if denials.Count != 1 || len(denials.Events) != 1 || denials.Events[0].Code != record.CodePurposeNotConsented || denials.Older != 0 {
		t.Errorf("denials: %+v", denials)
	}
	none, err := a.History(ctx, ref, HistoryQuery{Limit: 4, Service: "b-portal"})
	noErr(t, err)
	if none.Count != 0 || len(none.Events) != 0 {
		t.Errorf("another service: %+v", none)
	}
	_, err = a.History(ctx, ref, HistoryQuery{Limit: MaxHistory + 1})
	wantCode(t, err, CodeMalformed)
	_, err = a.History(ctx, "p-nobody", HistoryQuery{})
	wantCode(t, err, CodePersonUnknown)
}

// BenchmarkHistory reads a page of a person with 500 provisions.
func BenchmarkHistory(b *testing.B) {
	w := newWorld(b)
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	for i := range manyProvisions {
		if _, err := a.Provide(ctx, Call{Client: "app", Key: fmt.Sprint(i)}, provideRequest(ref)); err != nil {
			b.Fatal(err)
		}
	}
	var worst time.Duration
	for b.Loop() {
		began := time.Now()
		if h, err := a.History(ctx, ref, HistoryQuery{Limit: 20}); err != nil || h.Count < manyProvisions {
			b.Fatal(h, err)
		}
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}
