package custody

import (
	"context"
	"encoding/hex"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// EraseDataset destroys one dataset on demand, before its deadline or after, here and at
// everybody who received it from here.
func (d *Desk) EraseDataset(ctx context.Context, c Call, id string) (*ErasureView, *Done, error) {
	st, err := d.state()
	if err != nil {
		return nil, nil, err
	}
	issuer, err := d.actor(c, "")
	if err != nil {
		return nil, nil, err
	}
	body := d.bodyOf("erase-dataset", id)
	job, err := d.eraseAgain(c, issuer, body)
	if err != nil {
		return nil, nil, err
	}
	var due uint64
	if job == (record.ID{}) {
		if job, due, err = d.planDataset(st, c, issuer, body, id); err != nil {
			return nil, nil, err
		}
	}
	if err := d.runPlan(ctx, job); err != nil {
		return nil, nil, err
	}
	d.goOn(ctx, job)
	view, err := d.Erasure(ctx, hex.EncodeToString(job[:]))
	if err != nil {
		return nil, nil, err
	}
	view.DueMs = due
	return view, doneErasing(c, view), nil
}

// planDataset marks a dataset as leaving and stores the plan with the memo.
func (d *Desk) planDataset(st *store.State, c Call, issuer string, body [32]byte, id string) (job record.ID, due uint64, err error) {
	k, err := d.ownDataset(st, c, id)
	if err != nil {
		return job, 0, err
	}
	now := d.readingMs()
	if err := d.leave(k, now); err != nil {
		return job, 0, err
	}
	due = d.dueMs(k)
	cause := "request"
	if now >= due {
		cause = "retention"
	}
	left := []*class{k}
	defer func() {
		if err != nil {
			d.stay(left...)
		}
	}()
	got, err := d.gotHere(k)
	if err != nil {
		return job, 0, err
	}
	for _, g := range got {
		switch err := d.leave(g, now); {
		case err == nil:
			left = append(left, g)
		case codeOf(err) != record.CodeErased: // else it is going already
			return job, 0, err
		}
	}
	p, tell, err := d.retireDataset(k, cause, left)
	if err != nil {
		return job, 0, err
	}
	var more []store.KV
	if c.Key != "" {
		more = append(more, store.KV{Key: d.memoKey(c, issuer, ""), Value: canon.Must(&memo{Body: body, Erasure: p.rec.ID[:]}), TTL: memoFor})
	}
	if tell != nil { // durable first: without the erasure it is nothing, and given up when that cannot come any more
		if err := d.sealSteps(p.rec.ID, map[string]any{"b": tell}); err != nil {
			return job, 0, err
		}
		d.erasing.add(tell, d.nowMs(), tell.pieceIDs()...)
	}
	if err := d.storeRetirement(p, more...); err != nil {
		return job, 0, err
	}
	return p.rec.ID, due, nil
}

// retireDataset plans the end of a dataset that is leaving, and who is told of it.
func (d *Desk) retireDataset(k *class, cause string, classes []*class) (*retirement, *erasurePlan, error) {
	st, err := d.state() // no older than the last delivery of it
	if err != nil {
		return nil, nil, err
	}
	owner, err := d.issuerFor(st, k)
	if err != nil {
		return nil, nil, err
	}
	given, err := d.givenTo(st, k)
	if err != nil {
		return nil, nil, err
	}
	holders := []string{owner}
	for _, t := range given {
		holders = append(holders, t.Holder)
	}
	p, err := newRetirement(owner, cause, set(holders), classes...)
	if err != nil {
		return nil, nil, err
	}
	return p, d.tellOfDataset(p.rec.ID, k, given), nil
}

// runPlan runs one plan, unless it is done.
func (d *Desk) runPlan(ctx context.Context, id record.ID) error {
	d.retiring.mu.Lock()
	p := d.retiring.plans[id]
	d.retiring.mu.Unlock()
	if p == nil {
		return nil
	}
	return d.runRetirements(ctx, []*retirement{p})
}
