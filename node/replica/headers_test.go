package replica

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// delivered is one node to which a test delivers entries as Raft would.
type delivered struct {
	t     *testing.T
	c     *ledgertest.Consortium
	l     *store.Ledger
	w     headers
	index uint64
	found [][2]*record.Header
}

func newDelivered(t *testing.T) *delivered {
	d := &delivered{t: t, c: ledgertest.New(t, ledgertest.Options{})}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := store.OpenState(filepath.Join(t.TempDir(), "state"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if d.l, err = store.OpenLedger(db, d.c.Leaves[0], register.Options{}, log); err != nil {
		t.Fatal(err)
	}
	d.forget()
	return d
}

// forget is a restart.
func (d *delivered) forget() {
	d.w = headers{ledger: d.l, origin: d.c.Origin, twice: func(a, b *record.Header) { d.found = append(d.found, [2]*record.Header{a, b}) }}
}

func (d *delivered) entry() *record.Entry { return d.c.Entry(d.c.Submit("pf", d.c.Tick())) }

// deliver hands an entry to the ledger and reports whether it was void.
func (d *delivered) deliver(e *record.Entry) (void bool) {
	d.t.Helper()
	d.index++
	raw := canon.Must(e)
	b, err := d.l.Apply(d.index, raw)
	if err != nil {
		d.t.Fatal(err)
	}
	if b.Result.Void != nil {
		if err := d.w.void(raw); err != nil {
			d.t.Fatal(err)
		}
		return true
	}
	d.w.applied(b.Result.Seal.Header)
	d.c.Apply(e)
	return false
}

// other returns another entry for the place of e, signed.
func (d *delivered) other(e *record.Entry) *record.Entry {
	o := *e
	o.Header.TimeMs++
	d.c.Sign(&o)
	return &o
}

func (d *delivered) finds(what string, want int) {
	d.t.Helper()
	if len(d.found) != want {
		d.t.Errorf("%s: %d places with two headers, want %d", what, len(d.found), want)
	}
}

func TestSecondHeader(t *testing.T) {
	d := newDelivered(t)
	first := d.entry()
	second := d.other(first)
	d.deliver(first)
	if !d.deliver(second) {
		t.Fatal("two batches at one place")
	}
	d.finds("after genesis", 1)
	if a, b := d.found[0][0], d.found[0][1]; !a.SamePlace(b) || a.Hash() != first.Header.Hash() || b.Hash() != second.Header.Hash() {
		t.Error("not the two headers that were signed")
	}

	e := d.entry()
	late := d.other(e)
	d.deliver(e)
	for range 3 {
		d.deliver(d.entry())
	}
	d.forget()
	d.deliver(late)
	d.finds("after more batches and a restart", 2)
}

// TestSecondHeaderAfterVoid: the first of the two may be the void one, and both
// may be.
func TestSecondHeaderAfterVoid(t *testing.T) {
	d := newDelivered(t)
	e := d.entry()
	ahead := *e
	ahead.Header.TimeMs += 3600_000
	d.c.Sign(&ahead)
	if !d.deliver(&ahead) {
		t.Fatal("a batch an hour ahead is not void")
	}
	d.finds("one header", 0)
	if !d.deliver(d.other(&ahead)) {
		t.Fatal("a batch an hour ahead is not void")
	}
	d.finds("two void ones", 1)
	d.deliver(e)
	d.finds("one of each", 3)
}

// TestNoSecondHeader: what an honest leader's headers look like when Raft loses
// or repeats something, and what nobody signed.
func TestNoSecondHeader(t *testing.T) {
	d := newDelivered(t)
	e := d.entry()
	lost, later := d.other(e), *e
	later.Header.Term++
	d.c.Sign(&later)
	d.deliver(&later) // the entry of the earlier term was overwritten
	d.deliver(&later) // Raft delivers it again
	d.deliver(lost)   // from another term
	d.c.Leader = 1
	d.deliver(d.other(&record.Entry{Header: func() record.Header { h := later.Header; h.Leader = "b-sha"; return h }(), Submissions: later.Submissions}))
	forged := d.other(&later)
	forged.Header.Sig[0] ^= 1
	d.deliver(forged)
	stranger := d.other(&later)
	stranger.Header.Leader = "nobody"
	d.deliver(stranger)
	d.finds("nobody signed twice", 0)
	if err := d.w.void([]byte("no entry")); err != nil {
		t.Error(err)
	}
	for range 2 * voidsKept {
		e := d.entry()
		e.Header.Prev[0] ^= 1
		e.Header.Term = d.index + 10
		d.c.Sign(e)
		d.deliver(e)
	}
	if n := len(d.w.voids); n > voidsKept {
		t.Errorf("%d headers in memory", n)
	}
}

// TestManySecondHeaders: a leader can sign without end for one place, and costs the
// others no more than what is kept against it.
func TestManySecondHeaders(t *testing.T) {
	d := newDelivered(t)
	e := d.entry()
	e.Header.TimeMs += 3600_000
	for range 2 * toldMost {
		e = d.other(e)
		if !d.deliver(e) {
			t.Fatal("a batch an hour ahead is not void")
		}
	}
	d.finds("one leader", toldMost)
}
