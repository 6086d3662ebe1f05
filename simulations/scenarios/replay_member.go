package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// applyMembership is the last part of apply.
func (m *move) applyMembership(params any) {
	switch p := params.(type) {
	case *JoinMember:
		m.members[p.Member] = &membership{from: m.today()}
	case *LeaveMember:
		m.members[p.Member].stopped = true
	case *SuspendMember:
		m.stopByVote(p.Member, p.Votes, p.Of)
	case *ExpelMember:
		m.stopByVote(p.Member, p.Votes, p.Of)
	case *RestoreMember:
		m.members[p.Member].stopped = false
	case *Vote:
		m.vote(p)
	case *FilePIA:
		m.assessed[p.Purpose] = true
	case *Query:
		m.query(p)
	case *RefuseConsent, *AdvanceTime, *NotifyChange, *SSOEnd, *ForwardStop, *DenyView, *Correct,
		*RestoreBackup, *Acknowledge, *AuditFinding, *BreachNotify, *BreachClose:
		m.made = &fact{} // recorded, no rule of the stories refuses it
	default:
		m.fault = fmt.Sprintf("the twin knows no rule for %T", params)
	}
}

// active reports whether a member takes part on a day.
func (t *Twin) active(id string, on Date) bool {
	m := t.members[id]
	return m != nil && !on.Before(m.from) && !m.stopped
}

func (m *move) stopByVote(member string, votes, of int) {
	if !majority(votes, of) {
		m.refuse("votes-missing")
		return
	}
	m.members[member].stopped = true
}

func majority(votes, of int) bool { return votes*2 > of }

func (m *move) vote(p *Vote) {
	if !majority(p.For, p.Of) {
		m.refuse("votes-missing")
		return
	}
	if len(p.Sets) == 0 {
		return
	}
	// Over a copy: decoding into the parameters would write into the story's own lists.
	var changed Parameters
	now, err := json.Marshal(m.parameters)
	if err = errors.Join(err, json.Unmarshal(now, &changed), json.Unmarshal(p.Sets, &changed)); err != nil {
		m.fault = err.Error() // cannot be: checked when the story was loaded
		return
	}
	m.parameters = changed
}

func (m *move) query(p *Query) {
	switch p.What {
	case "consent-status":
		m.value = "active"
		if why := m.consentFault(m.consents[p.Consent]); why != "" {
			m.value = why
		}
	case "linked-external-services":
		m.value = m.activeMembers(func(x *Member) bool { return slices.Contains(x.Categories, "external") })
	case "members":
		m.value = m.activeMembers(func(*Member) bool { return true })
	case "provision-count":
		n := 0
		for _, f := range m.provided {
			if f.person == p.Person {
				n++
			}
		}
		m.value = n
	case "business-days":
		if p.From != nil && p.To != nil {
			m.value = m.story.Calendar.BusinessDays(*p.From, *p.To)
		}
	case "valid-until":
		if c := m.consents[p.Consent]; c != nil && !c.end.IsZero() {
			m.value = c.end.Add(-time.Second).Format(time.RFC3339)
		}
	default:
		m.fault = fmt.Sprintf("query for %q unknown", p.What)
	}
}

// activeMembers lists the ids of members that take part today, sorted.
func (m *move) activeMembers(which func(*Member) bool) []string {
	ids := []string{}
	for i := range m.story.Members {
		if x := &m.story.Members[i]; m.active(x.ID, m.today()) && which(x) {
			ids = append(ids, x.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
