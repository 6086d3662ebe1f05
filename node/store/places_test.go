package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/dgraph-io/badger/v4"
)

// A history is ids and events as a test gave them to the ledger, by leaf.
type history struct {
	*follow
	ids    []record.ID
	events map[sign.PublicKey][]uint64
}

func newHistory(t *testing.T) *history {
	h := &history{follow: newFollow(t), events: map[sign.PublicKey][]uint64{}}
	for range h.l.State().Size {
		h.ids = append(h.ids, record.ID{})
	}
	return h
}

// grown commits n leaves: one id in five was used before, and each leaf is an event
// of one of some handles.
func (h *history) grown(n int) {
	h.t.Helper()
	st := h.l.State()
	res := &rules.Result{Height: st.Height + 1, TimeMs: st.TimeMs + 1,
		Seal: record.Seal{Version: record.Version, Kind: record.KindSeal, Height: st.Height + 1}}
	for i := range n {
		tick := h.c.Tick()
		tick.Issuer = "a-sha"
		index := st.Size + uint64(i)
		binary.BigEndian.PutUint64(tick.ID[:], index*0x9e3779b97f4a7c15)
		if i%5 == 4 {
			tick.ID = h.ids[len(h.ids)-3]
		}
		k := sign.PublicKey{byte(index * 7), byte(i % 3)}
		if i%11 == 0 {
			k = sign.PublicKey{200} // many
		}
		h.ids, h.events[k] = append(h.ids, tick.ID), append(h.events[k], index)
		leaf, err := tick.Leaf()
		if err != nil {
			h.t.Fatal(err)
		}
		res.Leaves = append(res.Leaves, leaf)
		res.Events = append(res.Events, rules.Event{Handle: k, Leaf: i})
	}
	h.ids = append(h.ids, record.ID{}) // the seal
	if _, err := h.l.commit(st, res, st.Height+1); err != nil {
		h.t.Fatal(err)
	}
}

// holds wants a state to find what it has, and nothing younger.
func (h *history) holds(st *State) {
	h.t.Helper()
	first := map[record.ID]uint64{}
	for i, id := range h.ids {
		if _, ok := first[id]; !ok {
			first[id] = uint64(i)
		}
	}
	for i := 5; i < len(h.ids); i += 97 {
		if id := h.ids[i]; id != (record.ID{}) {
			at, ok, err := st.IndexOf(id)
			if want := first[id]; err != nil || ok != (want < st.Size) || ok && at != want {
				h.t.Fatalf("size %d: id of leaf %d: %d, %v, %v; want %d", st.Size, i, at, ok, err, want)
			}
		}
	}
	if _, ok, err := st.IndexOf(record.ID{1, 2, 3}); ok || err != nil {
		h.t.Fatalf("an id that nobody used: %v, %v", ok, err)
	}
	for k, all := range h.events {
		n, _ := slices.BinarySearch(all, st.Size)
		got, err := st.EventsOf(k, uint64(n))
		if err != nil || !slices.Equal(got, all[:n]) {
			h.t.Fatalf("size %d: %d events of %x, %v; want %d", st.Size, len(got), k[:2], err, n)
		}
		if n == len(all) || all[n] >= st.Size {
			if _, err := st.EventsOf(k, uint64(n)+1); !errors.Is(err, ErrDamaged) {
				h.t.Fatalf("one event more: %v", err)
			}
		}
	}
}

// TestPlaces: the first of an id and all events of a handle, over whole spans and
// what comes after, at older states, and after a start.
func TestPlaces(t *testing.T) {
	h := newHistory(t)
	h.grown(3)
	h.holds(h.l.State())
	var early []*State
	for range 7 {
		h.grown(4990)
		early = append(early, h.l.State())
	}
	for _, st := range early[2:] { // the first span became whole with the fourth
		h.holds(st)
	}
	h.holds(h.l.State())
	for range 5 {
		h.grown(4990)
	}
	h.grown(1)
	h.holds(h.l.State())
	for _, x := range []*placeIndex{h.l.ids, h.l.events} {
		if n := h.count(x.prefix, 'p'); n != len(x.pieces) || x.pieces[0] > x.from || len(x.pieces) > 1 && x.pieces[1] <= x.from {
			t.Errorf("index %c has spans up to %d and %d pieces: %d", x.prefix, x.from, n, x.pieces)
		}
	}
	if err := h.l.db.Close(); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.holds(h.l.State())
	h.grown(4990)
	h.grown(4990)
	h.holds(h.l.State())
}

// count returns how many keys begin so.
func (f *follow) count(prefix ...byte) (n int) {
	f.t.Helper()
	txn := f.l.db.NewTransactionAt(f.l.State().ts, false)
	defer txn.Discard()
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, prefix
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

// TestPlacesDamaged: an index that lacks a bucket, or has half an entry, is an
// error and no answer.
func TestPlacesDamaged(t *testing.T) {
	h := newHistory(t)
	for range 5 {
		h.grown(4990)
	}
	for _, value := range [][]byte{nil, make([]byte, spotBytes+1)} {
		st := h.l.State()
		w := new(writer)
		if k := h.l.ids.bucketKey(0, placeKey{9}); value == nil {
			w.delete(k)
		} else {
			w.put(k, value)
		}
		if err := w.commit(h.l.db, st.Height+1); err != nil {
			t.Fatal(err)
		}
		if _, _, err := st.IndexOf(record.ID{9}); !errors.Is(err, ErrDamaged) {
			t.Errorf("index with %d bytes: %v", len(value), err)
		}
	}
}

// TestLayout: the state of another version is not read.
func TestLayout(t *testing.T) {
	f := newFollow(t)
	f.story(1)
	st := f.l.State()
	w := new(writer)
	w.put([]byte(keyApplied), canon.Must(&applied{Height: st.Height, RaftIndex: f.l.RaftIndex()}))
	if err := errors.Join(w.commit(f.l.db, st.Height), f.l.db.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := OpenState(f.dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := OpenLedger(db, f.c.Leaves[0], f.l.opts, quiet); !errors.Is(err, ErrLayout) {
		t.Errorf("opened: %v", err)
	}
}
