package store

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/register"
)

// heavy is a ledger with one small batch, and what the heaviest one would write.
func heavy(t *testing.T) (f *follow, parts [][]effect) {
	f = newFollow(t)
	f.story(1)
	st := f.l.State()
	w := new(writer)
	res := heaviest(st, 27<<10)
	w.register(res.Writes)
	w.leaves(st.Size, res.Leaves)
	parts, err := w.parts(f.l.db, st.Height+1)
	if err != nil || len(parts) < 3 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	return f, parts
}

// TestCrashBetweenParts: whatever a crash leaves of a batch that takes several
// transactions, the ledger is that before the batch, which can be applied again.
func TestCrashBetweenParts(t *testing.T) {
	f, parts := heavy(t)
	for n := range len(parts) {
		before := f.l.State()
		other := effect{key: partKey(before.Height+1, 0, 200), value: []byte{}} // another version's attempt
		if err := storeAt(f.l.db, before.Height+2, []effect{other}); err != nil {
			t.Fatal(err)
		}
		for _, part := range parts[:n] {
			if err := storeAt(f.l.db, before.Height+2, part); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.l.db.Close(); err != nil {
			t.Fatal(err)
		}
		f.open()
		if got := f.l.State().End; got != before.End {
			t.Fatalf("after %d parts: opened at %v, want %v", n, got, before.End)
		}
	}
	st := f.l.State()
	next, err := f.l.commit(st, heaviest(st, 27<<10), 99)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.l.db.Close(); err != nil {
		t.Fatal(err)
	}
	f.open()
	if got := f.l.State().End; got != next.End {
		t.Errorf("applied again: opened at %v, want %v", got, next.End)
	}
}

// TestPartMissing: a batch that lacks one of its transactions, as a loss of power may
// leave it, is damage.
func TestPartMissing(t *testing.T) {
	f, _ := heavy(t)
	st := f.l.State()
	next, err := f.l.commit(st, heaviest(st, 27<<10), 99)
	if err != nil {
		t.Fatal(err)
	}
	parts := byte(f.count(prefixPart))
	for part := range parts {
		gone := []effect{{key: partKey(next.Height, part, parts), gone: true}}
		back := []effect{{key: partKey(next.Height, part, parts), value: []byte{}}}
		if err := storeAt(f.l.db, next.ts, gone); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLedger(f.l.db, f.c.Leaves[0], register.Options{}, quiet); !errors.Is(err, ErrDamaged) {
			t.Errorf("opened without part %d of %d: %v", part, parts, err)
		}
		if err := storeAt(f.l.db, next.ts, back); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenLedger(f.l.db, f.c.Leaves[0], register.Options{}, quiet); err != nil {
		t.Errorf("whole again: %v", err)
	}
}
