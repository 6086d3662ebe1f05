package custody

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// handingOver makes a person of whom a-sha holds data and has sent b-sha a parcel.
func handingOver(t *testing.T) (w *world, a, b *member, intent string) {
	t.Helper()
	w = newWorld(t, "a-sha", "b-sha")
	a, b = w.members["a-sha"], w.members["b-sha"]
	w.consent(w.standard(), "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(refMarker))
	noErr(t, err)
	w.duties()
	return w, a, b, done.Records[0].ID
}

// handedOver makes a person of whom a-sha and b-sha hold data.
func handedOver(t *testing.T) (*world, *member, *member) {
	t.Helper()
	w, a, b, intent := handingOver(t)
	_, err := b.Receive(ctx, Call{}, ReceiveRequest{Intent: intent, HowAcquired: "consent"})
	noErr(t, err)
	return w, a, b
}

func TestErase(t *testing.T) {
	w, a, b := handedOver(t)
	handles, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	call := Call{Client: "app", Key: "forget"}
	view, done, err := a.Erase(ctx, call, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	if view.Done[0].Holder != "a-sha" || len(view.RecordsUntil) != 1 || view.RecordsUntil[0] != "2030-04-30" || done.Records[0].Kind != "erasure" {
		t.Fatalf("%+v, %+v", view, done)
	}
	again, _, err := a.Erase(ctx, call, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	if again.ID != view.ID {
		t.Fatal("a repeated call erased again")
	}
	for name, f := range map[string]func() error{
		"provide":  func() error { _, err := a.Provide(ctx, Call{}, provideRequest(refMarker)); return err },
		"disclose": func() error { _, err := a.Disclose(ctx, refMarker); return err },
		"secret":   func() error { _, err := a.Secret(ctx, refMarker); return err },
		"erase": func() error {
			_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
			return err
		},
	} {
		if codeOf(f()) != record.CodeErased {
			t.Errorf("%s: %v", name, f())
		}
	}
	if _, ok, _ := a.Find(ctx, "phone", phoneMarker); ok {
		t.Error("the phone number still finds somebody")
	}
	w.duties()
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || b.People(ctx) != 0 {
		t.Fatalf("%+v, %d people at b-sha", view, b.People(ctx))
	}
	if h, _ := rules.HandleState(w.state(), handles[0].Key); h.Closed != 0 {
		t.Error("the handle is closed at once")
	}
	w.reopen(a) // the closing survives a restart
	w.pass(29 * time.Minute)
	w.duties()
	if h, _ := rules.HandleState(w.state(), handles[0].Key); h.Closed != 0 {
		t.Error("the handle is closed too early")
	}
	w.pass(70 * time.Second)
	w.duties()
	h, err := rules.HandleState(w.state(), handles[0].Key)
	noErr(t, err)
	e, err := rules.Load[rules.Erasure](w.state(), rules.KeyErasure(mustID(t, view.ID)))
	noErr(t, err)
	if h.Closed == 0 || h.Closed <= heightOf(t, w, view.ID) {
		t.Errorf("closed at height %d", h.Closed)
	}
	if len(e.Done) != 2 {
		t.Errorf("%+v", e)
	}
	w.duties()
	for _, m := range []*member{a, b} {
		if ids, _ := m.vault.List("e/"); len(ids) != 0 {
			t.Errorf("%s keeps %d keys of an erasure that is over", m.id, len(ids))
		}
		if ids, _ := m.vault.List("p/"); len(ids) != 0 {
			t.Errorf("%s keeps %d keys of a person who was erased", m.id, len(ids))
		}
		n := 0
		noErr(t, m.blobs.Scan([]byte("desk/e/"), func(_, _ []byte) error { n++; return nil }))
		if n != 0 {
			t.Errorf("%s keeps %d plans of an erasure that is over", m.id, n)
		}
	}
}

func mustID(t *testing.T, s string) record.ID {
	id, err := parseID(s)
	noErr(t, err)
	return id
}

func heightOf(t *testing.T, w *world, id string) uint64 {
	index, _, err := w.state().IndexOf(mustID(t, id))
	noErr(t, err)
	end, err := w.state().EndWith(index)
	noErr(t, err)
	return end.Height
}

// Who registers again is a new person, also with the secret of before.
func TestRegisterAgain(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	secret := secretOf(t, a, ref)
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "withdrawal"})
	noErr(t, err)
	_, err = a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-portal", Items: map[string]string{"user-id": "u2"}, Source: "self", Secret: secret})
	noErr(t, err)
	done := w.consent2(ref)
	handles, err := a.Handles(ctx, ref)
	noErr(t, err)
	h, _ := rules.HandleState(w.state(), handles[1].Key)
	if handles[1].Generation != 1 || h == nil || h.Closed != 0 {
		t.Fatalf("the consent %v went under the handle that is to be closed", done)
	}
	dis, err := a.Disclose(ctx, ref)
	noErr(t, err)
	if len(dis.Classes) != 1 || len(dis.Classes[0].Items) != 1 || !dis.Own {
		t.Fatalf("%+v", dis)
	}
	w.pass(30 * time.Minute)
	w.duties()
	views, err := a.Consents(ctx, ref)
	noErr(t, err)
	if len(views) != 1 || !views[0].On {
		t.Fatalf("%+v", views)
	}
}

func (w *world) consent2(ref Ref) *Done {
	done, err := w.members["a-sha"].Consent(ctx, Call{}, ConsentRequest{Person: ref, Service: "a-portal", Version: "1", Items: []string{"user-id"}, Purposes: []string{"service"}})
	noErr(w.t, err)
	return done
}

// A crash anywhere: the erasure goes on, and ends.
func TestEraseThroughCrashes(t *testing.T) {
	for _, fail := range []record.Kind{record.KindErasure, record.KindAttestation, record.KindHandleClose} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v after %v", fail, after), func(t *testing.T) { crashErase(t, fail, after) })
		}
	}
	t.Run("holder unreachable", func(t *testing.T) {
		w, a, b := handedOver(t)
		w.set(func() { w.refuse = func(string, string) error { return errors.New("cut off") } })
		view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
		noErr(t, err)
		w.reopen(a)
		w.duties()
		if view, _ = a.Erasure(ctx, view.ID); len(view.Pending) != 1 || view.Pending[0] != "b-sha" || b.People(ctx) != 1 {
			t.Fatalf("%+v", view)
		}
		w.set(func() { w.refuse = nil })
		w.duties()
		if view, _ = a.Erasure(ctx, view.ID); len(view.Pending) != 0 || b.People(ctx) != 0 {
			t.Fatalf("%+v", view)
		}
	})
}

var errCrash = errors.New("crash")

func crashErase(t *testing.T, fail record.Kind, after bool) {
	w, a, b := handedOver(t)
	crash := true
	hook := func(r outbox.Request) error {
		if r.Records[0].Kind != fail || !crash {
			return nil
		}
		if after { // it took effect, and nobody heard of it
			w.mu.Lock()
			key := r.Issuer + "\x00" + r.Client + "\x00" + r.Key
			if _, ok := w.results[key]; !ok {
				w.results[key] = keyed{r.Body, &outbox.Result{Key: r.Key, Final: true, Outcomes: w.submit(r.Issuer, r.Records)}}
			}
			w.mu.Unlock()
		}
		return errCrash
	}
	w.set(func() { w.posted = hook })
	_, _, err := a.Erase(ctx, Call{Client: "app", Key: "k"}, EraseRequest{Person: refMarker, Cause: "request"})
	if fail != record.KindHandleClose && !errors.Is(err, errCrash) {
		t.Fatalf("erase: %v", err)
	}
	closed := record.CodeErased
	if fail == record.KindErasure { // it may be refused yet
		closed = CodePersonLeaving
	}
	if _, err := a.Disclose(ctx, refMarker); codeOf(err) != closed {
		t.Errorf("disclose after a half erasure: %v", err)
	}
	w.pass(time.Hour)
	w.duties()
	w.reopen(a)
	w.reopen(b)
	if _, err := a.Disclose(ctx, refMarker); codeOf(err) != closed {
		t.Errorf("disclose after a restart: %v", err)
	}
	w.set(func() { crash = false })
	w.duties()
	w.pass(time.Hour)
	w.duties()
	view, _, err := a.Erase(ctx, Call{Client: "app", Key: "k"}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	if len(view.Pending) != 0 || len(view.Done) != 2 || a.People(ctx) != 0 || b.People(ctx) != 0 || len(a.erasing.all()) != 0 {
		t.Fatalf("%+v; %d and %d people, %d erasures under way", view, a.People(ctx), b.People(ctx), len(a.erasing.all()))
	}
	erasures := 0
	noErr(t, w.state().Listed("erasure/", func(string, []byte) error { erasures++; return nil }))
	if erasures != 1 {
		t.Errorf("%d erasures", erasures)
	}
}

// A refused erasure leaves the person as before.
func TestRefusedErase(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "whim"})
	wantCode(t, err, record.CodeRecordMalformed)
	_, err = a.Disclose(ctx, ref)
	noErr(t, err)
	q, release, err := a.use(ref)
	noErr(t, err)
	numbers, err := a.numbers(w.state(), q, "")
	noErr(t, err)
	w.must("a-sha", w.c.Erasure(numbers, "a-sha")) // its numbers are buried already
	release()
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	wantCode(t, err, record.CodeErased)
	_, err = a.Disclose(ctx, ref)
	noErr(t, err)
}

// An erasure waits for what is under way, and what comes after it is refused.
func TestEraseWaits(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	_, release, err := a.use(ref)
	noErr(t, err)
	early := false
	var over bool
	w.set(func() {
		w.posted = func(outbox.Request) error {
			w.set(func() { early = early || !over })
			return nil
		}
	})
	short, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		_, _, err := a.Erase(short, Call{}, EraseRequest{Person: ref, Cause: "request"})
		ended <- err
	}()
	for !a.goingOut(ref) {
		time.Sleep(time.Millisecond)
	}
	wantCode(t, a.PutItems(ctx, Call{}, ref, "a-portal", map[string]string{"name": "x"}), CodePersonLeaving)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || a.goingOut(ref) {
		t.Fatalf("given up: %v", err)
	}
	go func() {
		_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
		ended <- err
	}()
	for !a.goingOut(ref) {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended beside an operation: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	w.set(func() { over = true })
	release()
	noErr(t, <-ended)
	if early {
		t.Error("posted beside an operation")
	}
}
