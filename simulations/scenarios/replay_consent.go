package scenarios

import (
	"slices"
	"time"
)

// consent is one accepted consent. Its recipients are pinned on the day (time rule 10).
type consent struct {
	person, service string
	items, purposes []string
	recipients      []string
	foreign         bool
	revoked         bool
	end             time.Time // first instant at which it is over; zero: never
}

// consentFault says why a consent does not hold now, or "".
func (m *move) consentFault(c *consent) string {
	switch {
	case c == nil:
		return "no-consent"
	case c.revoked:
		return "revoked"
	case m.over(c.end):
		return "expired"
	}
	return ""
}

// outside reports whether some item is not among the allowed ones.
func outside(items, allowed []string) bool {
	return slices.ContainsFunc(items, func(i string) bool { return !slices.Contains(allowed, i) })
}

func (m *move) publishTerms(p *PublishTerms) {
	service := m.story.Service(p.Service)
	t := service.Version(p.Version)
	if service.Member != m.member {
		m.refuse("not-authorised")
	}
	if outside(service.RequiredClauses, t.Clauses) {
		m.refuse("clause-missing")
	}
	for _, code := range t.Purposes {
		if m.story.Purpose(code).PIARequired && !m.assessed[code] {
			m.refuse("pia-missing")
		}
	}
	followsAnother := false
	for other := range m.published {
		followsAnother = followsAnother || other.service == p.Service
	}
	days := m.parameters.NoticeDaysBeforeChange
	if followsAnother && days > 0 && t.Effective.Sub(m.now) < time.Duration(days)*24*time.Hour {
		m.refuse("notice-too-short")
	}
	if m.published[terms{p.Service, p.Version}] != nil {
		m.refuse("duplicate")
	}
	if m.accepted() {
		m.published[terms{p.Service, p.Version}] = t
	}
}

func (m *move) registerPerson(p *RegisterPerson) {
	service := m.story.Service(p.Service)
	if outside(p.Items, service.RegistrationFields) {
		m.refuse("field-not-in-schema")
	}
	if service.SourceSelfOnly && p.Source != "self" {
		m.refuse("source-not-self")
	}
	if m.accepted() { // a person may come back
		delete(m.withdrawn, holding{p.Service, p.Person})
		delete(m.erased, holding{service.Member, p.Person})
	}
}

// mayActFor reports whether the acting person is the subject, or the guardian of one
// under 16 (time rule 5).
func (m *move) mayActFor(subject *Person) bool {
	return m.person == subject.ID || m.isMinor(subject) && subject.Guardian != nil && m.person == *subject.Guardian
}

func (m *move) isMinor(p *Person) bool { return AgeOn(p.BirthDate, m.today()) < 16 }

func (m *move) giveConsent(p *GiveConsent) {
	subject := m.story.Person(p.Person)
	t := m.published[terms{p.Service, p.Version}]
	if t == nil || t.Effective.After(m.now) {
		m.refuse("terms-not-effective")
	} else if m.superseded(p.Service, t) {
		m.refuse("terms-superseded")
	}
	if t != nil {
		m.consentAgainstScreen(p, t)
	}
	for _, item := range p.Items {
		if m.story.Attribute(item).Class == "sensitive" && !p.SensitiveAgreed {
			m.refuse("sensitive-without-consent")
		}
	}
	if m.isMinor(subject) && (subject.Guardian == nil || p.Guardian != *subject.Guardian) {
		m.refuse("guardian-consent-missing")
	}
	if !m.mayActFor(subject) {
		m.refuse("not-authorised")
	}
	if !m.accepted() || m.step.As == "" {
		return
	}
	c := &consent{person: p.Person, service: p.Service, items: p.Items, purposes: p.Purposes, foreign: t.Foreign != nil}
	if p.Until != nil {
		c.end = p.Until.End()
	} else if t.ConsentPeriod != nil {
		c.end = EndOf(m.now, *t.ConsentPeriod)
	}
	c.recipients = m.pinnedRecipients(t)
	m.consents[m.step.As] = c
}

// consentAgainstScreen holds a consent against what the screen said.
func (m *move) consentAgainstScreen(p *GiveConsent, t *Terms) {
	if outside(t.Items.Required, p.Items) {
		m.refuse("required-item-missing")
	}
	if outside(p.Items, slices.Concat(t.Items.Required, t.Items.Optional)) {
		m.refuse("item-not-on-screen")
	}
	if outside(p.Purposes, t.Purposes) {
		m.refuse("purpose-not-on-screen")
	}
	if t.Foreign != nil && t.Foreign.Ground == "consent" && !p.ForeignInfoShown {
		m.refuse("foreign-info-missing")
	}
}

// superseded reports whether a published version newer than t is in effect.
func (m *move) superseded(service string, t *Terms) bool {
	for other, x := range m.published {
		if other.service == service && x.Effective.After(t.Effective) && !x.Effective.After(m.now) {
			return true
		}
	}
	return false
}

// pinnedRecipients are the active members that the terms name, or whose category they
// name, and the public where they name it.
func (m *move) pinnedRecipients(t *Terms) []string {
	var out []string
	for _, member := range m.story.Members {
		named := slices.Contains(t.Recipients.Named, member.ID)
		byCategory := slices.ContainsFunc(member.Categories, func(c string) bool { return slices.Contains(t.Recipients.Categories, c) })
		if (named || byCategory) && m.active(member.ID, m.today()) {
			out = append(out, member.ID)
		}
	}
	if slices.Contains(t.Recipients.Named, "public") {
		out = append(out, "public")
	}
	return out
}

func (m *move) revoke(p *Revoke) {
	c := m.consents[p.Consent]
	switch {
	case c == nil:
		m.refuse("no-consent")
	case !m.mayActFor(m.story.Person(c.person)):
		m.refuse("not-authorised")
	case c.revoked:
		m.refuse("already-revoked")
	case m.over(c.end):
		m.refuse("expired")
	default:
		c.revoked = true
	}
}

func (m *move) withdrawMembership(p *WithdrawMembership) {
	key := holding{p.Service, m.person}
	if m.withdrawn[key] {
		m.refuse("already-withdrawn")
		return
	}
	m.withdrawn[key] = true
	for _, c := range m.consents {
		if c.person == m.person && (c.service == p.Service || p.All) {
			c.revoked = true
		}
	}
}
