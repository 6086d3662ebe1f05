package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// TestOpenLargerMemtable: a state whose memtables were larger, as an earlier version
// made them, is opened after a kill, and nothing is lost.
func TestOpenLargerMemtable(t *testing.T) {
	dir, killed := t.TempDir(), filepath.Join(t.TempDir(), "state")
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithMemTableSize(24 << 20).WithValueThreshold(MaxValueBytes + 1).
		WithCompression(options.None).WithBlockCacheSize(0).WithNumMemtables(2).WithValueLogFileSize(16 << 20).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }
	value := bytes.Repeat([]byte("v"), 60<<10)
	for i := range 300 { // 18 MiB
		if err := storeAt(db, uint64(i+1), []effect{{key(i), value, false}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the memtables are of today's size
		again, err := OpenState(killed, quiet)
		if err != nil {
			t.Fatal(err)
		}
		txn := again.NewTransactionAt(300, false)
		for i := range 300 {
			item, err := txn.Get(key(i))
			if err == nil {
				err = item.Value(func(b []byte) error {
					if !bytes.Equal(b, value) {
						return fmt.Errorf("%d bytes", len(b))
					}
					return nil
				})
			}
			if err != nil {
				t.Fatalf("%s: %v", key(i), err)
			}
		}
		txn.Discard()
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
