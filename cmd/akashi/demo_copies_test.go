package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestContains: a word is found wherever it stands, also across two parts of a
// file, and in a copy with holes.
func TestContains(t *testing.T) {
	dir := t.TempDir()
	const word = "髙橋 結"
	for _, at := range []int{0, 1<<20 - 3, 1 << 20, 3<<20 + 5} {
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		b := bytes.Repeat([]byte{0}, at+len(word)+100)
		copy(b[at:], word)
		for _, d := range []string{from, to} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(from, "file"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := copyTree(from, to); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, "file")); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("the copy has %d bytes, want %d: %v", len(got), len(b), err)
		}
		found, err := contains(to, "nothing", word)
		if err != nil || !slices.Equal(found, []string{word}) {
			t.Errorf("at %d: found %q, %v", at, found, err)
		}
	}
}
