package custody

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// held is a Copies whose custodians answer about one plan, the first that they are asked
// to keep, only when they are let; about others at once.
type held struct {
	recorder
	first []string
	asked chan struct{} // about the first plan: once for each time
	let   chan struct{}
}

func (h *held) Ensure(ctx context.Context, ids ...string) error {
	h.mu.Lock()
	if h.first == nil {
		h.first = ids
	}
	mine := slices.Contains(ids, h.first[0])
	h.mu.Unlock()
	if !mine {
		return nil
	}
	h.asked <- struct{}{}
	select {
	case <-h.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestSilenceHoldsNobodyUp: while the erasure of a dataset that was handed over waits for
// custodians that are silent, another person's erasure is done, and so is the pass of
// retention with what nobody has to be told of, though the pass waits for the custodians
// itself in the end. When they answer, the dataset goes, once.
func TestSilenceHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 3)
	a, b := w.members["a-sha"], w.members["b-sha"]
	seen := func(p *raced, period string) *Dataset {
		t.Helper()
		v, err := a.Collect(ctx, Call{}, Collection{Person: p.ref, Service: "a-portal", Purpose: "service", Retention: period,
			Items: map[string]string{"name": asSeen}})
		noErr(t, err)
		return v
	}
	victim, leaver, due := race.people[0], race.people[1], race.people[2]
	told, short := seen(victim, "P30D"), seen(due, "P1D")
	r := victim.give("b-sha")
	r.Items, r.Dataset = []string{"name"}, told.ID
	_, err := a.Provide(ctx, Call{}, r)
	noErr(t, err)
	w.duties()
	if got := (&seenByCamera{world: w, t: t}).names(b); !slices.Equal(got, []string{asSeen}) {
		t.Fatalf("b-sha holds %q", got)
	}
	w.set(func() { w.c.NowMs += uint64((25 * time.Hour).Milliseconds()) })
	w.must("a-sha", w.c.Tick())

	custodians := &held{recorder: recorder{gone: map[string]seal.Number{}}, asked: make(chan struct{}), let: make(chan struct{})}
	a.Copies = custodians
	type answer struct {
		view *ErasureView
		err  error
	}
	asked, passed := make(chan answer, 1), make(chan struct{})
	go func() {
		view, _, err := a.EraseDataset(ctx, Call{}, told.ID)
		asked <- answer{view, err}
	}()
	<-custodians.asked // by the request
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: leaver.ref, Cause: "request"})
	noErr(t, err)
	go func() {
		a.retireDue(ctx)
		close(passed)
	}()
	<-custodians.asked // by the pass
	_, err = a.ReadDataset(ctx, Call{}, short.ID, Reader{Purpose: "service"})
	wantCode(t, err, record.CodeErased)
	if _, err = a.ReadDataset(ctx, Call{}, told.ID, Reader{Purpose: "service"}); codeOf(err) != record.CodeErased {
		t.Errorf("what is leaving is read: %v", err)
	}
	close(custodians.let)
	<-passed
	got := <-asked
	noErr(t, got.err)
	w.duties()
	view, err := a.Erasure(ctx, got.view.ID)
	if err != nil || len(view.Pending) > 0 || len(view.Done) != 2 {
		t.Errorf("%+v, %v", view, err)
	}
	if got := (&seenByCamera{world: w, t: t}).names(b); len(got) > 0 {
		t.Errorf("b-sha still holds %q", got)
	}
}

// TestSilentHolder: two people's data went to b-sha, which is silent, and to c-sha. Each
// erasure is answered in its time, c-sha destroys and attests both, and b-sha is asked
// once: the second erasure does not wait for it again. Later it hears of both.
func TestSilentHolder(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 2)
	a := w.members["a-sha"]
	for _, p := range race.people {
		for _, to := range []string{"b-sha", "c-sha"} {
			_, err := a.Provide(ctx, Call{}, p.give(to))
			noErr(t, err)
		}
	}
	w.duties()
	asked := 0
	w.set(func() { w.silent, w.calls = map[string]bool{"b-sha": true}, nil })
	var ids []string
	for _, p := range race.people {
		limited, cancel := context.WithTimeout(ctx, 4*silentAfter) // a third of it is enough to judge
		view, _, err := a.Erase(limited, Call{}, EraseRequest{Person: p.ref, Cause: "request"})
		cancel()
		if err != nil {
			t.Fatalf("an erasure is not answered while a holder is silent: %v", err)
		}
		ids = append(ids, view.ID)
	}
	w.duties()
	w.set(func() {
		for _, c := range w.calls {
			if c.to == "b-sha" && c.what == callErase {
				asked++
			}
		}
		w.silent = nil
	})
	if asked != 1 {
		t.Errorf("b-sha was asked %d times within a moment", asked)
	}
	pending := func(want ...string) {
		t.Helper()
		for _, id := range ids {
			if v, err := a.Erasure(ctx, id); err != nil || !slices.Equal(v.Pending, want) {
				t.Errorf("%+v, %v: want %q pending", v, err, want)
			}
		}
	}
	pending("b-sha")
	w.pass(mostPause)
	w.duties()
	pending([]string{}...)
	if got := (&seenByCamera{world: w, t: t}).names(w.members["b-sha"]); len(got) > 0 {
		t.Errorf("b-sha still holds %q", got)
	}
}

// TestErasureEndsDelivery: a parcel that is on its way to a member that is silent holds no
// erasure up.
func TestErasureEndsDelivery(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 1)
	a, p := w.members["a-sha"], race.people[0]
	w.set(func() { w.silent, w.calls = map[string]bool{"b-sha": true}, nil })
	_, err := a.Provide(ctx, Call{}, p.give("b-sha"))
	noErr(t, err)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		a.sendDue(ctx)
	}()
	await(t, "the parcel is offered", func() (begun bool) {
		w.set(func() { begun = slices.ContainsFunc(w.calls, func(c sentCall) bool { return c.what == callOffer }) })
		return begun
	})
	a.silent.note("b-sha", w.now()) // else it would be told now
	limited, cancel := context.WithTimeout(ctx, callWait/2)
	defer cancel()
	if _, _, err := a.Erase(limited, Call{}, EraseRequest{Person: p.ref, Cause: "request"}); err != nil {
		t.Error(err)
	}
	<-sent
}

// TestDeliveredAfterAnotherServicesErasure: a parcel that is to be sent while the erasure
// of another service is under way is sent when that is done.
func TestDeliveredAfterAnotherServicesErasure(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 1)
	a, b, p := w.members["a-sha"], w.members["b-sha"], race.people[0]
	down := errors.New("down")
	w.set(func() { w.refuse = func(string, string) error { return down } })
	_, err := a.Provide(ctx, Call{}, p.give("b-sha")) // of a-portal
	noErr(t, err)
	w.set(func() { w.posted = func(outbox.Request) error { return down } })
	if _, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: p.ref, Service: "a-card", Cause: "request"}); !errors.Is(err, down) {
		t.Fatal(err)
	}
	w.set(func() { w.refuse = nil })
	a.parcels.hurry()
	a.sendDue(ctx)
	w.set(func() { w.posted = nil })
	w.duties()
	if got := (&seenByCamera{world: w, t: t}).names(b); !slices.Equal(got, []string{p.marker + "a-portal"}) {
		t.Errorf("b-sha holds %q", got)
	}
}

// TestDutiesNeedNoWorker: where every worker is busy, with parcels to a member that is
// silent, what is due is destroyed all the same.
func TestDutiesNeedNoWorker(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	s.atMs(uint64(v.Until.UnixMilli()))
	for range maxWorkers {
		s.work <- struct{}{}
	}
	s.Tick(ctx)
	await(t, "what is due is destroyed", func() bool { return s.view(v.ID) != CodeRetention })
	for range maxWorkers {
		<-s.work
	}
	s.wg.Wait()
	s.wantErased(v.ID, uint64(v.Until.UnixMilli()))
}

// TestWhoIsSilent: no answer for a while is silence; an erasure that ends a delivery, a
// caller that had little time, and a refusal are not.
func TestWhoIsSilent(t *testing.T) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	now := time.Now()
	for name, c := range map[string]struct {
		ctx    context.Context
		err    error
		waited time.Duration
		left   bool // alone
	}{
		"silent":            {over, over.Err(), silentAfter, true},
		"ended soon":        {over, over.Err(), silentAfter - 1, true},
		"refused in time":   {ctx, &record.Refusal{Code: record.CodeErased}, silentAfter, false},
		"refused at last":   {over, &record.Refusal{Code: record.CodeErased}, silentAfter, false},
		"cannot be reached": {ctx, errors.New("refused"), time.Millisecond, false},
		"answered":          {ctx, nil, silentAfter, false},
	} {
		var s silence
		if s.ended(c.ctx, "b-sha", c.err, silentAfter-1, now); len(s.hosts) > 0 {
			t.Errorf("%s: judged before its time", name)
		}
		s.note("b-sha", now)
		s.ended(c.ctx, "b-sha", c.err, c.waited, now)
		if _, ok := s.patience("b-sha", now); ok == c.left {
			t.Errorf("%s: left alone: %v", name, !ok)
		}
	}
}

// await waits for something that other goroutines do.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not yet: " + what)
		}
	}
}
