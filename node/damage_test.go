package node

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/node/store"
)

func bare(t *testing.T, dir string) *Node {
	t.Helper()
	return &Node{Dir: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: NewClock(false, time.Time{}),
		closing: make(chan struct{}), started: make(chan struct{}), stopped: make(chan struct{})}
}

// TestDamageStopsTheNode: a read that meets damage stops the node, whoever asked,
// and the next start derives the state anew.
func TestDamageStopsTheNode(t *testing.T) {
	genesis := ledgertest.New(t, ledgertest.Options{}).Leaves[0]
	n := bare(t, t.TempDir())
	if err := n.openLedger(genesis); err != nil {
		t.Fatal(err)
	}
	st := n.ledger.State()
	if leaf, err := st.Leaf(0); err != nil || string(leaf) != string(genesis) {
		t.Fatal(err)
	}
	txn := n.db.NewTransactionAt(st.Height+1, true) // the batch's leaves are gone
	if err := txn.Delete([]byte("e\x00\x00\x00\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if err := txn.CommitAt(st.Height+1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Leaf(0); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("error %v", err)
	}
	select {
	case <-n.closing:
	default:
		t.Fatal("the node goes on")
	}
	if !errors.Is(n.reason, store.ErrDamaged) {
		t.Errorf("stopped because %v", n.reason)
	}
	n.db.Close()

	again := bare(t, n.Dir)
	if err := again.openLedger(genesis); err != nil {
		t.Fatal(err)
	}
	defer again.db.Close()
	if _, err := again.ledger.State().Leaf(0); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(n.Dir, damageMark)); err == nil {
		t.Error("the mark stays")
	}
	if kept, _ := filepath.Glob(filepath.Join(n.Dir, "state.damaged-*")); len(kept) != 1 {
		t.Errorf("%d states set aside", len(kept))
	}
}

// TestStoppedStorageIsNotSetAside: what only this member has is left as it is.
func TestStoppedStorageIsNotSetAside(t *testing.T) {
	n := bare(t, t.TempDir())
	n.stop(errors.Join(store.ErrStopped, store.ErrCorrupt))
	if _, err := os.Stat(filepath.Join(n.Dir, damageMark)); err == nil {
		t.Error("the ledger state is marked")
	}
	select {
	case <-n.closing:
	default:
		t.Error("the node goes on")
	}
}
