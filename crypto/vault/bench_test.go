package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

func (b badgerBlobs) Put(key string, value []byte) error {
	return b.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(key), bytes.Clone(value)) })
}

func (b badgerBlobs) Delete(key string) error {
	return b.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) })
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
	v, err := Open(slot, blobs, Options{})
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
	key := v.secrets.at.key
	v.Close()
	blobs.Put("control", []byte("the control"))
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
	for _, bad := range [][]byte{[]byte("person/p0"), []byte("000-0000-0001"), []byte("the secret of"), key[:16]} {
		if bytes.Contains(all, bad) {
			t.Errorf("%.20q is in the store's files", bad)
		}
	}
	if !bytes.Contains(all, []byte("the control")) {
		t.Error("control: the search finds nothing at all")
	}
}

func peopleVault(b *testing.B, people int) *Vault {
	b.Helper()
	dir := b.TempDir()
	slot, err := OpenFileSlot(filepath.Join(dir, "slot"))
	if err != nil {
		b.Fatal(err)
	}
	v, err := Open(slot, openBadger(b, filepath.Join(dir, "db")), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { v.Close() })
	var batch []Entry
	for i := range people {
		for _, kind := range []string{"ks", "content", "records"} {
			batch = append(batch, Entry{ID: fmt.Sprintf("person/p%05d/%s", i, kind), Value: bytes.Repeat([]byte{byte(i)}, 95)})
		}
		if len(batch) == 3000 || i == people-1 {
			mustPut(b, v, batch...)
			batch = nil
		}
	}
	return v
}

// The largest is nearly a full vault: 20,000 people with twelve entries each.
var sizes = []int{1000, 20000, 75000}

func BenchmarkPut(b *testing.B) {
	for _, people := range sizes {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			v := peopleVault(b, people)
			n := 0
			for b.Loop() {
				n++
				mustPut(b, v, Entry{ID: fmt.Sprintf("lookup/%d", n%10000), Value: fmt.Append(nil, n), Replace: true})
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, people := range sizes {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			v := peopleVault(b, people)
			n := 0
			for b.Loop() {
				n++
				if _, err := v.Get(fmt.Sprintf("person/p%05d/ks", n%people)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkShred(b *testing.B) {
	for _, people := range sizes {
		for _, at := range []int{1, 100} {
			b.Run(fmt.Sprintf("%d/%d-at-once", people, at), func(b *testing.B) {
				v := peopleVault(b, people)
				var doomed []Entry
				var ids []string
				for i := range at {
					doomed = append(doomed, Entry{ID: fmt.Sprint("doomed/", i), Value: make([]byte, 95)})
					ids = append(ids, doomed[i].ID)
				}
				for b.Loop() {
					b.StopTimer()
					mustPut(b, v, doomed...)
					b.StartTimer()
					if got, err := v.Shred(ids...); err != nil || got.Count != at {
						b.Fatal(got, err)
					}
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, people := range sizes {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			v := peopleVault(b, people)
			for b.Loop() {
				s, err := load(v.blobs, v.secrets.at, v.secrets.deltas, false)
				if err != nil {
					b.Fatal(err)
				}
				s.wipe()
			}
		})
	}
}
