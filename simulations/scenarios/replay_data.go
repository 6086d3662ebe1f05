package scenarios

import (
	"slices"
	"time"
)

// readable refuses what is erased or past its storage period. A hold moves the end of
// the period to its own (time rule 9).
func (m *move) readable(dataset string) {
	f, ok := m.need(dataset)
	switch {
	case !ok:
	case f.erased:
		m.refuse("erased")
	case m.over(f.until) && !m.held(f):
		m.refuse("retention-exceeded")
	}
}

// held reports whether a hold is running.
func (m *move) held(f *fact) bool { return !f.hold.IsZero() && m.now.Before(f.hold) }

func (m *move) collect(p *Collect) {
	if p.Sensor != "" {
		m.checkSensor(p.Sensor)
	}
	if allowed := m.parameters.CollectPurposes; allowed != nil && !slices.Contains(allowed, p.Purpose) ||
		m.story.Purpose(p.Purpose).Code == "" {
		m.refuse("purpose-not-allowed")
	}
	for _, item := range p.Items {
		if m.story.Attribute(item).Class != "sensitive" {
			continue
		}
		if c := m.consents[p.Consent]; m.consentFault(c) != "" || outside(p.Items, c.items) {
			m.refuse("sensitive-without-consent")
		}
	}
	if p.RegisteredFrom != "" {
		m.registerFrom(p)
	}
	m.made = &fact{person: p.Person, from: m.member}
	if p.Retention != nil {
		m.made.until = EndOf(m.now, *p.Retention)
	}
}

// registerFrom judges a registration out of other data: the source must still be
// within its period, and only the manager of the site registers, with a reason.
func (m *move) registerFrom(p *Collect) {
	f, ok := m.need(p.RegisteredFrom)
	switch {
	case !ok:
	case f.erased:
		m.refuse("erased")
	case m.over(f.until):
		m.refuse("retention-exceeded")
	}
	if m.staff == "" || m.staff != m.managers[p.Site] {
		m.refuse("not-manager")
	}
	if !p.Reason.Given() {
		m.refuse("reason-missing")
	}
}

func (m *move) view(p *View) {
	if p.Site != "" {
		switch {
		case m.hasLeft(m.staff):
			m.refuse("staff-left")
		case m.staff == "" || m.managers[p.Site] != m.staff:
			m.refuse("not-manager")
		case m.credentialOverdue(m.staff):
			m.refuse("credential-overdue")
		}
	}
	if allowed := m.parameters.ViewPurposes; allowed != nil && !slices.Contains(allowed, p.Purpose) ||
		m.story.Purpose(p.Purpose).Code == "" {
		m.refuse("purpose-not-allowed")
	}
	if p.Dataset != "" {
		m.readable(p.Dataset)
	}
	if p.Person != "" && m.erased[holding{m.member, p.Person}] {
		m.refuse("erased")
	}
}

var keepRecords = mustPeriod("P3Y") // APPI Arts. 29(2) and 30(4)

func (m *move) erase(p *Erase) {
	switch {
	case p.Class == "record":
		keep := keepRecords
		if p.Keep != nil {
			keep = *p.Keep
		}
		if f, ok := m.need(p.Provision); ok && m.now.Before(EndOf(f.when, keep)) {
			m.refuse("retention-not-over")
		}
	case p.Dataset != "":
		m.eraseDataset(p.Dataset)
	case m.erased[holding{m.member, p.Person}]:
		m.refuse("erased")
	default:
		m.erased[holding{m.member, p.Person}] = true
	}
	m.made = &fact{}
}

func (m *move) eraseDataset(dataset string) {
	f, ok := m.need(dataset)
	switch {
	case !ok:
	case f.erased:
		m.refuse("erased")
	case m.held(f):
		m.refuse("on-hold")
	default:
		limit := f.until
		if f.hold.After(limit) {
			limit = f.hold
		}
		if !f.until.IsZero() && m.now.After(limit) { // at the end itself it is in time (time rule 2)
			m.alarm("late-erasure")
		}
		f.erased = true
	}
}

func (m *move) placeHold(p *PlaceHold) {
	f, ok := m.need(p.Dataset)
	switch {
	case !ok:
	case f.erased:
		m.refuse("erased")
	case m.over(f.until):
		m.refuse("retention-exceeded")
	default:
		f.hold = p.Until
	}
}

func (m *move) deidentify(p *Deidentify) {
	for _, item := range p.Keeps {
		if slices.Contains(m.parameters.DirectIdentifiers, item) {
			m.refuse("identifier-left")
		}
	}
	m.made = &fact{}
}

func (m *move) hasLeft(staff string) bool {
	_, left := m.left[staff]
	return left
}

func (m *move) credentialOverdue(staff string) bool {
	days := m.parameters.CredentialRotationDays
	last, known := m.rotated[staff]
	return days > 0 && known && m.over(last.Add(time.Duration(days)*24*time.Hour))
}

func (m *move) assignManager(p *AssignManager) {
	current := m.managers[p.Site]
	switch {
	case m.story.StaffMember(p.Staff).Member != m.member:
		m.refuse("not-authorised")
	case m.hasLeft(p.Staff):
		m.refuse("staff-left")
	case current != "" && p.Replaces != current:
		m.refuse("manager-already-assigned")
	default:
		m.managers[p.Site] = p.Staff
		if _, known := m.rotated[p.Staff]; !known {
			m.rotated[p.Staff] = m.now
		}
	}
}

func (m *move) rotateCredential(p *RotateCredential) {
	if m.hasLeft(p.Staff) {
		m.refuse("staff-left")
		return
	}
	m.rotated[p.Staff] = m.now
}
