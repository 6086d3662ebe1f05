package custody

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// The hand-over: intent, parcel, receiving record, and only then the data.
func TestProvideAndReceive(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	done, err := a.Provide(ctx, Call{Client: "app", Key: "give"}, provideRequest(ref))
	noErr(t, err)
	intent := done.Records[0].ID
	w.duties()
	if b.People(ctx) != 0 {
		t.Fatal("the recipient holds somebody before it confirmed")
	}
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: intent})
	wantCode(t, err, record.CodeAcquisition)
	_, err = w.members["c-sha"].Receive(ctx, Call{}, ReceiveRequest{Intent: intent, HowAcquired: "consent"})
	wantCode(t, err, record.CodeReceiveWithout)
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: "00", HowAcquired: "consent"})
	wantCode(t, err, record.CodeReceiveWithout)
	got, err := b.Receive(ctx, Call{Client: "app", Key: "take"}, ReceiveRequest{Intent: intent, HowAcquired: "同意"})
	noErr(t, err)
	if got.Late || got.Records[0].Kind != "provision.received" {
		t.Fatalf("%+v", got)
	}
	again, err := b.Receive(ctx, Call{Client: "app", Key: "take"}, ReceiveRequest{Intent: intent, HowAcquired: "同意"})
	noErr(t, err)
	if again.Records[0] != got.Records[0] {
		t.Fatalf("%+v, then %+v", got, again)
	}
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: intent, HowAcquired: "同意"})
	wantCode(t, err, record.CodeDuplicate)
	wantHeld(t, b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
	w.duties()
	w.reopen(b)
	wantHeld(t, b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
	if ids, _ := b.vault.List("w/"); len(ids) != 0 {
		t.Errorf("%d one-time keys are left", len(ids))
	}
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if e := events[1]; e.Kind != "provision" || e.State != "received" || e.To != "b-sha" || e.Purpose != "service" || len(e.Items) != 2 || e.ID != intent {
		t.Errorf("event %+v", e)
	}
}

// wantHeld checks what the only person of a desk is held with.
func wantHeld(t *testing.T, m *member, service string, want map[string]string) Ref {
	t.Helper()
	ids, err := m.vault.List("p/")
	noErr(t, err)
	var refs []Ref
	for _, id := range ids {
		if ref, _, _ := personEntry(id); !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	if len(refs) != 1 {
		t.Fatalf("%d people at %s", len(refs), m.id)
	}
	d, err := m.Disclose(ctx, refs[0])
	noErr(t, err)
	got := map[string]string{}
	for _, c := range d.Classes {
		if c.Service == service {
			for _, it := range c.Items {
				got[it.Code] = it.Value
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s holds %d items under %s, want %d", m.id, len(got), service, len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("%s holds %q as %s, want %q", m.id, got[k], k, v)
		}
	}
	return refs[0]
}

func TestDenials(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	_, err := a.Provide(ctx, Call{}, provideRequest(ref))
	wantCode(t, err, record.CodeNoConsent)
	_, err = a.Consent(ctx, Call{}, ConsentRequest{Person: ref, Service: "a-portal", Version: "1", Items: []string{"income", "user-id"},
		Purposes: []string{"service", "platform"}})
	noErr(t, err)
	noErr(t, a.PutItems(ctx, Call{}, ref, "a-portal", map[string]string{"income": "0-3m"}))
	base := provideRequest(ref)
	base.Items = []string{"user-id"}
	income := func(r *ProvideRequest) { r.Purpose, r.Items, r.To = "platform", []string{"income"}, "c-sha" }
	n := 0
	for name, c := range map[string]struct {
		change func(*ProvideRequest)
		code   record.Code
		denial bool
	}{
		"recipient gone": {func(r *ProvideRequest) { r.To = "d-sha" }, record.CodeMemberNotActive, true},
		"person":         {func(r *ProvideRequest) { r.Person = "p99" }, record.CodeNoConsent, false},
		"purpose":        {func(r *ProvideRequest) { r.Purpose = "ads" }, record.CodePurposeNotConsented, true},
		"item":           {func(r *ProvideRequest) { r.Items = []string{"name"} }, record.CodeItemNotConsented, true},
		"no screen item": {func(r *ProvideRequest) { r.Items = []string{"income"} }, record.CodeItemNotConsented, true},
		"not listed":     {func(r *ProvideRequest) { r.To = "c-sha" }, record.CodeRecipientNotListed, true},
		"self":           {func(r *ProvideRequest) { r.To = "a-sha" }, record.CodeNotAuthorised, false},
		"bracket": {func(r *ProvideRequest) { income(r); r.Values = map[string]string{"income": "4321000"} },
			record.CodeBracketUnknown, true},
		"onward": {func(r *ProvideRequest) { r.OnwardOf = "00112233445566778899aabbccddeeff" }, record.CodeOnwardNotApproved, true},
	} {
		r := base
		c.change(&r)
		_, err := a.Provide(ctx, Call{}, r)
		if codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if c.denial {
			n++
		}
		events, err := a.Events(ctx, ref)
		noErr(t, err)
		if last := events[len(events)-1]; len(events) != 2+n || c.denial && (last.Kind != "denial" || last.Code != c.code) {
			t.Errorf("%s: %d events, want %d; the last is %s %s", name, len(events), 2+n, last.Kind, last.Code)
		}
	}
	r := base
	income(&r)
	_, err = a.Provide(ctx, Call{}, r)
	noErr(t, err)
	w.set(func() { w.staleBy = 31 * time.Second })
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeNotFinal)
	w.set(func() { w.staleBy = 30 * time.Second })
	_, err = a.Provide(ctx, Call{}, r)
	noErr(t, err)
	w.set(func() { w.staleBy = 0 })
	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal", Purposes: []string{"platform"}})
	noErr(t, err)
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, record.CodeRevoked)
	w.consent(ref, "platform", "service")
	w.pass(400 * 24 * time.Hour)
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, record.CodeExpired)
}

// Data that has not left stays when the consent ends between intent and parcel.
func TestRevokedBeforeTheParcel(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	w.set(func() { w.refuse = func(string, string) error { return errors.New("cut off") } })
	done, err := a.Provide(ctx, Call{}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal"})
	noErr(t, err)
	w.set(func() { w.refuse = nil })
	w.duties()
	if n := len(b.waiting.all()); n != 0 {
		t.Fatalf("%d parcels came after the revocation", n)
	}
	w.pass(26 * time.Hour)
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if events[1].ID != done.Records[0].ID || events[1].State != "overdue" || a.Overdue() != 1 {
		t.Errorf("%+v, %d overdue", events[1], a.Overdue())
	}
	_, err = b.Undeliver(ctx, Call{}, done.Records[0].ID, record.CodeRevoked)
	noErr(t, err)
	w.duties()
	if events, _ = a.Events(ctx, ref); events[1].State != "undelivered" || a.Overdue() != 0 {
		t.Errorf("%+v, %d overdue", events[1], a.Overdue())
	}
}

func TestLateAndAutomatic(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.members["a-sha"], w.members["b-sha"], w.members["c-sha"]
	ref := w.standard()
	w.consent(ref, "service", "platform")
	noErr(t, a.PutItems(ctx, Call{}, ref, "a-portal", map[string]string{"income": "0-3m"}))
	done, err := a.Provide(ctx, Call{}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	w.reopen(b) // the parcel waits through a restart
	w.pass(25 * time.Hour)
	got, err := b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)
	if !got.Late {
		t.Error("not late after 25 hours")
	}
	c.auto = true
	w.reopen(c)
	_, err = a.Provide(ctx, Call{}, ProvideRequest{Person: ref, Service: "a-portal", To: "c-sha", Items: []string{"income"}, Purpose: "platform"})
	noErr(t, err)
	w.duties()
	wantHeld(t, c, "a-portal", map[string]string{"income": "0-3m"})
}

// A refused receiving record: the parcel stays closed and its key is destroyed.
func TestRefusedReceiving(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	handles, err := a.Handles(ctx, ref)
	noErr(t, err)
	w.posted = func(r outbox.Request) error {
		w.posted = nil // the handle is closed while the record is under way
		w.must("a-sha", w.c.HandleClose(handles[0].Key))
		return nil
	}
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
	wantCode(t, err, record.CodeHandleClosed)
	if ids, _ := b.vault.List(""); len(ids) != 1 || b.People(ctx) != 0 || len(b.waiting.all()) != 0 {
		t.Errorf("left: %d entries, %d people, %d parcels", len(ids), b.People(ctx), len(b.waiting.all()))
	}
}

// Who received data passes it on under the same consent, with the choice asked from
// the owner and the approval from the one who gave it.
func TestOnward(t *testing.T) {
	w := newWorld(t)
	w.hosted["b-sha"] = []string{"b-ten"}
	w.must("b-sha", w.c.Party("b-ten"))
	r, _ := w.c.Terms(w.c.Screen("a-portal", "1", record.Scope{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"name"},
		Recipients: []string{"b-sha", "b-ten", "c-sha"}}))
	w.must("a-sha", w.c.Service("a-portal"), r)
	a, b, c := w.members["a-sha"], w.members["b-sha"], w.members["c-sha"]
	_, err := a.Register(ctx, Call{}, Registration{Person: refMarker, Service: "a-portal", Source: "self",
		Items: map[string]string{"name": nameMarker, "user-id": idMarker}})
	noErr(t, err)
	_, err = a.Consent(ctx, Call{}, ConsentRequest{Person: refMarker, Service: "a-portal", Version: "1", Items: []string{"user-id"}, Purposes: []string{"service"}})
	noErr(t, err)
	req := provideRequest(refMarker)
	req.Items, req.Contract = []string{"user-id"}, "k-1"
	first, err := a.Provide(ctx, Call{}, req)
	noErr(t, err)
	w.duties()
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: first.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)
	ref := wantHeld(t, b, "a-portal", map[string]string{"user-id": idMarker})

	onward := ProvideRequest{Person: ref, Service: "a-portal", To: "c-sha", Items: []string{"user-id"}, Purpose: "service", OnwardOf: first.Records[0].ID}
	_, err = b.Provide(ctx, Call{}, onward)
	wantCode(t, err, record.CodeOnwardNotApproved)
	wantCode(t, b.ApproveOnward(ctx, Call{}, first.Records[0].ID, "c-sha"), record.CodeNotAuthorised)
	noErr(t, a.ApproveOnward(ctx, Call{Client: "manager"}, first.Records[0].ID, "c-sha"))
	second, err := b.Provide(ctx, Call{}, onward)
	noErr(t, err)
	w.duties()
	_, err = c.Receive(ctx, Call{}, ReceiveRequest{Intent: second.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)
	wantHeld(t, c, "a-portal", map[string]string{"user-id": idMarker})
	w.set(func() {
		w.answer = func(what string, b []byte) []byte { // the owner says that another choice was made
			if what == callOpening {
				o, _ := commit(&record.ConsentPart{Items: []string{"name", "user-id"}, Person: "p", TimeMs: 1})
				b = canon.Must(&o)
			}
			return b
		}
	})
	_, err = b.Provide(ctx, Call{}, onward)
	wantCode(t, err, record.CodeItemNotConsented)
	w.set(func() { w.answer = nil })
	onward.Items = []string{"name"} // not chosen, says the opening that was asked for
	onward.Values = map[string]string{"name": "x"}
	_, err = b.Provide(ctx, Call{}, onward)
	wantCode(t, err, record.CodeItemNotConsented)

	// A party of b's receives at the same desk.
	onward = ProvideRequest{Person: ref, Service: "a-portal", To: "b-ten", Items: []string{"user-id"}, Purpose: "service"}
	third, err := b.Provide(ctx, Call{As: "b-sha"}, onward)
	noErr(t, err)
	w.duties()
	_, err = b.Receive(ctx, Call{As: "b-sha"}, ReceiveRequest{Intent: third.Records[0].ID, HowAcquired: "consent"})
	wantCode(t, err, record.CodeReceiveWithout)
	_, err = b.Receive(ctx, Call{As: "b-ten"}, ReceiveRequest{Intent: third.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)

	// All of them hold it, and all of them erase it.
	view, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	if len(view.Pending)+len(view.Done) != 4 || len(view.Done) == 0 { // they answer at once
		t.Fatalf("%+v", view)
	}
	w.duties()
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || len(view.Done) != 4 {
		t.Fatalf("%+v\n%s", view, w.log.Bytes())
	}
	if a.People(ctx)+b.People(ctx)+c.People(ctx) != 0 {
		t.Fatalf("%d, %d, %d people are left", a.People(ctx), b.People(ctx), c.People(ctx))
	}
}
