package node

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestRestoreLetsNobodyIn: of a backup that has grants and passkeys, as those of earlier
// versions do, these are counted and not restored; what no backup ever had is refused.
func TestRestoreLetsNobodyIn(t *testing.T) {
	blobs, err := store.OpenBlobs(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	r := &restoring{blobs: blobs}
	var all backupBlobs
	for _, key := range []string{"O/c/app", "O/g/1", "O/h/1/2", "O/i", "O/k/1", "O/q/1", "O/r/1", "O/t/1", "O/u/1", "O/v/1", "O/x/1", "O/later/1", "desk/x"} {
		all.Entries = append(all.Entries, backupBlob{Key: []byte(key), Value: []byte("v")})
	}
	if err := r.takeBlobs(canon.Must(&all)); err != nil {
		t.Fatal(err)
	}
	var have []string
	err = blobs.Scan(nil, func(key, _ []byte) error { have = append(have, string(key)); return nil })
	if want := []string{"O/c/app", "O/i", "O/x/1", "desk/x"}; err != nil || !slices.Equal(have, want) || r.entries != uint64(len(all.Entries)) {
		t.Errorf("restored %q of %d entries, %v", have, r.entries, err)
	}
	for _, key := range []string{"S/s/1", "T/t/1", "outbox/1"} {
		if err := r.takeBlobs(canon.Must(&backupBlobs{Entries: []backupBlob{{Key: []byte(key)}}})); err == nil {
			t.Errorf("%s is taken", key)
		}
	}
}
