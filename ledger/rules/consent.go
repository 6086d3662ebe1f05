package rules

import (
	"crypto/sha256"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Chain returns the next head of a handle's events: SHA-256(head ‖ leaf hash).
// The head before the first event is zero.
func Chain(head, leafHash record.Digest) record.Digest {
	return sha256.Sum256(append(head[:], leafHash[:]...))
}

// event counts a record under a handle.
func (h *Handle) event(leaf record.Digest) {
	h.Events++
	h.EventHead = Chain(h.EventHead, leaf)
}

// consentEvent counts a record that ends older grants.
func (h *Handle) consentEvent(leaf record.Digest) {
	h.event(leaf)
	h.Consents++
	h.ConsentHead = Chain(h.ConsentHead, leaf)
}

// Scope returns the state of one scope, nil where it was never on.
func (h *Handle) Scope(terms uint32, scope uint8) *ScopeState {
	for i := range h.Scopes {
		if s := &h.Scopes[i]; s.Terms == terms && s.Scope == scope {
			return s
		}
	}
	return nil
}

// Allows says why data may not leave under a scope of the handle now: no-consent,
// revoked or expired, or "" where it may.
func (h *Handle) Allows(terms uint32, scope uint8, nowMs uint64) record.Code {
	switch s := h.Scope(terms, scope); {
	case s == nil:
		return record.CodeNoConsent
	case !s.On:
		return record.CodeRevoked
	case s.Expired(nowMs):
		return record.CodeExpired
	}
	return ""
}

// saveHandle writes a handle after an event of the record at hand.
func (b *batch) saveHandle(k sign.PublicKey, h *Handle) {
	b.save(KeyHandle(k), h)
	b.events = append(b.events, Event{Handle: k, N: h.Events, Leaf: len(b.leaves)})
}

func (b *batch) handle(k sign.PublicKey) (*Handle, error) { return load[Handle](b.tx, KeyHandle(k)) }

// openHandle returns a handle that is not closed.
func (b *batch) openHandle(k sign.PublicKey, unknown record.Code) (*Handle, error) {
	h, err := need[Handle](b.tx, KeyHandle(k), unknown)
	if err != nil {
		return nil, err
	}
	if h.Closed != 0 {
		return nil, record.Refuse(record.CodeHandleClosed, "since height %d", h.Closed)
	}
	return h, nil
}

// Live says why terms cannot be consented to at a time: terms-not-effective,
// terms-superseded, or "" where they can.
func (s *Service) Live(number uint32, ms uint64) record.Code {
	mine := s.Terms[number-1].EffectiveMs
	if mine > ms {
		return record.CodeTermsNotEffective
	}
	for i, o := range s.Terms {
		if i+1 != int(number) && o.EffectiveMs > mine && o.EffectiveMs <= ms {
			return record.CodeTermsSuperseded
		}
	}
	return ""
}

// CheckExpiry says whether a last day is one that the scope allows for a
// consent at a time: not past, and no later than the screen said.
func CheckExpiry(sc *record.Scope, expiry uint32, ms uint64) record.Code {
	today := record.DayOf(ms)
	if expiry == 0 {
		if sc.MaxExpiry == "" {
			return ""
		}
		return record.CodeTermsExpiry
	}
	if int64(expiry) < today {
		return record.CodeTermsExpiry
	}
	if sc.MaxExpiry != "" {
		p, err := record.ParsePeriod(sc.MaxExpiry)
		if err != nil || int64(expiry) > p.LastDay(today) {
			return record.CodeTermsExpiry
		}
	}
	return ""
}

// consent: the subject turns a scope on. Only the service's owner brings it in.
func (b *batch) consent(issuer string, c *record.Consent, leaf record.Digest) error {
	terms, err := peek[Terms](b.tx, KeyTerms(c.Terms), record.CodeTermsUnknown)
	if err != nil {
		return err
	}
	s, err := peek[Service](b.tx, KeyService(terms.Service), record.CodeServiceUnknown)
	if err != nil {
		return err
	}
	if s.Owner != issuer {
		return record.Refuse(record.CodeServiceOwner, "service %s belongs to %s", s.ID, s.Owner)
	}
	if int(c.Scope) >= len(terms.Scopes) {
		return record.Refuse(record.CodeScopeRange, "scope %d of %d", c.Scope, len(terms.Scopes))
	}
	if code := s.Live(terms.Number, b.header.TimeMs); code != "" {
		return record.Refuse(code, "")
	}
	if code := CheckExpiry(&terms.Scopes[c.Scope], c.Expiry, b.header.TimeMs); code != "" {
		return record.Refuse(code, "last day %d", c.Expiry)
	}
	h, err := b.handle(c.Handle)
	if err != nil {
		return err
	}
	switch {
	case h == nil:
		h = &Handle{For: s.ID, Opened: b.height}
	case h.Closed != 0:
		return record.Refuse(record.CodeHandleClosed, "since height %d", h.Closed)
	case h.For != s.ID:
		return record.Refuse(record.CodeHandleService, "the handle is for %s", h.For)
	}
	if c.Count != h.Consents || c.Head != h.ConsentHead {
		return record.Refuse(record.CodeGrantStale, "count %d, the handle has %d", c.Count, h.Consents)
	}
	if err := b.replaceOlder(h, s, terms, c.Scope); err != nil {
		return err
	}
	h.set(ScopeState{Terms: terms.Number, Scope: c.Scope, On: true, Expiry: c.Expiry, Height: b.height, By: ByConsent})
	h.consentEvent(leaf)
	b.saveHandle(c.Handle, h)
	return nil
}

// replaceOlder ends what the handle has under other versions for the same
// purpose: a purpose is on under one version at most.
func (b *batch) replaceOlder(h *Handle, s *Service, terms *Terms, scope uint8) error {
	purpose := terms.Scopes[scope].Purpose
	kept := h.Scopes[:0:0]
	for _, st := range h.Scopes {
		if st.Terms != terms.Number {
			other, err := peek[Terms](b.tx, KeyTerms(s.Terms[st.Terms-1].Hash), record.CodeTermsUnknown)
			if err != nil {
				return err
			}
			if other.Scopes[st.Scope].Purpose == purpose {
				continue
			}
		}
		kept = append(kept, st)
	}
	h.Scopes = kept
	return nil
}

func (h *Handle) set(st ScopeState) {
	if s := h.Scope(st.Terms, st.Scope); s != nil {
		*s = st
		return
	}
	i, _ := slices.BinarySearchFunc(h.Scopes, st, func(a, b ScopeState) int {
		if a.Terms != b.Terms {
			return int(a.Terms) - int(b.Terms)
		}
		return int(a.Scope) - int(b.Scope)
	})
	h.Scopes = slices.Insert(h.Scopes, i, st)
}

// revocation: the subject turns a scope off, through any member.
func (b *batch) revocation(r *record.Revocation, leaf record.Digest) error {
	h, err := b.openHandle(r.Handle, record.CodeNoConsent)
	if err != nil {
		return err
	}
	terms, err := peek[Terms](b.tx, KeyTerms(r.Terms), record.CodeTermsUnknown)
	if err != nil {
		return err
	}
	if terms.Service != h.For {
		return record.Refuse(record.CodeHandleService, "the handle is for %s", h.For)
	}
	switch s := h.Scope(terms.Number, r.Scope); {
	case s == nil:
		return record.Refuse(record.CodeNoConsent, "")
	case !s.On:
		return record.Refuse(record.CodeAlreadyRevoked, "")
	case s.Expired(b.header.TimeMs):
		return record.Refuse(record.CodeExpired, "")
	default:
		s.On, s.By = false, ByRevocation
	}
	h.consentEvent(leaf)
	b.saveHandle(r.Handle, h)
	return nil
}

// stop leaves a scope that is off as it is: who turned it off stays known.
func (s *ScopeState) stop() {
	if s.On {
		s.On, s.By = false, ByStop
	}
}

// stop: a member turns scopes off for a subject who asked. It is always
// accepted for a handle that exists, and shown as what it is.
func (b *batch) stop(st *record.Stop, leaf record.Digest) error {
	h, err := need[Handle](b.tx, KeyHandle(st.Handle), record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	if st.Scope == record.ScopeAll {
		for i := range h.Scopes {
			h.Scopes[i].stop()
		}
		h.Stopped = b.height
	} else {
		terms, err := peek[Terms](b.tx, KeyTerms(record.Digest(st.Terms)), record.CodeTermsUnknown)
		if err != nil {
			return err
		}
		if terms.Service != h.For {
			return record.Refuse(record.CodeHandleService, "the handle is for %s", h.For)
		}
		if s := h.Scope(terms.Number, st.Scope); s != nil {
			s.stop()
		}
	}
	h.consentEvent(leaf)
	b.saveHandle(st.Handle, h)
	return nil
}
