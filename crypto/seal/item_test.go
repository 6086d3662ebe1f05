package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// vectors were made by testdata/item.py, an implementation of its own.
type vectors struct {
	Items []struct {
		Name, Key, Member, Kind string
		Version                 uint
		Record, Plaintext, Item string
	}
	Commitments []struct{ Nonce, Part, Commitment string }
	Classes     [][2]int
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyOf(b []byte) DataKey {
	k := newKeyBytes()
	copy(k.secret[:], b)
	return DataKey{key: hide(k)}
}

func TestItemVectors(t *testing.T) {
	v := readVectors(t)
	if len(v.Items) == 0 || len(v.Classes) == 0 {
		t.Fatal("no vectors")
	}
	for _, item := range v.Items {
		about := AAD{item.Member, item.Kind, item.Version, [16]byte(unhex(t, item.Record))}
		got, err := OpenItem(keyOf(unhex(t, item.Key)), about, unhex(t, item.Item))
		if err != nil || !bytes.Equal(got, unhex(t, item.Plaintext)) {
			t.Errorf("%s: %x, %v", item.Name, got, err)
		}
	}
	for _, class := range v.Classes {
		if got := sizeClass(class[0]); got != class[1] {
			t.Errorf("size class of %d is %d, want %d", class[0], got, class[1])
		}
	}
}

func TestItemOpensOnlyAsSealed(t *testing.T) {
	key, about := NewDataKey(), AAD{"member-0", "provision", 1, [16]byte{7}}
	item, err := SealItem(key, about, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]AAD{
		"member":                     {"member-1", "provision", 1, [16]byte{7}},
		"kind":                       {"member-0", "consent", 1, [16]byte{7}},
		"version":                    {"member-0", "provision", 2, [16]byte{7}},
		"record":                     {"member-0", "provision", 1, [16]byte{8}},
		"boundary of member to kind": {"member-0p", "rovision", 1, [16]byte{7}},
	} {
		if _, err := OpenItem(key, other, item); !errors.Is(err, ErrDamaged) {
			t.Errorf("other %s: %v", name, err)
		}
	}
	if _, err := OpenItem(NewDataKey(), about, item); !errors.Is(err, ErrDamaged) {
		t.Errorf("other key: %v", err)
	}
	for i := range item {
		item[i] ^= 0x40
		if _, err := OpenItem(key, about, item); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		item[i] ^= 0x40
		if _, err := OpenItem(key, about, item[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
	if _, err := OpenItem(key, about, append(item, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("longer: %v", err)
	}
}

func TestItemLengthIsHidden(t *testing.T) {
	key, about := NewDataKey(), AAD{"m", "k", 1, [16]byte{}}
	sizes := map[int]bool{}
	for n := 0; n <= 60; n++ {
		item, err := SealItem(key, about, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(item)] = true
	}
	if len(sizes) != 1 {
		t.Errorf("0 to 60 bytes make %d lengths, want 1", len(sizes))
	}
	for n := 1; n < 3*powerClassBytes; n++ {
		if c := sizeClass(n); c < n || sizeClass(c) != c || (n > powerClassBytes && c*8 > n*9+8) {
			t.Fatalf("size class of %d is %d", n, c)
		}
	}
}

func TestPaddingHasOneSpelling(t *testing.T) {
	good := pad(nil, []byte("abc"))
	if _, ok := unpad(good); !ok {
		t.Fatal("own padding refused")
	}
	bad := map[string][]byte{
		"one class up":    append(bytes.Clone(good), make([]byte, 64)...),
		"residue":         append(bytes.Clone(good[:63]), 1),
		"length beyond":   append([]byte{0, 0, 0, 61}, good[4:]...),
		"length enormous": append([]byte{255, 255, 255, 255}, good[4:]...),
		"short":           good[:63],
		"empty":           nil,
	}
	for name, b := range bad {
		if _, ok := unpad(b); ok {
			t.Errorf("%s accepted", name)
		}
	}
}

func TestItemBounds(t *testing.T) {
	key, about := NewDataKey(), AAD{"m", "k", 1, [16]byte{}}
	if _, err := SealItem(key, about, make([]byte, MaxItemBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	largest, err := SealItem(key, about, make([]byte, MaxItemBytes))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := OpenItem(key, about, largest); err != nil || len(b) != MaxItemBytes {
		t.Errorf("largest: %d bytes, %v", len(b), err)
	}
	if _, err := OpenItem(key, about, make([]byte, 2*MaxItemBytes)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("open too large: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", 256)} {
		if _, err := SealItem(key, AAD{name, "k", 1, [16]byte{}}, nil); !errors.Is(err, ErrName) {
			t.Errorf("member of %d bytes: %v", len(name), err)
		}
		if _, err := OpenItem(key, AAD{"m", name, 1, [16]byte{}}, largest); !errors.Is(err, ErrName) {
			t.Errorf("kind of %d bytes: %v", len(name), err)
		}
	}
	shared := key
	key.Wipe()
	for _, k := range []DataKey{key, shared, {}} {
		if _, err := SealItem(k, about, nil); !errors.Is(err, ErrNoKey) {
			t.Errorf("seal with a wiped or empty key: %v", err)
		}
		if _, err := OpenItem(k, about, largest); !errors.Is(err, ErrNoKey) {
			t.Errorf("open with a wiped or empty key: %v", err)
		}
	}
}

func FuzzOpenItem(f *testing.F) {
	key, about := keyOf(make([]byte, 32)), AAD{"m", "k", 1, [16]byte{}}
	item, _ := SealItem(key, about, []byte("body"))
	f.Add(item)
	f.Add([]byte{itemFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		plaintext, err := OpenItem(key, about, b)
		if err == nil && len(b) != itemHeadBytes+sizeClass(4+len(plaintext))+16 {
			t.Fatalf("%d bytes opened from a file of %d", len(plaintext), len(b))
		}
	})
}

func FuzzUnpad(f *testing.F) {
	f.Add(pad(nil, []byte("abc")))
	f.Add(pad(nil, make([]byte, 5000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plaintext, ok := unpad(b); ok && !bytes.Equal(pad(nil, plaintext), b) {
			t.Fatal("a second spelling was accepted")
		}
	})
}

func BenchmarkSealItem500(b *testing.B) {
	key, about, body := NewDataKey(), AAD{"member-0", "provision.items", 1, [16]byte{1}}, make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SealItem(key, about, body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

func BenchmarkOpenItem500(b *testing.B) {
	key, about := NewDataKey(), AAD{"member-0", "provision.items", 1, [16]byte{1}}
	item, _ := SealItem(key, about, make([]byte, 500))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenItem(key, about, item); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}
