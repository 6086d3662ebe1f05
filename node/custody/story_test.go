package custody

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
)

var ctx = context.Background()

func TestRegister(t *testing.T) {
	w := newWorld(t, "a-sha")
	ref := w.standard()
	a := w.members["a-sha"]
	base := Registration{Person: "p02", Service: "a-portal", Source: "self"}
	for name, c := range map[string]struct {
		change func(*Registration)
		code   record.Code
	}{
		"field":          {func(r *Registration) { r.Items = map[string]string{"income": "0-3m"} }, record.CodeFieldNotInSchema},
		"reference":      {func(r *Registration) { r.Person = "Hanako Yamada" }, CodeMalformed},
		"secret":         {func(r *Registration) { r.Secret = []byte("short") }, CodeMalformed},
		"service":        {func(r *Registration) { r.Service = "nobodys" }, record.CodeServiceUnknown},
		"same phone":     {func(r *Registration) { r.Lookup = map[string]string{"phone": phoneMarker} }, record.CodeDuplicate},
		"other's secret": {func(r *Registration) { r.Secret = secretOf(t, a, ref) }, record.CodeDuplicate},
	} {
		r := base
		c.change(&r)
		if _, err := a.Register(ctx, Call{}, r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	got, ok, err := a.Find(ctx, "phone", phoneMarker)
	if err != nil || !ok || got != ref {
		t.Fatalf("find: %q, %v, %v", got, ok, err)
	}
	if _, ok, err = a.Find(ctx, "phone", "000"); ok || err != nil {
		t.Fatal("found nobody's phone", err)
	}
	w.reopen(a)
	noErr(t, a.PutItems(ctx, Call{}, ref, "a-portal", map[string]string{"income": "0-3m", "user-id": "changed"}))
	wantCode(t, a.PutItems(ctx, Call{}, ref, "a-portal", map[string]string{"shoe-size": "27"}), record.CodeItemUnknown)
	dis, err := a.Disclose(ctx, ref)
	noErr(t, err)
	if len(dis.Classes) != 1 || len(dis.Classes[0].Items) != 3 || dis.Classes[0].Items[0].Code != "income" || dis.Classes[0].Items[2].Value != "changed" ||
		dis.Classes[0].Items[1].Value != nameMarker || dis.Own || dis.Lookups[0] != (HeldLookup{"phone", phoneMarker}) {
		t.Fatalf("disclosed %+v", dis)
	}
	if a.People(ctx) != 1 {
		t.Fatalf("%d people", a.People(ctx))
	}
}

func secretOf(t *testing.T, m *member, ref Ref) []byte {
	s, err := m.Secret(ctx, ref)
	noErr(t, err)
	return s[:]
}

func TestSelfOnly(t *testing.T) {
	w := newWorld(t, "a-sha")
	s := w.c.Service("sms")
	s.Body.(*record.Service).SelfOnly = true
	w.must("a-sha", s)
	r := Registration{Person: "p01", Service: "sms", Items: map[string]string{"name": "x"}, Source: "partner"}
	_, err := w.members["a-sha"].Register(ctx, Call{}, r)
	wantCode(t, err, record.CodeSourceNotSelf)
	r.Source = "self"
	_, err = w.members["a-sha"].Register(ctx, Call{}, r)
	noErr(t, err)
}

func TestConsentChecks(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	old := w.c.Screen("a-portal", "2", record.Scope{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"allergy", "name"}, Recipients: []string{"b-sha"}, MaxExpiry: "P1Y"})
	old.Foreign = "consent"
	future := w.c.Screen("a-portal", "3")
	future.EffectiveMs = w.c.NowMs + 10*86400_000
	r2, _ := w.c.Terms(old)
	r3, _ := w.c.Terms(future)
	_, err := a.Consent(ctx, Call{}, ConsentRequest{Person: ref, Service: "a-portal", Version: "9", Items: []string{"user-id"}, Purposes: []string{"service"}})
	wantCode(t, err, record.CodeTermsNotEffective)
	old.EffectiveMs++
	r2, _ = w.c.Terms(old)
	w.must("a-sha", r2, r3)
	base := ConsentRequest{Person: ref, Service: "a-portal", Version: "2", Items: []string{"user-id"}, Purposes: []string{"service"}, Foreign: true}
	for name, c := range map[string]struct {
		change func(*ConsentRequest)
		code   record.Code
	}{
		"person":     {func(r *ConsentRequest) { r.Person = "p77" }, CodePersonUnknown},
		"superseded": {func(r *ConsentRequest) { r.Version = "1" }, record.CodeTermsSuperseded},
		"future":     {func(r *ConsentRequest) { r.Version = "3" }, record.CodeTermsNotEffective},
		"item":       {func(r *ConsentRequest) { r.Items = []string{"user-id", "income"} }, record.CodeItemNotOnScreen},
		"required":   {func(r *ConsentRequest) { r.Items = []string{"name"} }, record.CodeRequiredItemMissing},
		"purpose":    {func(r *ConsentRequest) { r.Purposes = []string{"platform"} }, record.CodePurposeNotOnScreen},
		"sensitive":  {func(r *ConsentRequest) { r.Items = []string{"user-id", "allergy"} }, record.CodeSensitive},
		"foreign":    {func(r *ConsentRequest) { r.Foreign = false }, record.CodeForeignInfo},
		"until":      {func(r *ConsentRequest) { r.Until = "2029-01-01" }, record.CodeTermsExpiry},
		"no day":     {func(r *ConsentRequest) { r.Until = "tomorrow" }, record.CodeTermsExpiry},
		"past":       {func(r *ConsentRequest) { r.Until = "2027-03-31" }, record.CodeTermsExpiry},
	} {
		r := base
		c.change(&r)
		if _, err := a.Consent(ctx, Call{}, r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	done, err := a.Consent(ctx, Call{}, base)
	noErr(t, err)
	views, err := a.Consents(ctx, ref)
	noErr(t, err)
	if len(views) != 1 || views[0].Until != "2028-04-01" || !views[0].On || views[0].State != "active" || views[0].Items[0] != "user-id" || views[0].Index != done.Records[0].Index {
		t.Fatalf("consents %+v", views)
	}
}

func TestGuardian(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	w.standard()
	w.c.Founding.Attributes = nil
	req := ConsentRequest{Person: "child", Service: "a-portal", Version: "1", Items: []string{"user-id"}, Purposes: []string{"service"}}
	_, err := a.Register(ctx, Call{}, Registration{Person: "child", Service: "a-portal", Items: map[string]string{"user-id": "u9"}, Source: "self", Guardian: "parent"})
	noErr(t, err)
	q, release, err := a.use("child")
	noErr(t, err)
	noErr(t, a.setItems(a.classOf(q, "c/a-portal"), map[string]string{itemBirthDate: "2012-02-29"}, "self", ""))
	release()
	for _, g := range []Ref{"", "child", "stranger"} {
		r := req
		r.Guardian = g
		_, err = a.Consent(ctx, Call{}, r)
		wantCode(t, err, record.CodeGuardianMissing)
	}
	req.Guardian = "parent"
	_, err = a.Consent(ctx, Call{}, req)
	noErr(t, err)
	if got := birthday(time.Date(2012, 2, 29, 0, 0, 0, 0, record.JST), 17); got.Month() != 3 || got.Day() != 1 {
		t.Fatal(got)
	}
	w.pass(time.UnixMilli(int64(record.DayEndMs(record.DayOf(uint64(time.Date(2028, 2, 28, 12, 0, 0, 0, record.JST).UnixMilli()))))).Sub(w.now()))
	req.Guardian = "" // sixteen today
	_, err = a.Consent(ctx, Call{}, req)
	noErr(t, err)
}

func TestConsentChainAndRace(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	done := w.consent(ref, "service", "platform")
	if len(done.Records) != 2 || !done.Final || done.Records[0].Purpose != "platform" || done.Records[1].Code != "" {
		t.Fatalf("%+v", done)
	}
	// Somebody else's grant slips in once: it is built again and goes through.
	secret, err := a.Secret(ctx, ref)
	noErr(t, err)
	raced := 0
	w.posted = func(r outbox.Request) error {
		if r.Records[0].Kind == record.KindConsent && raced == 0 {
			raced++
			w.must("a-sha", w.c.Revoke(secret.Handle("a-portal", 0), w.final0(rules.KeyService("a-portal")), 0))
		}
		return nil
	}
	req := ConsentRequest{Person: ref, Service: "a-portal", Version: "1", Items: []string{"user-id"}, Purposes: []string{"service"}}
	done, err = a.Consent(ctx, Call{Client: "app", Key: "k1"}, req)
	noErr(t, err)
	w.posted = nil
	again, err := a.Consent(ctx, Call{Client: "app", Key: "k1"}, req)
	noErr(t, err)
	if raced != 1 || len(again.Records) != 1 || again.Records[0] != done.Records[0] {
		t.Fatalf("raced %d; %+v, then %+v", raced, done, again)
	}
	req.Items = append(req.Items, "name")
	if _, err = a.Consent(ctx, Call{Client: "app", Key: "k1"}, req); !errors.Is(err, outbox.ErrKeyReused) {
		t.Fatalf("other body: %v", err)
	}
}

// final0 returns the hash of a service's first terms.
func (w *world) final0(key string) record.Digest {
	s, err := rules.Load[rules.Service](w.state(), key)
	noErr(w.t, err)
	return s.Terms[0].Hash
}

func TestWithdraw(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	_, err := a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal"})
	wantCode(t, err, record.CodeNoConsent)
	w.consent(ref, "service", "platform")
	r := WithdrawRequest{Person: ref, Service: "a-portal", Purposes: []string{"service"}}
	done, err := a.Withdraw(ctx, Call{Client: "app", Key: "w"}, r)
	noErr(t, err)
	again, err := a.Withdraw(ctx, Call{Client: "app", Key: "w"}, r) // not "already-revoked": it was this call
	noErr(t, err)
	if again.Records[0] != done.Records[0] || done.Records[0].Kind != "revocation" {
		t.Fatalf("%+v, then %+v", done, again)
	}
	_, err = a.Withdraw(ctx, Call{}, r)
	wantCode(t, err, record.CodeAlreadyRevoked)
	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal", Stop: true})
	noErr(t, err)
	views, err := a.Consents(ctx, ref)
	noErr(t, err)
	if len(views) != 2 || views[1].State != "stopped" || views[0].On || views[1].On {
		t.Fatalf("%+v", views)
	}
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if len(kinds) != 4 || kinds[2] != "revocation" || kinds[3] != "stop" {
		t.Fatalf("events %q", kinds)
	}
}

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
	m.people.mu.Lock()
	var refs []Ref
	for ref := range m.people.byRef {
		refs = append(refs, ref)
	}
	m.people.mu.Unlock()
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

func TestOpenings(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)
	count := func(m *member) (kinds string) {
		for o, err := range m.Openings(ctx, "auditor", 0, 1<<40) {
			noErr(t, err)
			rec, _, err := recordByID(w.state(), o.ID)
			noErr(t, err)
			if rec.Commitment == nil || !bytes.Contains(o.Part.Part, []byte("r-")) && !bytes.Contains(o.Part.Part, []byte(refMarker)) {
				t.Errorf("opening of %v", rec.Kind)
			}
			kinds += o.Kind.String() + " "
		}
		return kinds
	}
	if got := count(a); got != "consent provision " {
		t.Fatalf("a-sha opens %q", got)
	}
	if got := count(b); got != "provision.received " {
		t.Fatalf("b-sha opens %q", got)
	}
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	if got := count(a); got != "provision " { // kept by law; the consent went with the content
		t.Fatalf("after the erasure a-sha opens %q", got)
	}
	w.pass(4 * 366 * 24 * time.Hour)
	if got := count(a); got != "" {
		t.Fatalf("past three years a-sha opens %q", got)
	}
	w.duties()
	ids, err := a.vault.List("z/")
	if err != nil || len(ids) != 0 {
		t.Fatalf("%d record identities outlive their month: %v", len(ids), err)
	}
	n := 0
	noErr(t, a.Accesses(ctx, func(x Access) error {
		if n++; x.Who != "auditor" || !x.Done {
			t.Errorf("%+v", x)
		}
		return nil
	}))
	if n != 3 {
		t.Errorf("%d accesses", n)
	}
}
