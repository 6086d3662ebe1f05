package receipt_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

const site = "https://id.a-sha.example"

// confirmed posts consents to all scopes that a passkey confirmed; spoil may alter
// them before the handle's key signs.
func (s *story) confirmed(h sign.Key, p *ledgertest.Passkey, spoil func([]record.Draft)) []*record.Record {
	drafts := s.c.Drafts(h.Public(), s.terms, 0, 1)
	drafts[1].Consent.Expiry = uint32(record.DayOf(s.c.NowMs)) + 30
	if err := record.Confirm(s.c.Origin, drafts, p.Answer(record.DraftChallenge(s.c.Origin, drafts))); err != nil {
		panic(err)
	}
	if spoil != nil {
		spoil(drafts)
	}
	recs := s.c.GrantAll("a-sha", h, drafts)
	s.c.Must("a-sha", recs...)
	return recs
}

// With a passkey of each algorithm, the receipt of every consent names the step and
// the site, whichever place it has among those given at once.
func TestPasskeyConfirms(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	for i, algorithm := range []string{sign.AlgorithmES256, sign.AlgorithmEdDSA, sign.AlgorithmRS256} {
		h := s.c.Person("hana").Handle("a-portal", uint64(i+1))
		for place, rec := range s.confirmed(h, s.c.NewPasskey("hana", algorithm, site), nil) {
			b, v := built(t, newest(s.c), rec, options(s.c, rec))
			step := slices.IndexFunc(v.Steps, func(s receipt.Step) bool { return s.Name == "evidence" })
			if v.Passkey != site || step < 0 || !v.Steps[step].OK || !slices.Contains(v.Human.En, "Confirmed by: a passkey (its signature is in the sealed part)") {
				t.Errorf("%s: %+v", algorithm, v)
			}
			unknown := slices.ContainsFunc(v.NotChecked, func(t record.Text) bool { return strings.HasPrefix(t.En, "that the consents before it") })
			if unknown != (place > 0) {
				t.Errorf("%s: consent %d: not checked: %v", algorithm, place, v.NotChecked)
			}
			if slip, err := receipt.Slip(b); err != nil {
				t.Errorf("%s: no slip: %v", algorithm, err)
			} else if _, err := receipt.Verify([]byte(slip), s.c.Policy()); err != nil {
				t.Errorf("%s: the slip: %v", algorithm, err)
			}
			sealed, v := built(t, newest(s.c), rec, receipt.Options{})
			if v.Passkey != "" || bytes.Contains(sealed, []byte("webauthn")) {
				t.Errorf("%s: a sealed receipt tells of the passkey", algorithm)
			}
		}
	}
}

// evidence changes the evidence in a draft.
func evidence(d *record.Draft, change func(*record.Evidence)) {
	var e record.Evidence
	if err := canon.Unmarshal(d.Part.Evidence, &e); err != nil {
		panic(err)
	}
	change(&e)
	d.Part.Evidence = canon.Must(&e)
}

// A member that puts into a consent what its passkey did not sign is found out
// offline, whatever else it signs.
func TestPasskeyThatDoesNot(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	p := s.c.NewPasskey("hana", sign.AlgorithmES256, site)
	answer := func(drafts []record.Draft, p *ledgertest.Passkey) sign.Assertion {
		bare := slices.Clone(drafts)
		for i := range bare {
			bare[i].Part.Evidence = nil
		}
		return *p.Answer(record.DraftChallenge(s.c.Origin, bare))
	}
	with := func(p ledgertest.Passkey) func([]record.Draft) {
		return func(d []record.Draft) {
			a := answer(d, &p)
			evidence(&d[0], func(e *record.Evidence) { e.Assertion = a })
		}
	}
	other := *p
	other.Site = "https://evil.example"
	within := func(change func(*ledgertest.Passkey)) func([]record.Draft) {
		q := *p
		change(&q)
		return with(q)
	}
	cases := map[string]struct {
		spoil  func([]record.Draft)
		reason record.Code
	}{
		"another challenge": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion = *p.Answer([32]byte{1}) })
		}, record.CodePasskeyChallenge},
		"other items":     {func(d []record.Draft) { d[0].Part.Items = []string{"email", "name", "user-id"} }, record.CodePasskeyChallenge},
		"another button":  {func(d []record.Draft) { d[0].Part.Button = "はい" }, record.CodePasskeyChallenge},
		"another time":    {func(d []record.Draft) { d[0].Part.TimeMs++ }, record.CodePasskeyChallenge},
		"another nonce":   {func(d []record.Draft) { d[0].Nonce[0] ^= 1 }, record.CodePasskeyChallenge},
		"another end":     {func(d []record.Draft) { d[0].Consent.Expiry = uint32(record.DayOf(s.c.NowMs)) + 9 }, record.CodePasskeyChallenge},
		"another's place": {func(d []record.Draft) { d[0].Part.Evidence = d[1].Part.Evidence }, record.CodePasskeyChallenge},
		"another place": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Position, e.Head = 1, make([]byte, 32) })
		}, record.CodePasskeyChallenge},
		"no place": {func(d []record.Draft) { evidence(&d[0], func(e *record.Evidence) { e.Position = 2 }) }, record.CodePasskeyForm},
		"a longer path": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Path = append(e.Path, e.Path...) })
		}, record.CodePasskeyForm},
		"none at once": {func(d []record.Draft) { evidence(&d[0], func(e *record.Evidence) { e.Count = 0 }) }, record.CodePasskeyForm},
		"a second head": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Head = d[0].Consent.Head[:] })
		}, record.CodePasskeyForm},
		"no evidence":     {func(d []record.Draft) { d[0].Part.Evidence = []byte("signed") }, record.CodePasskeyForm},
		"another party":   {within(func(p *ledgertest.Passkey) { p.Party = "evil.example" }), record.CodePasskeyOrigin},
		"inside a page":   {within(func(p *ledgertest.Passkey) { p.Cross = true }), record.CodePasskeyOrigin},
		"nobody verified": {within(func(p *ledgertest.Passkey) { p.Flags = 1 }), record.CodePasskeyOrigin},
		"a page of none":  {within(func(p *ledgertest.Passkey) { p.Site = "null" }), record.CodePasskeyOrigin},
		"the signature": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion.Signature[9] ^= 1 })
		}, record.CodePasskeySignature},
		"another key": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion.Key = s.c.NewPasskey("taro", sign.AlgorithmES256, site).Public() })
		}, record.CodePasskeySignature},
		"another algorithm": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion.Algorithm = sign.AlgorithmRS256 })
		}, record.CodePasskeySignature},
		"no algorithm": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion.Algorithm = "none" })
		}, record.CodePasskeyForm},
		"the counter": {func(d []record.Draft) {
			evidence(&d[0], func(e *record.Evidence) { e.Assertion.Authenticator[36]++ })
		}, record.CodePasskeySignature},
	}
	n := uint64(0)
	for name, c := range cases {
		n++
		h := s.c.Person("hana").Handle("a-portal", n)
		rec := s.confirmed(h, p, c.spoil)[0]
		index, _ := s.c.Find(rec.ID)
		b, err := receipt.Build(newest(s.c), index, options(s.c, rec))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err := receipt.Verify(b, s.c.Policy())
		if code(t, err) != "receipt.evidence" || !strings.Contains(err.Error(), string(c.reason)) {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
		if last := v.Steps[len(v.Steps)-1]; last.OK || last.Name != "evidence" {
			t.Errorf("%s: the last step is %+v", name, last)
		}
	}
}

// Consents that were confirmed at once and kept back do not count over a later head:
// neither the first, nor a further one under the answer's own head or the new one.
func TestPasskeyKeptBack(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	p := s.c.NewPasskey("hana", sign.AlgorithmES256, site)
	d := s.c.Drafts(s.c.Person("hana").Handle("a-portal", 1).Public(), s.terms, 0, 1)
	if err := record.Confirm(s.c.Origin, d, p.Answer(record.DraftChallenge(s.c.Origin, d))); err != nil {
		t.Fatal(err)
	}
	later := record.Digest{0xee}
	d[0].Consent.Head, d[1].Consent.Head = later, later
	refused := func(err error) bool {
		var r *record.Refusal
		return errors.As(err, &r) && r.Code == record.CodePasskeyChallenge
	}
	check := func(d *record.Draft) (*record.Confirmed, error) {
		return d.Consent.CheckEvidence(s.c.Origin, d.Nonce, &d.Part)
	}
	if _, err := check(&d[0]); !refused(err) {
		t.Errorf("the first over a later head: %v", err)
	}
	v, err := check(&d[1])
	if err != nil || v.Head == later || v.Position != 1 {
		t.Errorf("the second shows %+v, %v", v, err)
	}
	for name, before := range map[string]*record.Confirmed{"none": nil, "itself": v, "another answer": {Count: 2, Head: v.Head}, "another head": {Count: 2, Challenge: v.Challenge, Head: later}} {
		if err := v.Follows(before); !refused(err) {
			t.Errorf("the second after %s: %v", name, err)
		}
	}
	if err := v.Follows(&record.Confirmed{Challenge: v.Challenge, Head: v.Head, Count: 2}); err != nil {
		t.Error(err)
	}
	evidence(&d[1], func(e *record.Evidence) { e.Head = later[:] })
	if _, err := check(&d[1]); !refused(err) {
		t.Errorf("the second with a later first head: %v", err)
	}
}
