package vault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A fault is what one effect does instead of succeeding. All report an error.
type fault struct {
	name string
	// slot returns what is in the slot afterwards.
	slot func(was, is [SlotBytes]byte) [SlotBytes]byte
	// blob reports whether a put or delete happens, and how much of a value.
	happens bool
	cut     bool
}

func tear(at int) func(was, is [SlotBytes]byte) [SlotBytes]byte {
	return func(was, is [SlotBytes]byte) [SlotBytes]byte {
		copy(was[:at], is[:at])
		return was
	}
}

var faults = []fault{
	{name: "failed", slot: tear(0)},
	{name: "failed but persisted", slot: tear(SlotBytes), happens: true},
	{name: "torn within the key", slot: tear(48), happens: true, cut: true},
	{name: "torn within the root block's hash", slot: tear(96), happens: true, cut: true},
	{name: "torn after a sector", slot: tear(512), happens: true, cut: true},
	{name: "torn before the checksum", slot: tear(slotCheckStart), happens: true, cut: true},
	{name: "torn, last sector first", slot: func(was, is [SlotBytes]byte) [SlotBytes]byte {
		copy(was[SlotBytes-512:], is[SlotBytes-512:])
		return was
	}, happens: true, cut: true},
}

// world is slot and store of one machine. It counts effects and makes the one
// numbered failAt fail. It keeps a copy of every value ever put.
type world struct {
	MemoryBlobs
	MemorySlot
	effects, failAt int
	fault           fault
	tornDelta       bool
	copies          [][]byte
	order           sync.Mutex // one effect after the other
}

var errInjected = errors.New("injected")

func (w *world) fails() bool {
	w.effects++
	return w.effects == w.failAt
}

// Put takes each blob as one effect. After one that failed the rest of the batch
// happens too, or not, as the fault says.
func (w *world) Put(blobs ...Blob) (err error) {
	w.order.Lock()
	defer w.order.Unlock()
	for _, b := range blobs {
		w.copies = append(w.copies, slices.Clone(b.Value))
		switch {
		case err != nil && w.fault.happens:
			w.MemoryBlobs.Put(b)
		case err != nil:
		case !w.fails():
			w.MemoryBlobs.Put(b)
		default:
			err = errInjected
			w.putBadly(b)
		}
	}
	return err
}

func (w *world) putBadly(b Blob) {
	if w.fault.cut {
		w.tornDelta = strings.Contains(b.Key, "/delta/")
		b.Value = b.Value[:len(b.Value)/2]
	}
	if w.fault.happens {
		w.MemoryBlobs.Put(b)
	}
}

func (w *world) Delete(keys ...string) (err error) {
	w.order.Lock()
	defer w.order.Unlock()
	for _, key := range keys {
		if err == nil && w.fails() {
			err = errInjected
		}
		if err == nil || w.fault.happens {
			w.MemoryBlobs.Delete(key)
		}
	}
	return err
}

// worldSlot is the slot side of a world, since both sides have a method Close.
type worldSlot struct{ *world }

func (s worldSlot) Write(i int, content [SlotBytes]byte) error {
	s.order.Lock()
	defer s.order.Unlock()
	if !s.fails() {
		return s.MemorySlot.Write(i, content)
	}
	was, _ := s.Read(i)
	s.MemorySlot.Write(i, s.fault.slot(was, content))
	return errInjected
}

func (s worldSlot) Read(i int) ([SlotBytes]byte, error) { return s.MemorySlot.Read(i) }

func unhex(s string) (b []byte) {
	fmt.Sscanf(s, "%x", &b)
	return b
}

func (w *world) open(failAt int, f fault, opts Options) (*Vault, error) {
	w.effects, w.failAt, w.fault = 0, failAt, f
	if opts.shape == (shape{}) {
		opts.shape = small
	}
	v, err := Open(worldSlot{w}, w, opts)
	if err == nil && !v.tree.at.planted() {
		v.tree.resalt() // the same buckets in every run
	}
	return v, err
}

func (t *tree) resalt() {
	pending := t.pending
	t.salt, t.pending, t.pendingIn, t.pendingBytes = [32]byte{}, map[string]held{}, map[int]int{}, 0
	for id, h := range pending {
		t.set(Entry{ID: id, Value: h.value}, t.bucketOf(id))
	}
}

func (w *world) keep() (map[string][]byte, [2][SlotBytes]byte) {
	return maps.Clone(w.values), w.slots
}

// small is a tree in which a few entries fill everything: a put folds when three
// are pending.
var small = shape{fan: 2, foldAt: 100, pendingBytes: 150, deltas: 8, minFold: 1}

// step is one call in a story.
type step struct {
	put     []string // ids
	shred   []string
	compact bool
	fold    bool
}

// The story has entries that die pending, carried and in buckets, puts that fold,
// and buckets and middle blocks that become empty.
var story = []step{
	{put: []string{"p/p01/ks", "l/phone/000-0000-0001"}},
	{put: []string{"p/p02/ks"}},
	{shred: []string{"p/p01/ks", "l/phone/000-0000-0001"}},
	{put: []string{"p/p03/ks", "p/p04/ks"}},
	{compact: true},
	{put: []string{"p/p03/c/a", "p/p06/ks"}},
	{fold: true},
	{shred: []string{"p/p06/ks"}},
	{put: []string{"p/p07/ks"}},
	{put: []string{"p/p08/ks"}},
	{shred: []string{"p/p03/ks", "p/p08/ks"}},
	{shred: []string{"p/p02/ks", "p/p04/ks", "p/p03/c/a", "p/p07/ks"}},
	{put: []string{"p/p05/ks"}},
}

func secretOf(id string) []byte { return fmt.Appendf(nil, "the secret of %s, long enough to find", id) }

func (s step) do(v *Vault) error {
	if s.put != nil {
		var entries []Entry
		for _, id := range s.put {
			entries = append(entries, Entry{ID: id, Value: secretOf(id)})
		}
		return v.Put(entries...)
	}
	if s.compact {
		return v.Compact()
	}
	if s.fold {
		_, err := v.Fold()
		return err
	}
	_, err := v.Shred(s.shred...)
	return err
}

// after returns what is held after s, given what was held before.
func (s step) after(held []string) []string {
	held = append(slices.Clone(held), s.put...)
	return slices.DeleteFunc(held, func(id string) bool { return slices.Contains(s.shred, id) })
}

// outcome is what a story that was cut short has promised: every id of an
// acknowledged put, what must be held now, and what may be held instead because
// the outcome of the failed call is unknown.
type outcome struct{ put, sure, maybe []string }

// play runs the story until a call fails or the end. A delete that fails belongs
// to a shred that was committed: only the next call reports it.
func play(t *testing.T, w *world, failAt int, f fault) (o outcome, finished bool) {
	v, err := w.open(failAt, f, Options{})
	if err != nil {
		return o, false
	}
	defer v.Close()
	for _, s := range story {
		err := s.do(v)
		o.maybe = s.after(o.sure)
		if err == nil {
			o.put, o.sure = append(o.put, s.put...), o.maybe
			continue
		}
		if !errors.Is(err, ErrStopped) {
			t.Fatalf("not a stop: %v", err)
		}
		if _, err := v.Get("x"); !errors.Is(err, ErrStopped) {
			t.Fatalf("get after the failure: %v", err)
		}
		if w.effects != failAt {
			t.Fatalf("%d effects after the failed one", w.effects-failAt)
		}
		return o, false
	}
	return o, true
}

// Every effect of the story fails in every way, then every effect of the
// recovery does, and a last recovery must find exactly what was promised.
func TestCrashTable(t *testing.T) {
	cases, inRecovery, seconds := 0, 0, faults
	if testing.Short() {
		seconds = faults[1:3]
	}
	for _, first := range faults {
		for n := 1; ; n++ {
			w := &world{}
			promised, finished := play(t, w, n, first)
			if finished && w.effects < n {
				break
			}
			blobs, slots := w.keep()
			for _, second := range seconds {
				for m := 1; ; m++ {
					again := &world{copies: slices.Clone(w.copies), tornDelta: w.tornDelta}
					again.values, again.slots = maps.Clone(blobs), slots
					name := fmt.Sprintf("effect %d %s, recovery effect %d %s", n, first.name, m, second.name)
					opts := Options{DropDamagedTail: refusesTornDelta(t, name, again)}
					v, err := again.open(m, second, opts)
					if err == nil {
						v.Close()
					}
					hit := again.effects >= m
					checkRecovered(t, name, again, opts, promised)
					cases++
					if !hit {
						break
					}
					inRecovery++
				}
			}
		}
	}
	t.Logf("%d cases, %d with a second crash in the recovery", cases, inRecovery)
	if cases < 500 || inRecovery < 100 {
		t.Error("suspiciously few cases")
	}
}

// refusesTornDelta checks that a torn delta, which a store that keeps its promise
// never has, is refused without any effect. It reports whether there is one.
func refusesTornDelta(t *testing.T, name string, w *world) bool {
	if !w.tornDelta {
		return false
	}
	if _, err := w.open(0, fault{}, Options{}); !errors.Is(err, ErrDelta) {
		t.Fatalf("%s: torn delta: %v", name, err)
	}
	if w.effects != 0 {
		t.Fatalf("%s: refusing had %d effects", name, w.effects)
	}
	return true
}

func checkRecovered(t *testing.T, name string, w *world, opts Options, o outcome) {
	t.Helper()
	v, err := w.open(0, fault{}, opts)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	held, _ := v.List("")
	slices.Sort(o.sure)
	slices.Sort(o.maybe)
	if !slices.Equal(held, o.sure) && !slices.Equal(held, o.maybe) {
		t.Fatalf("%s: holds %q, want %q or %q", name, held, o.sure, o.maybe)
	}
	for _, id := range held {
		if got, err := v.Get(id); err != nil || string(got) != string(secretOf(id)) {
			t.Fatalf("%s: %s: %q, %v", name, id, got, err)
		}
	}
	if err := v.Verify(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if want := len(v.tree.liveKeys()); len(w.values) != want {
		t.Fatalf("%s: %d blobs, want %d", name, len(w.values), want)
	}
	v.Close()
	loot := plunder(w.slots, w.copies)
	for _, id := range o.put {
		if !slices.Contains(held, id) && loot.has(secretOf(id)) {
			t.Fatalf("%s: %s still opens", name, id)
		}
	}
}

// The story is worth failing in only if it reaches every kind of blob and step.
func TestStoryCoversTheTree(t *testing.T) {
	v, w := newVault(t, Options{})
	seen := map[string]bool{}
	for _, s := range story {
		was := v.tree.at.root.generation
		middles := slices.Clone(v.tree.middles)
		if err := s.do(v); err != nil {
			t.Fatal(err)
		}
		seen["a put that folds"] = seen["a put that folds"] || s.put != nil && v.tree.at.root.generation > was
		for m := range middles {
			gone := middles[m].entries > 0 && v.tree.middles[m].entries == 0
			seen["a middle block that empties"] = seen["a middle block that empties"] || gone
		}
		for key := range w.values {
			seen[strings.Split(key, "/")[3]] = true
		}
	}
	for _, what := range append(slices.Clone(blobKinds), "a put that folds", "a middle block that empties") {
		if !seen[what] {
			t.Errorf("the story has no %s", what)
		}
	}
}
