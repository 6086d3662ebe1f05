package rules

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// maxDeadlineMs is how far ahead an intent's deadline may lie: 366 days.
const maxDeadlineMs = 366 * 86400_000

// recipient returns a party to which data may go now. Membership is looked at
// before consent.
func (b *batch) recipient(from, to string, deadlineMs uint64) (*Party, error) {
	p, err := peek[Party](b.tx, KeyParty(to), record.CodeMemberNotActive)
	if err != nil {
		return nil, err
	}
	if there, err := here(b.tx, p); err != nil {
		return nil, err
	} else if !there {
		return nil, record.Refuse(record.CodeMemberNotActive, "%s", to)
	}
	if to == from {
		return nil, record.Refuse(record.CodeNotAuthorised, "a hand-over to oneself")
	}
	if deadlineMs < b.header.TimeMs || deadlineMs > b.header.TimeMs+maxDeadlineMs {
		return nil, record.Refuse(record.CodeIntentDeadline, "past, or more than a year ahead")
	}
	return p, nil
}

// Lists reports whether a scope lists a party that was here when the consent
// was given: by name, or by a category that it carries. Who joined later is not
// covered (002-18).
func Lists(sc *record.Scope, p *Party, height uint64) bool {
	if !p.PresentAt(height) {
		return false
	}
	if slices.Contains(sc.Recipients, p.ID) {
		return true
	}
	return slices.ContainsFunc(sc.Categories, func(c string) bool { return slices.Contains(p.Categories, c) })
}

// provision: intent to hand over under a consent (002-22, 002-18, 002-25).
func (b *batch) provision(rec *record.Record, p *record.Provision, leaf record.Digest) error {
	to, err := b.recipient(rec.Issuer, p.To, p.DeadlineMs)
	if err != nil {
		return err
	}
	h, err := b.openHandle(p.Handle, record.CodeNoConsent)
	if err != nil {
		return err
	}
	if code := h.Allows(p.Terms, p.Scope, b.header.TimeMs); code != "" {
		return record.Refuse(code, "")
	}
	s, err := peek[Service](b.tx, KeyService(h.For), record.CodeServiceUnknown)
	if err != nil {
		return err
	}
	terms, err := peek[Terms](b.tx, KeyTerms(s.Terms[p.Terms-1].Hash), record.CodeTermsUnknown)
	if err != nil {
		return err
	}
	sc, given := &terms.Scopes[p.Scope], h.Scope(p.Terms, p.Scope).Height
	if rec.Issuer != s.Owner {
		from, err := peek[Party](b.tx, KeyParty(rec.Issuer), record.CodeSubmissionIssuer)
		if err != nil {
			return err
		}
		if !Lists(sc, from, given) { // who holds data under the scope may pass it on within the scope
			return record.Refuse(record.CodeServiceOwner, "service %s belongs to %s", s.ID, s.Owner)
		}
	}
	if !Lists(sc, to, given) {
		return record.Refuse(record.CodeRecipientNotListed, "%s", p.To)
	}
	return b.intend(rec, h, p.Handle, p.To, p.DeadlineMs, p.Items, leaf)
}

// intend opens an intent.
func (b *batch) intend(rec *record.Record, h *Handle, k sign.PublicKey, to string, deadlineMs uint64, items, leaf record.Digest) error {
	key := KeyIntent(rec.ID)
	if old, err := b.get(key); err != nil {
		return err
	} else if old != nil {
		return record.Refuse(record.CodeRecordDuplicate, "the id stands for an open intent")
	}
	h.event(leaf)
	b.saveHandle(k, h)
	b.save(key, &Intent{Handle: k, From: rec.Issuer, To: to, DeadlineMs: deadlineMs, Items: items, TimeMs: b.header.TimeMs})
	return nil
}

// intentFor returns an open intent towards the issuer, and its handle.
func (b *batch) intentFor(issuer string, id record.ID) (*Intent, *Handle, error) {
	in, err := need[Intent](b.tx, KeyIntent(id), record.CodeReceiveWithout)
	if err != nil {
		return nil, nil, err
	}
	if in.To != issuer {
		return nil, nil, record.Refuse(record.CodeReceiveWithout, "the hand-over is to %s", in.To)
	}
	h, err := b.openHandle(in.Handle, record.CodeHandleUnknown)
	return in, h, err
}

// received: the recipient's record; late is allowed.
func (b *batch) received(issuer string, r *record.Received, leaf record.Digest) error {
	in, h, err := b.intentFor(issuer, r.Intent)
	if err != nil {
		return err
	}
	if in.Items != r.Items {
		return record.Refuse(record.CodeIntentItems, "")
	}
	b.closeIntent(r.Intent, in, h, leaf)
	return nil
}

func (b *batch) undelivered(issuer string, u *record.Undelivered, leaf record.Digest) error {
	in, h, err := b.intentFor(issuer, u.Intent)
	if err != nil {
		return err
	}
	b.closeIntent(u.Intent, in, h, leaf)
	return nil
}

func (b *batch) closeIntent(id record.ID, in *Intent, h *Handle, leaf record.Digest) {
	h.event(leaf)
	b.saveHandle(in.Handle, h)
	b.put(KeyIntent(id), nil)
}

// optOut: intent under an opt-out filing in force; refused after a stop
// (APPI Art. 27(2), 001-11, 001-14).
func (b *batch) optOut(rec *record.Record, o *record.OptOut, leaf record.Digest) error {
	if _, err := b.recipient(rec.Issuer, o.To, o.DeadlineMs); err != nil {
		return err
	}
	h, err := b.openHandle(o.Handle, record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	f, err := need[Filing](b.tx, KeyFiling(rec.Issuer, o.Filing), record.CodeOptOutNotFiled)
	if err != nil {
		return err
	}
	if b.header.TimeMs < f.FromMs {
		return record.Refuse(record.CodeOptOutNotFiled, "not in force yet")
	}
	if err := b.mine(rec.Issuer, h.For); err != nil {
		return err
	}
	if h.Stopped != 0 {
		return record.Refuse(record.CodeOptedOut, "")
	}
	return b.intend(rec, h, o.Handle, o.To, o.DeadlineMs, o.Items, leaf)
}

func (b *batch) filing(issuer string, f *record.Filing) error {
	key := KeyFiling(issuer, f.Number)
	old, err := load[Filing](b.tx, key)
	if err != nil {
		return err
	}
	if f.End {
		if old == nil {
			return record.Refuse(record.CodeOptOutNotFiled, "")
		}
		b.put(key, nil)
		return nil
	}
	if err := b.knownItems(f.Items); err != nil {
		return err
	}
	b.save(key, &Filing{FromMs: f.FromMs, Items: f.Items})
	return nil
}

// exception: a hand-over on a legal ground. The second approver's signature was
// checked; the rest is sealed.
func (b *batch) exception(issuer string, e *record.Exception, leaf record.Digest) error {
	return b.note(issuer, e.Handle, leaf)
}

// denial: a node refused to hand out data.
func (b *batch) denial(_ string, d *record.Denial, leaf record.Digest) error {
	h, err := need[Handle](b.tx, KeyHandle(d.Handle), record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	h.event(leaf)
	b.saveHandle(d.Handle, h)
	return nil
}

func (b *batch) note(issuer string, k sign.PublicKey, leaf record.Digest) error {
	h, err := b.openHandle(k, record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	if err := b.mine(issuer, h.For); err != nil {
		return err
	}
	h.event(leaf)
	b.saveHandle(k, h)
	return nil
}
