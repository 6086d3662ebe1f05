package vault

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func newVault(t testing.TB, opts Options) (*Vault, *world) {
	t.Helper()
	w := &world{}
	return reopen(t, w, opts), w
}

func reopen(t testing.TB, w *world, opts Options) *Vault {
	t.Helper()
	v, err := w.open(0, fault{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func mustPut(t testing.TB, v *Vault, entries ...Entry) {
	t.Helper()
	if err := v.Put(entries...); err != nil {
		t.Fatal(err)
	}
}

func TestPutGetListShred(t *testing.T) {
	v, w := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "b/2", Value: []byte("two")}, Entry{ID: "a/1", Value: []byte("one")}, Entry{ID: "a/0"})
	mustPut(t, v, Entry{ID: "a/1", Value: []byte("uno"), Replace: true})
	for range 2 {
		if ids, _ := v.List("a/"); !slices.Equal(ids, []string{"a/0", "a/1"}) {
			t.Errorf("list: %q", ids)
		}
		if got, err := v.Get("a/1"); err != nil || string(got) != "uno" {
			t.Errorf("get: %q, %v", got, err)
		}
		if has, err := v.Has("a/0"); !has || err != nil {
			t.Errorf("has: %t, %v", has, err)
		}
		v.Close()
		v = reopen(t, w, Options{})
	}
	generation := v.tree.at.root.generation
	got, err := v.Shred("a/1", "a/1", "nobody", "b/2")
	if want := (Shredding{generation + 1, "memory", 2}); err != nil || got != want {
		t.Errorf("shred: %+v, %v; want %+v", got, err, want)
	}
	if _, err := v.Get("a/1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get shredded: %v", err)
	}
	before := w.effects
	if got, err := v.Shred("a/1"); err != nil || got.Count != 0 || got.Generation != generation+1 || w.effects != before {
		t.Errorf("second shred: %+v, %v, %d effects", got, err, w.effects-before)
	}
	mustPut(t, v, Entry{ID: "a/1", Value: []byte("again")})
}

func TestPutRefusals(t *testing.T) {
	v, w := newVault(t, Options{MaxEntries: 3})
	mustPut(t, v, Entry{ID: "a", Value: []byte("one")})
	before := w.effects
	var big []Entry
	for i := range 70 {
		big = append(big, Entry{ID: fmt.Sprint("a", i), Value: make([]byte, MaxValueBytes)})
	}
	for _, c := range []struct {
		name string
		put  []Entry
		want error
	}{
		{"empty id", []Entry{{}}, ErrInvalid},
		{"long id", []Entry{{ID: strings.Repeat("x", MaxIDBytes+1)}}, ErrInvalid},
		{"long value", []Entry{{ID: "b", Value: make([]byte, MaxValueBytes+1)}}, ErrInvalid},
		{"repeated", []Entry{{ID: "b"}, {ID: "b"}}, ErrInvalid},
		{"another value", []Entry{{ID: "b"}, {ID: "a", Value: []byte("two")}}, ErrExists},
		{"too many", []Entry{{ID: "b"}, {ID: "c"}, {ID: "d"}}, ErrFull},
	} {
		if err := v.Put(c.put...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := v.Put(Entry{ID: "a", Value: []byte("one")}); err != nil {
		t.Errorf("same value: %v", err)
	}
	full, _ := newVault(t, Options{MaxEntries: 1})
	mustPut(t, full, Entry{ID: "a"})
	for i := range 8 {
		mustPut(t, full, Entry{ID: fmt.Sprint("e", i), Reserve: true})
	}
	mustPut(t, full, Entry{ID: "a", Value: []byte("other"), Replace: true})
	for _, put := range [][]Entry{{{ID: "b"}}, {{ID: "e8", Reserve: true}}} {
		if err := full.Put(put...); !errors.Is(err, ErrFull) {
			t.Errorf("beyond the reserve: %v", err)
		}
	}
	if ids, _ := v.List(""); w.effects != before || len(ids) != 1 {
		t.Errorf("%d effects, holds %q", w.effects-before, ids)
	}
	roomy, _ := newVault(t, Options{})
	if err := roomy.Put(big...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestFaultsHaveCodes(t *testing.T) {
	for cause, want := range map[error]error{
		syscall.ENOSPC: ErrDiskFull, syscall.EDQUOT: ErrDiskFull, syscall.EROFS: ErrReadOnly, syscall.EIO: ErrIO,
	} {
		w := &world{}
		v, err := Open(worldSlot{w}, failing{w, cause}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = v.Put(Entry{ID: "p/p01"})
		if !errors.Is(err, want) || !errors.Is(err, ErrStopped) || !errors.Is(err, cause) || strings.Contains(err.Error(), "p01") {
			t.Errorf("%v: %v", cause, err)
		}
		if err := v.Put(Entry{ID: "b"}); !errors.Is(err, ErrStopped) {
			t.Errorf("after it: %v", err)
		}
	}
}

type failing struct {
	*world
	err error
}

func (f failing) Put(...Blob) error { return fmt.Errorf("put: %w", f.err) }

func TestClosed(t *testing.T) {
	v, _ := newVault(t, Options{})
	mustPut(t, v, Entry{ID: "a", Value: []byte("one")})
	inside := v.tree.pending["a"].value
	key := &v.tree.at.root.key
	if v.Close() != nil || v.Close() != nil {
		t.Error("close")
	}
	if string(inside) != "\x00\x00\x00" || *key != [32]byte{} {
		t.Error("secrets remain in memory")
	}
	_, getErr := v.Get("a")
	_, hasErr := v.Has("a")
	_, listErr := v.List("")
	_, shredErr := v.Shred("a")
	for _, err := range []error{getErr, hasErr, listErr, shredErr, v.Put(Entry{ID: "b"}), v.Verify()} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestVaultRedactsItself(t *testing.T) {
	v, _ := newVault(t, Options{})
	e := Entry{ID: "p/p01", Value: []byte("SECRET")}
	mustPut(t, v, e)
	var out strings.Builder
	type holder struct {
		v *Vault
		E Entry
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, value := range []any{v, e, &e, []Entry{e}, holder{v: v}, &holder{v: v, E: e}} {
			fmt.Fprintf(&out, verb, value)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "e", e)
	key := v.tree.at.root.key[:6]
	for _, bad := range []string{"SECRET", "p01", "83 69 67", "534543", fmt.Sprint(key)[1:10], fmt.Sprintf("%x", key)} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q was printed", bad)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	v, _ := newVault(t, Options{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d/%d", g, i)
				if err := v.Put(Entry{ID: id, Value: []byte(id)}); err != nil {
					t.Error(err)
				}
				if got, err := v.Get(id); err != nil || string(got) != id {
					t.Errorf("%q, %v", got, err)
				}
				if i%10 == 0 {
					v.Shred(id)
				}
			}
		})
	}
	wg.Wait()
	if ids, _ := v.List(""); len(ids) != 4*45 || v.Verify() != nil {
		t.Errorf("%d entries", len(ids))
	}
}

// What a caller has beside goes with the entries, in the same write, also where these are
// gone already; a shred that is refused leaves it.
func TestShredBeside(t *testing.T) {
	v, w := newVault(t, Options{})
	beside := func(key string) bool { _, ok := w.values[key]; return ok }
	for _, key := range []string{"x/1", "x/2"} {
		if err := v.PutBeside([]Blob{{Key: key, Value: []byte("sealed"), Beside: true}}, Entry{ID: "p/" + key, Value: []byte("key")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	bucket := v.tree.bucket(v.BucketOf("p/x/1")).key(v.tree.ref(v.BucketOf("p/x/1")))
	was := w.values[bucket]
	w.values[bucket] = []byte("damaged")
	if _, err := v.ShredBeside([]string{"x/1"}, "p/x/1"); !errors.Is(err, ErrBlock) || !beside("x/1") {
		t.Errorf("a damaged bucket: %v, beside: %t", err, beside("x/1"))
	}
	w.values[bucket] = was
	if got, err := v.ShredBeside([]string{"x/1"}, "p/x/1"); err != nil || got.Count != 1 || beside("x/1") || !beside("x/2") {
		t.Errorf("%+v, %v; beside: %t, %t", got, err, beside("x/1"), beside("x/2"))
	}
	if got, err := v.ShredBeside([]string{"x/2"}, "p/gone"); err != nil || got.Count != 0 || beside("x/2") {
		t.Errorf("none there: %+v, %v; beside: %t", got, err, beside("x/2"))
	}
}
