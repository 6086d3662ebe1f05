package cosign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/store"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// alone is one member whose peers the test plays.
type alone struct {
	t       *testing.T
	c       *ledgertest.Consortium
	dir     string
	l       *store.Ledger
	s       *Cosigner
	now     time.Time
	mu      sync.Mutex
	sent    map[string]int
	finals  []uint64
	stopped chan error
	keys    []sign.Key
	more    func(*Config)
	applied uint64
	kept    *evidence.Store
	told    []string // members that differ
}

func newAlone(t *testing.T) *alone { return newAloneIn(t, ledgertest.Options{}, nil) }

// newAloneIn is a member of another consortium, with more in its Config.
func newAloneIn(t *testing.T, o ledgertest.Options, more func(*Config)) *alone {
	a := &alone{t: t, more: more, c: ledgertest.New(t, o), dir: t.TempDir(), sent: map[string]int{}, stopped: make(chan error, 4)}
	a.now, a.keys = time.UnixMilli(int64(a.c.NowMs)), []sign.Key{a.c.Member("a-sha").Cosign}
	db, err := store.OpenState(filepath.Join(a.dir, "state"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if a.l, err = store.OpenLedger(db, a.c.Leaves[0], register.Options{}, quiet); err != nil {
		t.Fatal(err)
	}
	if a.kept, err = evidence.Open(a.dir, quiet); err != nil {
		t.Fatal(err)
	}
	a.open()
	return a
}

func (a *alone) config() Config {
	return Config{Self: "a-sha", Keys: func() []sign.Key { a.mu.Lock(); defer a.mu.Unlock(); return a.keys }, LogKey: a.c.Log, Origin: a.c.Origin, Dir: a.dir,
		State: a.l.State, Now: func() time.Time { return a.now }, Leader: func() string { return "a-sha" },
		Send: func(_ context.Context, to string, _ []byte) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sent[to]++
			return nil
		},
		Final: func(f *Final) { a.mu.Lock(); a.finals = append(a.finals, f.End.Height); a.mu.Unlock() },
		Differs: func(_ *sign.Policy, m string, _ receipt.Cosigned) {
			a.mu.Lock()
			a.told = append(a.told, m)
			a.mu.Unlock()
		},
		Evidence: func(file []byte) {
			if _, err := a.kept.Keep(file, a.c.Policy()); err != nil {
				a.t.Errorf("evidence that does not verify: %v\n%s", err, file)
			}
		},
		Stop: func(err error) { a.stopped <- err }, Log: quiet, Fresh: true}
}

func (a *alone) open() {
	a.t.Helper()
	c := a.config()
	if a.more != nil {
		a.more(&c)
	}
	s, err := New(c)
	if err != nil {
		a.t.Fatal(err)
	}
	a.s = s
	a.t.Cleanup(func() { s.Close() })
}

// batch derives one more batch, and tells the cosigner.
func (a *alone) batch() store.End {
	a.t.Helper()
	a.c.Pass(1000)
	e := a.c.Entry(a.c.Submit("pf", a.c.Tick()))
	a.applied++
	b, err := a.l.Apply(a.applied, canon.Must(e))
	if err != nil {
		a.t.Fatal(err)
	}
	a.c.Apply(e)
	a.s.Derived(b.End, b.Result.Next)
	return b.End
}

func (a *alone) from(id string, end store.End, unix uint64) []byte {
	return a.signedBy(a.c.Member(id).Cosign, id, end, unix)
}

func (a *alone) signedBy(k sign.Key, id string, end store.End, unix uint64) []byte {
	cs := k.Cosign(member(a.s.of(end.Size), id).Name, end.Checkpoint(a.c.Origin), unix)
	return encode(&message{Entries: []entry{{Member: id, Height: end.Height, Size: end.Size, Root: end.Root, Time: unix, Sig: cs.Sig}}})
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

func (a *alone) eventually(what string, ok func() bool) {
	a.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	a.t.Fatalf("%s: not within %v", what, patience)
}

func (a *alone) height() int {
	if f := a.s.Current(); f != nil {
		return int(f.End.Height)
	}
	return -1
}

func TestFinalNeedsKMembers(t *testing.T) {
	a := newAlone(t)
	end, unix := a.batch(), uint64(a.now.Unix())
	for i, m := range []string{"b-sha", "c-sha"} {
		if h := a.height(); h >= int(end.Height) {
			t.Fatalf("final at height %d with %d cosignatures", h, i+1)
		}
		if err := a.s.Receive(a.from(m, end, unix)); err != nil {
			t.Fatal(err)
		}
	}
	a.eventually("three of four", func() bool { return a.height() == int(end.Height) })
	policy, err := torchwood.ParsePolicy(a.c.Policy().Format())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := torchwood.VerifyCheckpoint(a.s.Current().Note(), policy); err != nil {
		t.Errorf("another implementation refuses the note: %v", err)
	}
}

func TestLaterEndCoversEarlier(t *testing.T) {
	a := newAlone(t)
	a.batch()
	end := a.batch()
	for _, m := range []string{"b-sha", "pf"} {
		if err := a.s.Receive(a.from(m, end, uint64(a.now.Unix()))); err != nil {
			t.Fatal(err)
		}
	}
	a.eventually("final", func() bool { return a.height() == 2 })
}

// TestCosignatureBeforeDerivation: the others are ahead of us; nothing is final
// here before we derived it ourselves.
func TestCosignatureBeforeDerivation(t *testing.T) {
	a := newAlone(t)
	ahead := newAlone(t)
	end := ahead.batch()
	for _, m := range []string{"b-sha", "c-sha", "pf"} {
		if err := a.s.Receive(a.from(m, end, uint64(a.now.Unix()))); err != nil {
			t.Fatal(err)
		}
	}
	if a.height() >= 1 {
		t.Fatal("final without our own derivation")
	}
	if got := a.batch(); got != end {
		t.Fatalf("equal seeds give %+v and %+v", got, end)
	}
	a.eventually("final", func() bool { return a.height() == 1 })
}

func TestBadMessages(t *testing.T) {
	a := newAlone(t)
	end := a.batch()
	good := a.from("b-sha", end, uint64(a.now.Unix()))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		var m message
		if canon.Unmarshal(bad, &m) == nil && len(m.Entries) == 1 && m.Entries[0].Height != end.Height {
			continue // not signed, and without effect
		}
		if err := a.s.Receive(bad); err == nil && !m.Beat {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	if err := a.s.Receive(nil); !errors.Is(err, ErrMessage) {
		t.Errorf("empty message: %v", err)
	}
	if a.height() >= 1 {
		t.Error("final by changed messages")
	}
}

// TestRestart: the mark is compared with the state, and times never decrease.
func TestRestart(t *testing.T) {
	a := newAlone(t)
	a.batch()
	a.eventually("mark", func() bool { return markOf(t, a) == 1 })
	a.s.Close()
	a.now = a.now.Add(-time.Hour)
	a.open()
	a.s.Beat()
	a.eventually("cosigned again", func() bool {
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		return a.s.sigs[a.l.State().Size]["a-sha"].Time != 0
	})
	a.s.mu.Lock()
	got, first := a.s.sigs[a.l.State().Size]["a-sha"].Time, uint64(a.now.Add(time.Hour).Unix())
	a.s.mu.Unlock()
	if got < first {
		t.Errorf("cosigned at %d after %d", got, first)
	}
}

func markOf(t *testing.T, a *alone) uint64 {
	m, err := openMark(a.dir, []sign.Key{a.c.Member("a-sha").Cosign}, a.c.Origin, false, a.c.Member("a-sha").Cosign)
	if err != nil {
		t.Fatal(err)
	}
	defer m.f.Close()
	return m.mark.Height
}

func TestForkedStateDoesNotStart(t *testing.T) {
	a := newAlone(t)
	end := a.batch()
	a.eventually("mark", func() bool { return markOf(t, a) == 1 })
	a.s.Close()
	m, err := openMark(a.dir, []sign.Key{a.c.Member("a-sha").Cosign}, a.c.Origin, false, a.c.Member("a-sha").Cosign)
	if err != nil {
		t.Fatal(err)
	}
	root := end.Root
	root[3] ^= 1
	if err := m.write(Mark{Height: 1, Size: end.Size, Root: root}, a.c.Member("a-sha").Cosign); err != nil {
		t.Fatal(err)
	}
	m.f.Close()
	if _, err := New(a.config()); !errors.Is(err, ErrForked) {
		t.Errorf("started on a state that contradicts the mark: %v", err)
	}
}

func FuzzReceive(f *testing.F) {
	key := sign.NewKey()
	cs := key.Cosign("b", sign.Checkpoint{Origin: "o", Size: 1}, 5)
	f.Add(encode(&message{Entries: []entry{{Member: "b-sha", Height: 1, Size: 1, Time: 5, Sig: cs.Sig}}, Beat: true}))
	f.Add([]byte(fmt.Sprint("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if canon.Unmarshal(b, &m) == nil && !bytes.Equal(encode(&m), b) {
			t.Error("accepted a second spelling")
		}
	})
}
