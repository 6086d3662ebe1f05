package cosign

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestLongReplay: a node that derives a long log, of which nothing is final here
// until it has caught up, keeps few ends and lets go of the rest at once.
func TestLongReplay(t *testing.T) {
	s := &Cosigner{ends: map[uint64]store.End{}, recent: map[uint64]record.Digest{}, ready: make(chan struct{}, 1)}
	s.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	const batches = 200_000
	for h := range uint64(batches) {
		s.Derived(store.End{Height: h, Size: 2 * h}, nil)
		s.pending = nil // the signer has none to sign
	}
	if n := len(s.ends); n > maxEnds {
		t.Errorf("%d ends are kept", n)
	}
	if _, ok := s.ends[2*(batches-maxEnds/2)]; !ok {
		t.Error("an end that is young is not there")
	}
	for size := range uint64(batches) {
		s.recent[size] = record.Digest{}
	}
	began := time.Now()
	s.forget()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("letting go took %v", d)
	}
	if _, ok := s.recent[batches-1]; !ok || len(s.recent) != keepRecent {
		t.Errorf("%d are kept", len(s.recent))
	}
}
