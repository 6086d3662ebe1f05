package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// Every effect × {refused, lost, persisted}, and a crash between any two: after
// it, a retry with the same key gets the one outcome, and each accepted record
// is in the ledger once.
func TestCrashes(t *testing.T) {
	nothing := func(*world) {}
	for _, c := range []struct {
		name   string
		during func(*world) // how far the first attempt comes
		write  int          // that fails, from 1: entry, outcome, removal of the entry
		fails  failure
		first  error // of the first attempt; nil: an answer, or still waiting
		stops  bool
	}{
		{name: "entry refused", during: nothing, write: 1, fails: refused, first: ErrStorage},
		{name: "entry lost", during: nothing, write: 1, fails: lost, first: ErrUnknown, stops: true},
		{name: "entry persisted", during: nothing, write: 1, fails: persisted, first: ErrUnknown, stops: true},
		{name: "stored, not sent", during: func(w *world) { w.err = ErrNoLeader }},
		{name: "sent, not applied", during: func(w *world) { w.held = true }},
		{name: "applied, unheard", during: func(w *world) { w.deaf = true }},
		{name: "applied, not final", during: func(w *world) { w.silent = true }},
		{name: "outcome refused", during: nothing, write: 2, fails: refused},
		{name: "outcome lost", during: nothing, write: 2, fails: lost, stops: true},
		{name: "outcome persisted", during: nothing, write: 2, fails: persisted, stops: true},
		{name: "removal refused", during: nothing, write: 3, fails: refused},
		{name: "removal lost", during: nothing, write: 3, fails: lost, stops: true},
		{name: "removal persisted", during: nothing, write: 3, fails: persisted, stops: true},
		{name: "all done", during: nothing},
	} {
		for _, kind := range []string{"accepted", "mixed", "refused"} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					m := newMemory()
					o := w.open(m, nil)
					c.during(w)
					if c.write > 0 {
						m.fail[c.write] = c.fails
					}
					recs := w.three(kind)
					first := submit(t.Context(), o, request("k", recs...))
					time.Sleep(400 * time.Millisecond)
					if c.first != nil && (!first.ended() || !errors.Is(first.err, c.first)) {
						t.Fatalf("first attempt: %v, want %v", first.err, c.first)
					}
					w.mu.Lock()
					stopped := len(w.stops) == 1
					w.mu.Unlock()
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					_, err := o.Submit(ctx, request("other", w.good()))
					cancel()
					if stopped != c.stops || errors.Is(err, ErrStopped) != c.stops {
						t.Fatalf("node told to stop: %v; next request: %v", stopped, err)
					}
					after := m.copy()
					o.Close()
					w.locked(func() { w.err, w.held, w.deaf, w.silent, w.queue = nil, false, false, false, nil })
					o = w.open(after, nil)
					if last := w.last(); last.Height > 0 {
						o.Final(last.Height, last.TimeMs)
					}
					w.verify(o, kind, recs)
					time.Sleep(3 * time.Second)
					if n := after.count(prefixPending); n != 0 {
						t.Fatalf("%d entries left", n)
					}
					o.Close()
					w.verify(w.open(after.copy(), nil), kind, recs)
				})
			})
		}
	}
}

func (w *world) three(kind string) []*record.Record {
	switch kind {
	case "accepted":
		return []*record.Record{w.good(), w.good(), w.good()}
	case "mixed":
		return []*record.Record{w.bad(), w.good(), w.bad()}
	}
	return []*record.Record{w.bad(), w.bad(), w.bad()}
}

// verify retries a request of three records and checks its one outcome.
func (w *world) verify(o *Outbox, kind string, recs []*record.Record) {
	w.t.Helper()
	a := submit(w.t.Context(), o, request("k", recs...))
	if <-a.done; a.err != nil {
		w.t.Fatalf("retry: %v", a.err)
	}
	for i, out := range a.result.Outcomes {
		good := kind == "accepted" || kind == "mixed" && i == 1
		if (out.Refused == nil) != good || !good && out.Refused.Code != record.CodeHandleUnknown {
			w.t.Fatalf("record %d: %v", i, out.Refused)
		}
		w.matches(out, recs[i])
		if n := w.times(recs[i].ID); n != map[bool]int{true: 1}[good] {
			w.t.Fatalf("record %d is in the ledger %d times", i, n)
		}
	}
}

// A crash after any write while requests move from a submission that met
// batch.full to others.
func TestCrashesAroundBatchFull(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		type moment struct {
			blobs  *memory
			ledger *ledgertest.Consortium
		}
		var moments []moment
		m := newMemory()
		m.after = func() { w.locked(func() { moments = append(moments, moment{m.copy(), w.c.Clone(t)}) }) }
		o := w.open(m, func(c *Config) { c.MaxRecords = 1000 })
		w.locked(func() { w.err = errors.New("not yet") })
		submit(t.Context(), o, request("first", w.good()))
		synctest.Wait()
		recs := make([]*record.Record, 1000)
		for i := range recs {
			if recs[i] = w.bad(); i%50 == 9 {
				recs[i] = w.good()
			}
			submit(t.Context(), o, request(fmt.Sprint(i), recs[i]))
		}
		synctest.Wait()
		w.locked(func() { w.err = nil })
		o.LeaderChanged()
		time.Sleep(3 * time.Second)
		o.Close()
		if len(moments) < 6 {
			t.Fatalf("%d writes", len(moments))
		}
		for n, at := range moments {
			w.locked(func() { w.c = at.ledger })
			o := w.open(at.blobs, func(c *Config) { c.MaxRecords = 1000 })
			o.Final(w.last().Height, w.last().TimeMs)
			var answers []*answer
			for i := range recs {
				answers = append(answers, submit(t.Context(), o, request(fmt.Sprint(i), recs[i])))
			}
			for i, a := range answers {
				if <-a.done; a.err != nil || (a.result.Outcomes[0].Refused == nil) != (i%50 == 9) {
					t.Fatalf("crash after write %d, request %d: %+v %v", n+1, i, a.result, a.err)
				}
				w.matches(a.result.Outcomes[0], recs[i])
				if times := w.times(recs[i].ID); times > 1 || i%50 == 9 && times != 1 {
					t.Fatalf("crash after write %d: record %d is in the ledger %d times", n+1, i, times)
				}
			}
			time.Sleep(3 * time.Second)
			if left := at.blobs.count(prefixPending); left != 0 {
				t.Fatalf("crash after write %d: %d entries left", n+1, left)
			}
			o.Close()
		}
	})
}

// The requests of one submission are told apart after a restart.
func TestRestartWithManyRequests(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		w.locked(func() { w.held = true })
		var recs []*record.Record
		for i := range 50 {
			r := w.good()
			if i%7 == 3 {
				r = w.bad()
			}
			recs = append(recs, r)
			submit(t.Context(), o, request(fmt.Sprint(i), r))
		}
		time.Sleep(100 * time.Millisecond)
		o.Close()
		w.locked(func() { w.deaf = true; w.batch() }) // while the node is down
		w.locked(func() { w.deaf, w.held = false, false })
		o = w.open(m, nil)
		o.Final(1, w.last().TimeMs)
		for i, r := range recs {
			a := submit(t.Context(), o, request(fmt.Sprint(i), r))
			if <-a.done; a.err != nil || (a.result.Outcomes[0].Refused != nil) != (i%7 == 3) {
				t.Fatalf("request %d: %+v %v", i, a.result, a.err)
			}
			w.matches(a.result.Outcomes[0], r)
		}
	})
}

// A snapshot takes the ledger over batches that nobody applied one by one.
func TestMissedBatches(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.deaf = true })
		recs := []*record.Record{w.bad(), w.good()}
		a := submit(t.Context(), o, request("k", recs...))
		b := submit(t.Context(), o, request("l", w.bad()))
		synctest.Wait()
		o.Final(w.last().Height, w.last().TimeMs)
		time.Sleep(1500 * time.Millisecond)
		w.locked(func() { w.deaf = false })
		o.Final(w.last().Height, w.last().TimeMs)
		if <-a.done; a.err != nil || a.result.Outcomes[0].Refused == nil {
			t.Fatal(a.result, a.err)
		}
		w.matches(a.result.Outcomes[1], recs[1])
		if <-b.done; b.err != nil || b.result.Outcomes[0].Refused == nil {
			t.Fatal(b.result, b.err)
		}
	})
}

// Numbers are never used twice: not after a restart, and not where the outbox
// was lost and the ledger knows more.
func TestNumbers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		for range 3 {
			o := w.open(m, nil)
			for range 3 {
				r := w.good()
				w.accepted(submit(t.Context(), o, request("", r)), r)
			}
			o.Close()
		}
		o := w.open(newMemory(), nil) // the outbox is lost
		r := w.good()
		w.accepted(submit(t.Context(), o, request("", r)), r)
		for i, s := range w.copies() {
			if s.Submission.Seq != uint64(i+1) {
				t.Fatalf("submission %d has number %d", i, s.Submission.Seq)
			}
		}
	})
}

// One that is stuck neither holds up the rest nor lets numbers run away.
func TestStuckSubmission(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.held = true })
		a := submit(t.Context(), o, request("", w.good()))
		synctest.Wait()
		stuck := w.copies()[0].Submission.Seq
		w.locked(func() { w.queue, w.held = nil, false })
		drop := func(sub record.Submitted) bool { return sub.Submission.Seq == stuck }
		o.Leader = dropping{w, drop}
		for range 3 {
			r := w.good()
			w.accepted(submit(t.Context(), o, request("", r)), r)
		}
		if a.ended() {
			t.Fatal(a.err)
		}
		for i := range 1100 {
			ctx := t.Context()
			a := submit(ctx, o, request("", w.good()))
			time.Sleep(10 * time.Millisecond)
			if !a.ended() {
				copies := w.copies()
				if open := copies[len(copies)-1].Submission.Seq - stuck; i < 1000 || open >= maxSpread {
					t.Fatalf("stopped after %d, numbers reach %d beyond the oldest", i, open)
				}
				return
			}
		}
		t.Fatal("numbers ran away from the oldest open one")
	})
}

type dropping struct {
	*world
	drop func(record.Submitted) bool
}

func (d dropping) Send(ctx context.Context, sub *record.Submitted, urgent bool) error {
	if d.drop(*sub) {
		return nil
	}
	return d.world.Send(ctx, sub, urgent)
}

// On the real stores: the outbox over Badger, before a ledger that applies.
func TestOnBadger(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	c := ledgertest.New(t, ledgertest.Options{})
	db, err := store.OpenState(dir+"/state", quiet, store.WithMinFree(0))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ledger, err := store.OpenLedger(db, c.Leaves[0], register.Options{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	lead := &badgerLeader{t: t, c: c, ledger: ledger}
	open := func() (*Outbox, *store.Blobs) {
		blobs, err := store.OpenBlobs(dir+"/blobs", quiet, store.WithMinFree(0))
		if err != nil {
			t.Fatal(err)
		}
		o, err := Open(Config{Origin: c.Origin, Blobs: blobs, Leader: lead, NowMs: func() uint64 { return c.Founding.CreatedMs },
			State: func() View { return ledger.State() }, Tick: func() {}, Stop: func(err error) { t.Error(err) }, Log: quiet,
			Key: func(id string) (k sign.Key, ok bool) { k, ok = c.Keys[id]; return }})
		if err != nil {
			t.Fatal(err)
		}
		lead.o = o
		return o, blobs
	}
	o, blobs := open()
	var wg sync.WaitGroup
	recs := make([]*record.Record, 300)
	for i := range recs {
		recs[i] = c.Tick()
		recs[i].Issuer = "a-sha"
	}
	results := make([]*Result, len(recs))
	for i := range recs {
		wg.Go(func() {
			var err error
			if results[i], err = o.Submit(t.Context(), request(fmt.Sprint(i), recs[i])); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(o.Close(), blobs.Close()); err != nil {
		t.Fatal(err)
	}
	o, blobs = open()
	defer blobs.Close()
	defer o.Close()
	for i, rec := range recs {
		r, stage, err := o.Lookup(t.Context(), "a-sha", "app", fmt.Sprint(i))
		if err != nil || stage != StageFinal || r.Outcomes[0] != results[i].Outcomes[0] {
			t.Fatalf("request %d: %v %v %v", i, r, stage, err)
		}
		index, ok, err := ledger.State().IndexOf(rec.ID)
		if err != nil || !ok || index != r.Outcomes[0].Index {
			t.Fatalf("record %d is at %d, not at %d", i, index, r.Outcomes[0].Index)
		}
	}
	// What happened while the outbox was away is read from the real ledger.
	lead.deaf = true
	for _, key := range []string{"away", "away, refused"} {
		rec := c.Tick()
		if key != "away" {
			rec = c.HandleClose(c.Key("nobody").Public())
		}
		rec.Issuer = "a-sha"
		a := submit(t.Context(), o, request(key, rec))
		time.Sleep(50 * time.Millisecond)
		o.Close()
		<-a.done
		blobs.Close()
		o, blobs = open()
		o.Final(ledger.State().Height, ledger.State().TimeMs)
		r, err := o.Submit(t.Context(), request(key, rec))
		if err != nil || (r.Outcomes[0].Refused != nil) != (key != "away") || r.Outcomes[0].Height != ledger.State().Height {
			t.Fatalf("%s: %+v %v", key, r, err)
		}
	}
}

type badgerLeader struct {
	t      *testing.T
	mu     sync.Mutex
	c      *ledgertest.Consortium
	ledger *store.Ledger
	raft   uint64
	deaf   bool
	o      *Outbox
}

func (l *badgerLeader) Send(_ context.Context, sub *record.Submitted, _ bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.c.Entry(*sub)
	l.raft++
	b, err := l.ledger.Apply(l.raft, canon.Must(e))
	if err != nil || b.Result.Void != nil {
		l.t.Errorf("apply: %v %v", err, b)
		return err
	}
	l.c.Apply(e)
	if !l.deaf {
		l.o.Applied(b)
		l.o.Final(b.End.Height, b.End.TimeMs)
	}
	return nil
}
