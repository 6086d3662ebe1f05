package vault

import (
	"errors"
	"maps"
	"slices"
)

// change is what a rotation does besides giving the tree a fresh root key.
type change struct {
	asked   map[int][]string // ids to be destroyed, by bucket, be they there or not
	doomed  map[string]bool  // ids that do not go on: those pending; out: those in buckets too
	rewrite map[int]bool     // buckets written anew, which take in what is pending for them
	lost    map[int]bool     // damaged buckets that do not go on
	fold    int              // where the next fold begins

	damaged error // out: a bucket without doomed ids that could not be read, and was left as it is
	dropped error // out: why nothing was changed, the new blobs being deleted again
}

// errNothing: nothing that was to be destroyed is there.
var errNothing = errors.New("nothing to destroy")

// rotate moves the tree under a fresh root key. The steps are those of the
// package comment. An error means that the outcome is unknown, and that nothing
// else may be written, unless c.dropped is set; after the commit point there is none: a delete that failed
// sets v.ended, for what would come next.
func (v *Vault) rotate(c *change) error {
	next, dead, err := v.writeNext(c) // d
	if err != nil {
		return err
	}
	if err := next.check(v.blobs); err != nil { // e
		next.wipe()
		return err
	}
	if err := checkSlots(v.slot, v.tree.at); err != nil {
		next.wipe()
		return err
	}
	for i := range 2 { // f, g: here the old root key ends
		if err := writeSlot(v.slot, i, next.at); err != nil {
			next.wipe()
			return err
		}
	}
	v.tree.wipe()
	v.tree = next
	if err := remove(v.blobs, dead); err != nil { // h
		v.stop("delete old blobs", err)
	}
	return nil
}

// writeNext puts the blobs of the next tree, and returns it with the keys of the
// blobs that it replaces.
func (v *Vault) writeNext(c *change) (next *tree, dead []string, err error) {
	t := v.tree
	next = newTree(t.at, t.fan())
	next.salt, next.fold, next.carry = t.salt, c.fold, t.carry
	next.at.root.generation++
	copy(next.middles, t.middles)
	copy(next.buckets, t.buckets)
	w := &writer{blobs: v.blobs}
	steps := []func(w *writer, t *tree, c *change) ([]string, error){
		next.writeBuckets, next.writeMiddles, next.writeCarry, next.writeRoot,
	}
	for _, step := range steps {
		old, err := step(w, t, c)
		if err != nil {
			next.wipe()
			return nil, nil, w.undo(c, err)
		}
		dead = append(dead, old...)
	}
	if err := w.flush(); err != nil {
		next.wipe()
		return nil, nil, err
	}
	return next, dead, nil
}

// undo ends what was written of a tree that will not be. Where the change was
// dropped it deletes the blobs; if that is not sure to have worked, the error says so.
func (w *writer) undo(c *change, err error) error {
	failed := w.wait()
	if failed == nil && c.dropped != nil {
		failed = remove(w.blobs, w.written)
	}
	if failed != nil {
		c.dropped, err = nil, failed
	}
	return err
}

// writeBuckets writes the buckets that change and leaves as pending what goes
// into none. Each is read once: whether it holds what is to be destroyed shows here.
func (t *tree) writeBuckets(w *writer, was *tree, c *change) (dead []string, err error) {
	pending := was.pendingByBucket()
	for b := range c.lost {
		dead, t.buckets[b] = append(dead, was.bucket(b).key(&was.buckets[b])), ref{}
	}
	for b := range c.asked {
		c.rewrite[b] = true
	}
	for _, b := range slices.Sorted(maps.Keys(c.rewrite)) {
		written, err := t.writeBucket(w, was, c, b, pending[b])
		if err != nil {
			return nil, err
		}
		if !written {
			continue
		}
		if was.buckets[b].entries > 0 {
			dead = append(dead, was.bucket(b).key(&was.buckets[b]))
		}
		delete(pending, b)
	}
	if c.doomed != nil && len(c.doomed) == 0 {
		c.dropped = errNothing
		return nil, errNothing
	}
	for b, entries := range pending {
		for _, e := range entries {
			if !c.doomed[e.ID] {
				t.set(e, b)
			}
		}
	}
	return dead, nil
}

// writeBucket writes one bucket, unless it is damaged or holds nothing that is to be
// destroyed.
func (t *tree) writeBucket(w *writer, was *tree, c *change, b int, pending []Entry) (written bool, err error) {
	old, err := was.openBucket(w.blobs, b)
	switch {
	case errors.Is(err, ErrBlock) && c.asked == nil:
		c.damaged = err
		return false, nil
	case err != nil:
		c.dropped = err
		return false, err
	}
	defer old.wipe()
	here := c.asked == nil
	for _, id := range c.asked[b] {
		if e, ok := old.find(id); ok {
			c.doomed[e.ID], here = true, true
		}
	}
	if here {
		t.buckets[b], err = t.bucket(b).sealPage(w, t.at.root.generation, merge(old.entries, pending, c.doomed))
	}
	return here, err
}

// merge returns what is in a bucket or pending for it, without the doomed; what is
// pending replaces what is there.
func merge(there, pending []Entry, doomed map[string]bool) []Entry {
	out := make([]Entry, 0, len(there)+len(pending))
	replaced := make(map[string]bool, len(pending))
	for _, e := range pending {
		replaced[e.ID] = true
	}
	for _, e := range there {
		if !doomed[e.ID] && !replaced[e.ID] {
			out = append(out, e)
		}
	}
	if len(pending) == 0 {
		return out
	}
	for _, e := range pending {
		if !doomed[e.ID] {
			out = append(out, e)
		}
	}
	sortEntries(out)
	return out
}

// writeMiddles writes the middle blocks of which a bucket changed.
func (t *tree) writeMiddles(w *writer, was *tree, _ *change) (dead []string, err error) {
	for m := range t.middles {
		if slices.Equal(t.below(m), was.below(m)) {
			continue
		}
		if was.middles[m].entries > 0 {
			dead = append(dead, was.middle(m).key(&was.middles[m]))
		}
		t.middles[m] = ref{}
		entries, bytes := total(t.below(m))
		if entries == 0 {
			continue
		}
		plaintext := appendRefs(scratch(t.fan()*refBytes), t.below(m))
		r, blob := t.middle(m).seal(t.at.root.generation, plaintext, entries, bytes)
		t.middles[m] = r
		if err := w.put(blob, [32]byte{}); err != nil {
			return nil, err
		}
	}
	return dead, nil
}

// writeCarry writes what is pending, unless it is exactly what is carried already.
func (t *tree) writeCarry(w *writer, was *tree, _ *change) (dead []string, err error) {
	if was.deltas == 0 && len(t.pending) == len(was.pending) {
		return nil, nil
	}
	if was.carry.entries > 0 {
		dead = append(dead, was.carryPlace().key(&was.carry))
	}
	entries := make([]Entry, 0, len(t.pending))
	for id, h := range t.pending {
		entries = append(entries, Entry{ID: id, Value: h.value})
	}
	sortEntries(entries)
	t.carry, err = t.carryPlace().sealPage(w, t.at.root.generation, entries)
	return dead, err
}

// writeRoot writes the root block under a fresh root key. With it go the deltas.
func (t *tree) writeRoot(w *writer, was *tree, _ *change) (dead []string, err error) {
	if was.at.planted() {
		dead = append(dead, was.rootPlace().key(&was.at.root))
	}
	for sequence := uint64(1); sequence <= was.deltas; sequence++ {
		dead = append(dead, was.at.deltaKey(sequence))
	}
	r, blob := t.rootPlace().seal(t.at.root.generation, t.encodeRoot(), 0, 0)
	t.at.root, t.chain = r, r.hash
	return dead, w.put(blob, [32]byte{})
}

// check reads what was written for t above the buckets as Open would and compares
// it. (The writer did so with buckets, by their hash.)
func (t *tree) check(blobs Blobs) error {
	got := newTree(t.at, t.fan())
	defer got.wipe()
	err := got.readRoot(blobs)
	for m := 0; err == nil && m < t.fan(); m++ {
		if t.middles[m].generation == t.at.root.generation {
			err = got.readMiddle(blobs, m)
		} else {
			copy(got.below(m), t.below(m))
		}
	}
	if err == nil && t.carry.generation == t.at.root.generation {
		err = got.readCarry(blobs)
	}
	if err == nil && !got.sameRefs(t) {
		err = because(ErrBlock, "reads back differently")
	}
	return err
}

func (t *tree) sameRefs(other *tree) bool {
	return t.salt == other.salt && t.fold == other.fold && t.carry == other.carry &&
		slices.Equal(t.middles, other.middles) && slices.Equal(t.buckets, other.buckets)
}
