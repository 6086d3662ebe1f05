package escrow

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
)

// requested has one request made for each of these entries before any is sent.
func (w *world) requested(ids []string) (out []*request) {
	w.t.Helper()
	custody, err := w.sender.custody()
	noErr(w.t, err)
	w.sender.mu.Lock()
	defer w.sender.mu.Unlock()
	for _, id := range ids {
		for i := range custody.Custodians {
			out = append(out, w.sender.join(context.Background(), &custody.Custodians[i], []string{id}))
		}
	}
	return out
}

// await waits for something that other goroutines do.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestBurst: many who wait at once share their way to the custodian, and none goes
// without.
func TestBurst(t *testing.T) {
	w := newWorld(t)
	w.begin()
	ids, puts := w.putMany(60, func(int) []byte { return num(1) }), 0
	w.change = func(what string, answer []byte) []byte {
		if what == callPut { // rounds come one after the other
			puts++
		}
		return answer
	}
	for _, r := range w.requested(append(ids, ids...)) {
		noErr(t, r.wait(context.Background()))
	}
	if puts != 2 || len(w.kept()) != 60 {
		t.Errorf("%d parcels, %d copies", puts, len(w.kept()))
	}
}

// TestFailureEnds: a failure is over with the next success, and does not hold Duty up.
func TestFailureEnds(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.put(1, "p/hana/ks")
	w.down = true
	if err := w.sender.Ensure(context.Background(), "p/hana/ks"); err == nil || w.sender.Status()[0].Failed == "" {
		t.Fatalf("%v, %+v", err, w.sender.Status())
	}
	w.down = false
	if time.Now().Before(w.sender.queues["b-sha"].notBefore) {
		t.Error("Duty waits for the failure of another")
	}
	w.put(2, "p/taro/ks")
	noErr(t, w.sender.Ensure(context.Background(), "p/taro/ks"))
	if st := w.sender.Status()[0]; st.Failed != "" || st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
}

// TestLostAnswer: where an answer is lost and Duty has sent the same, nothing has failed.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.put(1, "p/hana/ks")
	w.change = func(what string, answer []byte) []byte {
		if what != callPut {
			return answer
		}
		w.mu.Lock()
		w.change = nil
		w.mu.Unlock()
		w.sender.Duty(context.Background())
		return nil
	}
	if err := w.sender.Ensure(context.Background(), "p/hana/ks"); err != nil {
		t.Logf("the caller: %v", err)
	}
	if st := w.sender.Status()[0]; !st.Complete || st.Failed != "" || w.kept() != "1" {
		t.Errorf("kept %q, %+v", w.kept(), st)
	}
}

// TestImpatientCaller: that a caller has no time left is not the custodian's failure,
// which has the copy in the end.
func TestImpatientCaller(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.put(1, "p/hana/ks")
	ctx, cancel := context.WithCancel(context.Background())
	slow := make(chan struct{})
	w.silent = func(ctx context.Context, _ string) error {
		cancel()
		select {
		case <-slow:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := w.sender.Ensure(ctx, "p/hana/ks"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if st := w.sender.Status()[0]; st.Failed != "" {
		t.Errorf("%+v", st)
	}
	close(slow)
	await(t, "the copy does not come", func() bool { return w.sender.Status()[0].Complete })
	if w.kept() != "1" {
		t.Errorf("kept %q", w.kept())
	}
}

// TestSilentIsLearned: that one of two custodians does not answer is learned after the
// caller has gone on; then nobody waits for it any more.
func TestSilentIsLearned(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.must("a-sha", w.c.Custodian("a-sha", "c-sha", 0))
	w.must("c-sha", w.c.Custodian("a-sha", "c-sha", 1))
	over, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	w.silent = func(_ context.Context, member string) error {
		if member != "c-sha" {
			return nil
		}
		select {
		case over <- struct{}{}:
		case <-end:
		}
		return errors.New("no answer")
	}
	w.sender.others = 0
	w.put(1, "p/hana/ks")
	noErr(t, w.sender.Ensure(context.Background(), "p/hana/ks"))
	<-over
	await(t, "not learned", func() bool { return w.sender.Status()[1].Failed != "" })
	w.sender.others = time.Hour
	w.put(2, "p/taro/ks")
	began := time.Now()
	noErr(t, w.sender.Ensure(context.Background(), "p/taro/ks"))
	if took := time.Since(began); took > w.sender.within/2 {
		t.Errorf("the silent one was waited for: %v", took)
	}
	select {
	case <-over: // it was asked, too
	case <-time.After(time.Minute):
		t.Error("not asked")
	}
}

// TestNoneHolds: custodians that were named and hold nothing yet are no custodians.
func TestNoneHolds(t *testing.T) {
	w := newWorld(t)
	w.must("a-sha", w.c.Custodian("a-sha", "b-sha", 0))
	w.put(1, "p/hana/ks")
	if err := w.sender.Ensure(context.Background(), "p/hana/ks"); err == nil {
		t.Error("a custodian that has not agreed is said to have copies")
	}
}

// TestManyOffers: offers of which no parcel comes push out each other and nobody else's.
func TestManyOffers(t *testing.T) {
	w := newWorld(t)
	w.begin()
	offered := func(owner string) [16]byte {
		b, err := w.keeper.offer(owner)
		noErr(t, err)
		var a offerAnswer
		noErr(t, canon.UnmarshalMax(b, MaxResponse, &a))
		return a.Offer
	}
	other, first := offered("c-sha"), offered("a-sha")
	var last [16]byte
	for range 4 * maxOffers {
		last = offered("a-sha")
	}
	for what, is := range map[string]bool{
		"another owner's is lost": func() bool { _, ok := w.keeper.take("c-sha", other); return ok }(),
		"the newest is lost":      func() bool { _, ok := w.keeper.take("a-sha", last); return ok }(),
		"the oldest is kept":      func() bool { _, ok := w.keeper.take("a-sha", first); return !ok }(),
		"there are too many":      len(w.keeper.offers) < maxOffers,
	} {
		if !is {
			t.Error(what)
		}
	}
	w.put(1, "p/hana/ks")
	noErr(t, w.sender.Ensure(context.Background(), "p/hana/ks"))
}
