package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

func TestSubmitReportsEachRecord(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		recs := []*record.Record{w.good(), w.bad(), w.good(), w.bad(), w.good()}
		r, err := o.Submit(t.Context(), request("", recs...))
		if err != nil {
			t.Fatal(err)
		}
		if r.Key == "" || !r.Final {
			t.Fatalf("result %+v", r)
		}
		for i, out := range r.Outcomes {
			if refused := out.Refused != nil; refused != (i%2 == 1) || refused && out.Refused.Code != record.CodeHandleUnknown {
				t.Fatalf("record %d: %v", i, out.Refused)
			}
			w.matches(out, recs[i])
		}
		found, stage, err := o.Lookup(t.Context(), "a-sha", "app", r.Key)
		if err != nil || stage != StageFinal || len(found.Outcomes) != 5 || found.Key != r.Key {
			t.Fatalf("lookup of the key that the node made: %v %v %v", found, stage, err)
		}
	})
}

func TestRefusedRequests(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		other := w.good()
		other.Issuer = "pf"
		zero := w.good()
		zero.ID = record.ID{}
		foreign := request("k", w.good())
		foreign.Issuer = "b-sha"
		blob := request("k", w.good())
		blob.Keep = []store.KV{{Key: []byte("x"), Value: make([]byte, store.MaxValueBytes+1)}}
		reserved := request("k", w.good())
		reserved.Keep = []store.KV{{Key: []byte("outbox/n/a-sha"), Value: []byte{1}}}
		many := make([]*record.Record, MaxRequestRecords+1)
		for i := range many {
			many[i] = w.good()
		}
		for name, c := range map[string]struct {
			req  Request
			want error
		}{
			"no records":         {request("k"), ErrTooLarge},
			"too many records":   {request("k", many...), ErrTooLarge},
			"not our issuer":     {foreign, ErrNoKey},
			"blob too large":     {blob, ErrTooLarge},
			"blob among ours":    {reserved, ErrTooLarge},
			"key too long":       {request(strings.Repeat("k", 2000), w.good()), ErrTooLarge},
			"another issuer":     {request("k", other), &record.Refusal{}},
			"form of the record": {request("k", zero), &record.Refusal{}},
		} {
			_, err := o.Submit(t.Context(), c.req)
			var refusal *record.Refusal
			if _, form := c.want.(*record.Refusal); form && !errors.As(err, &refusal) || !form && !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := o.Submit(ended, request("k", w.good())); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: %v", err)
		}
		if m.writes != 0 || o.Held() != 0 {
			t.Errorf("%d writes, %d records held after refusals", m.writes, o.Held())
		}
	})
}

func TestIdempotency(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		w.locked(func() { w.held = true })
		rec := w.good()
		first := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		joined := submit(t.Context(), o, request("k", w.good()))
		otherBody := request("k", w.good())
		otherBody.Body = [32]byte{2}
		reused := submit(t.Context(), o, otherBody)
		synctest.Wait()
		if first.ended() || joined.ended() || !reused.ended() || !errors.Is(reused.err, ErrKeyReused) {
			t.Fatalf("under way: %v %v, other body: %v", first.err, joined.err, reused.err)
		}
		w.locked(w.batch)
		w.accepted(first, rec)
		w.accepted(joined, rec)
		w.locked(func() { w.held = false })
		check := func(o *Outbox, when string) {
			w.accepted(submit(t.Context(), o, request("k", w.good())), rec)
			reused := submit(t.Context(), o, otherBody)
			if <-reused.done; !errors.Is(reused.err, ErrKeyReused) {
				t.Fatalf("%s: other body: %v", when, reused.err)
			}
		}
		check(o, "answered")
		time.Sleep(time.Second)
		if n := m.count(prefixPending); n != 0 {
			t.Fatalf("%d entries left after filing", n)
		}
		check(o, "filed")
		o.Close()
		o = w.open(m, nil)
		check(o, "opened again")
		for _, other := range []Request{{Client: "app2", Key: "k"}, {Client: "app", Key: "k2"}} {
			r := w.good()
			w.accepted(submit(t.Context(), o, Request{Issuer: "a-sha", Client: other.Client, Key: other.Key, Records: []*record.Record{r}}), r)
		}
		if n := w.times(rec.ID); n != 1 {
			t.Fatalf("the record is in the ledger %d times", n)
		}
	})
}

func TestConcurrentDuplicates(t *testing.T) {
	w := newWorld(t)
	o := w.open(newMemory(), nil)
	const keys, callers = 40, 8
	ids := make([][]record.ID, keys)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range keys {
		for range callers {
			wg.Go(func() {
				rec := w.good()
				r, err := o.Submit(t.Context(), request(fmt.Sprint("k", k), rec))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ids[k] = append(ids[k], r.Outcomes[0].ID)
				mu.Unlock()
			})
		}
	}
	wg.Wait()
	total := 0
	for k := range ids {
		for _, id := range ids[k] {
			if id != ids[k][0] {
				t.Fatalf("key %d stands for two records", k)
			}
		}
		total += w.times(ids[k][0])
	}
	if total != keys || o.Held() != 0 {
		t.Fatalf("%d records for %d keys, %d held", total, keys, o.Held())
	}
}

func TestCoalescing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		var answers []*answer
		for range 1300 {
			answers = append(answers, submit(t.Context(), o, request("", w.good())))
		}
		for o.Held() == 0 {
			synctest.Wait()
		}
		for o.Held() > 0 {
			time.Sleep(20 * time.Millisecond)
			w.locked(func() {
				if len(w.queue) > 0 {
					w.batch()
				}
			})
			synctest.Wait()
		}
		for _, a := range answers {
			if <-a.done; a.err != nil {
				t.Fatal(a.err)
			}
		}
		seen := map[uint64]bool{}
		for _, s := range w.copies() {
			if s.Submission.Count > defaultMaxRecords || seen[s.Submission.Seq] {
				t.Fatalf("submission %d of %d records", s.Submission.Seq, s.Submission.Count)
			}
			seen[s.Submission.Seq] = true
		}
		if len(w.copies()) > 5 {
			t.Fatalf("%d submissions for 1300 records", len(w.copies()))
		}
	})
}

func TestLoneRequestDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		begin := time.Now()
		for range 10 {
			r := w.good()
			w.accepted(submit(t.Context(), o, request("", r)), r)
		}
		if d := time.Since(begin); d != 0 {
			t.Fatalf("a caller who is alone waited %v", d)
		}
	})
}

func TestLargeRequestStaysWhole(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		recs := make([]*record.Record, MaxRequestRecords)
		for i := range recs {
			recs[i] = w.good()
		}
		w.accepted(submit(t.Context(), o, request("", recs...)), recs...)
		if len(w.copies()) != 1 {
			t.Fatalf("%d submissions", len(w.copies()))
		}
	})
}

func TestKeepIsDurableBeforeSending(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		w.locked(func() { w.held = true })
		req := request("", w.good())
		req.Keep = []store.KV{{Key: []byte("sealed/1"), Value: []byte("x")}}
		submit(t.Context(), o, req)
		synctest.Wait()
		if len(w.copies()) != 1 || m.writes != 1 || m.count("sealed/") != 1 {
			t.Fatalf("%d sent, %d writes, blob there: %d", len(w.copies()), m.writes, m.count("sealed/"))
		}
	})
}

func TestUrgentGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		for range 2000 {
			submit(t.Context(), o, request("", w.good()))
		}
		time.Sleep(100 * time.Millisecond) // bulk is at its depth
		before := len(w.copies())
		stop := request("", w.good())
		stop.Urgent = true
		submit(t.Context(), o, stop)
		synctest.Wait()
		sent := w.copies()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(sent) != before+1 || !w.urgent[before] || sent[before].Submission.Count != 1 {
			t.Fatalf("%d submissions, then %d; urgent: %v", before, len(sent), w.urgent)
		}
	})
}

func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), func(c *Config) { c.MaxQueued = 80 })
		w.locked(func() { w.held = true })
		var answers []*answer
		for range 70 {
			answers = append(answers, submit(t.Context(), o, request("", w.good())))
		}
		synctest.Wait()
		for i := range 2 {
			if _, err := o.Submit(t.Context(), request("", w.good())); !errors.Is(err, ErrBusy) {
				t.Fatalf("beyond the bound, %d: %v", i, err)
			}
		}
		for range 10 {
			stop := request("", w.good())
			stop.Urgent = true
			answers = append(answers, submit(t.Context(), o, stop))
		}
		synctest.Wait()
		stop := request("", w.good())
		stop.Urgent = true
		if _, err := o.Submit(t.Context(), stop); !errors.Is(err, ErrBusy) {
			t.Fatalf("urgent beyond the bound: %v", err)
		}
		w.locked(func() { w.held = false; w.batch() })
		for _, a := range answers {
			if <-a.done; a.err != nil {
				t.Fatal(a.err)
			}
		}
		if o.Held() != 0 {
			t.Fatalf("%d records held at the end", o.Held())
		}
	})
}

func TestContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		rec := w.good()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := o.Submit(ctx, request("", rec))
		var unknown *UnknownError
		if !errors.Is(err, ErrUnknown) || !errors.As(err, &unknown) || unknown.Key == "" || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("ended context: %v", err)
		}
		if _, stage, err := o.Lookup(t.Context(), "a-sha", "app", unknown.Key); stage != StagePending || err != nil {
			t.Fatalf("pending: %v %v", stage, err)
		}
		w.locked(func() { w.silent = true; w.batch() })
		synctest.Wait()
		r, stage, err := o.Lookup(t.Context(), "a-sha", "app", unknown.Key)
		if stage != StageCommitted || err != nil || r.Final {
			t.Fatalf("applied: %v %v %v", r, stage, err)
		}
		w.matches(r.Outcomes[0], rec)
		o.Final(1, w.last().TimeMs)
		synctest.Wait()
		r, stage, _ = o.Lookup(t.Context(), "a-sha", "app", unknown.Key)
		if stage != StageFinal || !r.Final || r.Key != unknown.Key {
			t.Fatalf("final: %v %v", r, stage)
		}
		if _, stage, _ := o.Lookup(t.Context(), "a-sha", "app", "never"); stage != StageAbsent {
			t.Fatalf("a key that was never used: %v", stage)
		}
	})
}

func TestSubmitCommitted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.silent = true })
		rec := w.good()
		final := submit(t.Context(), o, request("k", rec))
		r, err := o.SubmitCommitted(t.Context(), request("k", rec))
		if err != nil || r.Final || r.Key != "k" {
			t.Fatalf("committed: %v %v", r, err)
		}
		w.matches(r.Outcomes[0], rec)
		if r, err = o.SubmitCommitted(t.Context(), request("k", rec)); err != nil || r.Final {
			t.Fatalf("committed before: %v %v", r, err)
		}
		synctest.Wait()
		if final.ended() {
			t.Fatal("answered before it was final")
		}
		o.Final(1, w.last().TimeMs)
		w.accepted(final, rec)
		if r, err = o.SubmitCommitted(t.Context(), request("k", rec)); err != nil || !r.Final {
			t.Fatalf("final: %v %v", r, err)
		}
	})
}

func TestFinalBeforeApplied(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		o.Final(1, w.nowMs())
		synctest.Wait()
		if a.ended() {
			t.Fatal("answered before it was applied")
		}
		w.locked(func() { w.silent = true; w.batch() })
		w.accepted(a, rec)
	})
}

func TestErrorsHaveStableCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range Errors {
		if seen[e.Code] || e.Kind == "" || e.Error() == "" || !record.ValidCode(record.Code(e.Code)) {
			t.Errorf("error %q of kind %q", e.Code, e.Kind)
		}
		seen[e.Code] = true
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Fatal("an empty configuration")
	}
	w := newWorld(t)
	for name, change := range map[string]func(*Config){
		"no clock":       func(c *Config) { c.NowMs = nil },
		"long lifetime":  func(c *Config) { c.Lifetime = record.MaxNotAfter },
		"too many":       func(c *Config) { c.MaxRecords = 1001 },
		"negative bound": func(c *Config) { c.Depth = -1 },
	} {
		c := w.open(newMemory(), nil).Config
		change(&c)
		if _, err := Open(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
