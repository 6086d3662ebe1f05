package custody

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestReadingsUntil: a reading is opened until its own deadline, to the second, and the
// identity of its day dies with the day's last, also where the node restarts or is
// down then. The proof that there was a reading stays.
func TestReadingsUntil(t *testing.T) {
	for name, around := range map[string]func(*world, *member, func()){
		"running":   func(_ *world, _ *member, due func()) { due() },
		"restarted": func(w *world, m *member, due func()) { w.reopen(m); due() },
		"down":      func(w *world, m *member, due func()) { w.close(m); due(); w.open(m) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, ledgertest.Options{FoundedMs: ms("2027-01-20T10:00:00+09:00"), Change: func(f *record.Founding) {
				f.Parameters = append(f.Parameters, record.Parameter{Name: "retention-count", Value: "P7D"})
			}}, "a-sha", "pf")
			a := w.members["a-sha"]
			to := func(at string) { w.set(func() { w.c.NowMs = ms(at) }) }
			w.must("pf", w.c.SensorApprove("gate-1", "a-sha"))
			to("2027-02-01T09:00:00+09:00")
			_, err := a.CommitReadings(ctx, Call{}, []Reading{{Sensor: "gate-1", TimeMs: ms("2027-02-01T09:00:00+09:00"), Values: map[string]any{"count": 12}}})
			noErr(t, err)
			wantOpen := func(open bool) {
				t.Helper()
				p, err := a.ProveReading(ctx, Call{}, "", 0)
				noErr(t, err)
				if len(p.Leaf) == 0 || (p.Opening != nil) != open {
					t.Fatalf("at %v: %+v, want it open: %v", a.Now().In(record.JST), p, open)
				}
			}
			keys := func() int {
				t.Helper()
				ids, err := a.vault.List("s/")
				noErr(t, err)
				return len(ids)
			}
			to("2027-02-08T08:59:59+09:00")
			w.duties()
			wantOpen(true)
			to("2027-02-08T09:00:00+09:00")
			wantOpen(false)
			to("2027-02-08T23:59:59+09:00")
			w.duties()
			if keys() != 1 {
				t.Fatal("destroyed before the day's last deadline")
			}
			around(w, a, func() { to("2027-02-09T00:00:00+09:00") })
			wantOpen(false)
			w.duties()
			if keys() != 0 {
				t.Fatal("the key is still there")
			}
			e := (&shop{world: w, t: t}).lastErasure()
			if e.Cause != "retention" || len(e.Numbers) != 1 || e.Holders[0] != "a-sha" {
				t.Fatalf("%+v", e)
			}
			wantOpen(false)
		})
	}
}

// Without a parameter readings are kept, a month under one identity; with one, an
// identity serves a day, and the shortest period of the values counts.
func TestReadingsKept(t *testing.T) {
	w := newWorldOf(t, ledgertest.Options{Change: func(f *record.Founding) {
		f.Parameters = append(f.Parameters, record.Parameter{Name: "retention-count", Value: "P7D"}, record.Parameter{Name: "retention-door", Value: "P1M"})
	}}, "a-sha", "pf")
	a := w.members["a-sha"]
	approve := w.c.SensorApprove("gate-1", "a-sha")
	approve.Body.(*record.SensorApprove).Readings = []string{"count", "door", "free"}
	w.must("pf", approve)
	for _, values := range []map[string]any{{"free": 1}, {"door": true, "free": 1}, {"count": 1, "door": true}, {"count": 2}} {
		_, err := a.CommitReadings(ctx, Call{}, []Reading{{Sensor: "gate-1", Values: values}})
		noErr(t, err)
	}
	ids, err := a.vault.List("s/")
	noErr(t, err)
	all := strings.Join(ids, " ")
	if len(ids) != 3 || !strings.Contains(all, "/P7D/") || !strings.Contains(all, "/P1M/") {
		t.Fatalf("%v", ids)
	}
}
