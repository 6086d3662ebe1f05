package custody

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestNumberOf: what is erased with a person has a tombstone, under whichever entry
// it stands; what outlives the person has not.
func TestNumberOf(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	_, err := a.Provide(context.Background(), Call{Client: "app"}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	erase := func() (numbers []record.KeyNumber) {
		t.Helper()
		entries := vaultEntries(t, a)
		for _, e := range entries {
			n, copied := a.NumberOf(e.ID, e.Value)
			if copied != isCopied(e.ID) {
				t.Errorf("entry of kind %q: copied %v", e.ID[:2], copied)
			}
			numbers = append(numbers, record.KeyNumber(n))
		}
		_, _, err := a.Erase(context.Background(), Call{Client: "app"}, EraseRequest{Person: ref, Cause: "request"})
		noErr(t, err)
		for i, e := range entries {
			tomb, err := rules.Load[rules.Tombstone](w.state(), rules.KeyTombstone(numbers[i]))
			noErr(t, err)
			kept := e.ID[0] != 'l' && e.ID[0] != 'h' && e.ID[0] != 'p' || nameOf(e.ID) != "" && nameOf(e.ID)[0] == 'r'
			if (tomb == nil) != kept {
				t.Errorf("entry of kind %q: tombstone %v", e.ID[:2], tomb != nil)
			}
		}
		return numbers
	}
	if n := len(erase()); n < 7 {
		t.Errorf("%d entries only", n)
	}
	noErr(t, a.Blobs.Delete(a.markKey(ref))) // lost with the node: the tombstone is enough
	_, err = a.Secret(context.Background(), ref)
	wantCode(t, err, record.CodeErased)
	_, err = a.Register(context.Background(), Call{Client: "app"}, Registration{Person: ref, Service: "a-portal", Source: "self"})
	noErr(t, err)
	erase() // under a number of its own
}

// TestNumberOfService: who leaves one service leaves no way that only a custodian
// still has: all that goes has a tombstone, and nothing that stays.
func TestNumberOfService(t *testing.T) {
	w, a, _ := handedOver(t)
	w.second(refMarker)
	entries := vaultEntries(t, a)
	numbers := make([]record.KeyNumber, len(entries))
	for i, e := range entries {
		n, _ := a.NumberOf(e.ID, e.Value)
		numbers[i] = record.KeyNumber(n)
	}
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-portal"})
	noErr(t, err)
	gone := map[string]int{}
	for i, e := range entries {
		there, err := a.vault.Has(e.ID)
		noErr(t, err)
		tomb, err := rules.Load[rules.Tombstone](w.state(), rules.KeyTombstone(numbers[i]))
		noErr(t, err)
		if there == (tomb != nil) && isCopied(e.ID) {
			t.Errorf("entry of kind %q: in the vault %v, tombstone %v", e.ID[:2], there, tomb != nil)
		}
		if !there {
			gone[e.ID[:2]]++
		}
	}
	if gone["h/"] != 1 || gone["p/"] < 2 || gone["l/"] != 0 {
		t.Errorf("gone: %v", gone)
	}
}

func vaultEntries(t *testing.T, m *member) (all []vault.Entry) {
	t.Helper()
	noErr(t, m.vault.Each("", func(id string, value []byte) error {
		all = append(all, vault.Entry{ID: id, Value: slices.Clone(value)})
		return nil
	}))
	return all
}

// TestMend: a vault of which some copies were never made finds everybody who is
// there, and nobody else.
func TestMend(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	w.standard()
	whole := vaultEntries(t, a)
	mended := func(keep func(id string) bool) []string {
		t.Helper()
		slot, err := vault.OpenFileSlot(filepath.Join(t.TempDir(), "slot"))
		noErr(t, err)
		v, err := vault.Open(slot, vaultBlobs{newBlobs(t)}, vault.Options{})
		noErr(t, err)
		defer v.Close()
		noErr(t, v.Put(slices.DeleteFunc(slices.Clone(whole), func(e vault.Entry) bool { return !keep(e.ID) })...))
		noErr(t, Mend(v))
		ids, err := v.List("")
		noErr(t, err)
		return ids
	}
	all := mended(func(string) bool { return true })
	if len(all) != len(whole) {
		t.Errorf("a whole vault has %d entries, mended %d", len(whole), len(all))
	}
	for name, drop := range map[string]string{"lookups": "l/", "handles": "h/", "names": "p/" + refMarker + "/l/"} {
		got := mended(func(id string) bool { return len(id) < len(drop) || id[:len(drop)] != drop })
		if !slices.Equal(got, all) {
			t.Errorf("without %s: %d entries, want %d", name, len(got), len(all))
		}
	}
	ways := mended(func(id string) bool { return id[0] != 'p' || id[len("p/"+refMarker+"/")] == 'l' })
	if !slices.Equal(ways, []string{macEntry}) {
		t.Errorf("%d entries are left of somebody of whom nothing is", len(ways)-1)
	}
}

func newBlobs(t *testing.T) *store.Blobs {
	t.Helper()
	b, err := store.OpenBlobs(t.TempDir(), slog.New(slog.DiscardHandler), store.WithoutSync(), store.WithMinFree(0))
	noErr(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// recorder hears what Copies hear.
type recorder struct {
	mu   sync.Mutex
	gone map[string]seal.Number
}

func (*recorder) Changed(...string) {}

func (*recorder) Ensure(context.Context, ...string) error { return nil }

func (r *recorder) Gone(n seal.Number, ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.gone[id] = n
	}
}

// TestGoneWithoutTombstone: what goes without a tombstone is dropped at the custodians,
// under the number under which it was copied: a removed lookup, and the pieces of a plan,
// which have one number a plan and fit a custodian's vault.
func TestGoneWithoutTombstone(t *testing.T) {
	w, a, _ := handedOver(t)
	r := &recorder{gone: map[string]seal.Number{}}
	a.Copies = r
	want := map[string]seal.Number{}
	noErr(t, a.AddLookup(ctx, refMarker, "email", "x@example.com"))
	for _, id := range []string{"l/email/x@example.com", personID(refMarker, "l/email/x@example.com")} {
		value, err := a.vault.Get(id)
		noErr(t, err)
		want[id], _ = a.NumberOf(id, value)
	}
	noErr(t, a.RemoveLookup(ctx, refMarker, "email", "x@example.com"))
	numbers := map[seal.Number]int{}
	for range 2 {
		p := planOf(openHandle(t, a))
		for range 400 {
			p.Close = append(p.Close, p.Close[0])
		}
		noErr(t, a.put(p.pieces()...))
		for _, e := range p.pieces() {
			n, copied := a.NumberOf(e.ID, e.Value)
			if !copied || n == (seal.Number{}) || len(e.Value) > pieceBytes {
				t.Fatalf("%s: %x, %t, %d bytes", e.ID, n, copied, len(e.Value))
			}
			want[e.ID], numbers[n] = n, numbers[n]+1
		}
		noErr(t, a.shred(p.pieceIDs()...))
	}
	if len(numbers) != 2 || !maps.Equal(r.gone, want) {
		t.Errorf("%d numbers; gone %v, want %v", len(numbers), r.gone, want)
	}
	w.duties()
}
