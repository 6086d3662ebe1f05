package vault

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/crypto/chacha20"
)

// loot is what an adversary reads.
type loot [][]byte

func (l loot) has(secret []byte) bool {
	return slices.ContainsFunc(l, func(b []byte) bool { return bytes.Contains(b, secret) })
}

// plunder is an adversary with copies of blobs and the two slots. It ignores
// tags, associated data, checksums and hashes: it takes any 32 bytes of the slots,
// in steps of 16, as a key for every blob; wherever something with a run of zeros, or
// the beginning of a page, comes out, as hardly any wrong key gives it, it takes what stands where refs have their
// key as further keys. It returns all that came out.
func plunder(slots [2][SlotBytes]byte, copies [][]byte) (out loot) {
	tried := map[[32]byte]bool{}
	var keys [][32]byte
	offer := func(b []byte) {
		if key := [32]byte(b); !tried[key] {
			tried[key] = true
			keys = append(keys, key)
		}
	}
	for _, slot := range slots {
		for at := 0; at+32 <= len(slot); at += 16 {
			offer(slot[at:])
		}
	}
	for ; len(keys) > 0; keys = keys[1:] {
		for _, blob := range copies {
			plain := decryptAnyway(keys[0], blob)
			if !bytes.Contains(plain, make([]byte, 6)) && !looksLikePage(plain) {
				continue
			}
			out = append(out, plain)
			for _, begin := range []int{0, 32 + 8} { // of a middle and of the root block
				for at := begin + 8 + 16; at+32 <= len(plain); at += refBytes {
					offer(plain[at:])
				}
			}
		}
	}
	return out
}

// looksLikePage reports whether it begins as a page with entries does: fewer than 65,536
// of them, and an id of at most 767 bytes that begins with a letter. One wrong key in
// 20 million passes: if it took the count alone, then with 20,000 copies each wrong key
// would bring up more of them, without an end.
func looksLikePage(plain []byte) bool {
	return len(plain) > 6 && plain[0] == 0 && plain[1] == 0 && plain[4] <= MaxIDBytes>>8 && plain[6] >= 'a' && plain[6] <= 'z'
}

func opensSomewhere(slots [2][SlotBytes]byte, copies [][]byte, secret []byte) bool {
	return plunder(slots, copies).has(secret)
}

func decryptAnyway(key [32]byte, blob []byte) []byte {
	if len(blob) < sealBytes {
		return nil
	}
	c, err := chacha20.NewUnauthenticatedCipher(key[:], blob[1:blobHeadBytes])
	if err != nil {
		panic(err)
	}
	c.SetCounter(1)
	out := make([]byte, len(blob)-blobHeadBytes)
	c.XORKeyStream(out, blob[blobHeadBytes:])
	return out
}

func readSlotFile(t *testing.T, path string) (slots [2][SlotBytes]byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 2*SlotBytes {
		t.Fatalf("slot file of %d bytes: %v", len(b), err)
	}
	return [2][SlotBytes]byte{[SlotBytes]byte(b), [SlotBytes]byte(b[SlotBytes:])}
}

// An adversary copies all blobs before and after every call, and gets the final
// slot file. Of what was shredded nothing opens. With the slot file as it was
// before the shred the same search succeeds: the test would notice.
func TestCopiesOpenNothingShredded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	slot, err := OpenFileSlot(path)
	if err != nil {
		t.Fatal(err)
	}
	blobs := &MemoryBlobs{}
	v, err := Open(slot, blobs, Options{shape: small})
	if err != nil {
		t.Fatal(err)
	}
	var copies [][]byte
	steal := func() { copies = slices.AppendSeq(copies, maps.Values(blobs.values)) }
	var shredded []string
	for i, s := range story {
		before := readSlotFile(t, path)
		steal()
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
		steal()
		shredded = append(shredded, s.shred...)
		for _, id := range s.shred {
			if !opensSomewhere(before, copies, secretOf(id)) {
				t.Errorf("step %d: control: %s does not open with the old slot", i, id)
			}
		}
		now := readSlotFile(t, path)
		for _, id := range shredded {
			if opensSomewhere(now, copies, secretOf(id)) {
				t.Errorf("step %d: %s opens", i, id)
			}
		}
	}
	if !opensSomewhere(readSlotFile(t, path), copies, secretOf("p/p05/ks")) {
		t.Error("control: what is held does not open")
	}
	v.Close()
}

// Stale deltas put back into the store, under their own or a current name, bring
// no secret back.
func TestStaleDeltaResurrectsNothing(t *testing.T) {
	w := &world{}
	v, err := w.open(0, fault{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range story[:2] {
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
	}
	old := v.tree.at
	stale, _ := w.Get(old.deltaKey(1))
	if err := story[2].do(v); err != nil {
		t.Fatal(err)
	}
	next := v.tree.at.deltaKey(1)
	v.Close()

	w.MemoryBlobs.Put(Blob{Key: old.deltaKey(1), Value: stale})
	v, err = w.open(0, fault{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if held, _ := v.List(""); len(held) != 1 {
		t.Errorf("holds %q", held)
	}
	v.Close()
	if _, err := w.Get(old.deltaKey(1)); err == nil {
		t.Error("the stale delta was not deleted")
	}
	w.MemoryBlobs.Put(Blob{Key: next, Value: stale})
	if _, err := w.open(0, fault{}, Options{}); err == nil || w.effects != 0 {
		t.Errorf("stale delta under a current name: %v, %d effects", err, w.effects)
	}
}

// The store sees neither ids nor secrets in clear, nor the root key.
func TestStoreSeesNothing(t *testing.T) {
	w := &world{}
	v, err := w.open(0, fault{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var seen bytes.Buffer
	look := func() {
		for key, value := range w.values {
			fmt.Fprintf(&seen, "%s=%s\n", key, value)
		}
	}
	for _, s := range story {
		key := v.tree.at.root.key
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
		look()
		for _, secret := range [][]byte{key[:], v.tree.at.root.key[:], []byte("p/p0"), []byte("000-0000-0001"), []byte("the secret of")} {
			if bytes.Contains(seen.Bytes(), secret) {
				t.Errorf("%.16q is in the store", secret)
			}
		}
	}
	if seen.Len() < 1000 {
		t.Error("looked at nothing")
	}
}
