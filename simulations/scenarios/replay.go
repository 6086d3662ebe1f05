package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Outcome is what came of a step, as the twin or the real system sees it.
type Outcome struct {
	Step    string    // its id
	When    time.Time // in JST
	Reasons []string  // sorted; none: accepted. A good story breaks at most one rule a step
	Alarms  []string  // sorted
	Value   any       // the answer to a query: string, int or []string; nil for other actions
	Fault   string    // the story makes no sense here: it names what was never accepted
}

// Accepted reports whether the step broke no rule.
func (o Outcome) Accepted() bool { return len(o.Reasons) == 0 && o.Fault == "" }

// Diff says in one line how an outcome differs from what a step expects, or "".
func (e Expect) Diff(o Outcome) string {
	var want []string
	if e.Refused() {
		want = []string{e.Reason}
	}
	var faults []string
	if o.Fault != "" {
		faults = append(faults, o.Fault)
	}
	if !slices.Equal(want, o.Reasons) {
		faults = append(faults, fmt.Sprintf("expected %s, got %s", named(want), named(o.Reasons)))
	}
	alarms := slices.Sorted(slices.Values(e.Alarms))
	if !slices.Equal(alarms, o.Alarms) {
		faults = append(faults, fmt.Sprintf("expected alarms %q, got %q", alarms, o.Alarms))
	}
	if e.Value != nil && !sameValue(e.Value, o.Value) {
		faults = append(faults, fmt.Sprintf("expected the answer %v, got %v", e.Value, o.Value))
	}
	return strings.Join(faults, "; ")
}

func named(reasons []string) string {
	if len(reasons) == 0 {
		return "accepted"
	}
	return "refused: " + strings.Join(reasons, ", ")
}

// sameValue compares answers as JSON, where a list of strings has one form.
func sameValue(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// Replay runs a whole loaded story through the twin.
func Replay(story *Story) []Outcome {
	twin := NewTwin(story)
	outcomes := make([]Outcome, len(story.Steps))
	for i := range story.Steps {
		outcomes[i] = twin.Run(&story.Steps[i])
	}
	return outcomes
}

// Twin is a second, deliberately naive implementation of the stories' rules: maps in
// memory, one statement after another, nothing shared with the real system. It exists to
// judge that system's answers, so prefer plain code here to clever code.
type Twin struct {
	story      *Story
	parameters Parameters
	members    map[string]*membership
	published  map[terms]*Terms
	consents   map[string]*consent
	named      map[string]*fact // what accepted steps called "as"
	provided   []*fact          // every accepted provision
	optedOut   map[optOut]bool
	filings    map[string]*filing // by member
	managers   map[string]string  // site → staff
	left       map[string]time.Time
	rotated    map[string]time.Time // staff → newest credential
	erased     map[holding]bool
	withdrawn  map[holding]bool // service in place of member
	audits     map[string][]Date
	assessed   map[string]bool // purposes with an impact assessment
	approved   map[onward]bool
	processors map[string]bool
	sensors    map[string]*sensorState
}

type (
	terms   struct{ service, version string }
	optOut  struct{ person, scope string }
	holding struct{ member, person string }
	onward  struct{ provision, to string }
	filing  struct {
		items []string
		from  time.Time
	}
	membership struct {
		from    Date
		stopped bool
	}
	sensorState struct {
		approved, retired, sign bool
	}
)

// fact is something that a step has made and later steps name.
type fact struct {
	when                 time.Time
	person, from, to     string
	contract             string
	received             bool
	until, hold          time.Time // zero: none
	erased               bool
	judged, insufficient bool
	visit                Date
	discovered           time.Time
	wrongful             bool
}

// NewTwin starts a story before its first step.
func NewTwin(story *Story) *Twin {
	t := &Twin{
		story:      story,
		parameters: story.Consortium.Parameters,
		members:    map[string]*membership{},
		published:  map[terms]*Terms{},
		consents:   map[string]*consent{},
		named:      map[string]*fact{},
		optedOut:   map[optOut]bool{},
		filings:    map[string]*filing{},
		managers:   map[string]string{},
		left:       map[string]time.Time{},
		rotated:    map[string]time.Time{},
		erased:     map[holding]bool{},
		withdrawn:  map[holding]bool{},
		audits:     map[string][]Date{},
		assessed:   map[string]bool{},
		approved:   map[onward]bool{},
		processors: map[string]bool{},
		sensors:    map[string]*sensorState{},
	}
	for _, m := range story.Members {
		t.members[m.ID] = &membership{from: m.Joined}
	}
	for _, s := range story.Sensors {
		t.sensors[s.ID] = &sensorState{}
	}
	return t
}

// move is one step while the rules look at it.
type move struct {
	*Twin
	step    *Step
	now     time.Time
	member  string // who acts; a staff member acts for its member
	person  string
	staff   string
	reasons map[string]bool
	alarms  map[string]bool
	value   any
	fault   string
	made    *fact
}

func (m *move) refuse(reason string)  { m.reasons[reason] = true }
func (m *move) alarm(alarm string)    { m.alarms[alarm] = true }
func (m *move) accepted() bool        { return len(m.reasons) == 0 && m.fault == "" }
func (m *move) today() Date           { return DateOf(m.now) }
func (m *move) over(t time.Time) bool { return !t.IsZero() && !m.now.Before(t) }

// need finds what an earlier accepted step has named. A story that names anything
// else is at fault: no rule says what should come of it.
func (m *move) need(name string) (*fact, bool) {
	f, ok := m.named[name]
	if !ok {
		m.fault = fmt.Sprintf("nothing accepted so far is named %q", name)
	}
	return f, ok
}

// Run applies one step and says what came of it. Refused steps change nothing.
func (t *Twin) Run(step *Step) Outcome {
	m := &move{
		Twin: t, step: step, now: step.When,
		member: step.By.Member, person: step.By.Person, staff: step.By.Staff,
		reasons: map[string]bool{}, alarms: map[string]bool{},
	}
	if s := t.story.StaffMember(m.staff); s != nil {
		m.member = s.Member
	}
	params, err := step.Decode()
	switch {
	case err != nil:
		m.fault = err.Error()
	case t.members[m.member] != nil && !t.active(m.member, m.today()):
		m.refuse("member-not-active")
	default:
		m.apply(params)
	}
	if m.accepted() && m.made != nil {
		m.made.when = m.now
		if step.As != "" {
			t.named[step.As] = m.made
		}
	}
	return Outcome{
		Step: step.ID, When: step.When, Value: m.value, Fault: m.fault,
		Reasons: slices.Sorted(maps.Keys(m.reasons)), Alarms: slices.Sorted(maps.Keys(m.alarms)),
	}
}

// apply calls the rule of the step's action.
func (m *move) apply(params any) {
	switch p := params.(type) {
	case *PublishTerms:
		m.publishTerms(p)
	case *RegisterPerson:
		m.registerPerson(p)
	case *GiveConsent:
		m.giveConsent(p)
	case *Revoke:
		m.revoke(p)
	case *OptOut:
		m.optedOut[optOut{p.Person, p.Scope}] = true
	case *OptIn:
		delete(m.optedOut, optOut{p.Person, p.Scope})
	case *WithdrawMembership:
		m.withdrawMembership(p)
	case *Provide:
		m.provide(p)
	case *Use:
		m.provide(&Provide{Person: p.Person, Items: p.Items, Purpose: p.Purpose, Basis: p.Basis, Consent: p.Consent,
			Contract: p.Contract, Dataset: p.Dataset, Values: p.Values, Levels: p.Levels})
	case *SSOLogin:
		m.provide(&Provide{Person: p.Person, To: p.To, Items: p.Items, Purpose: p.Purpose, Consent: p.Consent})
	case *Receive:
		m.receive(p)
	case *ApproveOnward:
		m.approveOnward(p)
	case *FileOptOut:
		m.filings[m.member] = &filing{p.Items, p.From}
	case *StopFiling:
		delete(m.filings, m.member)
	case *DiscloseLegal:
		m.discloseLegal(p)
	case *RegisterProcessor:
		m.registerProcessor(p)
	default:
		m.applyData(params)
	}
}

// applyData is the second half of apply: data, sensors, staff, audits, breaches,
// membership and queries.
func (m *move) applyData(params any) {
	switch p := params.(type) {
	case *Collect:
		m.collect(p)
	case *View:
		m.view(p)
	case *Erase:
		m.erase(p)
	case *AttestErasure:
		if m.named[p.Erasure] == nil {
			m.refuse("erasure-unknown")
		}
		m.made = &fact{}
	case *PlaceHold:
		m.placeHold(p)
	case *ReleaseHold:
		if f, ok := m.need(p.Dataset); ok {
			f.hold = time.Time{}
		}
	case *RecordMatch:
		if !p.HumanReview || p.AssertsGuilt {
			m.refuse("human-review-missing")
		}
		m.made = &fact{}
	case *Deidentify:
		m.deidentify(p)
	case *Reidentify:
		m.refuse("reidentification-denied")
	case *SensorApprove:
		m.sensorApprove(p)
	case *PostSign:
		m.postSign(p)
	case *SensorCommit:
		m.sensorCommit(p)
	case *SensorRetire:
		m.sensors[p.Sensor].retired = true
	case *ReleaseStatistics:
		m.releaseStatistics(p)
	case *AssignManager:
		m.assignManager(p)
	case *RotateCredential:
		m.rotateCredential(p)
	case *StaffLeave:
		m.left[p.Staff] = m.now
	case *ReportRequest:
		m.reportRequest(p)
	case *ReportSubmit:
		m.reportSubmit(p)
	case *ReportJudge:
		m.reportJudge(p)
	case *AuditNotice:
		m.auditNotice(p)
	case *AuditVisit:
		m.auditVisit(p)
	case *BreachOpen:
		m.made = &fact{discovered: p.DiscoveredAt, wrongful: p.Kind == "wrongful-purpose"}
	case *BreachReport:
		m.breachReport(p)
	case *RightsRequest:
		m.rightsRequest(p)
	case *RightsAnswer:
		m.rightsAnswer(p)
	default:
		m.applyMembership(params)
	}
}
