package scenarios

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/node/custody"
)

// A System is a real consortium that was founded for a story (Cast, Founding).
type System interface {
	// As returns the client through which an organisation acts: at its own node,
	// or at the node that hosts it.
	As(organisation string) *client.Client
	// Approver returns the client of another person there, who approves what the
	// first asked for.
	Approver(organisation string) *client.Client
	// SetTime moves the story's clock at every member, and returns when their
	// checkpoints are fresh at that time.
	SetTime(ctx context.Context, t time.Time) error
}

// Played is what became of one step.
type Played struct {
	Step    *Step
	Number  int              // from 1
	Skipped string           // why this version does not play it; "" where it was played
	Got     Outcome          // of the real system
	Fault   string           // how that differs from what the story expects or from the twin; "" where it does not
	By      string           // the organisation at whose node it was asked
	Person  string           // whom its records are about, "" for nobody
	Records []custody.Posted // that entered the ledger
	Took    time.Duration
}

// Report is what became of a story.
type Report struct {
	Steps                   []*Played
	Played, Skipped, Faults int

	refs map[holdingAt]custody.Ref
}

// Ref returns by which reference an organisation knows a person: the story's id
// where it registered the person, else the one that it made up when it received
// the data.
func (r *Report) Ref(organisation, person string) custody.Ref {
	return refAt(r.refs, organisation, person)
}

func refAt(refs map[holdingAt]custody.Ref, organisation, person string) custody.Ref {
	if ref, ok := refs[holdingAt{organisation, person}]; ok {
		return ref
	}
	return custody.Ref(person)
}

// runner is a story on its way through a consortium.
type runner struct {
	*Story
	cast   *Cast
	system System

	played  []*Step            // in order, for the twin; also what happened outside the ledger
	skipped map[string]*Step   // by the name that they would have given
	left    []*Step            // all that were skipped
	names   map[string]*asMade // what accepted steps called "as"
	here    map[string]bool    // organisations that have arrived
	secrets map[string]sign.Secret
	held    map[holdingAt]map[string]bool // items registered with a service
	filings map[string]string             // id of an organisation's opt-out filing
	refs    map[holdingAt]custody.Ref     // by which an organisation knows a person of whom it received data
}

// asMade is what an accepted step has made and later steps name.
type asMade struct {
	id       string // of its record
	timeMs   uint64
	person   string
	service  string
	version  string
	purposes []string
	to       string

	org    string // that holds a dataset, or got a request
	items  []string
	erased bool // by a step
}

// holdingAt is a person at a service or an organisation.
type holdingAt struct{ at, person string }

// Run plays a story on a consortium and compares every answer with what the story
// expects and with the naive twin. What this version has no action or rule for is
// skipped, and so is what depends on it; each with its reason. progress is told of
// every step as it ends. An error means that the consortium could not be asked.
func Run(ctx context.Context, story *Story, system System, progress func(*Played)) (*Report, error) {
	cast, err := story.Cast()
	if err != nil {
		return nil, err
	}
	r := &runner{Story: story, cast: cast, system: system, skipped: map[string]*Step{}, names: map[string]*asMade{},
		here: map[string]bool{}, secrets: map[string]sign.Secret{}, held: map[holdingAt]map[string]bool{}, filings: map[string]string{}, refs: map[holdingAt]custody.Ref{}}
	if err := r.prologue(ctx); err != nil {
		return nil, fmt.Errorf("prologue: %w", err)
	}
	report := &Report{refs: r.refs}
	for i := range story.Steps {
		p := &Played{Step: &story.Steps[i], Number: i + 1}
		begin := time.Now()
		if err := r.step(ctx, p); err != nil {
			return report, fmt.Errorf("step %s %s: %w", p.Step.ID, p.Step.Action, err)
		}
		p.Took = time.Since(begin)
		report.Steps = append(report.Steps, p)
		switch {
		case p.Skipped != "":
			report.Skipped++
		default:
			report.Played++
		}
		if p.Fault != "" {
			report.Faults++
		}
		if progress != nil {
			progress(p)
		}
	}
	return report, nil
}

// prologue sets the clock before the first step.
func (r *runner) prologue(ctx context.Context) error {
	if err := r.system.SetTime(ctx, r.Steps[0].When.Add(-time.Minute)); err != nil {
		return err
	}
	return r.arrivals(ctx, r.Steps[0].When)
}

// arrivals brings in what the stories take for granted: organisations without a
// node, from the day on which they join, and everybody's services.
func (r *runner) arrivals(ctx context.Context, now time.Time) error {
	for i := range r.Members {
		m := &r.Members[i]
		if r.here[m.ID] || m.Joined.Start().After(now) || m.Joined.String() == lateDate {
			continue
		}
		r.here[m.ID] = true
		if host := r.cast.Host[m.ID]; host != m.ID {
			if _, err := r.as(host).AdmitParty(ctx, r.party(m)); err != nil {
				return fmt.Errorf("admit %s: %w", m.ID, err)
			}
		}
		for j := range r.Services {
			if v := &r.Services[j]; v.Member == m.ID {
				if _, err := r.as(m.ID).OpenService(ctx, v.form()); err != nil {
					return fmt.Errorf("open service %s: %w", v.ID, err)
				}
			}
		}
	}
	return nil
}

// as returns the client through which an organisation acts under its own name.
func (r *runner) as(organisation string) *client.Client {
	return r.system.As(organisation).As(organisation)
}

// step plays one step or says why it is skipped.
func (r *runner) step(ctx context.Context, p *Played) error {
	step := p.Step
	if p.Skipped = r.why(step); p.Skipped != "" {
		r.skip(step)
		return nil
	}
	twin := r.twin(step, nil)
	if err := r.system.SetTime(ctx, step.When); err != nil {
		return err
	}
	m := &moved{runner: r, p: p, alarms: map[string]bool{}}
	if err := r.arrivals(ctx, step.When); err != nil {
		return err
	}
	err := m.do(ctx)
	p.Got = Outcome{Step: step.ID, When: step.When, Value: m.value}
	for a := range m.alarms {
		p.Got.Alarms = append(p.Got.Alarms, a)
	}
	slices.Sort(p.Got.Alarms)
	if err != nil {
		reason, refused := r.reason(ctx, m, err)
		if !refused {
			return err
		}
		p.Got.Reasons = []string{reason}
	} else if step.As != "" && m.made != nil {
		r.names[step.As] = m.made
	}
	r.played = append(r.played, step)
	p.Fault = step.Expect.Diff(p.Got)
	if p.Fault == "" {
		if p.Fault = differ(twin, p.Got); p.Fault != "" {
			p.Fault = "the twin says otherwise: " + p.Fault
		}
	}
	return nil
}

// skip notes a step that is not played. What happens outside the ledger has happened
// all the same: the twin is told of it, and later steps go on from there.
func (r *runner) skip(step *Step) {
	if slices.Contains(beside, step.Action) && !step.Expect.Refused() {
		r.played = append(r.played, step)
		return
	}
	r.left = append(r.left, step)
	if step.As != "" {
		r.skipped[step.As] = step
	}
}

// beside are actions that no ledger plays and on which other steps stand.
var beside = []string{"file-pia"}

// differ compares the twin's answer with the system's.
func differ(twin, got Outcome) string {
	want := Expect{Result: "accepted", Alarms: twin.Alarms, Value: twin.Value}
	if !twin.Accepted() {
		want.Result, want.Reason = "refused", strings.Join(twin.Reasons, ", ")
	}
	return want.Diff(got)
}

// twin asks the naive twin about a step, after all that was played and, where
// there is one, a skipped step in its place.
func (r *runner) twin(step, with *Step) Outcome {
	t := NewTwin(r.Story)
	for _, s := range r.played {
		if with != nil && !s.When.Before(with.When) && slices.IndexFunc(r.Steps, sameAs(with)) < slices.IndexFunc(r.Steps, sameAs(s)) {
			t.Run(with)
			with = nil
		}
		t.Run(s)
	}
	if with != nil {
		t.Run(with)
	}
	return t.Run(step)
}

func sameAs(s *Step) func(Step) bool { return func(o Step) bool { return o.ID == s.ID } }

// NotHere begins why a step is skipped whose action this version does not have.
const NotHere = "not in this version"

// absent says of actions that no version plays at a ledger's interface, or this one
// does not, why.
var absent = map[string]string{
	"acknowledge":         "who read which rules is kept by each organisation, outside the ledger",
	"attest-erasure":      "nobody attests by hand: a holder's node does it when its keys are destroyed",
	"audit-finding":       "audits on site stand in no ledger record",
	"audit-notice":        "audits on site stand in no ledger record",
	"audit-visit":         "audits on site stand in no ledger record",
	"breach-notify":       "breaches are reported outside the ledger",
	"breach-open":         "breaches are reported outside the ledger",
	"breach-report":       "breaches are reported outside the ledger",
	"deidentify":          "masking of data is a company's own work",
	"deny-view":           "a refused look is answered at once and not asked for as a record",
	"expel-member":        "a member goes by governance and stops its own node, which a story does not do",
	"file-pia":            "impact assessments are kept outside the ledger",
	"notify-change":       "notices of changes are the member's to send",
	"record-match":        "face matching is a company's own work",
	"register-processor":  "chains of processors are contracts outside the ledger",
	"release-statistics":  "statistics are about nobody and are not checked here",
	"reidentify":          "there is no way to ask for it",
	"report-judge":        "reports between companies stand in no ledger record",
	"report-request":      "reports between companies stand in no ledger record",
	"report-submit":       "reports between companies stand in no ledger record",
	"sso-login":           "signing in is the browser's, which a story does not drive",
	"use":                 "use inside a member is not handed over and passes no node",
	"withdraw-membership": "leaving a service is its erasure here, with other answers than the story's",
}

// late is why a step is skipped that erases too late: a node does not.
const late = "the node destroyed it by itself when it was due, so nobody can be late"

// why says why this version does not play a step, "" where it does.
func (r *runner) why(step *Step) string {
	if _, ok := actions[step.Action]; !ok {
		return strings.TrimSuffix(NotHere+": "+absent[step.Action], ": ")
	}
	if why := r.needs(step); why != "" {
		return why
	}
	if step.Expect.Refused() && !slices.Contains(reasons, step.Expect.Reason) {
		c, _ := LookUp(Reasons, step.Expect.Reason)
		return "a rule that this version does not have: " + c.EN
	}
	for _, a := range step.Expect.Alarms {
		if a == "late-erasure" {
			return late
		}
		if !slices.Contains(alarms, a) {
			return "an alarm that this version does not have: " + a
		}
	}
	params, err := step.Decode()
	if err != nil {
		return err.Error()
	}
	if why := r.unplayable(step, params); why != "" {
		return NotHere + ": " + why
	}
	// Where the twin, which has seen only what was played, answers otherwise than
	// the story, the step depends on what was skipped.
	if step.Expect.Diff(r.twin(step, nil)) == "" {
		return ""
	}
	for _, s := range r.left {
		if step.Expect.Diff(r.twin(step, s)) == "" {
			return fmt.Sprintf("it depends on %s (%s), which was skipped", s.ID, s.Action)
		}
	}
	return "it depends on steps that were skipped"
}

// needs says which skipped step a step names.
func (r *runner) needs(step *Step) string {
	var params map[string]any
	if json.Unmarshal(step.Params, &params) != nil {
		return ""
	}
	for _, name := range []string{"consent", "provision", "onwardOf", "dataset", "registeredFrom", "erasure", "request", "report", "notice", "breach"} {
		if v, ok := params[name].(string); ok && r.skipped[v] != nil {
			return fmt.Sprintf("it needs %s (%s), which was skipped", r.skipped[v].ID, r.skipped[v].Action)
		}
	}
	return ""
}

// secret returns the person's secret: the person brings one and the same to every
// member.
func (r *runner) secret(person string) []byte {
	s, ok := r.secrets[person]
	if !ok {
		rand.Read(s[:])
		r.secrets[person] = s
	}
	return s[:]
}
