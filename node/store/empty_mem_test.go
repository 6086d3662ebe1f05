package store

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenAfterKillBetweenCreateAndGrow: a memtable's file is created and then
// grown; a process that is killed in between leaves it empty.
func TestOpenAfterKillBetweenCreateAndGrow(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := OpenBlobs(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00077.mem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = OpenBlobs(dir, log); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if v, ok, err := b.Get([]byte("k")); err != nil || !ok || string(v) != "v" {
		t.Errorf("%q, %v, %v", v, ok, err)
	}
}
