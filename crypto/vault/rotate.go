package vault

import (
	"errors"
	"maps"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/memlock"
)

// change is what a rotation does besides giving the tree a fresh root key.
type change struct {
	asked   map[int][]string // ids to be destroyed, by bucket, be they there or not
	doomed  map[string]bool  // ids that do not go on: those pending; out: those in buckets too
	rewrite map[int]bool     // buckets written anew, which take in what is pending for them
	lost    map[int]bool     // damaged buckets that do not go on
	fold    int              // where the next fold begins
	beside  []string         // blobs of the caller's that go with what was replaced

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
	err = next.checkMiddles(v.blobs) // e
	if err == nil {
		err = v.commit(next)
	}
	if err != nil {
		next.wipe()
		return err
	}
	if err := remove(v.blobs, append(dead, c.beside...)); err != nil { // h
		v.stop("delete old blobs", err)
	}
	return nil
}

// commit makes next, whose blobs are written, the tree of the vault. Nothing else may
// be written where it fails.
func (v *Vault) commit(next *tree) error {
	if err := next.checkTop(v.blobs); err != nil { // e
		return err
	}
	if err := checkSlots(v.slot, v.tree.at); err != nil {
		return err
	}
	for i := range 2 { // f, g: here the old root key ends
		if err := writeSlot(v.slot, i, next.at); err != nil {
			return err
		}
	}
	next.takeOver(v.tree)
	v.tree = next
	return nil
}

// writeNext puts the blobs of the next tree, and returns it with the keys of the
// blobs that it replaces.
func (v *Vault) writeNext(c *change) (next *tree, dead []string, err error) {
	t := v.tree
	next = t.successor()
	next.fold = c.fold
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
		dead = append(dead, t.setRef(b, ref{})...)
	}
	for b := range c.asked {
		c.rewrite[b] = true
	}
	for _, b := range slices.Sorted(maps.Keys(c.rewrite)) {
		old, written, err := t.writeBucket(w, was, c, b, pending[b])
		if err != nil {
			return nil, err
		}
		if written {
			dead = append(dead, old...)
			delete(pending, b)
		}
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
// destroyed, and returns the key of the blob that it replaces.
func (t *tree) writeBucket(w *writer, was *tree, c *change, b int, pending []Entry) (dead []string, written bool, err error) {
	old, err := was.openBucket(w.blobs, b)
	switch {
	case errors.Is(err, ErrBlock) && c.asked == nil:
		c.damaged = err
		return nil, false, nil
	case err != nil:
		c.dropped = err
		return nil, false, err
	}
	defer old.wipe()
	here := c.asked == nil
	for _, id := range c.asked[b] {
		if e, ok := old.find(id); ok {
			c.doomed[e.ID], here = true, true
		}
	}
	if !here {
		return nil, false, nil
	}
	r, blob := t.bucket(b).sealPage(t.at.root.generation, merge(old.entries, pending, c.doomed))
	return t.setRef(b, r), true, w.put(blob, r.hash)
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
func (t *tree) writeMiddles(w *writer, _ *tree, _ *change) (dead []string, err error) {
	for m := range t.middles {
		if !t.mine[m] {
			continue
		}
		if old := &t.middles[m]; old.entries > 0 {
			dead = append(dead, t.middle(m).key(old))
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
	r, blob := t.carryPlace().sealPage(t.at.root.generation, entries)
	t.carry = r
	return dead, w.put(blob, [32]byte{})
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

// checkMiddles reads the middle blocks that were written for t as Open would and
// compares them. (The writer did so with buckets, by their hash.)
func (t *tree) checkMiddles(blobs Blobs) error {
	got := make([]ref, t.fan())
	memlock.Lock(got)
	defer memlock.Unlock(got)
	defer clear(got)
	for m := range t.middles {
		if !t.mine[m] || t.middles[m].entries == 0 {
			continue
		}
		if err := t.openMiddle(blobs, m, got); err != nil {
			return err
		}
		if !slices.Equal(got, t.under[m]) {
			return errReadBack
		}
	}
	return nil
}

// checkTop does so with root block and carried page.
func (t *tree) checkTop(blobs Blobs) error {
	got := newTree(t.at, t.fan())
	defer got.wipe()
	err := got.readRoot(blobs)
	if err == nil && t.carry.generation == t.at.root.generation {
		err = got.readCarry(blobs)
	}
	if err == nil && (got.salt != t.salt || got.fold != t.fold || got.carry != t.carry || !slices.Equal(got.middles, t.middles)) {
		err = errReadBack
	}
	return err
}

var errReadBack = because(ErrBlock, "reads back differently")

func (t *tree) sameRefs(other *tree) bool {
	return t.salt == other.salt && t.fold == other.fold && t.carry == other.carry &&
		slices.Equal(t.middles, other.middles) && slices.EqualFunc(t.under, other.under, sameUnder)
}

func sameUnder(a, b []ref) bool { return &a[0] == &b[0] || slices.Equal(a, b) }
