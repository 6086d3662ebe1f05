package custody

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Tick is called every second. It starts what is due and returns: parcels to be
// sent, parcels to be received, erasures to go on with, keys to be destroyed,
// readings to be committed, what is due by retention, entries of the vault that wait
// to be folded.
func (d *Desk) Tick(context.Context) {
	for i, f := range []func(context.Context){d.sendDue, d.receiveDue, d.destroyDue, d.commitDue, d.retireDue, d.foldDue} {
		d.start(i, f)
	}
}

// dutyFold is the place of foldDue among the duties.
const dutyFold = 5

// start starts a duty, unless it still runs. It needs no worker's place: parcels to a
// member that is silent may have them all.
func (d *Desk) start(i int, f func(context.Context)) {
	if !d.duties[i].TryLock() {
		return
	}
	d.duties[i].Unlock()
	if d.ctx.Err() != nil {
		return
	}
	d.wg.Go(func() {
		if d.duties[i].TryLock() {
			defer d.duties[i].Unlock()
			f(d.ctx)
		}
	})
}

// foldDue moves what was put into the vault to where it stays, beside everything
// else, so that no registration has to wait until it is done.
func (d *Desk) foldDue(ctx context.Context) {
	for moved := 1; moved > 0 && ctx.Err() == nil && d.Vault.FoldDue(); {
		var err error
		if moved, err = d.Vault.Fold(); err != nil {
			d.Log.Error("entries of the vault are not moved to their places", "err", err.Error())
			return
		}
	}
}

// sendDue sends parcels, a few at a time.
func (d *Desk) sendDue(ctx context.Context) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, id := range d.parcels.due(time.Now()) {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			d.sendParcel(ctx, id)
		})
	}
	wg.Wait()
}

// receiveDue opens parcels whose receiving record has become final, and confirms
// those that wait where nobody is asked.
func (d *Desk) receiveDue(ctx context.Context) {
	var ids []record.ID
	err := d.Blobs.Scan(blobPrefix(kindReceived), func(key, _ []byte) error {
		id, err := idOfKey(kindReceived, key)
		ids = append(ids, id)
		return err
	})
	for _, id := range ids {
		err = errors.Join(err, d.takeIn(id))
	}
	if err != nil {
		d.Log.Warn("parcels are not opened", "err", safe(err))
	}
	for _, id := range d.waiting.all() {
		gone, err := d.closedOtherwise(id)
		if gone {
			err = d.destroyParcel(id)
		}
		if err != nil {
			d.Log.Warn("a parcel is not cleared away", "err", safe(err))
		} else if !gone && (d.AutoReceive || d.waiting.unasked(id)) {
			d.autoReceive(ctx, id)
		}
	}
}

// closedOtherwise reports whether a parcel waits for nothing: its intent was closed,
// and not by a receiving record of ours.
func (d *Desk) closedOtherwise(id record.ID) (bool, error) {
	st, err := d.state()
	if err != nil {
		return false, err
	}
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	if err != nil || in != nil {
		return false, err
	}
	_, noted, err := d.Blobs.Get(blobKey(kindReceived, id[:]))
	return !noted, err
}

// destroyDue goes on with erasures, and destroys what has had its time.
func (d *Desk) destroyDue(ctx context.Context) {
	for _, job := range d.erasing.all() {
		d.goOn(ctx, job.id)
	}
	if err := errors.Join(d.forgetHolds(), d.forgetSeries()); err != nil {
		d.Log.Warn("holds and series are not cleared away", "err", safe(err))
	}
	if d.maySpend() {
		d.shredSpent()
	}
}

// maySpend reports whether the last rotation is long enough ago: a rotation holds
// up everything that needs the vault.
func (d *Desk) maySpend() bool {
	d.spentMu.Lock()
	defer d.spentMu.Unlock()
	return !time.Now().Before(d.spendAt)
}

// rotationShare is how many times as long as it took nothing transient is
// destroyed after a rotation.
const rotationShare = 20

func (d *Desk) goOn(ctx context.Context, id record.ID) {
	if err := d.runErasure(ctx, id); err != nil {
		d.Log.Warn("an erasure does not go on", "err", safe(err))
	}
}

func (d *Desk) takeSpent() []string {
	d.spentMu.Lock()
	defer d.spentMu.Unlock()
	ids := d.spent
	d.spent = nil
	return ids
}

// shredSpent destroys transient secrets in one rotation.
func (d *Desk) shredSpent() {
	ids := d.takeSpent()
	if len(ids) == 0 {
		return
	}
	begin := time.Now()
	defer func() {
		d.spentMu.Lock()
		d.spendAt = time.Now().Add(rotationShare * time.Since(begin))
		d.spentMu.Unlock()
	}()
	if left, err := d.shredApart(ids); err != nil {
		d.Log.Error("transient keys are not destroyed", "keys", len(left), "err", err.Error())
		d.spend(left...)
	}
}

// shredApart destroys entries, and returns those that could not be: where some are in a
// damaged bucket the others go without them.
func (d *Desk) shredApart(ids []string) (left []string, err error) {
	if err = d.shred(ids...); err == nil {
		return nil, nil
	}
	if !errors.Is(err, vault.ErrBlock) || len(ids) == 1 {
		return ids, err
	}
	for _, half := range [][]string{ids[:len(ids)/2], ids[len(ids)/2:]} {
		rest, err2 := d.shredApart(half)
		left, err = append(left, rest...), errors.Join(err2, err)
	}
	return left, err
}

// shredWithSpent destroys entries, and transient secrets in the same rotation, unless that
// fails: these hold nothing up, and are not forgotten.
func (d *Desk) shredWithSpent(ids ...string) error {
	spent := d.takeSpent()
	err := d.shred(append(ids, spent...)...)
	if err != nil && len(spent) > 0 {
		d.spend(spent...)
		err = d.shred(ids...)
	}
	return err
}
