package custody

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
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
