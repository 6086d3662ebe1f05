package custody

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

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

// TestConsentByChoice: a repeated consent is the same whichever screen showed it. What
// its person chose is never answered by the first: neither the tick for sensitive data
// nor purposes, items, last day or guardian.
func TestConsentByChoice(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	terms := w.c.Screen("a-portal", "2", record.Scope{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"allergy"}, Recipients: []string{"b-sha"}, MaxExpiry: "P1Y"})
	terms.Foreign = "consent"
	r, _ := w.c.Terms(terms)
	w.must("a-sha", r)
	w.posted = func(r outbox.Request) error { // it never enters the ledger; its memo is kept
		noErr(t, a.blobs.PutMany(r.Keep))
		return outbox.ErrExpired
	}
	call := Call{Client: "consent:screen", Key: "k1"}
	req := ConsentRequest{Person: ref, Service: "a-portal", Version: "2", Items: []string{"user-id", "allergy"}, Purposes: []string{"service"}, Foreign: true, Sensitive: true, ByChoice: true}
	if _, err := a.Consent(t.Context(), call, req); !errors.Is(err, outbox.ErrExpired) {
		t.Fatal(err)
	}
	w.posted = nil
	for name, change := range map[string]func(*ConsentRequest){
		"no tick":   func(r *ConsentRequest) { r.Sensitive = false },
		"purposes":  func(r *ConsentRequest) { r.Purposes = []string{"service", "news"} },
		"items":     func(r *ConsentRequest) { r.Items = []string{"user-id"} },
		"chosen":    func(r *ConsentRequest) { r.Items, r.Chosen = nil, map[string][]string{"service": {"user-id"}} },
		"last day":  func(r *ConsentRequest) { r.Until = "2027-01-01" },
		"version":   func(r *ConsentRequest) { r.Version = "1" },
		"guardian":  func(r *ConsentRequest) { r.Guardian = "g01" },
		"by screen": func(r *ConsentRequest) { r.ByChoice, r.Language = false, "en" },
	} {
		other := req
		change(&other)
		if done, err := a.Consent(t.Context(), call, other); !errors.Is(err, outbox.ErrKeyReused) {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	req.Screen, req.Button, req.Language, req.Foreign = make([]byte, 32), "Agree", "en", false
	if done, err := a.Consent(t.Context(), call, req); err != nil || !done.Final || len(done.Records) != 1 {
		t.Errorf("another screen: %+v, %v", done, err)
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
