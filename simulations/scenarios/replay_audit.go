package scenarios

import (
	"slices"
	"time"
)

func (m *move) reportRequest(p *ReportRequest) {
	k := m.story.Contract(p.Contract)
	switch {
	case k == nil || !slices.Contains(k.Parties, m.member) || !slices.Contains(k.Parties, p.To):
		m.refuse("contract-missing")
	case !k.InForce(m.today()):
		m.refuse("outside-contract-term")
	}
	m.made = &fact{contract: p.Contract}
}

func (m *move) reportSubmit(p *ReportSubmit) {
	request := m.named[p.Request]
	if request == nil {
		m.refuse("report-unknown")
		return
	}
	if m.now.After(EndOf(request.when, m.story.Contract(request.contract).Clauses.Report)) {
		m.alarm("report-late")
	}
	m.made = &fact{contract: request.contract}
}

func (m *move) reportJudge(p *ReportJudge) {
	report, ok := m.need(p.Report)
	if !ok {
		return
	}
	if !p.Sufficient && !p.Criterion.Given() {
		m.refuse("reason-missing")
		return
	}
	report.judged, report.insufficient = true, !p.Sufficient
}

func (m *move) auditNotice(p *AuditNotice) {
	k := m.story.Contract(p.Contract)
	if k == nil {
		m.refuse("contract-missing")
		return
	}
	if report := m.named[p.Report]; report == nil || !report.judged || !report.insufficient {
		m.refuse("audit-without-report")
	}
	if !p.Written {
		m.refuse("notice-not-written")
	}
	if m.story.Calendar.BusinessDays(m.today(), p.VisitDate) < k.Clauses.AuditNoticeBusinessDays {
		m.refuse("notice-too-short")
	}
	if !k.InForce(p.VisitDate) {
		m.refuse("outside-contract-term")
	}
	inYear := 0
	for _, earlier := range m.audits[p.Contract] {
		if sameAuditYear(k, earlier, p.VisitDate) {
			inYear++
		}
	}
	if inYear >= k.Clauses.AuditMaxPerYear {
		m.refuse("second-audit-in-year")
	}
	m.made = &fact{contract: p.Contract, visit: p.VisitDate}
}

// sameAuditYear reports whether two audits fall in one year as the contract counts
// years (time rule 7).
func sameAuditYear(k *Contract, earlier, later Date) bool {
	switch k.Clauses.AuditYear {
	case "rolling": // the same date next year is free
		return later.Before(earlier.nextYear())
	case "fiscal": // April to March
		return yearFrom(earlier, Date{month: time.April, day: 1}) == yearFrom(later, Date{month: time.April, day: 1})
	}
	first := k.Clauses.Term.From
	return yearFrom(earlier, first) == yearFrom(later, first)
}

// yearFrom numbers the year of d when years begin on the month and day of first.
func yearFrom(d, first Date) int {
	if d.beforeInYear(first) {
		return d.year - 1
	}
	return d.year
}

func (m *move) auditVisit(p *AuditVisit) {
	notice := m.named[p.Notice]
	if notice == nil || m.today() != notice.visit {
		m.refuse("notice-missing")
	}
	if notice != nil && !p.RulesAcknowledged {
		m.refuse("rules-not-acknowledged")
	}
	if m.accepted() {
		m.audits[notice.contract] = append(m.audits[notice.contract], m.today())
	}
}
