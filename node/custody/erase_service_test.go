package custody

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// second registers a person with a second service of a-sha, with a consent.
func (w *world) second(ref Ref) {
	w.t.Helper()
	r, _ := w.c.Terms(w.c.Screen("a-card", "1"))
	w.must("a-sha", w.c.Service("a-card"), r)
	a := w.members["a-sha"]
	_, err := a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-card", Items: map[string]string{"name": nameMarker}, Source: "self"})
	noErr(w.t, err)
	_, err = a.Consent(ctx, Call{}, ConsentRequest{Person: ref, Service: "a-card", Version: "1", Items: []string{"name", "user-id"}, Purposes: []string{"service"}})
	noErr(w.t, err)
}

// Who leaves a service takes what was given for it along, at every recipient, and
// leaves what is held for others.
func TestEraseOneService(t *testing.T) {
	w, a, b := handedOver(t)
	w.second(refMarker)
	secret := secretOf(t, a, refMarker)
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-portal"})
	noErr(t, err)
	w.duties()
	if view, err = a.Erasure(ctx, view.ID); err != nil || len(view.Pending) != 0 || len(view.Done) != 2 || b.People(ctx) != 0 {
		t.Fatalf("%+v, %v, %d people at b-sha", view, err, b.People(ctx))
	}
	dis, err := a.Disclose(ctx, refMarker)
	noErr(t, err)
	if len(dis.Classes) != 1 || dis.Classes[0].Service != "a-card" || len(dis.Classes[0].Items) != 1 || len(dis.Records) != 1 || len(dis.Lookups) != 1 {
		t.Fatalf("%+v", dis)
	}
	if string(secretOf(t, a, refMarker)) != string(secret) {
		t.Error("the person's secret changed")
	}
	_, err = a.Provide(ctx, Call{}, provideRequest(refMarker))
	if code := codeOf(err); code == "" {
		t.Errorf("provide for the service that was left: %v", err)
	}
	states := map[string]string{}
	list, err := a.Consents(ctx, refMarker)
	noErr(t, err)
	for _, c := range list {
		states[c.Service] = c.State
	}
	if states["a-portal"] != "closed" || states["a-card"] != "active" {
		t.Errorf("%v", states)
	}
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-portal"})
	wantCode(t, err, CodePersonUnknown)
	w.reopen(a)
	w.pass(30 * time.Minute)
	w.duties()
	handles, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	for _, k := range handles {
		if h, err := rules.HandleState(w.state(), k.Key); err != nil || h != nil && (h.Closed != 0) != (k.For == "a-portal") {
			t.Errorf("%s: %+v, %v", k.For, h, err)
		}
	}

	// The last service: the person goes altogether.
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-card"})
	noErr(t, err)
	if _, err = a.Disclose(ctx, refMarker); codeOf(err) != record.CodeErased {
		t.Errorf("%v", err)
	}
	if ids, _ := a.vault.List("p/"); len(ids) != 0 {
		t.Errorf("%d keys of a person who left every service", len(ids))
	}
}

// Who registers again with a service that they left begins under the next handle.
func TestReturnToService(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	w.second(ref)
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "withdrawal", Service: "a-portal"})
	noErr(t, err)
	_, err = a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-portal", Items: map[string]string{"user-id": "u2"}, Source: "self"})
	noErr(t, err)
	w.consent2(ref)
	w.pass(30 * time.Minute)
	w.duties()
	views, err := a.Consents(ctx, ref)
	noErr(t, err)
	on := 0
	for _, v := range views {
		if v.On {
			on++
		}
	}
	if on != 2 {
		t.Fatalf("%+v", views)
	}
}

// A crash after each step of leaving one service: it goes on, and what is held
// for the other service stays.
func TestEraseOneServiceThroughCrashes(t *testing.T) {
	for _, fail := range []record.Kind{record.KindErasure, record.KindAttestation} {
		w, a, b := handedOver(t)
		w.second(refMarker)
		stop := w.failing(fail)
		_, _, err := a.Erase(ctx, Call{Client: "app", Key: "k"}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-portal"})
		if err == nil {
			t.Fatalf("%v did not fail", fail)
		}
		w.reopen(a)
		stop()
		w.duties()
		dis, err := a.Disclose(ctx, refMarker)
		if err != nil || len(dis.Classes) != 1 || b.People(ctx) != 0 {
			t.Errorf("%v: %+v, %v", fail, dis, err)
		}
	}
}

// failing makes every posting of a kind fail until it is stopped.
func (w *world) failing(kind record.Kind) (stop func()) {
	w.set(func() {
		w.posted = func(r outbox.Request) error {
			if r.Records[0].Kind == kind {
				return errCrash
			}
			return nil
		}
	})
	return func() { w.set(func() { w.posted = nil }) }
}

// A closing takes hand-overs along that nobody received, with those that came in
// beside it; the recipient's parcel goes too.
func TestCloseEndsHandOvers(t *testing.T) {
	w, a, b, intent := handingOver(t)
	if len(b.waiting.all()) != 1 {
		t.Fatal("no parcel waits")
	}
	handles, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	w.set(func() { w.refuse = func(_, what string) error { return errCrash } }) // b-sha hears of nothing
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.pass(30 * time.Minute)
	var late record.ID
	w.set(func() {
		w.posted = func(r outbox.Request) error {
			if r.Records[0].Kind == record.KindHandleClose && late == (record.ID{}) {
				p := w.c.Provision(handles[0].Key, 1, 0, "b-sha")
				late = p.ID
				w.must("a-sha", p)
			}
			return nil
		}
	})
	w.duties()
	for _, id := range []record.ID{mustID(t, intent), late} {
		if in, err := rules.Load[rules.Intent](w.state(), rules.KeyIntent(id)); err != nil || in != nil {
			t.Errorf("%+v, %v", in, err)
		}
	}
	if n := len(b.waiting.all()); n != 0 {
		t.Errorf("%d parcels wait for a hand-over that has ended", n)
	}
}

// A closing that was missed is put off again: two of one person must not fall
// together when a node comes back.
func TestMissedClosing(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	handles, err := a.Handles(ctx, ref)
	noErr(t, err)
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	closed := func() bool {
		h, err := rules.HandleState(w.state(), handles[0].Key)
		noErr(t, err)
		return h.Closed != 0
	}
	w.pass(40 * time.Minute) // the node was down when it was due
	w.reopen(a)
	w.duties()
	w.pass(29 * time.Minute)
	w.duties()
	if closed() {
		t.Fatal("closed at once after it was missed")
	}
	w.set(func() { w.staleBy = time.Minute })
	w.pass(2 * time.Minute)
	w.duties()
	if closed() {
		t.Fatal("closed while the log stands still")
	}
	w.set(func() { w.staleBy = 0 })
	w.duties()
	if !closed() {
		t.Fatal("never closed")
	}
}

// The view names the custodians of copies, until they attest or lost them.
func TestErasureCopies(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	for _, id := range []string{"b-sha", "c-sha"} {
		w.must("a-sha", w.c.Custodian("a-sha", id, 0))
		w.must(id, w.c.Custodian("a-sha", id, 3))
	}
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: w.standard(), Cause: "request"})
	noErr(t, err)
	w.must("b-sha", w.c.AttestCopies(mustID(t, view.ID), "a-sha", 4))
	w.must("c-sha", w.c.CustodianLost("a-sha", "c-sha", record.LostStolen))
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Done) != 1 || len(view.Copies) != 2 || view.Copies[0].TimeMs == 0 || view.Copies[0].Lost != "" || view.Copies[1].TimeMs != 0 || view.Copies[1].Lost != record.LostStolen {
		t.Errorf("%+v", view)
	}
}

// What comes in for somebody who is leaving another service is not refused as erased:
// it is to be asked for again, and goes to the same person.
func TestReceiveWhileLeavingAnother(t *testing.T) {
	w, a, _ := handedOver(t)
	w.second(refMarker)
	all, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	i := slices.IndexFunc(all, func(h HandleOf) bool { return h.For == "a-portal" && h.Open })
	h, err := rules.HandleState(w.state(), all[i].Key)
	noErr(t, err)
	w.set(func() { w.posted = func(outbox.Request) error { return errors.New("no leader") } })
	if _, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-card"}); err == nil {
		t.Fatal("erased without a leader")
	}
	_, _, err = a.recipientOf(w.state(), all[i].Key, h)
	wantCode(t, err, CodePersonLeaving)
	w.set(func() { w.posted = nil })
	w.duties()
	if ref, known, err := a.recipientOf(w.state(), all[i].Key, h); err != nil || !known || ref != refMarker {
		t.Errorf("%q, %v, %v", ref, known, err)
	}
}
