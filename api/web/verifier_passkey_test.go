package web_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// passkeyCases are receipts of consents that passkeys confirmed, and such in which
// one thing of the passkey's answer is wrong: what the page must say of those is what
// ledger/receipt says.
func passkeyCases(t testing.TB) (out []jsCase) {
	c := ledgertest.New(t, ledgertest.Options{Origin: "passkey.example/log"})
	terms := c.Offer("a-sha", "a-portal")
	n := uint64(0)
	add := func(name string, p *ledgertest.Passkey, spoil func(e *record.Evidence, d *record.Draft)) {
		h := c.Person("hana").Handle("a-portal", n)
		n++
		drafts := c.Drafts(h.Public(), terms, 0, 1)
		drafts[1].Consent.Expiry = uint32(record.DayOf(c.NowMs)) + 30
		if err := record.Confirm(c.Origin, drafts, p.Answer(record.DraftChallenge(c.Origin, drafts))); err != nil {
			t.Fatal(err)
		}
		for i := range drafts {
			var e record.Evidence
			if err := canon.Unmarshal(drafts[i].Part.Evidence, &e); err != nil {
				t.Fatal(err)
			}
			if spoil != nil {
				spoil(&e, &drafts[i])
			}
			drafts[i].Part.Evidence = canon.Must(&e)
		}
		recs := c.GrantAll("a-sha", h, drafts)
		c.Must("a-sha", recs...)
		for i, r := range recs {
			index, _ := c.Find(r.ID)
			o := c.Openings[r.ID]
			b, err := receipt.Build(newest(c), index, receipt.Options{Opening: &receipt.Opening{Nonce: o.Nonce[:], Part: o.Part}})
			if err != nil {
				t.Fatal(err)
			}
			one := jsCase{Name: fmt.Sprintf("passkey %s, %d", name, i), File: b, Result: "match"}
			if _, err = receipt.Verify(b, c.Policy()); err != nil {
				var part *receipt.Error
				if !errors.As(err, &part) || part.Code() != "receipt.evidence" {
					t.Fatalf("%s: %v", one.Name, err)
				}
				one.Result, one.Step, one.Code = "differ", "state", part.Code()
			}
			if (spoil == nil) != (err == nil) {
				t.Fatalf("%s: %v", one.Name, err)
			}
			out = append(out, one)
		}
	}
	const site = "https://id.a-sha.example:8443"
	for _, algorithm := range []string{sign.AlgorithmES256, sign.AlgorithmEdDSA, sign.AlgorithmRS256} {
		p := c.NewPasskey("hana", algorithm, site)
		add(algorithm, p, nil)
		flip := func(part func(*sign.Assertion) []byte) func(*record.Evidence, *record.Draft) {
			return func(e *record.Evidence, _ *record.Draft) { b := part(&e.Assertion); b[len(b)-1] ^= 1 }
		}
		add(algorithm+" signature", p, flip(func(a *sign.Assertion) []byte { return a.Signature }))
		add(algorithm+" key", p, flip(func(a *sign.Assertion) []byte { return a.Key }))
		add(algorithm+" counter", p, flip(func(a *sign.Assertion) []byte { return a.Authenticator }))
		add(algorithm+" client data", p, flip(func(a *sign.Assertion) []byte { return a.ClientData }))
		add(algorithm+" cut", p, func(e *record.Evidence, _ *record.Draft) { e.Assertion.Signature = e.Assertion.Signature[:40] })
		add(algorithm+" longer", p, func(e *record.Evidence, _ *record.Draft) { e.Assertion.Signature = append(e.Assertion.Signature, 0) })
	}
	p := c.NewPasskey("hana", sign.AlgorithmES256, site)
	wrong := func(change func(*ledgertest.Passkey)) func(*record.Evidence, *record.Draft) {
		return func(e *record.Evidence, d *record.Draft) { // a rightful answer of a wrong authenticator to this one consent
			q := *p
			change(&q)
			e.Position, e.Count, e.Path = 0, 1, nil
			e.Assertion = *q.Answer(record.DraftChallenge(c.Origin, []record.Draft{*d}))
		}
	}
	add("another party", p, wrong(func(p *ledgertest.Passkey) { p.Party = "a-sha.example" }))
	add("inside a page", p, wrong(func(p *ledgertest.Passkey) { p.Cross = true }))
	add("nobody verified", p, wrong(func(p *ledgertest.Passkey) { p.Flags = 1 }))
	add("no site", p, wrong(func(p *ledgertest.Passkey) { p.Site = "null" }))
	add("another challenge", p, func(e *record.Evidence, _ *record.Draft) { e.Assertion = *p.Answer([32]byte{1}) })
	add("another algorithm", p, func(e *record.Evidence, _ *record.Draft) { e.Assertion.Algorithm = "ES384" })
	add("other items", p, func(_ *record.Evidence, d *record.Draft) { d.Part.Items = []string{"name"} })
	add("another head", p, func(e *record.Evidence, _ *record.Draft) { e.Position ^= 1 })
	add("another first head", p, func(e *record.Evidence, _ *record.Draft) {
		if e.Position > 0 {
			e.Head[0] ^= 1
		} else {
			e.Head = make([]byte, 32)
		}
	})
	add("a short first head", p, func(e *record.Evidence, _ *record.Draft) {
		if e.Head = make([]byte, 31); e.Position > 0 {
			e.Head = nil
		}
	})
	add("too many", p, func(e *record.Evidence, _ *record.Draft) { e.Count = 17 })
	add("no path", p, func(e *record.Evidence, _ *record.Draft) { e.Path = nil })
	policy := string(c.Policy().Format())
	for i := range out {
		out[i].Policy = policy
	}
	return out
}
