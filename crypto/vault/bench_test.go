package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// badgerBlobs is the least that makes a Badger a blob store.
type badgerBlobs struct{ db *badger.DB }

func (b badgerBlobs) Get(key string) (value []byte, err error) {
	err = b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return ErrNoBlob
		}
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, err
}

func (b badgerBlobs) Put(blobs ...Blob) error {
	return b.db.Update(func(txn *badger.Txn) error {
		for _, blob := range blobs {
			if err := txn.Set([]byte(blob.Key), bytes.Clone(blob.Value)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b badgerBlobs) Delete(keys ...string) error {
	return b.db.Update(func(txn *badger.Txn) error {
		for _, key := range keys {
			if err := txn.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b badgerBlobs) List(prefix string) (keys []string, err error) {
	err = b.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			keys = append(keys, string(it.Item().KeyCopy(nil)))
		}
		return nil
	})
	return keys, err
}

func openBadger(t testing.TB, dir string) badgerBlobs {
	t.Helper()
	opts := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil).
		WithMemTableSize(16 << 20).WithNumMemtables(3).WithCompression(0).WithBlockCacheSize(64 << 20)
	db, err := badger.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return badgerBlobs{db}
}

// Deleted or not, nothing in the files of a real store helps: they are searched
// for ids and secrets in clear.
func TestBadgerFilesShowNothing(t *testing.T) {
	dir := t.TempDir()
	blobs := openBadger(t, filepath.Join(dir, "db"))
	slot := openFile(t, filepath.Join(dir, "slot"))
	v, err := Open(slot, blobs, Options{shape: small})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range story {
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Verify(); err != nil {
		t.Error(err)
	}
	key := v.tree.at.root.key
	v.Close()
	blobs.Put(Blob{Key: "control", Value: []byte("the control")})
	blobs.db.Close()
	var all []byte
	files, _ := filepath.Glob(filepath.Join(dir, "db", "*"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	for _, bad := range [][]byte{[]byte("p/p0"), []byte("000-0000-0001"), []byte("the secret of"), key[:16]} {
		if bytes.Contains(all, bad) {
			t.Errorf("%.20q is in the store's files", bad)
		}
	}
	if !bytes.Contains(all, []byte("the control")) {
		t.Error("control: the search finds nothing at all")
	}
}

// counting counts what passes between a vault and its store.
type counting struct {
	Blobs
	gets, wrote atomic.Int64
}

func (c *counting) Get(key string) ([]byte, error) {
	c.gets.Add(1)
	return c.Blobs.Get(key)
}

func (c *counting) Put(blobs ...Blob) error {
	for _, b := range blobs {
		c.wrote.Add(int64(len(b.Key) + len(b.Value)))
	}
	return c.Blobs.Put(blobs...)
}

// entriesOf makes what a member keeps of a person with one service, one lookup and
// one month of records, as node/custody does: five entries lie together, and the two
// by which the person is found anywhere.
func entriesOf(person int) (entries []Entry) {
	at, phone := fmt.Sprintf("p/%07d/", person), fmt.Sprintf("l/phone/090%08d", person)
	sum := sha256.Sum256([]byte(at))
	handle := "h/" + string(sum[:])
	for id, bytesOfValue := range map[string]int{at + "ks": 33, at + "c/a-portal": 111, at + "r/2026-12": 111,
		at + phone: 0, phone: 7, at + handle: 8, handle: 24} {
		entries = append(entries, Entry{ID: id, Value: bytes.Repeat([]byte{byte(person)}, bytesOfValue)})
	}
	return entries
}

func idsOf(person int) (ids []string) {
	for _, e := range entriesOf(person) {
		ids = append(ids, e.ID)
	}
	return ids
}

// peopleVault makes a vault of people. It puts their entries in the order of the
// buckets, so that each fold touches few.
func peopleVault(t testing.TB, blobs Blobs, people int) *Vault {
	t.Helper()
	slot, err := OpenFileSlot(filepath.Join(t.TempDir(), "slot"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(slot, blobs, Options{MaxEntries: 20_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	v.tree.resalt()
	mustPut(t, v, Entry{ID: "first"})
	if err := v.Compact(); err != nil { // from here on the salt is constant
		t.Fatal(err)
	}
	const passes = 8 // so that not all entries are in memory at once
	for pass := range passes {
		byBucket := map[int][]Entry{}
		for i := range people {
			for _, e := range entriesOf(i) {
				if b := v.BucketOf(e.ID); b*passes/v.Buckets() == pass {
					byBucket[b] = append(byBucket[b], e)
				}
			}
		}
		var batch []Entry
		for _, b := range slices.Sorted(maps.Keys(byBucket)) {
			if batch = append(batch, byBucket[b]...); len(batch) > 2500 {
				mustPut(t, v, batch...)
				batch = nil
			}
		}
		mustPut(t, v, batch...)
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	return v
}

// What a call reads and writes does not grow with the number of people: one
// bucket a read, and for a shred of somebody who lies in three buckets these, three
// middle blocks and the root.
func TestCallsTouchLittle(t *testing.T) {
	people := 20_000
	if testing.Short() {
		people = 2_000
	}
	blobs := &counting{Blobs: &MemoryBlobs{}}
	v := peopleVault(t, blobs, people)
	blobs.gets.Store(0)
	if _, err := v.Get("p/0000007/ks"); err != nil || blobs.gets.Load() != 1 {
		t.Errorf("a get reads %d blobs, %v", blobs.gets.Load(), err)
	}
	blobs.gets.Store(0)
	if ids, err := v.List("p/0000007/"); err != nil || len(ids) != 5 || blobs.gets.Load() != 1 {
		t.Errorf("a list of one person reads %d blobs, %v", blobs.gets.Load(), err)
	}
	blobs.gets.Store(0)
	blobs.wrote.Store(0)
	if got, err := v.Shred(idsOf(7)...); err != nil || got.Count != 7 {
		t.Fatal(err)
	}
	if gets, wrote := blobs.gets.Load(), blobs.wrote.Load(); gets > 13 || wrote > 110<<10 {
		t.Errorf("a shred reads %d blobs and writes %d bytes", gets, wrote)
	}
	blobs.wrote.Store(0)
	for i := range 1000 {
		mustPut(t, v, entriesOf(1_000_000+i)...)
	}
	if wrote := blobs.wrote.Load() / 1000; wrote > 40<<10 {
		t.Errorf("a put writes %d bytes", wrote)
	}
	blobs.wrote.Store(0)
	if _, err := v.Shred(idsOf(8)...); err != nil || blobs.wrote.Load() > 600<<10 {
		t.Errorf("a shred with much pending writes %d bytes", blobs.wrote.Load())
	}
	blobs.wrote.Store(0)
	if _, err := v.Shred(idsOf(9)...); err != nil || blobs.wrote.Load() > 110<<10 {
		t.Errorf("the next, which carries the same, writes %d bytes", blobs.wrote.Load())
	}
}
