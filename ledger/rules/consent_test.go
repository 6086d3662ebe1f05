package rules_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

func TestConsentRefusals(t *testing.T) {
	c := newCity(t)
	h := c.hana
	c.Must("b-sha", c.Service("b-service"))
	other, otherHash := c.Terms(c.Screen("b-service", "1"))
	c.Must("b-sha", other)
	future := c.Screen("portal", "2")
	future.EffectiveMs = c.NowMs + 86400_000
	next, nextHash := c.Terms(future)
	c.Must("a-sha", next)
	today := uint32(record.DayOf(c.NowMs))

	c.want("unknown terms", record.CodeTermsUnknown, "a-sha", c.Grant(h, record.Digest{1}, 0))
	c.want("another's service", record.CodeServiceOwner, "b-sha", c.Grant(h, c.terms, 0))
	c.want("a party", record.CodeServiceOwner, "pf", c.Grant(h, c.terms, 0))
	c.want("no such scope", record.CodeScopeRange, "a-sha", c.Grant(h, c.terms, 2))
	c.want("terms of tomorrow", record.CodeTermsNotEffective, "a-sha", c.Grant(h, nextHash, 0))
	c.want("no end where there must be one", record.CodeTermsExpiry, "a-sha", c.Grant(h, c.terms, 1))
	c.want("expired yesterday", record.CodeTermsExpiry, "a-sha", c.Grant(h, c.terms, 1, today-1))
	c.want("a day too long", record.CodeTermsExpiry, "a-sha", c.Grant(h, c.terms, 1, ledgertest.Day("2028-04-02")))
	c.want("past, where no end is needed", record.CodeTermsExpiry, "a-sha", c.Grant(h, c.terms, 0, today-1))
	stale := c.GrantAt(1, record.Digest{}, h, c.terms, 0)
	c.want("count of another", record.CodeGrantStale, "a-sha", stale)
	c.want("head of another", record.CodeGrantStale, "a-sha", c.GrantAt(0, record.Digest{1}, h, c.terms, 0))
	if c.State(h.Public()) != nil {
		t.Error("a refused consent opened the handle")
	}

	c.want("a year, first day not counted", "", "a-sha", c.Grant(h, c.terms, 1, ledgertest.Day("2028-04-01")))
	c.want("until today", "", "a-sha", c.Grant(h, c.terms, 0, today))
	c.want("the handle at another service", record.CodeHandleService, "b-sha", c.Grant(h, otherHash, 0))
	c.NowMs = future.EffectiveMs - 1
	c.want("a millisecond before the new version", "", "a-sha", c.Grant(h, c.terms, 0))
	c.want("superseded from then on", record.CodeTermsSuperseded, "a-sha", c.Grant(h, c.terms, 0))
	if c.TimeMs() != future.EffectiveMs {
		t.Errorf("judged at %d", c.TimeMs())
	}
	c.want("the new version", "", "a-sha", c.Grant(h, nextHash, 0))
}

// TestConsentSignature: nobody but the handle's key can grant, and nothing of
// the statement can be changed.
func TestConsentSignature(t *testing.T) {
	c := newCity(t)
	for name, change := range map[string]func(*record.Record, *record.Consent){
		"another key":        func(_ *record.Record, b *record.Consent) { b.Handle = c.Person("taro").Handle("portal", 0).Public() },
		"another scope":      func(_ *record.Record, b *record.Consent) { b.Scope = 1; b.Expiry = ledgertest.Day("2027-12-01") },
		"another expiry":     func(_ *record.Record, b *record.Consent) { b.Expiry = ledgertest.Day("2027-12-01") },
		"another count":      func(_ *record.Record, b *record.Consent) { b.Count++ },
		"another commitment": func(r *record.Record, _ *record.Consent) { r.Commitment[0] ^= 1 },
		"a bit":              func(_ *record.Record, b *record.Consent) { b.Sig[0] ^= 1 },
		"as a revocation": func(r *record.Record, b *record.Consent) {
			b.Sig = c.hana.Sign(sign.DomainConsent, c.Origin, (&record.Revocation{Terms: c.terms, Scope: b.Scope}).Statement())
		},
		"for another log": func(r *record.Record, b *record.Consent) {
			b.Sig = c.hana.Sign(sign.DomainConsent, "other.example/log", b.Statement(*r.Commitment))
		},
		"in another domain": func(r *record.Record, b *record.Consent) {
			b.Sig = c.hana.Sign(sign.DomainMove, c.Origin, b.Statement(*r.Commitment))
		},
	} {
		r := c.Grant(c.hana, c.terms, 0)
		change(r, r.Body.(*record.Consent))
		c.want(name, record.CodeSignature, "a-sha", r)
	}
	c.grant()
	r := c.Revoke(c.hana, c.terms, 0)
	r.Body.(*record.Revocation).Sig[0] ^= 1
	c.want("revocation", record.CodeSignature, "pf", r)
}

// TestOldGrantIsNotReplayed after a revocation, a stop, a move or another grant.
func TestOldGrantIsNotReplayed(t *testing.T) {
	for name, end := range map[string]func(*city) *record.Record{
		"revocation":     func(c *city) *record.Record { return c.Revoke(c.hana, c.terms, 0) },
		"stop":           func(c *city) *record.Record { return c.Stop(c.hana.Public(), c.terms, 0) },
		"stop of all":    func(c *city) *record.Record { return c.StopAll(c.hana.Public()) },
		"another grant":  func(c *city) *record.Record { return c.Grant(c.hana, c.terms, 1, ledgertest.Day("2027-06-01")) },
		"the same again": nil,
	} {
		c := newCity(t)
		old := c.Grant(c.hana, c.terms, 0)
		c.Must("a-sha", old)
		if end != nil {
			c.Must("a-sha", end(c))
		}
		c.want("an old grant after "+name, record.CodeGrantStale, "a-sha", old)
		c.want("a new grant after "+name, "", "a-sha", c.Grant(c.hana, c.terms, 0))
	}
}

// TestRacedGrants: of two grants over one count, the first counts.
func TestRacedGrants(t *testing.T) {
	c := newCity(t)
	one, two := c.Grant(c.hana, c.terms, 0), c.Grant(c.hana, c.terms, 0, ledgertest.Day("2027-06-01"))
	got := c.Post("a-sha", one, two)
	if got[0] != "" || got[1] != record.CodeGrantStale {
		t.Errorf("%q", got)
	}
}

func TestRevocationRefusals(t *testing.T) {
	c := newCity(t)
	terms2, hash2 := c.Terms(c.Screen("portal", "2"))
	c.Must("a-sha", terms2)
	otherTerms := c.Offer("b-sha", "b-service")
	c.want("handle never opened", record.CodeNoConsent, "pf", c.Revoke(c.hana, c.terms, 0))
	c.grant()
	c.want("unknown terms", record.CodeTermsUnknown, "pf", c.Revoke(c.hana, record.Digest{1}, 0))
	c.want("terms of another service", record.CodeHandleService, "pf", c.Revoke(c.hana, otherTerms, 0))
	c.want("scope never on", record.CodeNoConsent, "pf", c.Revoke(c.hana, c.terms, 1))
	c.want("version never consented to", record.CodeNoConsent, "pf", c.Revoke(c.hana, hash2, 0))
	c.want("scope out of range", record.CodeNoConsent, "pf", c.Revoke(c.hana, c.terms, 9))
	c.want("through any member", "", "c-sha", c.Revoke(c.hana, c.terms, 0))
	c.want("again", record.CodeAlreadyRevoked, "pf", c.Revoke(c.hana, c.terms, 0))
	c.Must("a-sha", c.Grant(c.hana, c.terms, 0, uint32(record.DayOf(c.NowMs))))
	c.NowMs = record.DayEndMs(record.DayOf(c.NowMs))
	c.want("after the last day", record.CodeExpired, "pf", c.Revoke(c.hana, c.terms, 0))
}

// Test002_25_RevocationIgnoresTheCount: a revocation that was signed long ago
// still turns the scope off.
func Test002_25_RevocationIgnoresTheCount(t *testing.T) {
	c := newCity(t)
	c.grant()
	old := c.Revoke(c.hana, c.terms, 0)
	c.Must("a-sha", c.Grant(c.hana, c.terms, 1, ledgertest.Day("2027-06-01")))
	c.want("", "", "pf", old)
	c.want("other scopes stay", "", "a-sha", c.Provision(c.hana.Public(), 1, 1, "c-sha"))
	c.want("", record.CodeRevoked, "a-sha", c.give("b-sha"))
}

// TestStops: accepted for every handle that exists, and shown as such.
func TestStops(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	c.want("no such handle", record.CodeHandleUnknown, "a-sha", c.StopAll(h))
	c.grant()
	c.want("unknown terms", record.CodeTermsUnknown, "a-sha", c.Stop(h, record.Digest{1}, 0))
	c.want("terms of another service", record.CodeHandleService, "a-sha", c.Stop(h, c.Offer("b-sha", "b-service"), 0))
	c.want("a scope never on", "", "b-sha", c.Stop(h, c.terms, 1))
	c.want("", "", "b-sha", c.Stop(h, c.terms, 0))
	c.want("", record.CodeRevoked, "a-sha", c.give("b-sha"))
	if s := c.State(h).Scope(1, 0); s.By != rules.ByStop {
		t.Errorf("turned off by %d", s.By)
	}
	c.Must("a-sha", c.Grant(c.hana, c.terms, 0))
	c.Must("a-sha", c.Revoke(c.hana, c.terms, 0))
	c.want("of what is off", "", "a-sha", c.StopAll(h))
	if s := c.State(h); s.Scope(1, 0).By != rules.ByRevocation || s.Stopped == 0 {
		t.Error("a stop hides that the subject had revoked, or is not kept")
	}
	c.Must("a-sha", c.HandleClose(h))
	c.want("of a closed handle", "", "pf", c.StopAll(h))
}

// TestNewerVersionReplacesOlder: a purpose is on under one version at most.
func TestNewerVersionReplacesOlder(t *testing.T) {
	c := newCity(t)
	c.grant()
	c.Must("a-sha", c.Grant(c.hana, c.terms, 1, ledgertest.Day("2027-06-01")))
	s := c.Screen("portal", "2")
	s.EffectiveMs = c.NowMs + 1
	r, hash := c.Terms(s)
	c.Must("a-sha", r)
	c.Must("a-sha", c.Grant(c.hana, hash, 0))
	c.want("the old version's scope", record.CodeNoConsent, "a-sha", c.give("b-sha"))
	c.want("the new version's scope", "", "a-sha", c.Provision(c.hana.Public(), 2, 0, "b-sha"))
	c.want("another purpose of the old version", "", "a-sha", c.Provision(c.hana.Public(), 1, 1, "c-sha"))
	c.want("revoking the old one", record.CodeNoConsent, "pf", c.Revoke(c.hana, c.terms, 0))
}

// TestHandleChain: head and counts by hand.
func TestHandleChain(t *testing.T) {
	c := newCity(t)
	c.grant()
	c.Must("a-sha", c.give("b-sha"))
	c.Must("pf", c.Revoke(c.hana, c.terms, 0))
	var event, consent record.Digest
	for i, leaf := range [][]byte{c.Leaves[c.Heights[2].First], c.Leaves[c.Heights[3].First], c.Leaves[c.Heights[4].First]} {
		event = rules.Chain(event, leafHash(leaf))
		if i != 1 {
			consent = rules.Chain(consent, leafHash(leaf))
		}
	}
	s := c.State(c.hana.Public())
	if s.Events != 3 || s.Consents != 2 || s.EventHead != event || s.ConsentHead != consent {
		t.Errorf("%+v", s)
	}
}

func TestHandleOpenAndClose(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	c.want("unknown service", record.CodeServiceUnknown, "a-sha", c.HandleOpen(h, "nowhere"))
	c.want("another's service", record.CodeServiceOwner, "b-sha", c.HandleOpen(h, "portal"))
	c.want("closing what is not open", record.CodeHandleUnknown, "a-sha", c.HandleClose(h))
	c.want("", "", "a-sha", c.HandleOpen(h, "portal"))
	c.want("again", record.CodeHandleExists, "a-sha", c.HandleOpen(h, "portal"))
	c.want("a member's own", "", "b-sha", c.HandleOpen(c.Person("hana").Handle("b-sha", 0).Public(), "b-sha"))
	c.want("another member's", record.CodeServiceOwner, "a-sha", c.HandleOpen(c.Person("hana").Handle("b-sha", 1).Public(), "b-sha"))
	c.want("nothing consented to", record.CodeNoConsent, "a-sha", c.give("b-sha"))
	c.grant()
	intent := c.give("b-sha")
	c.Must("a-sha", intent)
	c.want("closing another's", record.CodeServiceOwner, "b-sha", c.HandleClose(h))
	c.want("", "", "a-sha", c.HandleClose(h))
	for name, r := range map[string]*record.Record{
		"a grant": c.Grant(c.hana, c.terms, 0), "a provision": c.give("b-sha"), "closing again": c.HandleClose(h),
		"an exception": c.Exception(h, c.Member("a-sha").Approver), "a move": c.HandleMove(c.hana, c.Person("hana").Handle("portal", 1)),
		"a revocation": c.Revoke(c.hana, c.terms, 0), "an opt-out hand-over": c.OptOut(h, "f", "b-sha"),
	} {
		c.want(name+" after the end", record.CodeHandleClosed, "a-sha", r)
	}
	c.want("a receipt after the end", record.CodeHandleClosed, "b-sha", c.Received(intent))
	c.want("a denial after the end", "", "a-sha", c.Denial(h, record.CodeHandleClosed))
	c.want("opening again", record.CodeHandleExists, "a-sha", c.HandleOpen(h, "portal"))
	c.want("ending what is open by another", record.CodeServiceOwner, "b-sha", c.HandleClose(h, intent.ID))
	c.want("ending what is still open", "", "a-sha", c.HandleClose(h, intent.ID))
	c.want("ending it again", record.CodeHandleClosed, "a-sha", c.HandleClose(h, intent.ID))
}

// A closing takes the hand-overs that it names out of the register, those of its
// handle only.
func TestCloseEndsIntents(t *testing.T) {
	c := newCity(t)
	c.grant()
	h, taro := c.hana.Public(), c.Person("taro").Handle("portal", 0)
	c.Must("a-sha", c.Grant(taro, c.terms, 0))
	one, two, done, other := c.give("b-sha"), c.give("b-sha"), c.give("b-sha"), c.Provision(taro.Public(), 1, 0, "b-sha")
	c.Must("a-sha", one, two, done, other)
	c.Must("b-sha", c.Received(done))
	named := []record.ID{one.ID, two.ID, done.ID}
	slices.SortFunc(named, func(a, b record.ID) int { return bytes.Compare(a[:], b[:]) })
	c.want("another's hand-over", record.CodeIntentUnknown, "a-sha", c.HandleClose(h, other.ID))
	c.Must("a-sha", c.HandleClose(h, named...))
	for _, r := range []*record.Record{one, two, other} {
		if in := ledgertest.Value[rules.Intent](c.Consortium, rules.KeyIntent(r.ID)); (in != nil) != (r == other) {
			t.Errorf("%+v", in)
		}
	}
	c.want("a receipt after the end", record.CodeReceiveWithout, "b-sha", c.Received(one))
	if s := c.State(h); s.Closed == 0 || s.Events != 6 {
		t.Errorf("%+v", s)
	}
}

func TestHandleMove(t *testing.T) {
	c := newCity(t)
	next := c.Person("hana").Handle("portal", 1)
	c.want("of nothing", record.CodeHandleUnknown, "a-sha", c.HandleMove(c.hana, next))
	c.grant()
	old := c.Grant(c.hana, c.terms, 0)
	for name, change := range map[string]func(*record.HandleMove){
		"old key": func(m *record.HandleMove) { m.OldSig = m.NewSig },
		"new key": func(m *record.HandleMove) { m.NewSig = m.OldSig },
		"target":  func(m *record.HandleMove) { m.New = c.Person("x").Handle("portal", 0).Public() },
	} {
		r := c.HandleMove(c.hana, next)
		change(r.Body.(*record.HandleMove))
		c.want("signature of the "+name, record.CodeSignature, "a-sha", r)
	}
	c.Must("a-sha", c.HandleOpen(c.Person("taro").Handle("portal", 0).Public(), "portal"))
	c.want("onto another's", record.CodeHandleExists, "a-sha", c.HandleMove(c.hana, c.Person("taro").Handle("portal", 0)))
	c.want("through any member", "", "pf", c.HandleMove(c.hana, next))
	c.want("a provision under the old", record.CodeHandleClosed, "a-sha", c.give("b-sha"))
	c.want("a provision under the new", "", "a-sha", c.Provision(next.Public(), 1, 0, "b-sha"))
	c.want("an old grant under the old", record.CodeHandleClosed, "a-sha", old)
	c.want("a revocation by the new", "", "pf", c.Revoke(next, c.terms, 0))
	was, is := c.State(c.hana.Public()), c.State(next.Public())
	if sign.PublicKey(was.MovedTo) != next.Public() || sign.PublicKey(is.MovedFrom) != c.hana.Public() || is.For != "portal" || is.Consents != 2 {
		t.Errorf("%+v %+v", was, is)
	}
}
