package store

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// follow applies everything that a consortium in memory does to a ledger on
// disk.
type follow struct {
	t   testing.TB
	c   *ledgertest.Consortium
	dir string
	l   *Ledger
	n   uint64
}

func newFollow(t testing.TB) *follow {
	f := &follow{t: t, c: ledgertest.New(t, ledgertest.Options{}), dir: t.TempDir()}
	f.open()
	return f
}

func (f *follow) open() {
	f.t.Helper()
	db, err := OpenState(f.dir, quiet)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { db.Close() })
	if f.l, err = OpenLedger(db, f.c.Leaves[0], register.Options{}, quiet); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follow) entry(subs ...record.Submitted) []byte {
	f.c.Pass(1000)
	return canon.Must(f.c.Entry(subs...))
}

func (f *follow) post(issuer string, recs ...*record.Record) *Batch {
	f.t.Helper()
	entry := f.entry(f.c.Submit(issuer, recs...))
	f.n++
	b, err := f.l.Apply(f.n, entry)
	if err != nil {
		f.t.Fatal(err)
	}
	e, err := record.ParseEntry(entry)
	if err != nil {
		f.t.Fatal(err)
	}
	f.c.Apply(e)
	return b
}

// story posts a service, terms, a consent and n provisions, one a batch.
func (f *follow) story(n int) {
	f.t.Helper()
	f.post("a-sha", f.c.Service("a-portal"))
	terms, hash := f.c.Terms(f.c.Screen("a-portal", "1"))
	f.post("a-sha", terms)
	hana := f.c.Person("hana").Handle("a-portal", 0)
	f.post("a-sha", f.c.GrantAt(0, record.Digest{}, hana, hash, 0))
	for range n {
		f.post("a-sha", f.c.Provision(hana.Public(), 1, 0, "b-sha"))
	}
}

func (f *follow) same() {
	f.t.Helper()
	h, st := f.c.Last(), f.l.State()
	if got, want := st.Checkpoint(f.c.Origin), f.c.Checkpoint(st.Height); got != want || st.Height != uint64(len(f.c.Heights)-1) {
		f.t.Fatalf("stored %+v, derived in memory %+v (%+v)", got, want, h)
	}
}

func TestLedgerFollowsMemory(t *testing.T) {
	f := newFollow(t)
	f.story(300)
	f.same()
	st := f.l.State()
	for i, want := range f.c.Leaves {
		got, err := st.Leaf(uint64(i))
		if err != nil || string(got) != string(want) {
			t.Fatalf("leaf %d differs: %v", i, err)
		}
	}
	n := uint64(0)
	if err := st.Range(5, st.Size, func(i uint64, leaf []byte) error {
		if string(leaf) != string(f.c.Leaves[i]) {
			t.Errorf("leaf %d differs", i)
		}
		n++
		return nil
	}); err != nil || n != st.Size-5 {
		t.Fatalf("range: %d leaves, %v", n, err)
	}
	for _, size := range []uint64{1, 2, 255, 256, 257, 511, 512, st.Size} {
		for _, i := range []uint64{0, size / 2, size - 1} {
			path, err := st.Inclusion(i, size)
			if err != nil {
				t.Fatal(err)
			}
			root, err := st.Tree().RootAt(size, st)
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(merkle.LeafHash(f.c.Leaves[i]), i, size, path, root); err != nil {
				t.Errorf("leaf %d at size %d: %v", i, size, err)
			}
		}
	}
}

func TestLedgerOpensAgain(t *testing.T) {
	f := newFollow(t)
	f.story(20)
	for range 3 {
		f.l.db.Close()
		f.open()
		f.same()
		if f.l.RaftIndex() != f.n {
			t.Fatalf("Raft index %d, applied %d", f.l.RaftIndex(), f.n)
		}
		f.post("pf", f.c.Tick())
	}
}

func TestLedgerReadsEarlierHeights(t *testing.T) {
	f := newFollow(t)
	f.story(40)
	for height := uint64(4); height <= f.l.State().Height; height += 7 {
		st, ok := f.l.At(height)
		if !ok {
			t.Fatalf("height %d is not kept", height)
		}
		key := rules.KeyHandle(f.c.Person("hana").Handle("a-portal", 0).Public())
		p, err := st.Prove([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		v, present, err := register.Verify(merkle.Hash(st.Register), []byte(key), p)
		if err != nil || !present {
			t.Fatalf("height %d: present %v, %v", height, present, err)
		}
		var h rules.Handle
		if err := canon.Unmarshal(v, &h); err != nil {
			t.Fatal(err)
		}
		if want := height - 2; h.Events != want { // service and terms come first
			t.Errorf("height %d: %d events, want %d", height, h.Events, want)
		}
	}
}

func TestLedgerIndexes(t *testing.T) {
	f := newFollow(t)
	f.story(3)
	hana := f.c.Person("hana").Handle("a-portal", 0).Public()
	p := f.c.Provision(hana, 1, 0, "b-sha")
	b := f.post("a-sha", p)
	st := f.l.State()
	i, ok, err := st.IndexOf(p.ID)
	if err != nil || !ok || i != b.End.First {
		t.Fatalf("index of the provision: %d, %v, %v; its batch begins at %d", i, ok, err, b.End.First)
	}
	if at, err := st.EventsOf(hana, 5); err != nil || len(at) != 5 || at[4] != i {
		t.Errorf("events of the handle: leaves %d, %v; want %d last", at, err, i)
	}
	if _, err := st.EventsOf(hana, 6); !errors.Is(err, ErrDamaged) {
		t.Errorf("a sixth event that nobody posted: %v", err)
	}
	if end, err := st.EndWith(i); err != nil || end.Height != b.End.Height {
		t.Errorf("batch of leaf %d: %+v, %v; want height %d", i, end, err, b.End.Height)
	}
}

// TestFirstRecordKeepsItsID: another record with an id, in the same batch or later,
// does not take it over, and at an earlier height there was none.
func TestFirstRecordKeepsItsID(t *testing.T) {
	f := newFollow(t)
	before := f.l.State()
	mine := f.c.Tick()
	first := f.post("a-sha", mine)
	twin, late := f.c.Tick(), f.c.Tick()
	twin.ID, late.ID = mine.ID, mine.ID
	f.post("b-sha", twin)
	f.post("c-sha", late)
	if i, ok, err := f.l.State().IndexOf(mine.ID); err != nil || !ok || i != first.End.First {
		t.Errorf("leaf %d, %v, %v; want %d", i, ok, err, first.End.First)
	}
	if _, ok, err := before.IndexOf(mine.ID); ok || err != nil {
		t.Errorf("there before it was: %v, %v", ok, err)
	}
	near := mine.ID
	near[15]++
	if _, ok, _ := f.l.State().IndexOf(near); ok {
		t.Error("an id that nobody used")
	}
}

func TestLedgerRefusesAnotherGenesis(t *testing.T) {
	f := newFollow(t)
	f.l.db.Close()
	db, err := OpenState(f.dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := ledgertest.New(t, ledgertest.Options{Seed: "other"})
	if _, err := OpenLedger(db, other.Leaves[0], register.Options{}, quiet); err == nil {
		t.Fatal("a directory of another log was opened")
	}
}

// TestLedgerFindsDamage changes one stored value beneath the ledger: the start
// must not go on with it.
func TestLedgerFindsDamage(t *testing.T) {
	handle := func(f *follow) []byte {
		kh := register.HashKey([]byte(rules.KeyHandle(f.c.Person("hana").Handle("a-portal", 0).Public())))
		return append([]byte{prefixRegister}, kh[:]...)
	}
	for name, key := range map[string]func(*follow) []byte{
		"register value": handle,
		"leaves":         func(f *follow) []byte { return indexKey(prefixLeaves, f.l.State().First) },
		"end":            func(f *follow) []byte { return endKey(f.l.State().Height) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollow(t)
			f.story(10)
			st := f.l.State()
			old, err := st.read(key(f))
			if err != nil || old == nil {
				t.Fatalf("nothing stored: %v", err)
			}
			txn := f.l.db.NewTransactionAt(st.ts, true)
			old[len(old)/2] ^= 1
			if err := txn.Set(key(f), old); err != nil {
				t.Fatal(err)
			}
			if err := txn.CommitAt(st.ts, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLedger(f.l.db, f.c.Leaves[0], register.Options{}, quiet); !errors.Is(err, ErrDamaged) {
				t.Errorf("opened with a changed %s: %v", name, err)
			}
		})
	}
}

// BenchmarkLedgerApply is the whole of what one node does with a batch: 512
// provisions in one submission.
func BenchmarkLedgerApply(b *testing.B) {
	f := newFollow(b)
	f.post("a-sha", f.c.Service("a-portal"))
	terms, hash := f.c.Terms(f.c.Screen("a-portal", "1"))
	f.post("a-sha", terms)
	const per = 512
	people := make([]*record.Record, 0, per)
	for i := range per {
		h := f.c.Person(string(rune('0'+i))).Handle("a-portal", 0)
		people = append(people, f.c.GrantAt(0, record.Digest{}, h, hash, 0))
	}
	f.post("a-sha", people...)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		recs := make([]*record.Record, 0, per)
		for i := range per {
			recs = append(recs, f.c.Provision(people[i].Body.(*record.Consent).Handle, 1, 0, "b-sha"))
		}
		entry := f.entry(f.c.Submit("a-sha", recs...))
		e, err := record.ParseEntry(entry)
		if err != nil {
			b.Fatal(err)
		}
		f.c.Apply(e)
		f.n++
		b.StartTimer()
		if _, err := f.l.Apply(f.n, entry); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*per), "µs/record")
}
