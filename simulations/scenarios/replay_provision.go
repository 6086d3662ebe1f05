package scenarios

import (
	"slices"
	"time"
)

// provide judges a hand-over, and use and single sign-on alike: these have no
// recipient, or no items.
func (m *move) provide(p *Provide) {
	if m.members[p.To] != nil && !m.active(p.To, m.today()) {
		m.refuse("member-not-active")
	}
	if m.erased[holding{m.member, p.Person}] {
		m.refuse("erased")
	}
	if p.Dataset != "" {
		m.readable(p.Dataset)
	}
	switch p.Basis {
	case "", "consent":
		if m.accepted() { // membership and erasure come first (time rule 12)
			m.provideByConsent(p)
		}
	case "optout":
		m.provideByOptOut(p)
	}
	if scope := m.story.Purpose(p.Purpose).OptOutScope; scope != nil && m.optedOut[optOut{p.Person, *scope}] {
		m.refuse("opted-out")
	}
	if p.Contract != "" || p.Basis == "entrustment" || p.Basis == "contract" {
		m.provideByContract(p)
	}
	if p.OnwardOf != "" {
		m.provideOnward(p)
	}
	m.checkValues(p)
	m.made = &fact{person: p.Person, from: m.member, to: p.To, contract: p.Contract}
	if m.accepted() && m.step.Action == "provide" {
		m.provided = append(m.provided, m.made)
	}
}

func (m *move) provideByConsent(p *Provide) {
	c := m.consents[p.Consent]
	if c != nil && c.person != p.Person {
		c = nil
	}
	if why := m.consentFault(c); why != "" {
		m.refuse(why)
		return
	}
	if outside(p.Items, c.items) {
		m.refuse("item-not-consented")
	}
	if !slices.Contains(c.purposes, p.Purpose) {
		m.refuse("purpose-not-consented")
	}
	if p.To == "" {
		return
	}
	if !slices.Contains(c.recipients, p.To) {
		m.refuse("recipient-not-listed")
	}
	if to := m.story.Member(p.To); to != nil && to.Country != "JP" && !c.foreign {
		m.refuse("foreign-ground-missing")
	}
}

func (m *move) provideByOptOut(p *Provide) {
	f := m.filings[m.member]
	barred := slices.ContainsFunc(p.Items, func(i string) bool {
		class := m.story.Attribute(i).Class
		return class == "sensitive" || class == "biometric"
	})
	switch {
	case barred:
		m.refuse("sensitive-without-consent")
	case f == nil || m.now.Before(f.from):
		m.refuse("optout-not-filed")
	case outside(p.Items, f.items):
		m.refuse("optout-item-not-filed")
	}
	if m.optedOut[optOut{p.Person, "third-party"}] {
		m.refuse("opted-out")
	}
}

func (m *move) provideByContract(p *Provide) {
	k := m.story.Contract(p.Contract)
	if k == nil || !slices.Contains(k.Parties, m.member) || p.To != "" && !slices.Contains(k.Parties, p.To) {
		m.refuse("contract-missing")
		return
	}
	if !k.InForce(m.today()) {
		m.refuse("outside-contract-term")
	}
	if !slices.Contains(k.Clauses.Purposes, p.Purpose) {
		m.refuse("outside-contract-purpose")
	}
}

// provideOnward looks for the approval of the one from whom the data came.
func (m *move) provideOnward(p *Provide) {
	from, ok := m.need(p.OnwardOf)
	if !ok {
		return
	}
	k := m.story.Contract(from.contract)
	if k == nil || k.Clauses.OnwardTransfer == "free" {
		return
	}
	if k.Clauses.OnwardTransfer == "forbidden" || !m.approved[onward{p.OnwardOf, p.To}] {
		m.refuse("onward-not-approved")
	}
}

// checkValues holds values against brackets, and levels against the finest allowed.
func (m *move) checkValues(p *Provide) {
	for item, value := range p.Values {
		if brackets := m.story.Attribute(item).Brackets; len(brackets) > 0 && !slices.Contains(brackets, value) {
			m.refuse("bracket-unknown")
		}
	}
	levels := m.parameters.Levels
	for item, level := range p.Levels {
		if limit := slices.Index(levels, m.story.Attribute(item).Granularity); limit >= 0 && slices.Index(levels, level) > limit {
			m.refuse("finer-than-allowed")
		}
	}
}

func (m *move) receive(p *Receive) {
	f := m.named[p.Provision]
	switch {
	case f == nil || f.to != m.member:
		m.refuse("receive-without-provision")
		return
	case f.received:
		m.refuse("duplicate")
	}
	if !p.HowAcquired.Given() {
		m.refuse("acquisition-missing")
	}
	if !m.accepted() {
		return
	}
	hours := m.parameters.ReceiveHours
	if hours == 0 {
		hours = 24
	}
	if m.now.Sub(f.when) > time.Duration(hours)*time.Hour {
		m.alarm("unmatched-provision")
	}
	f.received = true
}

func (m *move) approveOnward(p *ApproveOnward) {
	f, ok := m.need(p.Provision)
	switch {
	case !ok:
	case f.from != m.member:
		m.refuse("not-authorised")
	case !p.Written:
		m.refuse("notice-not-written")
	default:
		m.approved[onward{p.Provision, p.To}] = true
	}
}

// legalGrounds is the closed list of exceptions: APPI Arts. 18(3), 27(1), 27(5) and
// 69(2), and payment, which a policy names.
var legalGrounds = []string{
	"law", "investigation", "life-body-property", "public-health", "state-cooperation", "payment", "succession",
	"own-internal-use", "other-public-body", "statistics-research", "special-reason",
}

func (m *move) discloseLegal(p *DiscloseLegal) {
	if m.erased[holding{m.member, p.Person}] {
		m.refuse("erased")
	}
	if p.Dataset != "" {
		m.readable(p.Dataset)
	}
	needsStatute := p.Ground == "law" || p.Ground == "investigation"
	if !slices.Contains(legalGrounds, p.Ground) || needsStatute && !p.Statute.Given() {
		m.refuse("legal-ground-missing")
	}
	if !p.RequestRef.Given() && p.Ground != "own-internal-use" {
		m.refuse("request-missing")
	}
	f := p.Fields
	if f.DateTime == "" || !f.Recipient.Given() || !f.Information.Given() || !f.Purpose.Given() || !f.Reason.Given() {
		m.refuse("disclosure-fields-missing")
	}
	if !p.Necessity.Given() {
		m.refuse("necessity-missing")
	}
	if p.Approver == p.Requester {
		m.refuse("approver-not-independent")
	}
	m.made = &fact{person: p.Person, from: m.member, to: p.To}
}

func (m *move) registerProcessor(p *RegisterProcessor) {
	switch {
	case p.Parent != "" && !m.processors[p.Parent]:
		m.refuse("chain-broken")
	case outside(m.parameters.ProcessorClauses, p.Clauses):
		m.refuse("clause-missing")
	default:
		m.processors[p.Processor] = true
	}
	m.made = &fact{}
}
