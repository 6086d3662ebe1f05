package vault

import (
	"errors"
	"fmt"
	"slices"
)

// Shredding is what a vault can attest after Shred.
type Shredding struct {
	Generation uint64 // of the root key that is in the slot now
	Class      string // storage class of the slot
	Count      int    // entries destroyed by this call
}

// Shred destroys the entries with these ids, all in one rotation. When it
// returns nil no copy of any blob opens to them. Ids that are not there are left
// out of the count, so that a call may be repeated after a crash; with none there
// is nothing to rotate. Cost: rewriting the buckets that hold them.
// Errors, with nothing changed: ErrBlock (a bucket that would have to be read is
// damaged), ErrIO, ErrClosed; with unknown outcome until the vault is opened
// again: ErrStopped.
func (v *Vault) Shred(ids ...string) (Shredding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return Shredding{}, v.ended
	}
	c := &change{asked: v.tree.byBucket(ids), doomed: map[string]bool{}, rewrite: map[int]bool{}, fold: v.tree.fold}
	for _, id := range ids {
		if _, ok := v.tree.pending[id]; ok {
			c.doomed[id] = true
		}
	}
	if len(c.asked)+len(c.doomed) > 0 {
		err := v.rotate(c)
		switch {
		case errors.Is(c.dropped, errNothing):
		case c.dropped != nil:
			return Shredding{}, fmt.Errorf("shred: %w", c.dropped)
		case err != nil:
			return Shredding{}, v.stop("shred", err)
		}
	}
	return Shredding{Generation: v.tree.at.root.generation, Class: v.slot.Class(), Count: len(c.doomed)}, nil
}

// Compact moves what was put into its buckets, in one rotation, after which of
// replaced values nothing opens. Errors: ErrBlock (a damaged bucket was left as it
// is), ErrStopped, ErrClosed.
func (v *Vault) Compact() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return v.ended
	}
	if len(v.tree.pending) == 0 {
		return nil
	}
	return v.foldTo(0)
}

// makeRoom folds where another put of this encoded size would make too much
// pending.
func (v *Vault) makeRoom(bytes int) error {
	t := v.tree
	if len(t.pending) == 0 || int(t.deltas) < v.shape.deltas && t.pendingBytes+bytes <= v.shape.pendingBytes {
		return nil
	}
	err := v.foldTo(max(0, v.shape.pendingBytes-bytes))
	if v.ended != nil {
		return v.ended
	}
	if !fits(v.tree.pendingBytes + bytes) {
		return err // what stays has no place but in damaged buckets
	}
	return nil
}

// foldTo moves pending entries into their buckets, middle block by middle block
// in turn, until at least shape.minFold have moved and at most so many bytes are
// left. A damaged bucket keeps what is pending for it waiting.
func (v *Vault) foldTo(mostBytes int) error {
	t := v.tree
	below := make([][]int, t.fan())
	for b := range t.pendingIn {
		below[b/t.fan()] = append(below[b/t.fan()], b)
	}
	count := map[int]int{}
	for _, h := range t.pending {
		count[h.bucket]++
	}
	c := &change{rewrite: map[int]bool{}, fold: t.fold}
	for moved, left, turn := 0, t.pendingBytes, 0; turn < t.fan() && (moved < v.shape.minFold || left > mostBytes); turn++ {
		for _, b := range slices.Sorted(slices.Values(below[c.fold])) {
			c.rewrite[b] = true
			moved, left = moved+count[b], left-t.pendingIn[b]
		}
		c.fold = (c.fold + 1) % t.fan()
	}
	if err := v.rotate(c); err != nil {
		return v.stop("fold", err)
	}
	return c.damaged
}
