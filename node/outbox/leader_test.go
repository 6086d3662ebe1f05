package outbox

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestResend(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.err = errors.New("interrupted") })
		rec := w.good()
		a := submit(t.Context(), o, request("", rec))
		synctest.Wait()
		time.Sleep(1100 * time.Millisecond)
		sent := func() int { return len(w.copies()) }
		if n := sent(); n != 3 {
			t.Fatalf("sent %d times in 1.1 s", n)
		}
		o.LeaderChanged()
		synctest.Wait()
		if n := sent(); n != 4 {
			t.Fatalf("sent %d times after a change of leader", n)
		}
		copies := w.copies()
		for _, c := range copies {
			if c.Submission != copies[0].Submission {
				t.Fatal("another submission was sent")
			}
		}
		w.locked(func() { w.err = nil })
		o.LeaderChanged()
		w.accepted(a, rec)
	})
}

func TestBusyLeaderIsAskedAgainSoon(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.err = fmt.Errorf("leader: %w", ErrBusy) })
		rec := w.good()
		a := submit(t.Context(), o, request("", rec))
		time.Sleep(15 * time.Millisecond)
		w.locked(func() { w.err = nil })
		time.Sleep(25 * time.Millisecond)
		if !a.ended() {
			t.Fatal("no copy within 40 ms")
		}
		w.accepted(a, rec)
	})
}

func TestNoLeader(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		o := w.open(newMemory(), nil)
		w.locked(func() { w.err = fmt.Errorf("replica: %w", ErrNoLeader) })
		rec := w.good()
		a := submit(t.Context(), o, request("", rec))
		synctest.Wait()
		if _, err := o.Submit(t.Context(), request("", w.good())); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("bulk without a leader: %v", err)
		}
		stop := request("", w.good())
		stop.Urgent = true
		b := submit(t.Context(), o, stop)
		synctest.Wait()
		if b.ended() {
			t.Fatalf("urgent without a leader: %v", b.err)
		}
		w.locked(func() { w.err = nil })
		o.LeaderChanged()
		w.accepted(a, rec)
		w.accepted(b, stop.Records...)
		r := w.good()
		w.accepted(submit(t.Context(), o, request("", r)), r)
	})
}

func TestExpiryInAnIdleLog(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		w.locked(func() { w.err = ErrNoLeader })
		rec := w.good()
		a := submit(t.Context(), o, request("k", rec))
		time.Sleep(59 * time.Second)
		if a.ended() || w.ticked() > 0 {
			t.Fatalf("after 59 s: %v, %d ticks", a.err, w.ticked())
		}
		if <-a.done; !errors.Is(a.err, ErrExpired) || time.Since(w.begin) > 63*time.Second {
			t.Fatalf("expired: %v", a.err)
		}
		if w.ticked() != 1 {
			t.Fatalf("%d ticks", w.ticked())
		}
		if _, stage, err := o.Lookup(t.Context(), "a-sha", "app", "k"); stage != StageFailed || err != nil {
			t.Fatalf("lookup: %v %v", stage, err)
		}
		w.locked(func() { w.err = nil })
		o.LeaderChanged()
		other := request("k", rec)
		other.Body = [32]byte{9}
		if _, err := o.Submit(t.Context(), other); !errors.Is(err, ErrKeyReused) {
			t.Fatalf("another body after expiry: %v", err)
		}
		w.accepted(submit(t.Context(), o, request("k", rec)), rec)
		time.Sleep(time.Second)
		if n := w.times(rec.ID); n != 1 || m.count(prefixPending) != 0 {
			t.Fatalf("%d times in the ledger, %d entries left", n, m.count(prefixPending))
		}
	})
}

// A story's clock stands still and jumps.
func TestExpiryByAJump(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := newMemory()
		o := w.open(m, nil)
		w.locked(func() { w.held = true })
		a := submit(t.Context(), o, request("k", w.good()))
		synctest.Wait()
		w.locked(func() { w.skip = 40 * 24 * 3600 * 1000; w.queue = nil })
		time.Sleep(3 * time.Second)
		if <-a.done; !errors.Is(a.err, ErrExpired) {
			t.Fatalf("after a jump: %v", a.err)
		}
		// Filed as failed, read by another outbox.
		o.Close()
		w.locked(func() { w.held = false })
		o = w.open(m, nil)
		if _, stage, _ := o.Lookup(t.Context(), "a-sha", "app", "k"); stage != StageFailed {
			t.Fatalf("stage %v", stage)
		}
		r := w.good()
		w.accepted(submit(t.Context(), o, request("k", r)), r)
		copies := w.copies()
		if seq := copies[len(copies)-1].Submission.Seq; seq != 2 {
			t.Fatalf("the number of an expired submission was used again: %d", seq)
		}
	})
}
