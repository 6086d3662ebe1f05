package vault

import (
	"errors"
	"fmt"
	"slices"
)

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

// crowded reports whether another put of this encoded size has to wait for a fold.
func (v *Vault) crowded(bytes int) bool {
	t := v.tree
	return len(t.pending) > 0 && (int(t.deltas) >= v.shape.deltas || t.pendingBytes+bytes > v.shape.pendingBytes)
}

// makeRoom folds where another put of this encoded size would make too much
// pending, and Fold did not do it in time.
func (v *Vault) makeRoom(bytes int) error {
	if !v.crowded(bytes) {
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

// foldTo moves pending entries into their buckets in one rotation, which holds up
// all other calls. A damaged bucket keeps what is pending for it waiting.
func (v *Vault) foldTo(mostBytes int) error {
	c := &change{rewrite: map[int]bool{}}
	buckets, next := v.tree.turn(v.shape.minFold, mostBytes)
	c.fold = next
	for _, b := range buckets {
		c.rewrite[b] = true
	}
	if err := v.rotate(c); err != nil {
		return v.stop("fold", err)
	}
	return c.damaged
}

// turn chooses buckets that something is pending for: those of the next middle blocks
// in turn, until as many entries go into them as given and at most so many bytes are
// left. It returns them in ascending order, and where the next fold begins.
func (t *tree) turn(entries, mostBytes int) (buckets []int, next int) {
	below, count := make([][]int, t.fan()), map[int]int{}
	for b := range t.pendingIn {
		below[b/t.fan()] = append(below[b/t.fan()], b)
	}
	for _, h := range t.pending {
		count[h.bucket]++
	}
	next = t.fold
	for moved, left, turn := 0, t.pendingBytes, 0; turn < t.fan() && (moved < entries || left > mostBytes); turn++ {
		for _, b := range below[next] {
			buckets = append(buckets, b)
			moved, left = moved+count[b], left-t.pendingIn[b]
		}
		next = (next + 1) % t.fan()
	}
	slices.Sort(buckets)
	return buckets, next
}

// A folding is a fold beside other calls, see Fold.
type folding struct {
	next    *tree
	w       *writer
	buckets []int            // to be written
	ids     map[int][]string // pending when it began, by bucket
	taken   map[string]held  // what is in the new buckets
	dead    []string
	damaged error // a bucket that could not be read, and was left as it is
}

// errOvertaken: the tree that a fold began with is there no more.
var errOvertaken = errors.New("overtaken by a rotation")

// FoldDue reports whether so much is pending that Fold should be called.
func (v *Vault) FoldDue() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t := v.tree
	return v.ended == nil && !v.folding && (t.pendingBytes > v.shape.foldAt || int(t.deltas) > v.shape.deltas/2)
}

// Fold moves entries that are pending into their buckets, until half of what makes it
// due is left, and returns how many it moved. Other calls go on while it reads and
// writes buckets, and wait only for its last step. Where a shred comes first it moves
// none. A put that finds no room waits for a Fold that runs, or folds by itself.
// Errors: ErrBlock (a damaged bucket was left as it is), ErrIO, ErrClosed, with nothing
// changed; with unknown outcome: ErrStopped.
func (v *Vault) Fold() (moved int, err error) {
	f, err := v.beginFold()
	if f == nil {
		return 0, err
	}
	defer v.endFold()
	err = f.prepare(v)
	switch {
	case errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed): // Open deletes what was written
		f.w.wait()
		f.next.wipe()
		return 0, err
	case err != nil:
		return 0, f.cancel(v, err)
	}
	if err := f.finish(v); err != nil {
		if errors.Is(err, errOvertaken) {
			err = f.cancel(v, err)
		}
		return 0, err
	}
	if err := remove(v.blobs, f.dead); err != nil { // h
		return len(f.taken), v.stopLocked("delete old blobs", err)
	}
	return len(f.taken), f.damaged
}

func (v *Vault) beginFold() (*folding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil || v.folding || len(v.tree.pending) == 0 {
		return nil, v.ended
	}
	v.folding = true
	f := &folding{next: v.tree.successor(), w: &writer{blobs: v.blobs}, ids: map[int][]string{}, taken: map[string]held{}}
	f.buckets, f.next.fold = v.tree.turn(v.shape.minFold, v.shape.foldAt/2)
	for id, h := range v.tree.pending {
		f.ids[h.bucket] = append(f.ids[h.bucket], id)
	}
	return f, nil
}

func (v *Vault) endFold() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.folding = false
	v.folded.Broadcast()
}

// prepare writes the buckets and middle blocks of the next tree. Nothing refers to
// them yet, and nothing but next has their keys. Errors: errOvertaken; ErrStopped
// where a write failed; else I/O.
func (f *folding) prepare(v *Vault) error {
	for _, b := range f.buckets {
		r, blob, err := f.bucket(v, b)
		if errors.Is(err, ErrBlock) {
			f.damaged = err
			continue
		}
		if err == nil {
			err = f.write(v, func() error { return f.w.put(blob, r.hash) })
		}
		if err != nil {
			return err
		}
	}
	return f.write(v, func() error {
		dead, err := f.next.writeMiddles(f.w, nil, nil)
		f.dead = append(f.dead, dead...)
		if err == nil {
			err = f.w.flush()
		}
		if err == nil {
			err = f.next.checkMiddles(v.blobs)
		}
		return err
	})
}

// write does what writes; the vault stops where it fails.
func (f *folding) write(v *Vault, do func() error) error {
	if err := do(); err != nil {
		return v.stopLocked("fold", err)
	}
	return nil
}

// bucket seals a bucket with what is pending for it.
func (f *folding) bucket(v *Vault, b int) (r ref, blob Blob, err error) {
	err = v.locked(func() error {
		if f.overtaken(v) {
			return errOvertaken
		}
		old, err := v.tree.openBucket(v.blobs, b)
		if err != nil {
			return err
		}
		defer old.wipe()
		var pending []Entry
		for _, id := range f.ids[b] {
			h := v.tree.pending[id]
			f.taken[id] = h
			pending = append(pending, Entry{ID: id, Value: h.value})
		}
		r, blob = f.next.bucket(b).sealPage(f.next.at.root.generation, merge(old.entries, pending, nil))
		f.dead = append(f.dead, f.next.setRef(b, r)...)
		return nil
	})
	return r, blob, err
}

// overtaken reports whether a rotation came first. v.mu is held.
func (f *folding) overtaken(v *Vault) bool {
	return v.tree.at.root.generation+1 != f.next.at.root.generation
}

// finish writes what is above, and makes next the tree of the vault. Errors:
// errOvertaken, ErrClosed, ErrStopped.
func (f *folding) finish(v *Vault) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.ended != nil:
		f.next.wipe()
		return v.ended
	case f.overtaken(v):
		return errOvertaken
	}
	for id, h := range v.tree.pending {
		if f.taken[id].put != h.put { // new, or replaced since
			f.next.set(Entry{ID: id, Value: h.value}, h.bucket)
		}
	}
	if err := f.raise(v); err != nil {
		f.next.wipe()
		return v.stop("fold", err)
	}
	return nil
}

func (f *folding) raise(v *Vault) error {
	for _, step := range []func(*writer, *tree, *change) ([]string, error){f.next.writeCarry, f.next.writeRoot} {
		dead, err := step(f.w, v.tree, nil)
		if err != nil {
			return err
		}
		f.dead = append(f.dead, dead...)
	}
	if err := f.w.flush(); err != nil {
		return err
	}
	return v.commit(f.next)
}

// cancel deletes what was written for nothing. It returns why, unless that a
// rotation came first.
func (f *folding) cancel(v *Vault, why error) error {
	f.next.wipe()
	err := f.w.wait()
	if err == nil {
		err = remove(v.blobs, f.w.written)
	}
	if err != nil {
		return v.stopLocked("fold", err)
	}
	if errors.Is(why, errOvertaken) {
		return nil
	}
	return fmt.Errorf("fold: %w", why)
}

// stopLocked is stop for who does not hold v.mu.
func (v *Vault) stopLocked(doing string, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return v.ended
	}
	return v.stop(doing, err)
}
