package escrow

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
)

// putMany makes entries of the owner's vault, each with a value that begins with its
// number, and tells the sender.
func (w *world) putMany(n int, number func(i int) []byte) (ids []string) {
	w.t.Helper()
	for i := range n {
		id := fmt.Sprintf("t/%032x/0/1", i)
		noErr(w.t, w.own.Put(vault.Entry{ID: id, Value: append(number(i), make([]byte, 240)...)}))
		ids = append(ids, id)
	}
	w.sender.Changed(ids...)
	return ids
}

// TestLongCopy: a copy that is too long once sealed is reported and holds nothing up; what
// has the length of a plan's piece is not too long.
func TestLongCopy(t *testing.T) {
	w := newWorld(t)
	w.begin()
	const long = "t/00000000000000000000000000000001/0/1"
	noErr(t, w.own.Put(vault.Entry{ID: long, Value: make([]byte, vault.MaxValueBytes)},
		vault.Entry{ID: "piece", Value: append(num(3), make([]byte, 4<<10-16)...)}))
	w.sender.Changed(long, "piece")
	w.put(1, "p/hana/ks")
	w.duties()
	if st := w.sender.Status()[0]; w.kept() != "13" || st.Waiting != 1 || st.Refused != 1 || st.Complete || st.Oldest.IsZero() || w.sender.Lag().Keys != 1 {
		t.Errorf("kept %q, %+v", w.kept(), st)
	}
	_, err := w.own.Shred(long)
	noErr(t, err)
	w.sender.Gone(Number{}, long)
	w.duties()
	if st := w.sender.Status()[0]; w.kept() != "13" || !st.Complete || st.Refused != 0 {
		t.Errorf("kept %q, %+v", w.kept(), st)
	}
}

// TestManyPieces: copies with numbers of their own find room at the keeper, as many as
// there are.
func TestManyPieces(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.putMany(1200, func(i int) []byte { return binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i)) })
	w.duties()
	if st := w.sender.Status()[0]; !st.Complete || len(w.kept()) != 1200 {
		t.Errorf("kept %d, %+v", len(w.kept()), st)
	}
}

// TestFullBucket: where the keeper has no more room for copies of one number, others are
// copied all the same, and what has gone makes room again.
func TestFullBucket(t *testing.T) {
	w := newWorld(t)
	w.begin()
	ids := w.putMany(1200, func(int) []byte { return num(2) })
	w.duties()
	w.put(1, "p/hana/ks")
	w.duties()
	st := w.sender.Status()[0]
	if kept := w.kept(); kept[0] != '1' || st.Refused == 0 || st.Refused != st.Waiting || len(kept)+st.Refused != 1201 || st.Complete || st.Failed != "" {
		t.Fatalf("kept %d, %+v", len(kept), st)
	}
	_, err := w.own.Shred(ids[:1150]...)
	noErr(t, err)
	w.sender.Gone(Number(num(2)), ids[:1150]...)
	w.sender.Changed(ids[1150:]...)
	w.duties()
	if st := w.sender.Status()[0]; !st.Complete || len(w.kept()) != 51 {
		t.Errorf("kept %d, %+v", len(w.kept()), st)
	}
}

// TestGoneWhileSent: what goes while its copy is on its way does not stay at the
// custodian.
func TestGoneWhileSent(t *testing.T) {
	w := newWorld(t)
	w.begin()
	const id = "t/00000000000000000000000000000001/0/1"
	noErr(t, w.own.Put(vault.Entry{ID: id, Value: num(4)}))
	w.sender.Changed(id)
	w.change = func(what string, answer []byte) []byte {
		if what == callPut { // shredded before the answer comes
			_, err := w.own.Shred(id)
			noErr(t, err)
			w.sender.Gone(Number(num(4)), id)
		}
		return answer
	}
	w.duties()
	w.duties()
	if st := w.sender.Status()[0]; !st.Complete || w.kept() != "" {
		t.Errorf("kept %q, %+v", w.kept(), st)
	}
}
