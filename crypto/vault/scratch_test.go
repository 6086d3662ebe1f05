package vault

import (
	"bytes"
	"testing"
)

// What was in a buffer is not in the next.
func TestScratchIsZero(t *testing.T) {
	for _, size := range []int{1, smallScratch, smallScratch + 1, MaxBlobBytes} {
		b := append(scratch(size), bytes.Repeat([]byte{7}, size)...)
		giveBack(b[:1])
		for range keepSmall + 1 {
			if got := scratch(size); len(got) != 0 || cap(got) < size || bytes.ContainsFunc(got[:cap(got)], func(r rune) bool { return r != 0 }) {
				t.Fatalf("%d: %d of %d bytes, or not zero", size, len(got), cap(got))
			}
		}
	}
}

// What is pending goes into the arena and is gone when the vault closes.
func TestPendingIsWiped(t *testing.T) {
	v, _ := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a", Value: []byte("a secret of some length")})
	value := v.tree.pending["a"].value
	chunk := v.tree.values.chunks[0]
	if !bytes.Contains(chunk[:cap(chunk)], []byte("a secret of some length")) {
		t.Fatal("it is not in the arena")
	}
	v.Close()
	if bytes.ContainsFunc(value, func(r rune) bool { return r != 0 }) || bytes.ContainsFunc(chunk[:cap(chunk)], func(r rune) bool { return r != 0 }) {
		t.Error("it is still in memory")
	}
}
