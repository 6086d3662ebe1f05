package scenarios

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// moved is one step while the real system plays it.
type moved struct {
	*runner
	p      *Played
	params any
	value  any
	alarms map[string]bool
	made   *asMade
}

// actions are those that this version has.
var actions = map[string]func(*moved, context.Context) error{
	"publish-terms": (*moved).publishTerms, "register-person": (*moved).registerPerson, "give-consent": (*moved).giveConsent,
	"revoke": (*moved).revoke, "provide": (*moved).provide, "receive": (*moved).receive, "approve-onward": (*moved).approveOnward,
	"forward-stop": (*moved).forwardStop, "sensor-approve": (*moved).sensorApprove, "sensor-commit": (*moved).sensorCommit,
	"sensor-retire": (*moved).sensorRetire, "vote": (*moved).vote, "join-member": (*moved).joinMember, "query": (*moved).query,
	"advance-time": (*moved).advanceTime, "file-optout": (*moved).fileOptOut, "stop-filing": (*moved).stopFiling, "opt-out": (*moved).optOut,
	"disclose-legal": (*moved).discloseLegal, "collect": (*moved).collect, "view": (*moved).look, "erase": (*moved).eraseDataset,
	"place-hold": (*moved).placeHold, "rights-request": (*moved).rightsRequest, "rights-answer": (*moved).rightsAnswer,
	"assign-manager": (*moved).assignManager, "rotate-credential": (*moved).rotateCredential, "staff-leave": (*moved).staffLeave,
	"post-sign": (*moved).postSign, "refuse-consent": (*moved).refuseConsent, "opt-in": (*moved).optIn,
}

// reasons are the stories' reasons for which the real system refuses.
var reasons = []string{
	"no-consent", "revoked", "expired", "already-revoked", "item-not-consented", "purpose-not-consented", "recipient-not-listed",
	"item-not-on-screen", "purpose-not-on-screen", "required-item-missing", "terms-not-effective", "terms-superseded",
	"clause-missing", "sensitive-without-consent", "guardian-consent-missing", "foreign-info-missing", "field-not-in-schema",
	"source-not-self", "not-authorised", "receive-without-provision", "acquisition-missing", "duplicate", "onward-not-approved",
	"sensor-not-approved", "sensor-retired", "reading-out-of-schema", "bracket-unknown", "finer-than-allowed", "member-not-active",
	"votes-missing", "erased", "opted-out", "optout-not-filed", "optout-item-not-filed", "legal-ground-missing", "request-missing",
	"disclosure-fields-missing", "necessity-missing", "approver-not-independent", "retention-exceeded", "on-hold", "reason-missing",
	"purpose-not-allowed", "not-manager", "manager-already-assigned", "staff-left", "credential-overdue", "signage-missing",
	"signage-incomplete", "identity-not-verified",
}

// alarms are those that can be told from the ledger.
var alarms = []string{"unmatched-provision"}

// unplayable says what a step asks for that this version does not have.
func (r *runner) unplayable(step *Step, params any) string {
	switch p := params.(type) {
	case *Provide:
		switch {
		case !r.onScreen(step.By.Member, p.Consent):
			return "a hand-over by who is neither the service's owner nor on its screen"
		case p.Basis == "entrustment" || p.Basis == "contract":
			return "a hand-over on the basis " + p.Basis
		case p.Basis != "optout" && p.Consent == "" && p.Service == "" && p.Dataset == "":
			return "a hand-over that names no consent"
		}
	case *OptOut:
		return r.unplayableSwitch(p.Person, p.Scope)
	case *GiveConsent:
		if step.Expect.Reason == "guardian-consent-missing" && r.Attribute("birth-date").Code == "" {
			return "a member that knows nobody's date of birth"
		}
	case *RefuseConsent:
		if !slices.ContainsFunc(r.played, publicationOf(p.Service, p.Version)) {
			return "refusing terms that were not published"
		}
	case *OptIn:
		if p.Scope == thirdParty {
			return "taking back a stop of the ledger's"
		}
		return r.unplayableSwitch(p.Person, p.Scope)
	case *SensorCommit:
		if p.NoPerson || p.Consent != "" {
			return "readings about people"
		}
	case *ForwardStop:
		if p.Kind != "erase" {
			return "forwarding a stop without an erasure"
		}
	case *Query:
		if !slices.Contains([]string{"consent-status", "members", "valid-until"}, p.What) {
			return "the query " + p.What
		}
	}
	return r.unplayableData(step, params)
}

// publicationOf finds the step that published a version of terms.
func publicationOf(service, version string) func(*Step) bool {
	return func(s *Step) bool {
		params, err := s.Decode()
		p, ok := params.(*PublishTerms)
		return err == nil && ok && p.Service == service && p.Version == version && !s.Expect.Refused()
	}
}

// onScreen reports whether a provider owns the service of a consent or stands on
// its screen: the ledger wants one of them.
func (r *runner) onScreen(provider, consent string) bool {
	c := r.names[consent]
	if c == nil || c.service == "" {
		return true // it is refused for another reason
	}
	v := r.Service(c.service)
	t := v.Version(c.version)
	m := r.Member(provider)
	return v.Member == provider || slices.Contains(t.Recipients.Named, provider) ||
		m != nil && slices.ContainsFunc(m.Categories, func(x string) bool { return slices.Contains(t.Recipients.Categories, x) })
}

// words are the ledger's codes that say a story's reason more exactly.
var words = map[record.Code]string{
	record.CodeServiceOwner:      "not-authorised",
	record.CodeTermsUnknown:      "terms-not-effective",
	record.CodeSubmissionIssuer:  "member-not-active",
	record.CodePartyUnknown:      "member-not-active",
	record.CodeIntentUnknown:     "receive-without-provision",
	record.CodeRecordDuplicate:   "duplicate",
	record.CodeSensorUnknown:     "sensor-not-approved",
	record.CodeHandleClosed:      "erased",
	record.CodePartyExists:       "duplicate",
	record.CodeHandleUnknown:     "no-consent",
	custody.CodePersonUnknown:    "no-consent",
	record.CodeGovernance:        "not-authorised",
	record.CodeParameterUnknown:  "votes-missing",
	record.CodeRecordMalformed:   "record.malformed",
	record.CodeIntentDeadline:    "intent.deadline",
	record.CodeSubmissionExpired: "submission.expired",
}

// reason turns an error of the real system into a story's reason. It reports false
// where the system did not refuse but could not be asked.
func (r *runner) reason(ctx context.Context, m *moved, err error) (string, bool) {
	var p *client.Problem
	if !errors.As(err, &p) || p.Code == "" || p.Status >= http.StatusInternalServerError {
		return "", false
	}
	// A node acts only for parties of the register: where the actor is none, it
	// has not joined.
	if p.Code == record.CodeNotAuthorised {
		if parties, err := r.as(m.p.By).Parties(ctx); err == nil {
			i := slices.IndexFunc(parties, func(v rest.PartyView) bool { return v.ID == m.actor() })
			if i < 0 && r.Member(m.actor()) != nil || i >= 0 && !parties[i].Active {
				return "member-not-active", true
			}
		}
	}
	if w, ok := words[p.Code]; ok {
		return w, true
	}
	return string(p.Code), true
}

// actor is the organisation that acts; a person acts through the member asked.
func (m *moved) actor() string {
	by := m.p.Step.By
	switch {
	case by.Member != "":
		return by.Member
	case by.Staff != "":
		return m.StaffMember(by.Staff).Member
	}
	return m.p.By
}

func (m *moved) do(ctx context.Context) (err error) {
	if m.params, err = m.p.Step.Decode(); err != nil {
		return err
	}
	m.p.By = m.cast.Host[m.actor()]
	return actions[m.p.Step.Action](m, ctx)
}

// at returns the client through which an organisation answers this step.
func (m *moved) at(organisation string) *client.Client {
	m.p.By = organisation
	return m.as(organisation)
}

// records notes what entered the ledger.
func (m *moved) records(d *client.Done, person string) {
	m.p.Records, m.p.Person = d.Records, person
}

func (m *moved) advanceTime(context.Context) error { return nil }
