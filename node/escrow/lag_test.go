package escrow

import (
	"testing"
	"time"
)

// TestLag: a key lags until one custodian has it; that a second has not is in Status
// only. It is an alarm when it is old.
func TestLag(t *testing.T) {
	w := newWorld(t)
	w.put(1, "p/hana/ks")
	if l := w.sender.Lag(); l != (Lag{}) || l.Degraded(time.Now()) {
		t.Errorf("without a custodian: %+v", l)
	}
	w.down = true
	w.must("a-sha", w.c.Custodian("a-sha", "b-sha", 0))
	w.duties()
	w.sender.Duty(t.Context())
	if l := w.sender.Lag(); l.Custodians != 1 || !l.Unknown || l.Since.IsZero() || l.Degraded(time.Now()) || !l.Degraded(time.Now().Add(LagBound)) {
		t.Errorf("never reached: %+v", l)
	}
	if w.sender.Status()[0].Complete {
		t.Error("complete before it was compared")
	}
	w.down = false
	w.duties()
	if l := w.sender.Lag(); l != (Lag{Custodians: 1}) {
		t.Errorf("all copied: %+v", l)
	}
	w.down = true
	before := time.Now()
	w.put(2, "p/taro/ks", "p/taro/c/portal")
	w.duties()
	l := w.sender.Lag()
	if l.Keys != 2 || l.Unknown || l.Since.Before(before) || l.Degraded(time.Now()) || !l.Degraded(time.Now().Add(LagBound)) {
		t.Errorf("two wait: %+v", l)
	}
	second := &queue{compared: time.Now(), waiting: map[string]waiting{"p/taro/ks": {since: before.Add(-time.Hour)}}}
	w.addCustodian("c-sha", second)
	if l := w.sender.Lag(); l.Custodians != 2 || l.Keys != 1 || !l.Degraded(time.Now()) {
		t.Errorf("the other custodian has one of them: %+v", l)
	}
	delete(second.waiting, "p/taro/ks")
	if l := w.sender.Lag(); l.Keys != 0 || l.Degraded(time.Now()) {
		t.Errorf("it has both: %+v", l)
	}
}

// addCustodian makes another member a custodian that agreed, with what it lacks.
func (w *world) addCustodian(id string, q *queue) {
	w.t.Helper()
	w.must("a-sha", w.c.Custodian("a-sha", id, 0))
	w.must(id, w.c.Custodian("a-sha", id, 1))
	w.sender.queues[id] = q
}
