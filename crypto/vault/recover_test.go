package vault

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What Open refuses, it refuses with a stable code and without any effect.
func TestOpenRefusals(t *testing.T) {
	build := func(t *testing.T) (*world, *Vault) {
		v, w := newVault(t, Options{})
		mustPut(t, v, Entry{ID: "a", Value: []byte("one")}, Entry{ID: "b"}, Entry{ID: "x"})
		if err := v.Compact(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "y"})
		if _, err := v.Shred("b"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "c"})
		mustPut(t, v, Entry{ID: "d"})
		return w, v
	}
	keyOf := func(v *Vault, kind string) string {
		for key := range v.tree.liveKeys() {
			if strings.Contains(key, "/"+kind+"/") {
				return key
			}
		}
		panic("no " + kind)
	}
	damage := func(kind string) func(w *world, v *Vault) {
		return func(w *world, v *Vault) { w.values[keyOf(v, kind)][60] ^= 1 }
	}
	lose := func(kind string) func(w *world, v *Vault) {
		return func(w *world, v *Vault) { w.MemoryBlobs.Delete(keyOf(v, kind)) }
	}
	for _, c := range []struct {
		name string
		harm func(w *world, v *Vault)
		want error
	}{
		{"blank slots", func(w *world, v *Vault) { w.slots = MemorySlot{}.slots }, ErrSlotLost},
		{"both slots damaged", func(w *world, v *Vault) { w.slots[0][40] ^= 1; w.slots[1][40] ^= 1 }, ErrSlot},
		{"slots that contradict each other", func(w *world, v *Vault) {
			r := v.tree.at
			r.root.generation += 2
			w.slots[0] = r.encode()
		}, ErrSlot},
		{"equal generations that differ", func(w *world, v *Vault) {
			other := v.tree.at
			other.root.key[0] ^= 1
			w.slots[0] = other.encode()
		}, ErrSlot},
		{"slots of version 1", func(w *world, v *Vault) {
			for i := range w.slots {
				w.slots[i][7] = 1
				sum := sha256.Sum256(w.slots[i][:slotCheckStart])
				copy(w.slots[i][slotCheckStart:], sum[:])
			}
		}, ErrVersion},
		{"another vault's slots", func(w *world, v *Vault) {
			r := newRecord().encode()
			w.slots = [2][SlotBytes]byte{r, r}
		}, ErrStale},
		{"slots of generation 1", func(w *world, v *Vault) {
			r := v.tree.at
			r.root = ref{generation: 1, key: r.root.key}
			w.slots = [2][SlotBytes]byte{r.encode(), r.encode()}
		}, ErrStale},
		{"slots of one generation before", func(w *world, v *Vault) {
			old := w.slots
			if _, err := v.Shred("d"); err != nil {
				panic(err)
			}
			w.slots = old
		}, ErrStale},
		{"missing root block", lose("root"), ErrBlock},
		{"damaged root block", damage("root"), ErrBlock},
		{"missing middle block", lose("middle"), ErrBlock},
		{"damaged middle block", damage("middle"), ErrBlock},
		{"missing carried page", lose("carry"), ErrBlock},
		{"damaged carried page", damage("carry"), ErrBlock},
		{"missing delta", func(w *world, v *Vault) { w.MemoryBlobs.Delete(v.tree.at.deltaKey(1)) }, ErrDelta},
		{"damaged delta", func(w *world, v *Vault) { w.values[v.tree.at.deltaKey(2)][60] ^= 1 }, ErrDelta},
		{"deltas in the other order", func(w *world, v *Vault) {
			one, two := v.tree.at.deltaKey(1), v.tree.at.deltaKey(2)
			w.values[one], w.values[two] = w.values[two], w.values[one]
		}, ErrDelta},
		{"a stranger's key", func(w *world, v *Vault) { w.MemoryBlobs.Put(Blob{Key: "vault/x"}) }, ErrStale},
		{"a key of the format before", func(w *world, v *Vault) {
			w.MemoryBlobs.Put(Blob{Key: blobKey(v.tree.at.vault, 3, "block") + "00/00000000"})
		}, ErrStale},
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

// halfRotated returns a world whose shred of "p/1/a" failed between the two slots,
// and a key of each kind of blob that the new generation wrote. The slots may have
// changed places.
func halfRotated(t *testing.T, swapped bool) (w *world, fresh map[string]string) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "p/1/a"}, Entry{ID: "p/1/b"}, Entry{ID: "c"})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "k"})
	v.slot = noSecondSlot{worldSlot{w}}
	if _, err := v.Shred("p/1/a"); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	v.Close()
	newest, err := decodeRecord(w.slots[0])
	if err != nil || newest.root.generation != 3 {
		t.Fatal(newest.root.generation, err)
	}
	if swapped {
		w.slots[0], w.slots[1] = w.slots[1], w.slots[0]
	}
	fresh = map[string]string{}
	for key := range w.values {
		if parts := strings.Split(key, "/"); parts[2] == "0000000000000003" {
			fresh[parts[3]] = key
		}
	}
	if len(fresh) < 4 {
		t.Fatalf("fresh: %q", fresh)
	}
	return w, fresh
}

type noSecondSlot struct{ worldSlot }

func (s noSecondSlot) Write(i int, content [SlotBytes]byte) error {
	if i == 1 {
		return errInjected
	}
	return s.worldSlot.Write(i, content)
}

// A store that cannot be read now is no reason to go back a generation.
func TestReadErrorRollsNothingBack(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		_, kinds := halfRotated(t, swapped)
		for kind := range kinds {
			w, fresh := halfRotated(t, swapped)
			_, err := Open(worldSlot{w}, unreadable{w, fresh[kind]}, Options{shape: small})
			if !errors.Is(err, ErrIO) || w.slots[0] == w.slots[1] {
				t.Errorf("%s: %v", kind, err)
			}
			v := reopen(t, w, Options{})
			if ids, _ := v.List(""); !slices.Equal(ids, []string{"c", "k", "p/1/b"}) || w.slots[0] != w.slots[1] {
				t.Errorf("%s: holds %q: the shred was not ended", kind, ids)
			}
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

// An uncommitted new generation of which any blob is damaged is undone.
func TestDamagedNewTreeIsUndone(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		_, kinds := halfRotated(t, swapped)
		for kind := range kinds {
			w, fresh := halfRotated(t, swapped)
			w.values[fresh[kind]][50] ^= 1
			v := reopen(t, w, Options{})
			if ids, _ := v.List(""); !slices.Equal(ids, []string{"c", "k", "p/1/a", "p/1/b"}) || w.slots[0] != w.slots[1] {
				t.Errorf("%s: holds %q", kind, ids)
			}
		}
	}
}

// A store that says yes and keeps something else is found out before the old
// root key ends, whichever blob it is.
func TestLyingStoreLosesNothing(t *testing.T) {
	for lie := 1; ; lie++ {
		w := &world{}
		store := &lying{world: w}
		v, err := Open(worldSlot{w}, store, Options{shape: small})
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "p/1/a"}, Entry{ID: "p/1/b"}, Entry{ID: "c"})
		if err := v.Compact(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "k"})
		store.in = lie
		_, err = v.Shred("p/1/a")
		v.Close()
		if store.in > 0 { // it had no occasion any more
			if lie < 4 || err != nil {
				t.Errorf("%d lies: %v", lie-1, err)
			}
			return
		}
		if !errors.Is(err, ErrBlock) || !errors.Is(err, ErrStopped) {
			t.Errorf("lie %d: %v", lie, err)
		}
		v = reopen(t, w, Options{})
		if ids, _ := v.List(""); len(ids) != 4 {
			t.Errorf("lie %d: holds %q", lie, ids)
		}
	}
}

type lying struct {
	*world
	in int // puts until the lie
}

func (l *lying) Put(blobs ...Blob) error {
	for i := range blobs {
		if l.in--; l.in == 0 {
			blobs[i].Value[len(blobs[i].Value)/2] ^= 1
		}
	}
	return l.world.Put(blobs...)
}

// A disk that fills up at any point of a rotation costs nothing.
func TestDiskFullDuringRotation(t *testing.T) {
	for room := 0; ; room++ {
		v, w := newVault(t, Options{})
		mustPut(t, v, Entry{ID: "p/1/a"}, Entry{ID: "p/1/b"}, Entry{ID: "c"})
		if err := v.Compact(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "k"})
		v.blobs = &filling{w, room}
		_, err := v.Shred("p/1/a", "k")
		v.Close()
		if err == nil {
			if room < 3 {
				t.Errorf("%d blobs were enough", room)
			}
			return
		}
		if !errors.Is(err, ErrDiskFull) || !errors.Is(err, ErrStopped) {
			t.Errorf("%d: %v", room, err)
		}
		v = reopen(t, w, Options{})
		if ids, _ := v.List(""); len(ids) != 4 || len(w.values) != len(v.tree.liveKeys()) {
			t.Errorf("%d: holds %q in %d blobs", room, ids, len(w.values))
		}
		if got, err := v.Shred("p/1/a", "k"); err != nil || got.Count != 2 {
			t.Errorf("%d: again: %v", room, err)
		}
	}
}

type filling struct {
	*world
	room int
}

func (f *filling) Put(blobs ...Blob) error {
	for _, b := range blobs {
		if f.room--; f.room < 0 {
			return syscall.ENOSPC
		}
		f.world.Put(b)
	}
	return nil
}

// A blob that is sealed with the right key for this very place is still not
// enough: each ref, and the slot, names one blob by its hash.
func TestRefNamesOneBlob(t *testing.T) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	root := v.tree.at.root
	forged := sealBlob(&root.key, v.tree.rootPlace().ad(&root), v.tree.encodeRoot())
	good := w.values[v.tree.rootPlace().key(&root)]
	w.MemoryBlobs.Put(Blob{Key: v.tree.rootPlace().key(&root), Value: forged})
	v.Close()
	if _, err := w.open(0, fault{}, Options{}); !errors.Is(err, ErrBlock) {
		t.Errorf("root: %v", err)
	}
	w.MemoryBlobs.Put(Blob{Key: v.tree.rootPlace().key(&root), Value: good})
	v = reopen(t, w, Options{})
	b := v.tree.bucketOf("a")
	r, p := v.tree.ref(b), v.tree.bucket(b)
	w.MemoryBlobs.Put(Blob{Key: p.key(r), Value: sealBlob(&r.key, p.ad(r), encodePage([]Entry{{ID: "a"}}))})
	if _, err := v.Get("a"); !errors.Is(err, ErrBlock) {
		t.Errorf("bucket: %v", err)
	}
}
