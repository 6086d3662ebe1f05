package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// testdata/vault.py made the vector, an implementation of its own.
func TestVector(t *testing.T) {
	b, err := os.ReadFile("testdata/vault.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct {
		Slot           string
		Blobs, Entries map[string]string
	}
	if err := json.Unmarshal(b, &vector); err != nil {
		t.Fatal(err)
	}
	w := &world{}
	for key, value := range vector.Blobs {
		w.MemoryBlobs.Put(Blob{Key: key, Value: unhex(value)})
	}
	slot := [SlotBytes]byte(unhex(vector.Slot))
	w.slots = [2][SlotBytes]byte{slot, slot}
	v := reopen(t, w, Options{shape: usual})
	if w.effects != 0 {
		t.Errorf("%d effects", w.effects)
	}
	ids, _ := v.List("")
	if len(ids) != len(vector.Entries) || len(ids) < 5 {
		t.Errorf("holds %q", ids)
	}
	if v.tree.carry.entries == 0 || v.tree.deltas == 0 || v.Verify() != nil {
		t.Errorf("%d carried, %d deltas", v.tree.carry.entries, v.tree.deltas)
	}
	for id, want := range vector.Entries {
		if got, err := v.Get(id); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, %v", id, got, err)
		}
	}
}

func TestSlotHasOneSpelling(t *testing.T) {
	r := newRecord()
	r.root.generation, r.root.id[0], r.root.hash[0] = 7, 1, 1
	good := r.encode()
	if got, err := decodeRecord(good); err != nil || got != r {
		t.Fatalf("%v", err)
	}
	for at := range good {
		bad := good
		bad[at] ^= 1
		if _, err := decodeRecord(bad); !errors.Is(err, errChecksum) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}

func TestPageHasOneSpelling(t *testing.T) {
	good := encodePage([]Entry{{ID: "a", Value: []byte("1")}, {ID: "b"}})
	if entries, err := decodePage(good); err != nil || len(entries) != 2 {
		t.Fatalf("%v", err)
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for name, b := range map[string][]byte{
		"not ascending":  change(6, 'c'),
		"repeated":       change(6, 'b'),
		"empty id":       change(5, 0),
		"huge count":     change(0, 255),
		"one too few":    change(3, 1),
		"one too many":   change(3, 3),
		"residue":        change(255, 1),
		"one step more":  append(bytes.Clone(good), make([]byte, pageStep)...),
		"not on a step":  good[:255],
		"nothing at all": nil,
	} {
		if _, err := decodePage(b); !errors.Is(err, errPage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add(encodePage([]Entry{{ID: "a", Value: []byte("1")}, {ID: "b"}}))
	f.Add(encodePage(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if entries, err := decodePage(b); err == nil && !bytes.Equal(encodePage(entries), b) {
			t.Fatal("a second spelling was accepted")
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	good := newRecord().encode()
	f.Add(good[:128])
	f.Fuzz(func(t *testing.T, head []byte) {
		var b [SlotBytes]byte
		copy(b[:slotCheckStart], head)
		if _, err := decodeRecord(b); err == nil {
			t.Fatal("accepted without checksum")
		}
		sum := sha256.Sum256(b[:slotCheckStart]) // the same bytes, checksum right
		copy(b[slotCheckStart:], sum[:])
		if r, err := decodeRecord(b); err == nil && r.encode() != b {
			t.Fatal("a second spelling was accepted")
		}
	})
}

func FuzzBlobNames(f *testing.F) {
	r := newRecord()
	f.Add(place{vault: r.vault, kind: "bucket"}.key(&r.root))
	f.Add(r.deltaKey(1))
	f.Fuzz(func(t *testing.T, key string) { parseBlobs([]string{key}, r.vault) })
}

func FuzzDecodeRoot(f *testing.F) {
	t := newTree(newRecord(), 2)
	t.middles[1] = ref{generation: 1, entries: 1, bytes: 9}
	f.Add(t.encodeRoot())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b)+sealBytes > MaxBlobBytes {
			return
		}
		blobs := &MemoryBlobs{}
		got := newTree(newRecord(), 2)
		r, blob := got.rootPlace().seal(9, bytes.Clone(b), 0, 0)
		blobs.Put(blob)
		got.at.root = r
		switch err := got.readRoot(blobs); {
		case err == nil && !bytes.Equal(got.encodeRoot(), b):
			t.Fatal("a second spelling was accepted")
		case err != nil && !errors.Is(err, ErrBlock):
			t.Fatal(err)
		}
	})
}
