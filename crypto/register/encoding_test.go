package register

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

func h(b byte) merkle.Hash { return merkle.Hash(bytes.Repeat([]byte{b}, 32)) }

// TestKnownEncodings are spelled by hand from the package comment.
func TestKnownEncodings(t *testing.T) {
	leaf := &Leaf{KeyHash: KeyHash(h(0xbb)), Value: []byte("hi")}
	ofHash := func(s string) string { return string(bytes.Repeat([]byte(s), 32)) }
	nine := make([]merkle.Hash, 9)
	nine[0], nine[8] = h(0x11), h(0x22)
	for what, c := range map[string]struct {
		p    Proof
		want string
	}{
		"nothing":       {Proof{Siblings: []merkle.Hash{}}, "000000"},
		"only leaf":     {Proof{Siblings: []merkle.Hash{}, Leaf: leaf}, "010000" + ofHash("bb") + "00000002" + "6869"},
		"one sibling":   {Proof{Siblings: []merkle.Hash{h(0x11)}}, "000001" + "80" + ofHash("11")},
		"nine siblings": {Proof{Siblings: nine, Leaf: leaf}, "010009" + "8080" + ofHash("11") + ofHash("22") + ofHash("bb") + "00000002" + "6869"},
	} {
		data, err := c.p.MarshalBinary()
		if got := hex.EncodeToString(data); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", what, got, err, c.want)
		}
		var back Proof
		if err := back.UnmarshalBinary(data); err != nil || !cmp.Equal(back, c.p) {
			t.Errorf("%s: comes back as %v, %v", what, back, err)
		}
	}
}

func TestMarshalRefusesImpossible(t *testing.T) {
	full := make([]merkle.Hash, 257)
	for i := range full {
		full[i] = h(1)
	}
	for what, p := range map[string]Proof{
		"257 siblings":             {Siblings: full, Leaf: &Leaf{}},
		"256 siblings and no leaf": {Siblings: full[:256]},
		"last sibling empty":       {Siblings: []merkle.Hash{h(1), {}}},
		"long value":               {Leaf: &Leaf{Value: make([]byte, MaxValueSize+1)}},
	} {
		if _, err := p.MarshalBinary(); !errors.Is(err, ErrProof) {
			t.Errorf("marshal %s: %v", what, err)
		}
		if _, _, err := Verify(merkle.Hash{}, nil, p); !errors.Is(err, ErrProof) {
			t.Errorf("verify %s: %v", what, err)
		}
	}
	if _, err := (Proof{Siblings: full[:256], Leaf: &Leaf{}}).MarshalBinary(); err != nil {
		t.Errorf("256 siblings: %v", err)
	}
}

// sampleProof has empty siblings, a leaf and spare bits.
func sampleProof() Proof {
	siblings := make([]merkle.Hash, 11)
	siblings[0], siblings[7], siblings[10] = h(1), h(2), h(3)
	return Proof{Siblings: siblings, Leaf: &Leaf{KeyHash: KeyHash(h(4)), Value: []byte("value")}}
}

// TestMangledEncodings changes, cuts and prolongs every byte: what is still
// accepted is another proof in its one spelling.
func TestMangledEncodings(t *testing.T) {
	good, err := sampleProof().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			checkOneSpelling(t, bad)
		}
		var p Proof
		if err := p.UnmarshalBinary(good[:i]); !errors.Is(err, ErrProof) {
			t.Errorf("cut at %d: %v", i, err)
		}
		if p.Siblings != nil || p.Leaf != nil {
			t.Fatal("failed decoding left traces")
		}
	}
	for what, data := range map[string][]byte{
		"trailing byte":    append(bytes.Clone(good), 0),
		"huge value":       append(append([]byte{1, 0, 0}, make([]byte, 32)...), 0xff, 0xff, 0xff, 0xff),
		"257 siblings":     append([]byte{0, 1, 1}, make([]byte, 40)...),
		"spare bit":        append([]byte{0, 0, 1, 0xc0}, bytes.Repeat([]byte{1}, 32)...),
		"zeros sent":       append([]byte{0, 0, 1, 0x80}, make([]byte, 32)...),
		"last empty":       {0, 0, 1, 0},
		"unknown kind":     {2, 0, 0},
		"longer than most": make([]byte, MaxProofSize+1),
	} {
		if err := new(Proof).UnmarshalBinary(data); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func checkOneSpelling(t *testing.T, data []byte) {
	t.Helper()
	var p Proof
	err := p.UnmarshalBinary(data)
	if err != nil {
		if !errors.Is(err, ErrProof) {
			t.Fatalf("%x: %v", data, err)
		}
		return
	}
	again, err := p.MarshalBinary()
	if err != nil || !bytes.Equal(again, data) {
		t.Fatalf("%x comes back as %x, %v", data, again, err)
	}
}

func FuzzProof(f *testing.F) {
	for _, p := range []Proof{{}, sampleProof(), {Siblings: []merkle.Hash{h(9)}}} {
		data, err := p.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkOneSpelling(t, data)
		var p Proof
		if p.UnmarshalBinary(data) == nil {
			if _, _, err := Verify(h(5), []byte("key"), p); !errors.Is(err, ErrProof) {
				t.Fatalf("verifies under a made-up root: %v", err)
			}
		}
	})
}

// FuzzUpdate reads pairs of key and value bytes as one batch after another.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte("a1b2c3"), uint8(2), int8(3))
	f.Fuzz(func(t *testing.T, data []byte, perBatch uint8, cacheKeys int8) {
		tree, mem, naive := Empty(Options{CacheKeys: int(cacheKeys)}), MemLeaves(), Naive{}
		var batch []Write
		for i := 0; i+1 < min(len(data), 400); i += 2 {
			w := Write{Key: data[i : i+1]}
			if data[i+1] != 0 {
				w.Value = data[i+1 : i+2]
			}
			if batch = append(batch, w); len(batch) <= int(perBatch) {
				continue
			}
			tree = mustUpdate(t, tree, mem, batch)
			mem.Apply(batch)
			naive.Apply(batch)
			batch = nil
			if tree.Root() != naive.Root() {
				t.Fatal("tree and naive twin differ")
			}
		}
	})
}
