package scenarios

// nineItems are what a final report to the authority must say (PPC Rules Art. 8).
var nineItems = []string{
	"outline", "items", "persons", "cause", "secondary", "response", "publication", "prevention", "other",
}

// breachReport knows time rule 8: preliminary by day 5, final by day 30, or 60 for a
// wrongful purpose, in calendar days after discovery.
func (m *move) breachReport(p *BreachReport) {
	breach, ok := m.need(p.Breach)
	if !ok {
		return
	}
	days := 5
	if p.Stage == "final" {
		days = 30
		if breach.wrongful {
			days = 60
		}
		if outside(nineItems, p.Fields) {
			m.refuse("breach-fields-missing")
		}
	}
	if DateOf(breach.discovered).AddDays(days).Before(m.today()) && m.accepted() {
		m.alarm("breach-report-late")
	}
}

func (m *move) rightsRequest(p *RightsRequest) {
	subject := m.story.Person(p.Person)
	if m.person != p.Person && (subject.Guardian == nil || m.person != *subject.Guardian) {
		m.refuse("not-authorised")
	}
	m.made = &fact{person: p.Person}
}

func (m *move) rightsAnswer(p *RightsAnswer) {
	switch {
	case m.named[p.Request] == nil:
		m.refuse("request-missing")
	case !p.IdentityVerified:
		m.refuse("identity-not-verified")
	case p.Outcome == "refused" && !p.Reason.Given():
		m.refuse("reason-missing")
	}
}
