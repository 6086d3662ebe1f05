package vault

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// A shred that meets a bucket which cannot be read, after it wrote megabytes of the
// next tree, changes nothing and leaves nothing behind; once the bucket can be read
// again it does all.
func TestRefusedShredLeavesNothing(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 4, pendingBytes: 256 << 10, deltas: 100, minFold: 1}})
	var ids []string // of one in four; what stays, 2.4 MB, is more than one batch
	for i := range 100 {
		var entries []Entry
		for part := range 4 {
			entries = append(entries, Entry{ID: fmt.Sprintf("p/%d-%d/ks", i, part), Value: make([]byte, MaxValueBytes)})
		}
		ids = append(ids, entries[0].ID)
		mustPut(t, v, entries...)
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "p/0-0/new"})
	last := v.tree.count() - 1
	key := v.tree.bucket(last).key(v.tree.ref(last))
	for what, c := range map[string]struct {
		store Blobs
		want  error
	}{"damaged": {w, ErrBlock}, "unreadable": {unreadable{w, key}, ErrIO}} {
		if c.want == ErrBlock {
			w.values[key][60] ^= 1
		}
		blobs, slots := w.keep()
		before := w.effects
		v.blobs = c.store
		_, err := v.Shred(append(ids, "p/0-0/new")...)
		if !errors.Is(err, c.want) || errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", what, err)
		}
		if w.effects == before {
			t.Errorf("%s: nothing was written before: it shows nothing", what)
		}
		if !maps.EqualFunc(blobs, w.values, func(a, b []byte) bool { return string(a) == string(b) }) || slots != w.slots {
			t.Errorf("%s: %d blobs, %d before", what, len(w.values), len(blobs))
		}
		if c.want == ErrBlock {
			w.values[key][60] ^= 1
		}
	}
	v.blobs = w
	if err := v.Verify(); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Shred(append(ids, "p/0-0/new")...); err != nil || got.Count != len(ids)+1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Where what was written for nothing cannot be deleted, the outcome is unknown.
func TestRefusedShredThatCannotCleanUpStops(t *testing.T) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "p/1/a"})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	c := &change{dropped: errNothing}
	wr := &writer{blobs: w, written: []string{"vault/x"}}
	w.failAt = w.effects + 1
	if err := wr.undo(c, errNothing); !errors.Is(err, ErrIO) || c.dropped != nil {
		t.Errorf("%v, dropped: %v", err, c.dropped)
	}
}
