package custody

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node/store"
)

// The data key of a new class is at hand until the class is destroyed, or did not come
// to be; it is the one that its wrapped copy opens to.
func TestKeyOfNewClassIsAtHand(t *testing.T) {
	files := memoryFiles{}
	d, err := deskOn(t, filesBeside{&vault.MemoryBlobs{}, files}, 1)
	noErr(t, err)
	d.keys, d.Self, d.Blobs = newKeyring(2), "a-sha", files
	inHand := func(id [16]byte) bool {
		held, err := d.keys.use(id, func(seal.DataKey) error { return nil })
		noErr(t, err)
		return held
	}
	make1 := func(ref Ref) ([16]byte, []vault.Entry, []storeKV) {
		classes, entries, files, err := d.missing(ref, "c/a-portal")
		noErr(t, err)
		return classes[0].id, entries, files
	}
	id, entries, wrapped := make1("new")
	noErr(t, d.putBeside(wrapped, entries...))
	sealed, err := d.sealFor(id, sealedSheet, id, []byte("hello"))
	noErr(t, err)
	if !inHand(id) {
		t.Fatal("not at hand")
	}
	d.keys.wipeAll()
	if plain, err := d.openFrom(id, sealedSheet, id, sealed); err != nil || string(plain) != "hello" {
		t.Fatalf("by the wrapped key: %q, %v", plain, err)
	}
	noErr(t, d.shred(personID("new", "c/a-portal")))
	if inHand(id) {
		t.Error("at hand after its class was destroyed")
	}
	if _, err := d.sealFor(id, sealedSheet, id, nil); !errors.Is(err, errGone) {
		t.Errorf("sealing after that: %v", err)
	}

	id, entries, _ = make1("other")
	clash := append(entries, vault.Entry{ID: personID("p0000000", "ks"), Value: []byte("another")})
	if err := d.put(clash...); err == nil {
		t.Fatal("a clash was accepted")
	}
	if inHand(id) {
		t.Error("at hand though it did not come to be")
	}
	for i := range 5 {
		make1(refOf(i + 10))
	}
	if n := len(d.keys.keys); n != 2 {
		t.Errorf("%d keys in memory", n)
	}
}

// Somebody who was asked for in vain is found as soon as there is something of them,
// and no more after it was destroyed.
func TestAskedForInVain(t *testing.T) {
	files := memoryFiles{}
	d, err := deskOn(t, filesBeside{&vault.MemoryBlobs{}, files}, 1)
	noErr(t, err)
	d.keys, d.Blobs = newKeyring(2), files
	there := func() bool {
		d.people.mu.Lock()
		defer d.people.mu.Unlock()
		q, err := d.people.person("new")
		noErr(t, err)
		return q != nil
	}
	for range 2 {
		if there() || d.People(ctx) != 1 {
			t.Fatal("there before")
		}
		_, entries, wrapped, err := d.missing("new", "c/a-portal")
		noErr(t, err)
		noErr(t, d.putBeside(wrapped, entries...))
		if !there() || d.People(ctx) != 2 {
			t.Fatal("not there after")
		}
		noErr(t, d.shred(personID("new", "c/a-portal")))
	}
}

// filesBeside is a store of the vault's blobs, and of files that are put beside them.
type filesBeside struct {
	*vault.MemoryBlobs
	files memoryFiles
}

func (f filesBeside) Put(blobs ...vault.Blob) error {
	for _, b := range blobs {
		if b.Beside {
			f.files[b.Key] = b.Value
		} else if err := f.MemoryBlobs.Put(b); err != nil {
			return err
		}
	}
	return nil
}

// memoryFiles is a store of wrapped keys.
type memoryFiles map[string][]byte

func (m memoryFiles) Get(key []byte) ([]byte, bool, error) {
	value, found := m[string(key)]
	return value, found, nil
}

func (m memoryFiles) PutMany(entries []store.KV) error {
	for _, e := range entries {
		m[string(e.Key)] = e.Value
	}
	return nil
}

func (m memoryFiles) Delete(keys ...[]byte) error {
	for _, key := range keys {
		delete(m, string(key))
	}
	return nil
}

func (m memoryFiles) Scan([]byte, func(key, value []byte) error) error { return nil }
