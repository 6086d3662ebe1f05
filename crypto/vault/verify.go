package vault

import "fmt"

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
