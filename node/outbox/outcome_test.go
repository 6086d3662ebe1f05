package outbox

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

func TestBatchFull(t *testing.T) {
	t.Run("many requests", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			m := newMemory()
			o := w.open(m, func(c *Config) { c.MaxRecords = 1000 })
			w.locked(func() { w.err = errors.New("not yet") })
			lone := w.good()
			first := submit(t.Context(), o, request("", lone))
			synctest.Wait()
			var recs []*record.Record
			var answers []*answer
			for i := range 1000 {
				recs = append(recs, w.bad())
				answers = append(answers, submit(t.Context(), o, request(fmt.Sprint(i), recs[i])))
			}
			synctest.Wait()
			w.locked(func() { w.err = nil })
			o.LeaderChanged()
			w.accepted(first, lone)
			for i, a := range answers {
				if <-a.done; a.err != nil || a.result.Outcomes[0].Refused == nil || a.result.Outcomes[0].Refused.Code != record.CodeHandleUnknown {
					t.Fatalf("request %d: %+v %v", i, a.result, a.err)
				}
				w.matches(a.result.Outcomes[0], recs[i])
			}
			full := 0
			for h := range w.c.Heights[1:] {
				_, seal := w.c.Batched(uint64(h) + 1)
				for _, r := range seal.Refusals {
					if r.All && r.Code == record.CodeBatchFull {
						full++
					}
				}
			}
			if full == 0 {
				t.Fatal("the story did not meet batch.full")
			}
			time.Sleep(time.Second)
			if n := m.count(prefixPending); n != 0 {
				t.Fatalf("%d entries left", n)
			}
			o.Close()
			o = w.open(m, nil)
			if r, stage, err := o.Lookup(t.Context(), "a-sha", "app", "999"); err != nil || stage != StageFinal || r.Outcomes[0].ID != recs[999].ID {
				t.Fatalf("stored: %v %v %v", r, stage, err)
			}
		})
	})
	t.Run("one request", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			o := w.open(newMemory(), nil)
			recs := make([]*record.Record, 1000)
			for i := range recs {
				recs[i] = w.bad()
			}
			r, err := o.Submit(t.Context(), request("", recs...))
			if err != nil || r.Outcomes[999].Refused == nil || r.Outcomes[999].Refused.Code != record.CodeBatchFull {
				t.Fatalf("%v", err)
			}
			if len(w.copies()) != maxTries {
				t.Fatalf("%d tries", len(w.copies()))
			}
		})
	})
	t.Run("crash before it is final", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			m := newMemory()
			o := w.open(m, nil)
			w.locked(func() { w.silent = true })
			recs := make([]*record.Record, 1000)
			for i := range recs {
				recs[i] = w.bad()
			}
			submit(t.Context(), o, request("k", recs...))
			time.Sleep(2 * time.Second)
			if len(w.copies()) != 1 {
				t.Fatalf("%d submissions before the refusal is final", len(w.copies()))
			}
			crashed := m.copy()
			o.Close()
			w.locked(func() { w.silent = false })
			o = w.open(crashed, nil)
			a := submit(t.Context(), o, request("k", recs...))
			o.Final(1, w.last().TimeMs)
			if <-a.done; a.err != nil || a.result.Outcomes[0].Refused.Code != record.CodeBatchFull {
				t.Fatalf("%v", a.err)
			}
		})
	})
}

func TestForeignOutcomesAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		original := w.copies()[0]
		forged := original
		forged.Submission.Sig[0] ^= 1
		other := original
		other.Leaves = [][]byte{w.c.Leaf(w.good())}
		for _, copy := range []record.Submitted{forged, other} {
			w.locked(func() { w.queue = []record.Submitted{copy}; w.batch() })
			synctest.Wait()
			if a.ended() {
				t.Fatalf("a forged copy gave an outcome: %v", a.err)
			}
		}
		w.locked(func() { w.queue = []record.Submitted{original, original}; w.batch() })
		w.accepted(a, rec)
	})
}

// A later batch declares a submission failed only once it is final.
func TestExpiryNeedsFinality(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held, w.silent = true, true })
		a := submit(t.Context(), o, request("k", w.good()))
		synctest.Wait()
		w.locked(func() { w.queue = nil })
		time.Sleep(70 * time.Second)
		if w.ticked() != 1 || a.ended() {
			t.Fatalf("%d ticks, %v", w.ticked(), a.err)
		}
		o.Final(w.last().Height, w.last().TimeMs)
		if <-a.done; !errors.Is(a.err, ErrExpired) {
			t.Fatal(a.err)
		}
	})
}

// Another submission of ours has used the number: a copy of this outbox ran
// elsewhere. Its outcome is not this one's.
func TestNumberUsedElsewhere(t *testing.T) {
	for _, heard := range []bool{true, false} {
		t.Run(fmt.Sprint("heard=", heard), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				o := w.open(newMemory(), nil)
				w.locked(func() { w.held = true })
				rec := w.good()
				a := submit(t.Context(), o, request("k", rec))
				synctest.Wait()
				other := w.good()
				w.locked(func() {
					w.deaf = !heard
					w.queue = []record.Submitted{w.c.SubmitAs("a-sha", 1, w.nowMs()+60_000, w.c.Leaf(other))}
					w.batch()
					w.queue, w.held, w.deaf = nil, false, false
				})
				if <-a.done; !errors.Is(a.err, ErrExpired) || w.times(rec.ID) != 0 {
					t.Fatalf("%+v %v", a.result, a.err)
				}
				w.accepted(submit(t.Context(), o, request("k", rec)), rec)
			})
		})
	}
}

// A key that the register does not know: the submission may still be accepted
// after a key change, so it is refused only when its time is over.
func TestRefusedWhole(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), func(c *Config) {
			c.Key = func(string) (sign.Key, bool) { return w.c.Key("wrong"), true }
		})
		a := submit(t.Context(), o, request("k", w.good()))
		time.Sleep(30 * time.Second)
		if a.ended() || len(w.copies()) != 1 {
			t.Fatalf("%v, sent %d times", a.err, len(w.copies()))
		}
		time.Sleep(40 * time.Second)
		if <-a.done; a.err != nil || a.result.Outcomes[0].Refused.Code != record.CodeSignature {
			t.Fatalf("%+v %v", a.result, a.err)
		}
	})
}

// A submission that a leader queued and lost is sent again, but seldom.
func TestQueuedAndLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		rec := w.good()
		a := submit(t.Context(), o, request("", rec))
		time.Sleep(15 * time.Second)
		if n := len(w.copies()); n != 4 { // at 0, 2, 6 and 14 s
			t.Fatalf("%d copies in 15 s", n)
		}
		w.locked(func() { w.held, w.queue = false, nil })
		o.LeaderChanged()
		w.accepted(a, rec)
	})
}

// What nobody asks for again does not fill the store: its outcome goes after
// hours, those of the others stay.
func TestBriefOutcomesGo(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, func(c *Config) { c.Retention, c.Resend = 6*time.Hour, time.Minute })
		brief := request("", w.good())
		brief.Brief = true
		lasting := w.good()
		for _, a := range []*answer{submit(t.Context(), o, brief), submit(t.Context(), o, request("kept", lasting))} {
			if <-a.done; a.err != nil {
				t.Fatal(a.err)
			}
		}
		together := brief
		together.Records = []*record.Record{w.good()}
		if _, err := o.Submit(t.Context(), together); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a, d := m.count(prefixAttempt), m.count(prefixDone); a != 3 || d == 0 {
			t.Fatalf("%d attempts and %d outcomes are kept at first", a, d)
		}
		time.Sleep(3 * time.Hour)
		if a, d := m.count(prefixAttempt), m.count(prefixDone); a != 1 || d != 1 {
			t.Fatalf("%d attempts and %d outcomes are left, one of each is asked for", a, d)
		}
		if r, stage, err := o.Lookup(t.Context(), "a-sha", "app", "kept"); err != nil || stage != StageFinal || r.Outcomes[0].ID != lasting.ID {
			t.Fatalf("%v %v %v", r, stage, err)
		}
		time.Sleep(30 * time.Hour)
		if n := m.count(prefixAttempt) + m.count(prefixDone); n != 0 {
			t.Fatalf("%d entries outlive the retention", n)
		}
	})
}
