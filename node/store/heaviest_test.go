package store

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestHeaviestBatch: whatever the rules let through is stored and read again. A batch
// that is not would stop every node, and again after every start.
func TestHeaviestBatch(t *testing.T) {
	for what, valueBytes := range map[string]int{"many small values": 19, "some large ones": 27 << 10} {
		for _, lag := range []uint64{0, idLag, eventLag} {
			f := newFollow(t)
			f.nearSpan(lag)
			st := f.l.State()
			res := heaviest(st, valueBytes)
			if uint64(len(res.Leaves)) >= idLag {
				t.Fatalf("%d leaves: two indexes may write a span at once", len(res.Leaves))
			}
			next, err := f.l.commit(st, res, 1)
			if err != nil {
				t.Fatalf("%s, lag %d: %v", what, lag, err)
			}
			if f.count(prefixPart) < 2 {
				t.Errorf("%s, lag %d: the heaviest batch fits one transaction", what, lag)
			}
			if err := f.l.db.Close(); err != nil {
				t.Fatal(err)
			}
			f.open()
			if got := f.l.State().End; got != next.End {
				t.Errorf("%s, lag %d: opened at %v, want %v", what, lag, got, next.End)
			}
		}
	}
}

// nearSpan fills the log until a batch of 100 leaves writes a span of the index that
// lags so far behind; in each index all is in one bucket.
func (f *follow) nearSpan(lag uint64) {
	f.t.Helper()
	near := spanLeaves + lag - 100
	for near <= f.l.State().Size {
		near += spanLeaves
	}
	for f.l.State().Size < near {
		st := f.l.State()
		res := &rules.Result{Height: st.Height + 1, TimeMs: st.TimeMs + 1, Seal: record.Seal{Version: record.Version, Kind: record.KindSeal, Height: st.Height + 1}}
		for i := range min(4000, near-st.Size) {
			res.Leaves = append(res.Leaves, fmt.Appendf(nil, "\xa5\x01\x01\x02\x04\x03\x50%016d", i))
			res.Events = append(res.Events, rules.Event{Handle: sign.PublicKey{7, byte(i), byte(i >> 8)}, Leaf: int(i)})
		}
		if _, err := f.l.commit(st, res, f.l.RaftIndex()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// heaviest is the effect of a batch that writes as much as the rules let through.
func heaviest(st *State, valueBytes int) *rules.Result {
	res := &rules.Result{Height: st.Height + 1, TimeMs: st.TimeMs + 1, Seal: record.Seal{Version: record.Version, Kind: record.KindSeal}}
	for n := 0; n <= record.MaxWriteBytes; n += 48 + valueBytes {
		key := fmt.Sprintf("tomb/%08d........", len(res.Writes))
		res.Writes = append(res.Writes, register.Write{Key: []byte(key), Value: make([]byte, valueBytes)})
	}
	for i := range record.MaxBatchSubs { // sequence windows
		res.Writes = append(res.Writes, register.Write{Key: fmt.Appendf(nil, "window/%08d", i), Value: make([]byte, record.SeqWindow/8+16)})
	}
	for i := range record.MaxEntry / record.PadBytes {
		leaf := make([]byte, record.PadBytes)
		copy(leaf, fmt.Sprintf("\xa5\x01\x01\x02\x04\x03\x50%016d", i))
		res.Leaves = append(res.Leaves, leaf)
		res.Events = append(res.Events, rules.Event{Handle: sign.PublicKey{byte(i), byte(i >> 8)}, N: 1, Leaf: i})
	}
	return res
}
