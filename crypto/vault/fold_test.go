package vault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// roomy lets everything wait until it is folded on purpose.
var roomy = shape{fan: 2, foldAt: 0, pendingBytes: 64 << 10, deltas: 1000, minFold: 1000}

// foldable returns a vault with one secret in a bucket and three that are pending.
func foldable(t *testing.T) (*Vault, *world) {
	v, w := newVault(t, Options{shape: roomy})
	mustPut(t, v, Entry{ID: "p/1/a", Value: secretOf("p/1/a")})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "p/1/b", Value: secretOf("p/1/b")}, Entry{ID: "p/1/c", Value: secretOf("p/1/c")})
	mustPut(t, v, Entry{ID: "l/2", Value: secretOf("l/2")})
	return v, w
}

// wholeAs sees that a vault, also when opened again, holds these entries and has no
// blob too many.
func wholeAs(t *testing.T, v *Vault, w *world, want map[string][]byte) {
	t.Helper()
	for range 2 {
		ids, err := v.List("")
		if err != nil || len(ids) != len(want) || v.Verify() != nil || len(w.values) != len(v.tree.liveKeys()) {
			t.Fatalf("holds %q in %d blobs, %v", ids, len(w.values), err)
		}
		for id, value := range want {
			if got, err := v.Get(id); err != nil || string(got) != string(value) {
				t.Errorf("%s: %q, %v", id, got, err)
			}
		}
		v.Close()
		v = reopen(t, w, Options{shape: roomy})
	}
}

// What is put, also over what is being folded, while a fold runs is there after it.
func TestPutsBesideAFold(t *testing.T) {
	v, w := foldable(t)
	if !v.FoldDue() {
		t.Fatal("not due")
	}
	f, err := v.beginFold()
	if err != nil || v.FoldDue() {
		t.Fatal(err)
	}
	if moved, err := v.Fold(); moved != 0 || err != nil {
		t.Fatalf("a second fold at once: %d, %v", moved, err)
	}
	mustPut(t, v, Entry{ID: "l/3", Value: []byte("while it began")})
	if err := f.prepare(v); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "p/1/b", Value: []byte("over it"), Replace: true})
	mustPut(t, v, Entry{ID: "p/1/d", Value: []byte("new")})
	if got, _ := v.Get("p/1/a"); string(got) != string(secretOf("p/1/a")) {
		t.Errorf("a get meanwhile: %q", got)
	}
	if err := f.finish(v); err != nil {
		t.Fatal(err)
	}
	if err := remove(v.blobs, f.dead); err != nil {
		t.Fatal(err)
	}
	v.endFold()
	if n := len(v.tree.pending); n != 3 || v.tree.deltas != 0 {
		t.Errorf("%d pending, %d deltas", n, v.tree.deltas)
	}
	wholeAs(t, v, w, map[string][]byte{"p/1/a": secretOf("p/1/a"), "p/1/b": []byte("over it"), "p/1/c": secretOf("p/1/c"),
		"p/1/d": []byte("new"), "l/2": secretOf("l/2"), "l/3": []byte("while it began")})
}

// A shred that comes while a fold runs is not undone by it: what was shredded, be it
// pending or in a bucket that was sealed anew already, opens from no copy, and the fold
// leaves nothing behind.
func TestShredOvertakesAFold(t *testing.T) {
	for _, gone := range []string{"p/1/a", "p/1/b"} {
		for _, when := range []string{"begun", "half", "prepared"} {
			t.Run(gone+" "+when, func(t *testing.T) {
				v, w := foldable(t)
				f, err := v.beginFold()
				if err != nil {
					t.Fatal(err)
				}
				if when == "half" {
					if _, _, err := f.bucket(v, v.tree.bucketOf(gone)); err != nil {
						t.Fatal(err)
					}
				}
				if when == "prepared" {
					if err := f.prepare(v); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := v.Shred(gone); err != nil || got.Count != 1 {
					t.Fatal(got, err)
				}
				if when == "prepared" {
					err = f.finish(v)
				} else {
					err = f.prepare(v)
				}
				if !errors.Is(err, errOvertaken) {
					t.Fatalf("%v, want %v", err, errOvertaken)
				}
				if err := f.cancel(v, err); err != nil {
					t.Fatal(err)
				}
				v.endFold()
				want := map[string][]byte{}
				for _, id := range []string{"p/1/a", "p/1/b", "p/1/c", "l/2"} {
					want[id] = secretOf(id)
				}
				delete(want, gone)
				wholeAs(t, v, w, want)
				if opensSomewhere(w.slots, w.copies, secretOf(gone)) {
					t.Error("it still opens")
				}
			})
		}
	}
}

// A damaged bucket keeps what is pending for it; the rest is folded.
func TestFoldPastADamagedBucket(t *testing.T) {
	v, w := foldable(t)
	for n := 0; v.tree.bucketOf(fmt.Sprint("l/", n)) != v.tree.bucketOf("p/1/a"); n++ {
		mustPut(t, v, Entry{ID: fmt.Sprint("l/other", n)})
	}
	mustPut(t, v, Entry{ID: "elsewhere0"}, Entry{ID: "elsewhere1"}, Entry{ID: "elsewhere2"}, Entry{ID: "elsewhere3"})
	bad := v.tree.bucketOf("p/1/a")
	key, stays := v.tree.bucket(bad).key(v.tree.ref(bad)), 0
	for _, h := range v.tree.pending {
		if h.bucket == bad {
			stays++
		}
	}
	all := len(v.tree.pending)
	w.values[key][60] ^= 1
	if moved, err := v.Fold(); !errors.Is(err, ErrBlock) || moved != all-stays || len(v.tree.pending) != stays {
		t.Errorf("%d of %d moved, %v", moved, all, err)
	}
	w.values[key][60] ^= 1
	if moved, err := v.Fold(); err != nil || moved != stays {
		t.Errorf("whole again: %d moved, %v", moved, err)
	}
	if err := v.Verify(); err != nil {
		t.Error(err)
	}
}

// A put that finds no room waits for the fold that runs, and Close for its end.
func TestPutWaitsForFold(t *testing.T) {
	few := roomy
	few.deltas = 4
	v, w := newVault(t, Options{shape: few})
	for i := range few.deltas {
		mustPut(t, v, Entry{ID: fmt.Sprint("p/", i, "/ks")})
	}
	f, err := v.beginFold()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { mustPut(t, v, Entry{ID: "late"}) })
	if err := f.prepare(v); err != nil {
		t.Fatal(err)
	}
	if err := f.finish(v); err != nil {
		t.Fatal(err)
	}
	if err := remove(v.blobs, f.dead); err != nil {
		t.Fatal(err)
	}
	v.endFold()
	wg.Wait()
	if g := v.tree.at.root.generation; g != 2 {
		t.Errorf("generation %d: the put folded by itself", g)
	}
	if ids, _ := v.List(""); len(ids) != few.deltas+1 || len(w.values) != len(v.tree.liveKeys()) {
		t.Errorf("holds %q", ids)
	}
}

// Puts, reads, shreds and folds at once: nothing is lost, and nothing comes back.
func TestFoldsRace(t *testing.T) {
	v, w := newVault(t, Options{shape: shape{fan: 4, foldAt: 300, pendingBytes: 4 << 10, deltas: 40, minFold: 1}})
	var folder, workers sync.WaitGroup
	done := make(chan struct{})
	folds := 0
	folder.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			moved, err := v.Fold()
			if err != nil {
				t.Error(err)
				return
			}
			if moved > 0 {
				folds++
			}
		}
	})
	const people = 4
	for n := range people {
		workers.Go(func() {
			for i := range 60 {
				id := fmt.Sprintf("p/%d-%d/ks", n, i)
				if err := v.Put(Entry{ID: id, Value: secretOf(id)}); err != nil {
					t.Error(err)
				}
				if got, err := v.Get(id); err != nil || string(got) != string(secretOf(id)) {
					t.Errorf("%s: %q, %v", id, got, err)
				}
				if i%3 == 0 {
					if got, err := v.Shred(id); err != nil || got.Count != 1 {
						t.Errorf("%s: %+v, %v", id, got, err)
					}
				}
			}
		})
	}
	workers.Wait()
	close(done)
	folder.Wait()
	ids, err := v.List("")
	if err != nil || len(ids) != people*40 || v.Verify() != nil || len(w.values) != len(v.tree.liveKeys()) {
		t.Errorf("%d entries, %d blobs, %v, %v", len(ids), len(w.values), err, v.Verify())
	}
	if folds == 0 {
		t.Error("nothing was folded beside")
	}
	loot := plunder(w.slots, w.copies[max(0, len(w.copies)-400):])
	for n := range people {
		for i := 0; i < 60; i += 3 {
			id := fmt.Sprintf("p/%d-%d/ks", n, i)
			if slices.Contains(ids, id) || loot.has(secretOf(id)) {
				t.Errorf("%s is still there", id)
			}
		}
	}
}

// Blobs beside an entry are put with it, whole or not at all, and never looked at.
func TestPutBeside(t *testing.T) {
	v, w := newVault(t, Options{})
	beside := []Blob{{Key: "desk/k/1", Value: []byte("file"), Beside: true}}
	if err := v.PutBeside(beside, Entry{ID: "a", Value: []byte("one")}); err != nil || string(w.values["desk/k/1"]) != "file" {
		t.Fatal(err)
	}
	beside[0].Value = []byte("other")
	if err := v.PutBeside(beside, Entry{ID: "a", Value: []byte("two")}); !errors.Is(err, ErrExists) || string(w.values["desk/k/1"]) != "file" {
		t.Errorf("with an entry that is refused: %v, %q", err, w.values["desk/k/1"])
	}
	if err := v.PutBeside(beside, Entry{ID: "a", Value: []byte("one")}); err != nil || string(w.values["desk/k/1"]) != "other" {
		t.Errorf("with an entry that is there: %v, %q", err, w.values["desk/k/1"])
	}
	big := []Blob{{Key: "desk/k/2", Value: make([]byte, maxBesideBytes), Beside: true}}
	if err := v.PutBeside(big, Entry{ID: "b"}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "beside") {
		t.Errorf("too much: %v", err)
	}
	if has, err := v.Has("b"); has || err != nil {
		t.Errorf("%t, %v", has, err)
	}
}
