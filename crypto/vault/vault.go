package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Vault is an open vault. Its methods may be called from several goroutines; a
// shred holds up the others until it is done. It prints as "[redacted]".
type Vault struct {
	slot       Slot
	blobs      Blobs
	maxEntries int
	shape      shape
	onStop     func(error)

	mu      sync.RWMutex
	tree    *tree      // behind a pointer, so that fmt does not walk into it
	ended   error      // why the vault is closed or stopped
	folding bool       // a Fold runs
	folded  *sync.Cond // under mu: it ended
}

// Format writes "[redacted]" for every verb.
func (v *Vault) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }

// Class returns the storage class of the slot.
func (v *Vault) Class() string { return v.slot.Class() }

// Put adds entries, all or none, and returns when they are durable. An entry
// that is already there with the same value is left alone. Errors, with nothing
// changed: ErrInvalid (id empty, too long or repeated; value too long),
// ErrExists, ErrTooLarge (over about 500 kB in one call), ErrFull, ErrBlock (the
// bucket that an entry belongs to is damaged), ErrIO; with unknown outcome:
// ErrStopped.
func (v *Vault) Put(entries ...Entry) error { return v.PutBeside(nil, entries...) }

// PutBeside is Put for entries that are of no use without blobs of the caller's, which
// get durable in the same write: all of it or none, if the store's Put is so. The
// vault never looks at them again. Errors: as Put, ErrTooLarge also for blobs of more
// than 1 MiB.
func (v *Vault) PutBeside(beside []Blob, entries ...Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.ended == nil && v.folding && v.crowded(sizeOf(entries)) {
		v.folded.Wait()
	}
	if v.ended != nil {
		return v.ended
	}
	fresh, err := v.admit(entries)
	if err == nil {
		err = checkBeside(beside)
	}
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if len(fresh) == 0 && len(beside) == 0 {
		return nil
	}
	if err := v.makeRoom(sizeOf(fresh)); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if err := v.putFresh(beside, fresh); err != nil {
		return v.stop("put", err)
	}
	return nil
}

func (v *Vault) putFresh(beside []Blob, fresh []Entry) error {
	if len(fresh) == 0 {
		if err := v.blobs.Put(beside...); err != nil {
			return ioFault("put blobs", err)
		}
		return nil
	}
	if err := putDelta(v.blobs, v.tree, beside, fresh); err != nil {
		return err
	}
	v.tree.setAll(fresh)
	return nil
}

// checkBeside sees that what is put with a delta is within the bounds of Blobs.Put.
func checkBeside(beside []Blob) error {
	bytes := 0
	for _, b := range beside {
		if !b.Beside {
			panic("vault: a blob beside that does not say so")
		}
		bytes += len(b.Key) + len(b.Value)
	}
	if bytes > maxBesideBytes {
		return because(ErrTooLarge, "%d bytes beside, at most %d", bytes, maxBesideBytes)
	}
	return nil
}

// admit returns the entries that change something, sorted.
func (v *Vault) admit(entries []Entry) ([]Entry, error) {
	given := make(map[string]int, len(entries))
	for i, e := range entries {
		if _, again := given[e.ID]; again || len(e.ID) == 0 || len(e.ID) > MaxIDBytes || len(e.Value) > MaxValueBytes {
			return nil, because(ErrInvalid, "entry %d: id of %d bytes, value of %d bytes, repeated: %t", i, len(e.ID), len(e.Value), again)
		}
		given[e.ID] = i
	}
	known, err := v.compare(entries, given)
	if err != nil {
		return nil, err
	}
	var fresh []Entry
	added, most, room := 0, v.maxEntries+v.maxEntries/8+8, map[int]int{}
	bucketOf := v.tree.sorter()
	for i, e := range entries {
		switch {
		case known[i] == same:
			continue
		case known[i] == differs && !e.Replace:
			return nil, because(ErrExists, "entry %d", i)
		case known[i] == absent:
			added++
			if !e.Reserve {
				most = v.maxEntries
			}
		}
		fresh = append(fresh, Entry{ID: e.ID, Value: e.Value})
		room[bucketOf(e.ID)] += e.encodedBytes()
	}
	if held := v.tree.entries(); held+added > most && added > 0 {
		return nil, because(ErrFull, "it holds %d of %d entries", held, most)
	}
	if size := sizeOf(fresh); !fits(size) {
		return nil, because(ErrTooLarge, "%d of %d bytes; divide it", size, MaxBlobBytes)
	}
	for b, bytes := range room {
		if t := v.tree; !fits(int(t.ref(b).bytes) + t.pendingIn[b] + bytes) {
			return nil, because(ErrFull, "one of its buckets has no room left")
		}
	}
	sortEntries(fresh)
	return fresh, nil
}

const (
	absent = iota
	same
	differs
)

// compare says of each entry whether it is held. given is the place of each id.
func (v *Vault) compare(entries []Entry, given map[string]int) ([]int, error) {
	known := make([]int, len(entries))
	note := func(i int, value []byte) {
		known[i] = differs
		if bytes.Equal(value, entries[i].Value) {
			known[i] = same
		}
	}
	var rest []string
	for i, e := range entries {
		if h, ok := v.tree.pending[e.ID]; ok {
			note(i, h.value)
		} else {
			rest = append(rest, e.ID)
		}
	}
	err := v.tree.inBuckets(v.blobs, rest, func(_ int, e Entry) { note(given[e.ID], e.Value) })
	return known, err
}

// Get returns a copy of the secret, which the caller clears after use.
// Errors: ErrNotFound, ErrBlock (the bucket that it belongs to is damaged), ErrIO,
// ErrStopped, ErrClosed.
func (v *Vault) Get(id string) ([]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return nil, v.ended
	}
	if h, ok := v.tree.pending[id]; ok {
		return append([]byte{}, h.value...), nil
	}
	var value []byte
	if err := v.tree.inBuckets(v.blobs, []string{id}, func(_ int, e Entry) { value = append([]byte{}, e.Value...) }); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if value == nil {
		return nil, ErrNotFound
	}
	return value, nil
}

// Has reports whether an entry has this id. Errors: ErrBlock, ErrIO, ErrStopped,
// ErrClosed.
func (v *Vault) Has(id string) (bool, error) {
	value, err := v.Get(id)
	clear(value)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Each calls fn for every entry whose id has this prefix, in no order, and stops
// at its first error. The value is fn's until it returns; fn must not call the
// vault. It reads the whole vault, except for a prefix "p/NAME/…". Errors: fn's,
// ErrBlock, ErrIO, ErrStopped, ErrClosed.
func (v *Vault) Each(prefix string, fn func(id string, value []byte) error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return v.ended
	}
	return v.tree.each(v.blobs, prefix, fn)
}

// Buckets returns the number of buckets that entries are divided into.
func (v *Vault) Buckets() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tree.count()
}

// BucketOf returns the number of the bucket that an entry belongs to, be it there
// or not. It is the same as long as the vault is open, and says nothing after.
func (v *Vault) BucketOf(id string) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tree.bucketOf(id)
}

// EachIn is Each for the entries that belong to one bucket, of which it reads no
// other. Errors: fn's, ErrBlock, ErrIO, ErrStopped, ErrClosed.
func (v *Vault) EachIn(bucket int, fn func(id string, value []byte) error) error {
	return v.locked(func() error { return v.tree.eachIn(v.blobs, bucket, "", fn) })
}

// List returns the ids with this prefix in ascending order, at the cost of Each.
// Errors: ErrBlock, ErrIO, ErrStopped, ErrClosed.
func (v *Vault) List(prefix string) ([]string, error) {
	var ids []string
	err := v.Each(prefix, func(id string, _ []byte) error {
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	slices.Sort(ids)
	return ids, nil
}

// Close wipes the secrets in memory and gives up the lock. A second call does
// nothing.
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.folding {
		v.folded.Wait()
	}
	if errors.Is(v.ended, ErrClosed) {
		return nil
	}
	v.ended = ErrClosed
	v.tree.wipe()
	if err := v.slot.Close(); err != nil {
		return fmt.Errorf("close vault: %w", err)
	}
	return nil
}

// stop ends the vault after a failed write and wipes what is in memory, which may
// no longer be what is stored.
func (v *Vault) stop(doing string, err error) error {
	v.tree.wipe()
	v.ended = because(ErrStopped, "%s: %w", doing, err)
	if v.onStop != nil {
		v.onStop(v.ended)
	}
	return v.ended
}
