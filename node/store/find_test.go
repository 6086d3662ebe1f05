package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// grow commits leaves that no rule has judged, and returns the batch's seal, too.
func (f *follow) grow(leaves ...[]byte) [][]byte {
	f.t.Helper()
	st := f.l.State()
	res := &rules.Result{Height: st.Height + 1, TimeMs: st.TimeMs + 1, Leaves: leaves,
		Seal: record.Seal{Version: record.Version, Kind: record.KindSeal, Height: st.Height + 1}}
	if _, err := f.l.commit(st, res, st.Height+1); err != nil {
		f.t.Fatal(err)
	}
	return append(slices.Clone(leaves), res.SealLeaf(merkle.Hash(f.l.State().Register)))
}

// found wants every leaf at the first index that has its bytes, and no other.
func (f *follow) found(st *State, log [][]byte, step int) {
	f.t.Helper()
	first := map[string]uint64{}
	for i, leaf := range log {
		if _, ok := first[string(leaf)]; !ok {
			first[string(leaf)] = uint64(i)
		}
	}
	for i := 0; i < len(log); i += step {
		want := first[string(log[i])]
		got, ok, err := st.Find(merkle.LeafHash(log[i]))
		if err != nil || ok != (want < st.Size) || ok && got != want {
			f.t.Fatalf("at size %d, leaf %d: %d, %v, %v; want %d", st.Size, i, got, ok, err, want)
		}
	}
	if _, ok, err := st.Find(merkle.LeafHash([]byte("no such leaf"))); ok || err != nil {
		f.t.Fatalf("a leaf that is not there: %v, %v", ok, err)
	}
}

func TestFind(t *testing.T) {
	f := newFollow(t)
	log := slices.Clone(f.c.Leaves[:f.l.State().Size])
	var early *State
	for n := 0; len(log) < 2*spanLeaves+5000; n++ {
		leaves := make([][]byte, 4999)
		for i := range leaves {
			leaves[i] = fmt.Appendf(nil, "leaf %d of batch %d", i, n)
			if i%7 == 0 { // equal leaves: the first counts
				leaves[i] = fmt.Appendf(nil, "leaf %d again and again", i)
			}
		}
		log = append(log, f.grow(leaves...)...)
		if n == 4 {
			early = f.l.State()
		}
	}
	f.found(f.l.State(), log, 53)
	f.found(early, log, 171)
	for span := range uint64(2) {
		if b, err := f.l.State().read(spanKey(span, 3)); err != nil || len(b) < entryBytes {
			t.Errorf("span %d has no index: %d bytes, %v", span, len(b), err)
		}
	}
}

// TestFindAlike: leaves whose hashes begin alike are told apart, and an index that
// is damaged is an error.
func TestFindAlike(t *testing.T) {
	hashes := make([]byte, 0, spanLeaves*merkle.HashSize)
	for i := range uint64(spanLeaves) {
		var h merkle.Hash
		h[0] = 0xff // all in one bucket
		binary.BigEndian.PutUint64(h[8:], i/3)
		hashes = append(hashes, h[:]...)
	}
	row := func(n uint64, width int) ([]byte, error) {
		return hashes[n*merkle.TileWidth*merkle.HashSize:][:width*merkle.HashSize], nil
	}
	buckets, err := indexSpan(0, row)
	if err != nil {
		t.Fatal(err)
	}
	if len(buckets[63]) != spanLeaves*entryBytes || len(buckets[63]) > MaxValueBytes {
		t.Fatalf("%d bytes in the bucket", len(buckets[63]))
	}
	var h merkle.Hash
	copy(h[:], hashes[7*merkle.HashSize:])
	places, err := candidates(buckets[63], h)
	if err != nil || len(places) != spanLeaves || !slices.IsSorted(places) {
		t.Fatalf("%d candidates, %v", len(places), err)
	}
	if index, ok, err := scan(0, spanLeaves, h, row); index != 6 || !ok || err != nil {
		t.Errorf("scan: %d, %v, %v", index, ok, err)
	}
	if index, ok, err := scan(0, 6, h, row); ok || err != nil {
		t.Errorf("scan of 6 leaves: %d, %v", index, err)
	}
	if _, err := candidates(buckets[63][:11], h); err == nil {
		t.Error("a bucket that is cut is taken")
	}
}

func BenchmarkFind(b *testing.B) {
	f := newFollow(b)
	for n := range uint64(12) {
		leaves := make([][]byte, 4999)
		for i := range leaves {
			leaves[i] = binary.BigEndian.AppendUint64(nil, n*10_000+uint64(i))
		}
		f.grow(leaves...)
	}
	st, h := f.l.State(), merkle.LeafHash([]byte("no such leaf"))
	for b.Loop() {
		if _, ok, err := st.Find(h); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkIndexSpan(b *testing.B) {
	tree, tiles := merkle.New(), map[uint64][]byte{}
	for i := range uint64(spanLeaves) {
		for _, t := range tree.Append(merkle.LeafHash(binary.BigEndian.AppendUint64(nil, i))) {
			if t.ID.Level == 0 {
				tiles[t.ID.Index] = t.Data
			}
		}
	}
	for b.Loop() {
		if _, err := indexSpan(0, func(n uint64, _ int) ([]byte, error) { return tiles[n], nil }); err != nil {
			b.Fatal(err)
		}
	}
}
