package vault

import (
	"errors"
	"fmt"
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
func (v *Vault) Shred(ids ...string) (Shredding, error) { return v.ShredBeside(nil, ids...) }

// ShredBeside is Shred for entries with whose end blobs of the caller's are of no use any
// more: when nothing opens them it deletes those, too, in the same write as its own that
// it has replaced. A crash may leave them. Errors: as Shred, which leave them as they are.
func (v *Vault) ShredBeside(beside []string, ids ...string) (Shredding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return Shredding{}, v.ended
	}
	for _, key := range beside {
		if OwnKey(key) {
			panic("vault: a blob of the vault's is none beside")
		}
	}
	c := &change{beside: beside, asked: v.tree.byBucket(ids), doomed: map[string]bool{}, rewrite: map[int]bool{}, fold: v.tree.fold}
	for _, id := range ids {
		if _, ok := v.tree.pending[id]; ok {
			c.doomed[id] = true
		}
	}
	if len(c.asked)+len(c.doomed) == 0 {
		c.dropped = errNothing
	} else {
		err := v.rotate(c)
		switch {
		case errors.Is(c.dropped, errNothing):
		case c.dropped != nil:
			return Shredding{}, fmt.Errorf("shred: %w", c.dropped)
		case err != nil:
			return Shredding{}, v.stop("shred", err)
		}
	}
	if c.dropped != nil { // nothing was there
		if err := remove(v.blobs, beside); err != nil {
			return Shredding{}, v.stop("shred", err)
		}
	}
	return Shredding{Generation: v.tree.at.root.generation, Class: v.slot.Class(), Count: len(c.doomed)}, nil
}
