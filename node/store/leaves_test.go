package store

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestLeavesAt(t *testing.T) {
	f := newFollow(t)
	f.story(300)
	st := f.l.State()
	every := make([]uint64, st.Size)
	for i := range every {
		every[i] = uint64(i)
	}
	for name, at := range map[string][]uint64{
		"none":       nil,
		"every one":  every,
		"ends":       {0, st.Size - 1},
		"descending": {st.Size - 1, 7, 6, 0},
		"repeated":   {3, 3, 4, 4, 3},
		"anyhow":     anyhow(st.Size),
	} {
		got := []uint64{}
		err := st.LeavesAt(at, func(i uint64, leaf []byte) error {
			if string(leaf) != string(f.c.Leaves[i]) {
				t.Errorf("%s: leaf %d differs", name, i)
			}
			got = append(got, i)
			return nil
		})
		if err != nil || len(got) != len(at) {
			t.Fatalf("%s: %d of %d leaves, %v", name, len(got), len(at), err)
		}
		for i := range at {
			if got[i] != at[i] {
				t.Fatalf("%s: leaf %d as number %d, want %d", name, got[i], i, at[i])
			}
		}
	}
}

func anyhow(size uint64) []uint64 {
	out := make([]uint64, 200)
	for i := range out {
		out[i] = rand.Uint64N(size)
	}
	return out
}

func TestLeavesAtStop(t *testing.T) {
	f := newFollow(t)
	f.story(50)
	st := f.l.State()
	called, enough := 0, errors.New("enough")
	err := st.LeavesAt([]uint64{1, 2, 3}, func(uint64, []byte) error { called++; return enough })
	if err != enough || called != 1 {
		t.Errorf("%d calls, %v", called, err)
	}
	called = 0
	if err := st.LeavesAt([]uint64{0, st.Size}, func(uint64, []byte) error { called++; return nil }); err == nil || called != 1 {
		t.Errorf("a leaf beyond the size: %d calls, %v", called, err)
	}
	defer func() {
		if r := recover(); r != "theirs" {
			t.Errorf("a caller's own panic became %v", r)
		}
	}()
	st.LeavesAt([]uint64{0}, func(uint64, []byte) error { panic("theirs") })
}
