package outbox

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// rotating is an outbox whose issuer's key the members may replace.
func (w *world) rotating() *Outbox {
	return w.open(newMemory(), func(c *Config) {
		c.Key = func(issuer string) (sign.Key, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.key(issuer)
		}
	})
}

// rotate applies a batch that replaces the key of a-sha. The lock is held.
func (w *world) rotate() {
	waiting := w.queue
	w.queue = []record.Submitted{w.c.Submit("b-sha", w.c.Rotate("a-sha", []string{record.RoleRecord}, "b-sha", "c-sha", "pf"))}
	w.batch()
	w.queue = waiting
}

// once wants a record to be in the ledger exactly once, under the new key.
func (w *world) once(a *answer, rec *record.Record) {
	w.t.Helper()
	w.accepted(a, rec)
	if n := w.times(rec.ID); n != 1 {
		w.t.Errorf("the record is in the ledger %d times", n)
	}
}

// A submission that a batch refuses because its issuer's key was replaced on the
// way goes again under the new key; whoever waits for it sees nothing of that.
func TestRekeyedInABatch(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.rotating()
		w.locked(func() { w.held = true })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		w.locked(func() {
			if len(w.queue) != 1 {
				t.Fatalf("%d submissions wait", len(w.queue))
			}
			w.rotate()
			w.held = false
			w.batch()
		})
		w.once(a, rec)
	})
}

// A submission that no leader queues any more for that reason is taken back, too.
func TestRekeyedBeforeItIsQueued(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.rotating()
		w.locked(func() { w.err = errors.New("not signed by its issuer") })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		w.locked(w.rotate)
		time.Sleep(4 * o.Resend)
		if c := w.copies(); c[len(c)-1].Submission.Seq == c[0].Submission.Seq {
			t.Error("what nobody queues is still sent")
		}
		w.locked(func() { w.err = nil })
		w.once(a, rec)
	})
}

// One that was accepted before its key was replaced does not go again, though
// the news of it is late and sending it fails.
func TestRekeyedAfterItWasAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.rotating()
		w.locked(func() { w.held, w.deaf = true, true })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		synctest.Wait()
		w.locked(func() {
			w.batch() // with it, and nobody hears
			w.err = errors.New("not signed by its issuer")
			w.rotate()
			w.held, w.deaf = false, false
		})
		time.Sleep(4 * o.Resend)
		w.locked(func() {
			w.err = nil
			w.queue = append(w.queue, w.c.Submit("b-sha", w.c.Tick()))
			w.batch() // says what is final
		})
		w.once(a, rec)
	})
}
