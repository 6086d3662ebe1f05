package ledgertest

import (
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Person's own reference in sealed parts.
const person = "person-1"

// Grant returns a consent to a scope, signed by the handle's key over the
// handle's present count and head. Expiry is the last valid day; none or 0: no
// end.
func (c *Consortium) Grant(h sign.Key, terms record.Digest, scope uint8, expiry ...uint32) *record.Record {
	c.t.Helper()
	var count uint64
	var head record.Digest
	if s := c.State(h.Public()); s != nil {
		count, head = s.Consents, s.ConsentHead
	}
	return c.GrantAt(count, head, h, terms, scope, expiry...)
}

// GrantAt is Grant over a count and head of choice.
func (c *Consortium) GrantAt(count uint64, head record.Digest, h sign.Key, terms record.Digest, scope uint8, expiry ...uint32) *record.Record {
	g := &record.Consent{Handle: h.Public(), Terms: terms, Scope: scope, Count: count, Head: head}
	if len(expiry) > 0 {
		g.Expiry = expiry[0]
	}
	r := c.sealed(record.KindConsent, c.ID(), g, &record.ConsentPart{Items: []string{"name", "user-id"}, Person: person,
		TimeMs: c.NowMs, Button: "同意する", Language: "ja", Keys: "own"})
	g.Sig = h.Sign(sign.DomainConsent, c.Origin, g.Statement(*r.Commitment))
	return r
}

// Revoke returns a revocation of a scope by the subject.
func (c *Consortium) Revoke(h sign.Key, terms record.Digest, scope uint8) *record.Record {
	r := &record.Revocation{Handle: h.Public(), Terms: terms, Scope: scope}
	r.Sig = h.Sign(sign.DomainConsent, c.Origin, r.Statement())
	return c.plain(record.KindRevocation, r)
}

// Stop returns a stop of one scope by a member, without the subject's key.
func (c *Consortium) Stop(h sign.PublicKey, terms record.Digest, scope uint8) *record.Record {
	return c.sealed(record.KindStop, c.ID(), &record.Stop{Handle: h, Terms: terms[:], Scope: scope}, c.note())
}

// StopAll returns a stop of every scope and every opt-out hand-over.
func (c *Consortium) StopAll(h sign.PublicKey) *record.Record {
	return c.sealed(record.KindStop, c.ID(), &record.Stop{Handle: h, Scope: record.ScopeAll}, c.note())
}

func (c *Consortium) note() *record.NotePart {
	return &record.NotePart{Person: person, TimeMs: c.NowMs, Note: "電話で確認"}
}

// deadlineMs is the next whole hour at least a day ahead.
func (c *Consortium) deadlineMs() uint64 {
	return (c.NowMs/record.HourMs + 25) * record.HourMs
}

// Provision returns the intent to hand items over, user-id where none is named.
func (c *Consortium) Provision(h sign.PublicKey, terms uint32, scope uint8, to string, items ...string) *record.Record {
	id := c.ID()
	p := &record.Provision{Handle: h, Terms: terms, Scope: scope, To: to, DeadlineMs: c.deadlineMs(),
		Items: c.items(id, items)}
	return c.sealed(record.KindProvision, id, p, &record.HandOverPart{Person: person, Purpose: "service", TimeMs: c.NowMs})
}

func (c *Consortium) items(id record.ID, items []string) record.Digest {
	if len(items) == 0 {
		items = []string{"user-id"}
	}
	return c.Commit(c.Items, id, &record.ItemsPart{Items: items})
}

// Received returns the recipient's record of an intent.
func (c *Consortium) Received(intent *record.Record) *record.Record {
	r := &record.Received{Intent: intent.ID}
	switch body := intent.Body.(type) {
	case *record.Provision:
		r.Items = body.Items
	case *record.OptOut:
		r.Items = body.Items
	}
	return c.sealed(record.KindReceived, c.ID(), r, &record.ReceivedPart{Person: person, From: intent.Issuer,
		HowAcquired: "consent", TimeMs: c.NowMs})
}

// Undelivered returns the recipient's word that it did not take an intent.
func (c *Consortium) Undelivered(intent *record.Record) *record.Record {
	return c.plain(record.KindUndelivered, &record.Undelivered{Intent: intent.ID, Reason: record.CodeItemNotConsented})
}

// Filing returns the beginning of an opt-out filing.
func (c *Consortium) Filing(number string, fromMs uint64, items ...string) *record.Record {
	return c.plain(record.KindFiling, &record.Filing{Number: number, FromMs: fromMs, Items: items})
}

// FilingEnd returns the end of an opt-out filing.
func (c *Consortium) FilingEnd(number string) *record.Record {
	return c.plain(record.KindFiling, &record.Filing{Number: number, End: true})
}

// OptOut returns the intent to hand over under a filing.
func (c *Consortium) OptOut(h sign.PublicKey, filing, to string) *record.Record {
	id := c.ID()
	o := &record.OptOut{Handle: h, Filing: filing, To: to, DeadlineMs: c.deadlineMs(), Items: c.items(id, nil)}
	return c.sealed(record.KindOptOut, id, o, &record.HandOverPart{Person: person, Purpose: "service", TimeMs: c.NowMs})
}

// Exception returns a hand-over on a legal ground, approved by a key.
func (c *Consortium) Exception(h sign.PublicKey, approver sign.Key) *record.Record {
	e := &record.Exception{Handle: h}
	r := c.sealed(record.KindException, c.ID(), e, &record.HandOverPart{Person: person, Purpose: "service",
		TimeMs: c.NowMs, To: "police", Basis: "law", Statute: "刑事訴訟法218条", Request: "令状-1", Reason: "令状",
		Necessity: "検討した", Items: []string{"name"}})
	e.Sig = approver.Sign(sign.DomainApproval, c.Origin, record.Approval(r.ID, h, *r.Commitment))
	return r
}

// Denial returns a node's record of a refused hand-over.
func (c *Consortium) Denial(h sign.PublicKey, reason record.Code) *record.Record {
	return c.plain(record.KindDenial, &record.Denial{Handle: h, Reason: reason})
}

// Number draws the number of a sealed identity.
func (c *Consortium) Number() record.KeyNumber { d := c.draw(); return record.KeyNumber(d[:16]) }

// Erasure returns the request to destroy identities at holders (ascending).
func (c *Consortium) Erasure(numbers []record.KeyNumber, holders ...string) *record.Record {
	return c.sealed(record.KindErasure, c.ID(), &record.Erasure{Numbers: numbers, Holders: holders, Cause: "request"}, c.note())
}

// Keeping adds to an attestation what its holder keeps, until a day (0: nothing),
// and further holders.
func Keeping(a *record.Record, until uint32, onward ...string) *record.Record {
	b := a.Body.(*record.Attestation)
	b.Kept, b.Onward = &record.Kept{Records: until}, onward
	return a
}

// Attestation returns a holder's word that it destroyed an erasure's identities.
func (c *Consortium) Attestation(erasure record.ID, more ...record.KeyNumber) *record.Record {
	return c.plain(record.KindAttestation, &record.Attestation{Erasure: erasure, Class: "file-slot", Generation: 7, Numbers: more})
}

// AttestCopies returns a custodian's word that it destroyed its copies of a
// member's keys.
func (c *Consortium) AttestCopies(erasure record.ID, of string, generation uint64) *record.Record {
	return c.plain(record.KindAttestation, &record.Attestation{Erasure: erasure, Class: "file-slot", Generation: generation, For: of})
}

// Custodian returns an owner's naming of a custodian; with a generation, the
// custodian's word on its vault.
func (c *Consortium) Custodian(owner, custodian string, generation uint64) *record.Record {
	body := &record.Custodian{Owner: owner, Custodian: custodian, Generation: generation}
	if generation > 0 {
		body.Class = "file-slot"
	}
	return c.plain(record.KindCustodian, body)
}

// CustodianLost returns the end of a custodian that lost its copies.
func (c *Consortium) CustodianLost(owner, custodian, reason string) *record.Record {
	return c.plain(record.KindCustodianLost, &record.CustodianLost{Owner: owner, Custodian: custodian, Reason: reason})
}
