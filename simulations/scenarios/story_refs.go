package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// references checks that what a story names exists. It collects all faults, so that
// who edits a story sees them at once.
type references struct {
	story *Story
	errs  []error
	ids   map[string]map[string]bool // kind of thing → id
	names map[string]bool            // names that steps so far have given with "as"
}

func (s *Story) checkReferences() error {
	r := &references{story: s, ids: map[string]map[string]bool{}, names: map[string]bool{}}
	if s.Schema != "consent-ledger-scenario/1" {
		r.fault("schema %q unknown", s.Schema)
	}
	r.collect()
	r.checkServices()
	r.checkAgreements()
	r.checkPeople()
	for i := range s.Steps {
		r.checkStep(&s.Steps[i])
	}
	return errors.Join(r.errs...)
}

func (r *references) fault(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *references) add(kind, id string) {
	if r.ids[kind] == nil {
		r.ids[kind] = map[string]bool{}
	}
	if id == "" || r.ids[kind][id] {
		r.fault("%s %q: empty or twice", kind, id)
	}
	r.ids[kind][id] = true
}

// want faults every id that is none of kind.
func (r *references) want(where, kind string, ids ...string) {
	for _, id := range ids {
		if !r.ids[kind][id] {
			r.fault("%s: %s %q unknown", where, kind, id)
		}
	}
}

// wantCode faults a word that is none of the allowed ones.
func (r *references) wantCode(where, word string, allowed ...string) {
	if !slices.Contains(allowed, word) {
		r.fault("%s: %q is none of %s", where, word, strings.Join(allowed, ", "))
	}
}

func (r *references) collect() {
	s := r.story
	for _, m := range s.Members {
		r.add("member", m.ID)
	}
	for _, a := range s.Attributes {
		r.add("attribute", a.Code)
		r.wantCode("attribute "+a.Code, a.Class, "normal", "sensitive", "biometric", "location")
	}
	for _, p := range s.Purposes {
		r.add("purpose", p.Code)
	}
	for _, v := range s.Services {
		r.add("service", v.ID)
		for _, terms := range v.Terms {
			r.add("terms", v.ID+"@"+terms.Version)
		}
	}
	for _, c := range s.Contracts {
		r.add("contract", c.ID)
	}
	for _, c := range s.Sensors {
		r.add("sensor", c.ID)
	}
	for _, c := range s.Staff {
		r.add("staff", c.ID)
		r.want("staff "+c.ID, "member", c.Member)
	}
	for _, p := range s.People.Explicit {
		r.add("person", p.ID)
	}
	for _, step := range s.Steps {
		r.add("step", step.ID)
	}
}

func (r *references) checkServices() {
	for _, v := range r.story.Services {
		r.want("service "+v.ID, "member", v.Member)
		r.want("service "+v.ID, "attribute", v.RegistrationFields...)
		for _, terms := range v.Terms {
			where := "terms " + v.ID + "@" + terms.Version
			r.want(where, "attribute", terms.Items.Required...)
			r.want(where, "attribute", terms.Items.Optional...)
			r.want(where, "purpose", terms.Purposes...)
			for _, to := range terms.Recipients.Named {
				if to != "public" {
					r.want(where, "member", to)
				}
			}
			if terms.Foreign != nil {
				r.wantCode(where, terms.Foreign.Ground, "consent", "equivalent-measures", "de-identified")
			}
		}
	}
}

func (r *references) checkAgreements() {
	parameters := r.story.Consortium.Parameters
	r.want("parameters", "purpose", parameters.CollectPurposes...)
	r.want("parameters", "purpose", parameters.ViewPurposes...)
	r.want("parameters", "attribute", parameters.DirectIdentifiers...)
	for _, c := range r.story.Contracts {
		where := "contract " + c.ID
		r.want(where, "member", c.Parties...)
		r.want(where, "purpose", c.Clauses.Purposes...)
		r.want(where, "attribute", c.Clauses.Items...)
		r.wantCode(where, c.Kind, "third-party", "entrustment", "joint-use")
		r.wantCode(where, c.Clauses.AuditYear, "rolling", "fiscal", "contract")
		r.wantCode(where, c.Clauses.OnwardTransfer, "prior-written", "free", "forbidden")
		if c.Clauses.Term.To.Before(c.Clauses.Term.From) {
			r.fault("%s: term ends before it begins", where)
		}
	}
	for _, c := range r.story.Sensors {
		r.want("sensor "+c.ID, "member", c.Member, c.ApprovedBy)
	}
}

func (r *references) checkPeople() {
	for _, p := range r.story.People.Explicit {
		where := "person " + p.ID
		r.wantCode(where, p.Gender, "female", "male", "other", "unanswered")
		if p.Guardian != nil {
			r.want(where, "person", *p.Guardian)
		}
		for code, value := range p.Values {
			r.want(where, "attribute", code)
			for _, a := range r.story.Attributes {
				if a.Code == code && len(a.Brackets) > 0 && !slices.Contains(a.Brackets, value) {
					r.fault("%s: %s %q is not in the brackets", where, code, value)
				}
			}
		}
	}
	for _, err := range r.story.People.Generator.check() {
		r.fault("generator: %w", err)
	}
}

func (r *references) checkStep(step *Step) {
	where := "step " + step.ID
	by := step.By
	for kind, id := range map[string]string{"member": by.Member, "person": by.Person, "staff": by.Staff} {
		if id != "" {
			r.want(where+" by", kind, id)
		}
	}
	switch {
	case len(by.Member) > 0 && by.Person+by.Staff == "", len(by.Person) > 0 && by.Member+by.Staff == "",
		len(by.Staff) > 0 && by.Member+by.Person == "":
	default:
		r.fault("%s by: want exactly one of member, person and staff", where)
	}
	r.checkExpect(where, step)
	if step.As != "" && r.names[step.As] {
		r.fault("%s: the name %q is taken", where, step.As)
	}
	p, err := step.Decode()
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	r.checkParams(where, step, p)
	if step.As != "" {
		r.names[step.As] = true
	}
}

func (r *references) checkExpect(where string, step *Step) {
	e := step.Expect
	r.wantCode(where+" expect", e.Result, "accepted", "refused")
	if e.Refused() {
		if _, ok := LookUp(Reasons, e.Reason); !ok {
			r.fault("%s expect: reason %q unknown", where, e.Reason)
		}
		if len(e.Alarms) > 0 || e.Value != nil {
			r.fault("%s expect: a refusal has no alarms and no value", where)
		}
	} else if e.Reason != "" {
		r.fault("%s expect: accepted, yet with a reason", where)
	}
	for _, alarm := range e.Alarms {
		if _, ok := LookUp(Alarms, alarm); !ok {
			r.fault("%s expect: alarm %q unknown", where, alarm)
		}
	}
}

// fieldKinds says what the parameters of that name refer to, for every action but
// those in freeFields. Steps' own names ("as") are a kind too.
var fieldKinds = map[string]string{
	"person": "person", "guardian": "person", "service": "service", "contract": "contract",
	"sensor": "sensor", "staff": "staff", "replaces": "staff", "requester": "staff", "approver": "staff",
	"member": "member", "to": "member", "processor": "member", "parent": "member", "copiesAt": "member",
	"items": "attribute", "keeps": "attribute", "values": "attribute", "levels": "attribute",
	"purpose": "purpose", "purposes": "purpose", "recipients": "member",
	"consent": "name", "provision": "name", "dataset": "name", "onwardOf": "name", "registeredFrom": "name",
	"request": "name", "report": "name", "notice": "name", "breach": "name", "erasure": "name",
}

// freeFields are parameters that carry a word of their own.
var freeFields = map[string]bool{
	"disclose-legal/to":          true, // an authority, or a member
	"disclose-legal/requester":   true, // may be the authority's officer
	"query/to":                   true, // a date
	"deidentify/dataset":         true, // data that no step has collected
	"reidentify/dataset":         true,
	"release-statistics/dataset": true,
}

// forgives says of which kind an unknown id is what a refused step is about.
var forgives = map[string]string{
	"field-not-in-schema": "attribute", "item-not-on-screen": "attribute", "item-not-consented": "attribute",
	"purpose-not-on-screen": "purpose", "purpose-not-consented": "purpose", "purpose-not-allowed": "purpose",
	"optout-item-not-filed": "attribute", "recipient-not-listed": "member", "outside-contract-purpose": "purpose",
	"contract-missing": "contract", "no-consent": "name",
	"receive-without-provision": "name", "erasure-unknown": "name", "report-unknown": "name",
	"notice-missing": "name", "audit-without-report": "name", "request-missing": "name",
}

func (r *references) checkParams(where string, step *Step, p any) {
	var fields map[string]any
	if err := json.Unmarshal(step.Params, &fields); err != nil {
		r.fault("%s: %w", where, err)
		return
	}
	for field, value := range fields {
		kind, ok := fieldKinds[field]
		if !ok || freeFields[step.Action+"/"+field] {
			continue
		}
		if step.Expect.Refused() && forgives[step.Expect.Reason] == kind && (kind != "member" || field == "to") {
			continue
		}
		for _, id := range idsIn(value) {
			if kind == "name" {
				if !r.names[id] {
					r.fault("%s %s: no earlier step is named %q", where, field, id)
				}
				continue
			}
			r.want(where+" "+field, kind, id)
		}
	}
	service, version := fields["service"], fields["version"]
	if service != nil && version != nil {
		r.want(where, "terms", fmt.Sprintf("%v@%v", service, version))
	}
	if levels, ok := fields["levels"].(map[string]any); ok {
		for _, level := range levels {
			r.wantCode(where+" levels", fmt.Sprint(level), r.story.Consortium.Parameters.Levels...)
		}
	}
	if vote, ok := p.(*Vote); ok && len(vote.Sets) > 0 {
		if err := strictJSON(vote.Sets, new(Parameters)); err != nil {
			r.fault("%s sets: %w", where, err)
		}
	}
}

// idsIn returns a parameter's ids: itself, its elements or its keys.
func idsIn(value any) []string {
	var ids []string
	switch value := value.(type) {
	case string:
		if value != "" {
			ids = append(ids, value)
		}
	case []any:
		for _, v := range value {
			ids = append(ids, fmt.Sprint(v))
		}
	case map[string]any:
		for key := range value {
			ids = append(ids, key)
		}
	}
	slices.Sort(ids)
	return ids
}
