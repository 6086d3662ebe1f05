package custody

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// copiesOf returns what custodians would have of a member's vault now.
func copiesOf(t *testing.T, m *member) []vault.Entry {
	return slices.DeleteFunc(vaultEntries(t, m), func(e vault.Entry) bool {
		_, copied := m.NumberOf(e.ID, e.Value)
		return !copied
	})
}

// replace gives a member another disk, with what custodians have that has no
// tombstone.
func (w *world) replace(m *member, copies []vault.Entry) {
	w.t.Helper()
	var alive []vault.Entry
	for _, e := range copies {
		n, _ := m.NumberOf(e.ID, e.Value)
		tomb, err := rules.Load[rules.Tombstone](w.state(), rules.KeyTombstone(record.KeyNumber(n)))
		noErr(w.t, err)
		if tomb == nil {
			e.Reserve = true
			alive = append(alive, e)
		}
	}
	w.close(m)
	noErr(w.t, os.RemoveAll(m.dir))
	noErr(w.t, os.MkdirAll(m.dir, 0o700))
	blobs, err := store.OpenBlobs(filepath.Join(m.dir, "blobs"), slog.New(slog.DiscardHandler), store.WithoutSync(), store.WithMinFree(0))
	noErr(w.t, err)
	slot, err := vault.OpenFileSlot(filepath.Join(m.dir, "slot"))
	noErr(w.t, err)
	v, err := vault.Open(slot, vaultBlobs{blobs}, vault.Options{})
	noErr(w.t, err)
	noErr(w.t, v.Put(alive...))
	noErr(w.t, Mend(v))
	noErr(w.t, errors.Join(v.Close(), blobs.Close()))
	w.open(m)
	noErr(w.t, m.AfterLoss())
}

// later lets time pass in the log, too: somebody else has a record in it.
func (w *world) later(d time.Duration) {
	w.pass(d)
	w.must("c-sha", w.c.Service(fmt.Sprintf("c-%d", w.now().UnixMilli())))
}

// openHandle returns the handle of the person that is in the ledger.
func openHandle(t *testing.T, m *member) sign.PublicKey {
	t.Helper()
	all, err := m.Handles(ctx, refMarker)
	noErr(t, err)
	i := slices.IndexFunc(all, func(h HandleOf) bool { return h.Open })
	if i < 0 {
		t.Fatal("no open handle")
	}
	return all[i].Key
}

// TestEraseOutlivesItsIssuer: the issuer of an erasure loses its disk before a
// recipient that was down has heard of it. The plan comes back from a custodian, and
// the certificate gets complete; the handles are closed.
func TestEraseOutlivesItsIssuer(t *testing.T) {
	w, a, b := handedOver(t)
	key := openHandle(t, a)
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	if !slices.Equal(view.Pending, []string{"b-sha"}) {
		t.Fatalf("%+v", view)
	}
	copies := copiesOf(t, a)
	if !slices.ContainsFunc(copies, func(e vault.Entry) bool { return isPiece(e.ID) }) {
		t.Fatal("custodians get no copy of the plan")
	}
	for _, e := range copies {
		for _, m := range markers {
			if isPiece(e.ID) && strings.Contains(string(e.Value), m) {
				t.Error("the copy of a plan names the person")
			}
		}
	}
	w.replace(a, copies)
	w.set(func() { w.refuse = nil })
	w.duties()
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || len(view.Done) != 2 || b.People(ctx) != 0 {
		t.Errorf("%+v, %d people at b-sha", view, b.People(ctx))
	}
	for range 3 { // missed, delayed anew, closed
		w.pass(40 * time.Minute)
		w.duties()
	}
	if h, err := rules.HandleState(w.state(), key); err != nil || h.Closed == 0 {
		t.Errorf("the handle is not closed: %+v, %v", h, err)
	}
	a.shredSpent()
	if ids, err := a.vault.List("t/"); err != nil || len(ids) != 0 || len(a.erasing.all()) != 0 {
		t.Errorf("%d pieces and %d plans are left, %v", len(ids), len(a.erasing.all()), err)
	}
}

// ensured is a Copies that notes what was ensured.
type ensured struct {
	recorder
	ids []string
	err error
}

func (e *ensured) Ensure(_ context.Context, ids ...string) error {
	e.ids = append(e.ids, ids...)
	return e.err
}

// wantCopiedFirst wants every erasure that a member posts from now on to find its plan
// ensured, all of it; it returns how many there were.
func (w *world) wantCopiedFirst(m *member, answer error) (posted func() int) {
	c, n := &ensured{recorder: recorder{gone: map[string]seal.Number{}}, err: answer}, 0
	m.Copies = c
	w.set(func() {
		w.refuse = func(to, what string) error { return errors.New("down") }
		w.posted = func(r outbox.Request) error {
			if r.Records[0].Kind == record.KindErasure {
				n++
				want, err := m.vault.List(fmt.Sprintf("t/%x/", r.Records[0].ID[:]))
				if slices.Sort(c.ids); err != nil || len(want) == 0 || !slices.Equal(c.ids, want) {
					w.t.Errorf("%q ensured, want %q, %v", c.ids, want, err)
				}
			}
			return nil
		}
	})
	return func() int { return n }
}

// TestPlanIsCopiedFirst: before an erasure is in the ledger a custodian has its whole
// plan, or was asked in vain; a dataset's too.
func TestPlanIsCopiedFirst(t *testing.T) {
	for _, answer := range []error{nil, errors.New("every custodian is down")} {
		w, a, _ := handedOver(t)
		posted := w.wantCopiedFirst(a, answer)
		if _, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"}); err != nil || posted() != 1 {
			t.Errorf("%v, posted %d times", err, posted())
		}
		s := newSeen(t)
		s.give()
		posted = s.wantCopiedFirst(s.a, answer)
		if _, _, err := s.a.EraseDataset(ctx, Call{}, s.seen.ID); err != nil || posted() != 1 {
			t.Errorf("%v, posted %d times", err, posted())
		}
	}
}

// TestPlansWithoutErasure: a plan whose erasure never got into the ledger closes no
// handle, and goes when its record cannot come any more; one that is not whole goes at
// once.
func TestPlansWithoutErasure(t *testing.T) {
	w, a, b := handedOver(t)
	key := openHandle(t, a)
	p := planOf(key)
	half := pieceID(newID(), 0, 2)
	noErr(t, a.vault.Put(append(p.pieces(), vault.Entry{ID: half, Value: []byte("half")})...))
	w.reopen(a)
	pieces := func() int {
		a.shredSpent()
		ids, err := a.vault.List("t/")
		noErr(t, err)
		return len(ids)
	}
	for _, later := range []time.Duration{0, 50 * time.Minute} {
		w.later(later)
		w.duties()
		h, err := rules.HandleState(w.state(), key)
		noErr(t, err)
		if pieces() != 1 || h.Closed != 0 || b.People(ctx) != 1 {
			t.Fatalf("after %v: %d pieces, %d people at b-sha, handle %+v", later, pieces(), b.People(ctx), h)
		}
	}
	w.later(20 * time.Minute)
	w.duties()
	if pieces() != 0 || len(a.erasing.all()) != 0 {
		t.Errorf("%d pieces, %d plans are left", pieces(), len(a.erasing.all()))
	}
	_, err := a.Disclose(ctx, refMarker)
	noErr(t, err)
}

// TestNeverRecordedInIdleLog: where nobody posts anything, a plan whose erasure never got
// into the ledger goes all the same.
func TestNeverRecordedInIdleLog(t *testing.T) {
	w, a, _ := handedOver(t)
	noErr(t, a.vault.Put(planOf(openHandle(t, a)).pieces()...))
	w.reopen(a)
	height := w.state().Height
	w.pass(goneUnlessRecorded)
	w.duties()
	if len(a.erasing.all()) != 1 || w.state().Height != height {
		t.Fatalf("%d plans, height %d before the record's last moment is over", len(a.erasing.all()), w.state().Height)
	}
	w.pass(idleFor)
	w.duties()
	w.duties()
	if len(a.erasing.all()) != 0 || w.state().Height != height+1 {
		t.Errorf("%d plans, %d batches", len(a.erasing.all()), w.state().Height-height)
	}
}

// TestTellAgain: a recipient that heard of an erasure and lost its disk before it
// attested comes back with what it was to destroy, and is told again.
func TestTellAgain(t *testing.T) {
	w, a, b := handedOver(t)
	copies := copiesOf(t, b)
	lost := false
	w.set(func() {
		w.posted = func(r outbox.Request) error {
			if r.Issuer == "b-sha" && !lost {
				return errors.New("the machine is on fire")
			}
			return nil
		}
	})
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.duties()
	lost = true
	w.replace(b, copies)
	if b.People(ctx) != 1 {
		t.Fatalf("%d people came back at b-sha", b.People(ctx))
	}
	w.duties()
	if v, err := a.Erasure(ctx, view.ID); err != nil || len(v.Pending) != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	w.pass(tellAgain)
	w.duties()
	if v, err := a.Erasure(ctx, view.ID); err != nil || len(v.Pending) != 0 || b.People(ctx) != 0 {
		t.Errorf("%+v, %v, %d people at b-sha", v, err, b.People(ctx))
	}
}

// TestAttestBlind: who lost the plan of an erasure before it attested, and every copy,
// does not say that it keeps no records.
func TestAttestBlind(t *testing.T) {
	w, a, _ := handedOver(t)
	burning := true
	w.set(func() {
		w.posted = func(r outbox.Request) error {
			if burning && r.Issuer == "a-sha" && r.Records[0].Kind == record.KindAttestation {
				return errors.New("the machine is on fire")
			}
			return nil
		}
	})
	if _, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"}); err == nil {
		t.Fatal("attested")
	}
	id := a.erasing.all()[0].id
	copies := slices.DeleteFunc(copiesOf(t, a), func(e vault.Entry) bool { return isPiece(e.ID) })
	burning = false
	w.replace(a, copies)
	w.duties()
	st, e, err := a.erasureNow(id)
	noErr(t, err)
	said, err := Attestations(st, id, e)
	noErr(t, err)
	if len(said) != 2 || said[0].Body.Kept != nil { // and the recipient's
		t.Errorf("%d attestations, %+v", len(said), said)
	}
}

// silent is a Copies whose custodians never answer: it takes all the time that it gets.
type silent struct {
	recorder
	got time.Duration
}

func (s *silent) Ensure(ctx context.Context, _ ...string) error {
	end, ok := ctx.Deadline()
	if s.got = time.Until(end); !ok {
		return errors.New("it waits for ever")
	}
	return context.DeadlineExceeded
}

// TestSilentCustodians: custodians that do not answer leave most of a request's time to
// the erasure, which is in the ledger when it ends.
func TestSilentCustodians(t *testing.T) {
	w, a, _ := handedOver(t)
	c := &silent{recorder: recorder{gone: map[string]seal.Number{}}}
	a.Copies = c
	w.set(func() { w.refuse = func(to, what string) error { return errors.New("down") } })
	const whole = time.Minute
	limited, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	view, _, err := a.Erase(limited, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	id, err := parseID(view.ID)
	noErr(t, err)
	if _, e, err := a.erasureNow(id); err != nil || e == nil || c.got <= 0 || c.got > whole/3 {
		t.Errorf("%v of %v went to the custodians; in the ledger: %v, %v", c.got, whole, e != nil, err)
	}
}
