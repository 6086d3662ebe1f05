package main

import (
	"bytes"
	"io"
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

// TestTidy: what the demo issued stays, and the policy; the members' data goes.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"member-0/blobs/x", "log/checkpoint", "receipts/s1.akashi.json", "policy", "tokens.json"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := &production{s: newScreen(io.Discard), demoOptions: demoOptions{dir: dir}}
	d.tidy()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "policy" || filepath.Base(left[1]) != "receipts" {
		t.Errorf("left: %q, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "receipts/s1.akashi.json")); err != nil {
		t.Error(err)
	}
}
