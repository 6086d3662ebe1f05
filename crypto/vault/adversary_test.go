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

// opensSomewhere is an adversary with copies of blobs and the two slots. It
// ignores tags, associated data and checksums: it takes any 32 bytes of the slots, in
// steps of 16, as the root key and looks for the secret in whatever comes out.
func opensSomewhere(slots [2][SlotBytes]byte, copies [][]byte, secret []byte) bool {
	keys := map[[32]byte]bool{}
	for _, slot := range slots {
		for at := 0; at+32 <= len(slot); at += 16 {
			keys[[32]byte(slot[at:])] = true
		}
	}
	for key := range keys {
		for _, blob := range copies {
			if bytes.Contains(decryptAnyway(key, blob), secret) {
				return true
			}
		}
	}
	return false
}

func decryptAnyway(key [32]byte, blob []byte) []byte {
	if len(blob) < pageHeadBytes {
		return nil
	}
	c, err := chacha20.NewUnauthenticatedCipher(key[:], blob[1:pageHeadBytes])
	if err != nil {
		panic(err)
	}
	c.SetCounter(1)
	out := make([]byte, len(blob)-pageHeadBytes)
	c.XORKeyStream(out, blob[pageHeadBytes:])
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
	v, err := Open(slot, blobs, Options{})
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
	if !opensSomewhere(readSlotFile(t, path), copies, secretOf("person/p05/ks")) {
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
	old := v.secrets.at
	stale, _ := w.Get(old.deltaKey(1))
	if err := story[2].do(v); err != nil {
		t.Fatal(err)
	}
	next := v.secrets.at.deltaKey(1)
	v.Close()

	w.MemoryBlobs.Put(old.deltaKey(1), stale)
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
	w.MemoryBlobs.Put(next, stale)
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
		key := v.secrets.at.key
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
		look()
		for _, secret := range [][]byte{key[:], v.secrets.at.key[:], []byte("person/p0"), []byte("000-0000-0001"), []byte("the secret of")} {
			if bytes.Contains(seen.Bytes(), secret) {
				t.Errorf("%.16q is in the store", secret)
			}
		}
	}
	if seen.Len() < 1000 {
		t.Error("looked at nothing")
	}
}
