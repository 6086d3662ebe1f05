package vault

import (
	"errors"
	"fmt"
)

// GiveUp destroys the buckets that cannot be read, in one rotation, and returns how
// many entries lay in them. Nothing opens any copy of them afterwards: it is for when
// no whole copy is left, or what lay in them must not come back. Others can be fetched
// from another custodian then. Errors: ErrIO, ErrStopped, ErrClosed.
func (v *Vault) GiveUp() (entries int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return 0, v.ended
	}
	c := &change{lost: map[int]bool{}, fold: v.tree.fold}
	for b := range v.tree.count() {
		p, err := v.tree.openBucket(v.blobs, b)
		switch {
		case err == nil:
			p.wipe()
		case errors.Is(err, ErrBlock):
			c.lost[b] = true
			entries += int(v.tree.ref(b).entries)
		default:
			return 0, fmt.Errorf("give up: %w", err)
		}
	}
	if len(c.lost) == 0 {
		return 0, nil
	}
	if err := v.rotate(c); err != nil {
		return 0, v.stop("give up", err)
	}
	return entries, nil
}

// Verify reads slots and blobs again, every bucket too, and compares them with
// what the vault keeps in memory. It changes nothing. Puts and shreds go on
// between one middle block and the next. Errors: ErrSlot, ErrBlock, ErrDelta,
// ErrIO, ErrStopped, ErrClosed.
func (v *Vault) Verify() error {
	if err := v.locked(v.verifyTop); err != nil {
		return fmt.Errorf("verify vault: %w", err)
	}
	for m, more := 0, true; more; m++ {
		err := v.locked(func() error {
			more = m+1 < v.tree.fan()
			return v.tree.checkBuckets(v.blobs, m)
		})
		if err != nil {
			return fmt.Errorf("verify vault: %w", err)
		}
	}
	return nil
}

func (v *Vault) locked(do func() error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return v.ended
	}
	return do()
}

// verifyTop compares slots, root block, middle blocks, carried page and deltas.
func (v *Vault) verifyTop() error {
	if err := checkSlots(v.slot, v.tree.at); err != nil {
		return err
	}
	stored, err := readTree(v.blobs, v.tree.at, v.tree.fan())
	if err != nil {
		return err
	}
	defer stored.wipe()
	if err := readDeltas(v.blobs, stored, v.tree.deltas, false); err != nil {
		return err
	}
	if !stored.samePending(v.tree) || v.tree.at.planted() && !stored.sameRefs(v.tree) {
		return because(ErrBlock, "it differs from what is in memory")
	}
	return nil
}
