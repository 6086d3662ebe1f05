package vault

import (
	"errors"
	"slices"
	"syscall"
	"testing"
)

// What Open refuses, it refuses with a stable code and without any effect.
func TestOpenRefusals(t *testing.T) {
	build := func(t *testing.T) (*world, *Vault) {
		v, w := newVault(t, Options{})
		mustPut(t, v, Entry{ID: "a", Value: []byte("one")}, Entry{ID: "b"})
		if _, err := v.Shred("b"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "c"})
		mustPut(t, v, Entry{ID: "d"})
		return w, v
	}
	for _, c := range []struct {
		name string
		harm func(w *world, v *Vault)
		want error
	}{
		{"blank slots", func(w *world, v *Vault) { w.slots = MemorySlot{}.slots }, ErrSlotLost},
		{"both slots damaged", func(w *world, v *Vault) { w.slots[0][40] ^= 1; w.slots[1][40] ^= 1 }, ErrSlot},
		{"slots that contradict each other", func(w *world, v *Vault) {
			w.slots[0] = v.secrets.at.next().next().encode()
		}, ErrSlot},
		{"equal generations that differ", func(w *world, v *Vault) {
			other := v.secrets.at
			other.key[0] ^= 1
			w.slots[0] = other.encode()
		}, ErrSlot},
		{"another vault's slots", func(w *world, v *Vault) {
			r := newRecord().encode()
			w.slots = [2][SlotBytes]byte{r, r}
		}, ErrStale},
		{"slots of generation 1", func(w *world, v *Vault) {
			r := v.secrets.at
			r.generation, r.pages, r.hash = 1, 0, emptyBlockHash
			w.slots = [2][SlotBytes]byte{r.encode(), r.encode()}
		}, ErrStale},
		{"slots of one generation before", func(w *world, v *Vault) {
			old := w.slots
			if _, err := v.Shred("d"); err != nil {
				panic(err)
			}
			w.slots = old
		}, ErrStale},
		{"missing page", func(w *world, v *Vault) { w.MemoryBlobs.Delete(v.secrets.at.pageKey(0)) }, ErrBlock},
		{"damaged page", func(w *world, v *Vault) { w.values[v.secrets.at.pageKey(0)][60] ^= 1 }, ErrBlock},
		{"missing delta", func(w *world, v *Vault) { w.MemoryBlobs.Delete(v.secrets.at.deltaKey(1)) }, ErrDelta},
		{"damaged delta", func(w *world, v *Vault) { w.values[v.secrets.at.deltaKey(2)][60] ^= 1 }, ErrDelta},
		{"deltas in the other order", func(w *world, v *Vault) {
			one, two := v.secrets.at.deltaKey(1), v.secrets.at.deltaKey(2)
			w.values[one], w.values[two] = w.values[two], w.values[one]
		}, ErrDelta},
		{"a stranger's key", func(w *world, v *Vault) { w.MemoryBlobs.Put("vault/x", nil) }, ErrStale},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, v := build(t)
			c.harm(w, v)
			v.Close()
			blobs, slots := w.keep()
			_, err := w.open(0, fault{}, Options{})
			var coded *Error
			if !errors.Is(err, c.want) || !errors.As(err, &coded) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if w.effects != 0 || len(w.values) != len(blobs) || w.slots != slots {
				t.Errorf("refusing had %d effects", w.effects)
			}
		})
	}
}

// One damaged slot is repaired from the other.
func TestOneSlotIsEnough(t *testing.T) {
	for i := range 2 {
		for _, at := range []int{0, 7, 8, 40, 70, 90, 2000, SlotBytes - 1} {
			v, w := newVault(t, Options{})
			mustPut(t, v, Entry{ID: "a", Value: []byte("one")})
			v.Close()
			w.slots[i][at] ^= 0x10
			v = reopen(t, w, Options{})
			if has, _ := v.Has("a"); !has || w.slots[0] != w.slots[1] || v.Verify() != nil {
				t.Errorf("slot %d byte %d: has %t, equal %t", i, at, has, w.slots[0] == w.slots[1])
			}
		}
	}
}

// halfRotated returns a world whose shred of "a" failed between the two slots,
// and the record of the new generation. The slots may have changed places.
func halfRotated(t *testing.T, swapped bool) (*world, record) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
	w.effects, w.failAt, w.fault = 0, 3, faults[0] // one page, slot 0, slot 1
	if _, err := v.Shred("a"); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	v.Close()
	newest, err := decodeRecord(w.slots[0])
	if err != nil || newest.generation != 2 {
		t.Fatal(newest.generation, err)
	}
	if swapped {
		w.slots[0], w.slots[1] = w.slots[1], w.slots[0]
	}
	return w, newest
}

// A store that cannot be read now is no reason to go back a generation.
func TestReadErrorRollsNothingBack(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		w, newest := halfRotated(t, swapped)
		_, err := Open(worldSlot{w}, unreadable{w, newest.pageKey(0)}, Options{})
		if !errors.Is(err, ErrIO) || w.slots[0] == w.slots[1] {
			t.Errorf("%v", err)
		}
		v := reopen(t, w, Options{})
		if ids, _ := v.List(""); !slices.Equal(ids, []string{"b"}) || w.slots[0] != w.slots[1] {
			t.Errorf("holds %q: the shred was not ended", ids)
		}
	}
}

type unreadable struct {
	*world
	key string
}

func (u unreadable) Get(key string) ([]byte, error) {
	if key == u.key {
		return nil, syscall.EIO
	}
	return u.world.Get(key)
}

// An uncommitted new generation with a damaged block is undone.
func TestDamagedNewBlockIsUndone(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		w, newest := halfRotated(t, swapped)
		w.values[newest.pageKey(0)][50] ^= 1
		v := reopen(t, w, Options{})
		if ids, _ := v.List(""); !slices.Equal(ids, []string{"a", "b"}) || w.slots[0] != w.slots[1] {
			t.Errorf("holds %q", ids)
		}
	}
}

// A store that says yes and keeps something else is found out before the old
// root key ends.
func TestLyingStoreLosesNothing(t *testing.T) {
	w := &world{}
	v, err := Open(worldSlot{w}, &lying{world: w}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
	v.blobs.(*lying).lies = true
	if _, err := v.Shred("a"); !errors.Is(err, ErrBlock) || !errors.Is(err, ErrStopped) {
		t.Errorf("shred: %v", err)
	}
	v.Close()
	v = reopen(t, w, Options{})
	if ids, _ := v.List(""); len(ids) != 2 {
		t.Errorf("holds %q", ids)
	}
}

type lying struct {
	*world
	lies bool
}

func (l *lying) Put(key string, value []byte) error {
	if l.lies {
		value[len(value)/2] ^= 1
	}
	return l.world.Put(key, value)
}

// A page that the root key sealed for this very place is still not enough: the
// slot names one block by its hash.
func TestSlotNamesOneBlock(t *testing.T) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
	if _, err := v.Shred("a"); err != nil {
		t.Fatal(err)
	}
	at := v.secrets.at
	w.MemoryBlobs.Put(at.pageKey(0), sealPage(&at.key, at.pageAD(0), []Entry{{ID: "c"}}))
	v.Close()
	if _, err := w.open(0, fault{}, Options{}); !errors.Is(err, ErrBlock) {
		t.Errorf("%v", err)
	}
}
