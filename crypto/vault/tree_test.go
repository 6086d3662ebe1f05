package vault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPutsFold(t *testing.T) {
	few := shape{fan: 4, pendingBytes: 1 << 20, deltas: 5, minFold: 2}
	v, w := newVault(t, Options{shape: few})
	for i := range 2*few.deltas + 1 {
		mustPut(t, v, Entry{ID: fmt.Sprintf("%05d", i), Value: []byte("v")})
	}
	if v.tree.deltas != 1 || v.tree.at.root.generation != 3 {
		t.Errorf("%d deltas in generation %d", v.tree.deltas, v.tree.at.root.generation)
	}
	inBuckets, _ := total(v.tree.middles)
	if inBuckets < 2*few.minFold || v.tree.carry.entries == 0 || int(v.tree.carry.entries)+inBuckets != 2*few.deltas {
		t.Errorf("%d in buckets, %d carried", inBuckets, v.tree.carry.entries)
	}
	if err := v.Compact(); err != nil || len(v.tree.pending) != 0 || v.tree.carry != (ref{}) {
		t.Errorf("compact: %v, %d pending", err, len(v.tree.pending))
	}
	before := w.effects
	if err := v.Compact(); err != nil || w.effects != before {
		t.Errorf("second compact: %v, %d effects", err, w.effects-before)
	}
	v.Close()
	v = reopen(t, w, Options{shape: few})
	if ids, _ := v.List(""); len(ids) != 2*few.deltas+1 || v.Verify() != nil {
		t.Errorf("%d entries", len(ids))
	}
}

// A fold whose deletes fail has committed, but the put behind it must not go on.
func TestFoldThenFailedDelete(t *testing.T) {
	few := shape{fan: 2, pendingBytes: 1 << 20, deltas: 3, minFold: 1000}
	v, w := newVault(t, Options{shape: few})
	for i := range few.deltas {
		mustPut(t, v, Entry{ID: fmt.Sprintf("%05d", i), Value: []byte("v")})
	}
	blobs := len(w.values)
	for n := 1; ; n++ { // the first effect after both slots
		probe := &world{MemoryBlobs: MemoryBlobs{values: maps.Clone(w.values)}}
		probe.slots = w.slots
		p, err := probe.open(0, fault{}, Options{shape: few})
		if err != nil {
			t.Fatal(err)
		}
		probe.effects, probe.failAt, probe.fault = 0, n, faults[0]
		err = p.Put(Entry{ID: "late"})
		p.Close()
		if !errors.Is(err, ErrStopped) || probe.effects != n {
			t.Fatalf("%v after %d effects", err, probe.effects)
		}
		if len(probe.values) > blobs && probe.slots[0] == probe.slots[1] && probe.slots[0] != w.slots[0] {
			p = reopen(t, probe, Options{shape: few})
			if ids, _ := p.List(""); len(ids) != few.deltas || p.tree.at.root.generation != 2 {
				t.Errorf("%d entries in generation %d", len(ids), p.tree.at.root.generation)
			}
			return
		}
	}
}

// What is replaced goes with the entry, wherever its values lie, and by Compact.
func TestReplacedValuesGo(t *testing.T) {
	for _, end := range []func(v *Vault) error{
		func(v *Vault) error { _, err := v.Shred("p/a/ks"); return err },
		(*Vault).Compact,
	} {
		v, w := newVault(t, Options{shape: shape{fan: 2, pendingBytes: 1 << 20, deltas: 100, minFold: 1}})
		mustPut(t, v, Entry{ID: "p/a/ks", Value: []byte("in its bucket")}, Entry{ID: "p/a/c"})
		if err := v.Compact(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "p/a/ks", Value: []byte("carried value"), Replace: true}, Entry{ID: "other"})
		if _, err := v.Shred("other"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "p/a/ks", Value: []byte("in one delta"), Replace: true})
		mustPut(t, v, Entry{ID: "p/a/ks", Value: []byte("in the last delta"), Replace: true})
		if got, _ := v.Get("p/a/ks"); string(got) != "in the last delta" {
			t.Errorf("get: %q", got)
		}
		if ids, _ := v.List("p/a/"); !slices.Equal(ids, []string{"p/a/c", "p/a/ks"}) {
			t.Errorf("list: %q", ids)
		}
		if !opensSomewhere(w.slots, w.copies, []byte("in its bucket")) || !opensSomewhere(w.slots, w.copies, []byte("carried value")) {
			t.Error("control: an old value does not open before")
		}
		if err := end(v); err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{"in its bucket", "carried value", "in one delta"} {
			if opensSomewhere(w.slots, w.copies, []byte(old)) {
				t.Errorf("%q opens", old)
			}
		}
	}
}

// One bucket that outgrows a blob refuses what is for it, and nothing else.
func TestFullBucket(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 2, pendingBytes: 64 << 10, deltas: 100, minFold: 1}})
	n := 0
	for ; ; n++ {
		err := v.Put(Entry{ID: fmt.Sprint("p/much/", n), Value: make([]byte, MaxValueBytes)})
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil || n > 70 {
			t.Fatal(n, err)
		}
	}
	if n < 60 {
		t.Errorf("full after %d entries", n)
	}
	mustPut(t, v, Entry{ID: "p/x/ks"}, Entry{ID: "p/y/ks"}, Entry{ID: "p/z/ks"})
	if got, err := v.Shred("p/much/7"); err != nil || got.Count != 1 {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "p/much/again", Value: make([]byte, 8000)})
	v.Close()
	v = reopen(t, w, Options{})
	if ids, _ := v.List("p/much/"); len(ids) != n || v.Verify() != nil {
		t.Errorf("%d entries", len(ids))
	}
}

// A damaged bucket stops nobody else's keys; whole again, it is as before.
func TestDamagedBucket(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 4, pendingBytes: 1 << 20, deltas: 4, minFold: 1}})
	for i := range 8 {
		mustPut(t, v, Entry{ID: fmt.Sprint("p/", i, "/ks"), Value: secretOf(fmt.Sprint(i))})
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	b := v.tree.bucketOf("p/1/ks")
	key := v.tree.bucket(b).key(v.tree.ref(b))
	w.values[key][60] ^= 1
	v.Close()
	v = reopen(t, w, Options{shape: v.shape})
	_, getErr := v.Get("p/1/ks")
	_, hasErr := v.Has("p/1/ks")
	_, shredErr := v.Shred("p/1/ks")
	_, listErr := v.List("")
	for what, err := range map[string]error{"get": getErr, "has": hasErr, "shred": shredErr, "list": listErr,
		"put": v.Put(Entry{ID: "p/1/new"}), "verify": v.Verify()} {
		if !errors.Is(err, ErrBlock) || errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range 8 {
		id := fmt.Sprint("p/", i, "/ks")
		if got, err := v.Get(id); v.tree.bucketOf(id) != b && (err != nil || string(got) != string(secretOf(fmt.Sprint(i)))) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for i := range 30 { // folds go on around it
		if id := fmt.Sprint("n", i); v.tree.bucketOf(id) != b {
			mustPut(t, v, Entry{ID: id})
		}
	}
	w.values[key][60] ^= 1
	if _, err := v.Get("p/1/ks"); err != nil || v.Verify() != nil {
		t.Errorf("whole again: %v", err)
	}
	if got, err := v.Shred("p/1/ks"); err != nil || got.Count != 1 {
		t.Errorf("shred: %v", err)
	}
}

// What is pending for a bucket that was damaged since stays pending.
// What is given up is gone for good, also if a whole copy of its blob appears, and
// nothing else is.
func TestGiveUp(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 4, pendingBytes: 1 << 20, deltas: 4, minFold: 1}})
	all := map[string]bool{}
	for i := range 12 {
		id := fmt.Sprint("p/", i, "/ks")
		all[id] = true
		mustPut(t, v, Entry{ID: id, Value: secretOf(id)})
	}
	if n, err := v.GiveUp(); err != nil || n != 0 {
		t.Errorf("it gives up %d of what is whole, %v", n, err)
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "p/1/pending", Value: secretOf("p/1/pending")})
	b := v.tree.bucketOf("p/1/ks")
	key, lost := v.tree.bucket(b).key(v.tree.ref(b)), 0
	for id := range all {
		if v.tree.bucketOf(id) == b {
			lost++
			delete(all, id)
		}
	}
	whole := slices.Clone(w.values[key])
	w.values[key][60] ^= 1
	if n, err := v.GiveUp(); err != nil || n != lost || v.Verify() != nil {
		t.Fatalf("gives up %d, want %d, %v", n, lost, err)
	}
	w.values[key] = whole
	v.Close()
	v = reopen(t, w, Options{shape: v.shape})
	all["p/1/pending"] = true
	if ids, err := v.List(""); err != nil || !slices.Equal(ids, slices.Sorted(maps.Keys(all))) {
		t.Errorf("holds %q, %v", ids, err)
	}
	mustPut(t, v, Entry{ID: "p/1/ks", Value: []byte("from another custodian")})
	if loot := plunder(w.slots, append(w.copies, whole)); loot.has(secretOf("p/1/ks")) || !loot.has(secretOf("p/1/pending")) {
		t.Error("what was given up opens, or what was not does not")
	}
}

func TestFoldLeavesDamagedBucketOut(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 1, pendingBytes: 1 << 20, deltas: 4, minFold: 1}})
	mustPut(t, v, Entry{ID: "a"})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "b"})
	key := v.tree.bucket(0).key(v.tree.ref(0))
	w.values[key][60] ^= 1
	if err := v.Compact(); !errors.Is(err, ErrBlock) || len(v.tree.pending) != 1 {
		t.Errorf("compact: %v, %d pending", err, len(v.tree.pending))
	}
	w.values[key][60] ^= 1
	v.Close()
	v = reopen(t, w, Options{shape: v.shape})
	if ids, _ := v.List(""); !slices.Equal(ids, []string{"a", "b"}) || v.Compact() != nil || len(v.tree.pending) != 0 {
		t.Errorf("holds %q", ids)
	}
}

// A second handle, which the lock of a file prevents, is found out before it
// overwrites the slots.
func TestTwoHandles(t *testing.T) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
	second, err := Open(worldSlot{w}, w, Options{shape: small})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Shred("a"); err != nil {
		t.Fatal(err)
	}
	slots := w.slots
	if _, err := second.Shred("b"); !errors.Is(err, ErrSlot) || !errors.Is(err, ErrStopped) || w.slots != slots {
		t.Errorf("%v", err)
	}
	second.Close()
	v.Close()
	v = reopen(t, w, Options{})
	if ids, _ := v.List(""); !slices.Equal(ids, []string{"b"}) {
		t.Errorf("holds %q", ids)
	}
}

// Random calls, with the vault closed and opened between them, against a map.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := shape{
			fan:          rapid.SampledFrom([]int{1, 2, 4}).Draw(r, "fan"),
			pendingBytes: rapid.IntRange(1, 400).Draw(r, "pending"),
			deltas:       rapid.IntRange(1, 6).Draw(r, "deltas"),
			minFold:      rapid.IntRange(1, 6).Draw(r, "fold"),
		}
		w, want := &world{}, map[string]string{}
		open := func() *Vault {
			v, err := w.open(0, fault{}, Options{shape: s})
			if err != nil {
				r.Fatal(err)
			}
			return v
		}
		v := open()
		id := rapid.StringMatching(`p/[abc]/[xy]|[lh]/[a-d]`)
		no := func(err error) {
			if err != nil {
				r.Fatal(err)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				var entries []Entry
				for _, id := range rapid.SliceOfNDistinct(id, 1, 4, rapid.ID).Draw(r, "ids") {
					value := rapid.StringMatching(`[a-z]{0,40}`).Draw(r, "value")
					entries = append(entries, Entry{ID: id, Value: []byte(value), Replace: true})
					want[id] = value
				}
				no(v.Put(entries...))
			},
			"put again": func(r *rapid.T) {
				id := id.Draw(r, "id")
				err := v.Put(Entry{ID: id, Value: []byte("another value")})
				if old, held := want[id]; held && old != "another value" {
					if !errors.Is(err, ErrExists) {
						r.Fatal(err)
					}
					return
				}
				no(err)
				want[id] = "another value"
			},
			"shred": func(r *rapid.T) {
				ids := rapid.SliceOfN(id, 0, 5).Draw(r, "ids")
				before := len(want)
				for _, id := range ids {
					delete(want, id)
				}
				got, err := v.Shred(ids...)
				no(err)
				if got.Count != before-len(want) {
					r.Fatalf("%d of %d shredded", got.Count, before-len(want))
				}
			},
			"compact": func(r *rapid.T) { no(v.Compact()) },
			"fold": func(r *rapid.T) {
				_, err := v.Fold()
				no(err)
			},
			"reopen": func(r *rapid.T) {
				no(v.Close())
				v = open()
			},
			"": func(r *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "p/", "p/a/", "p/b/x", "l/", "h/a", "none"}).Draw(r, "prefix")
				var ids []string
				for id := range want {
					if strings.HasPrefix(id, prefix) {
						ids = append(ids, id)
					}
				}
				slices.Sort(ids)
				if got, err := v.List(prefix); err != nil || !slices.Equal(got, ids) {
					r.Fatalf("list %q: %q, want %q, %v", prefix, got, ids, err)
				}
				for id, value := range want {
					if got, err := v.Get(id); err != nil || string(got) != value {
						r.Fatalf("%s: %q, want %q, %v", id, got, value, err)
					}
				}
				no(v.Verify())
				if len(w.values) != len(v.tree.liveKeys()) {
					r.Fatalf("%d blobs, want %d", len(w.values), len(v.tree.liveKeys()))
				}
			},
		})
		v.Close()
	})
}

// Verify finds every blob that is changed anywhere, missing, or under the name of
// another.
func TestVerifyFindsAnyChange(t *testing.T) {
	v, w := newVault(t, Options{})
	for i := range 6 {
		mustPut(t, v, Entry{ID: fmt.Sprint("p/", i, "/ks"), Value: secretOf("x")})
	}
	if _, err := v.Shred("p/0/ks"); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "last"})
	kinds := map[string]bool{}
	found := func(what, key string) {
		t.Helper()
		if err := v.Verify(); !errors.Is(err, ErrBlock) && !errors.Is(err, ErrDelta) {
			t.Errorf("%s %s: %v", key, what, err)
		}
	}
	keys := slices.Sorted(maps.Keys(w.values))
	for i, key := range keys {
		good := w.values[key]
		for at := range good {
			w.values[key] = slices.Clone(good)
			w.values[key][at] ^= 0x20
			found(fmt.Sprint("byte ", at), key)
		}
		w.values[key] = w.values[keys[(i+1)%len(keys)]]
		found("exchanged", key)
		delete(w.values, key)
		found("missing", key)
		w.values[key] = good
		kinds[strings.Split(key, "/")[3]] = true
	}
	if err := v.Verify(); err != nil || len(kinds) != len(blobKinds) {
		t.Errorf("afterwards: %v, of kinds %v", err, kinds)
	}
}
