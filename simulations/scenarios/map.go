package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A Cast says which organisations of a story run nodes, and through whose node
// each of the others takes part. The stories call all of them members.
type Cast struct {
	Members []string          // ids of those with a node, ascending: member i of the consortium
	Host    map[string]string // of every organisation: the member whose node acts for it
}

// nodes is how many organisations of a story run nodes.
const nodes = 4

// lateDate marks an organisation that a step admits.
const lateDate = "2099-12-31"

// roleOrder says who runs a node before others: a platform, then companies.
var roleOrder = []string{"platform", "company", "agency", "city", "store"}

// Cast returns who runs nodes: the first four that are there from the start, by
// role and then by their order in the story. All others are hosted by the first
// of them.
func (s *Story) Cast() (*Cast, error) {
	var there []*Member
	for i := range s.Members {
		if m := &s.Members[i]; !m.Joined.Start().After(s.Steps[0].When) && m.Country == "JP" {
			there = append(there, m)
		}
	}
	slices.SortStableFunc(there, func(a, b *Member) int {
		return cmp.Compare(slices.Index(roleOrder, a.Role), slices.Index(roleOrder, b.Role))
	})
	if len(there) < nodes {
		return nil, fmt.Errorf("the story has %d organisations from the start, want %d", len(there), nodes)
	}
	c := &Cast{Host: map[string]string{}}
	for _, m := range s.Members {
		c.Host[m.ID] = there[0].ID
	}
	for _, m := range there[:nodes] {
		c.Members, c.Host[m.ID] = append(c.Members, m.ID), m.ID
	}
	slices.Sort(c.Members)
	return c, nil
}

// Founding returns what the members of the cast agree on, without their keys. The
// clock is the story's.
func (s *Story) Founding(c *Cast) record.Founding {
	f := record.Founding{Origin: s.Consortium.Origin, CreatedMs: uint64(s.begin().UnixMilli()), StoryTime: true,
		Levels: s.Consortium.Parameters.Levels}
	for _, id := range c.Members {
		m := s.Member(id)
		f.Members = append(f.Members, record.MemberInfo{ID: m.ID, Name: m.Name.record(), Regime: regime(m.Regime), Country: m.Country,
			Categories: s.categories(m)})
	}
	for _, a := range s.Attributes {
		f.Attributes = append(f.Attributes, record.Attribute{Code: a.Code, Class: a.Class, Granularity: a.Granularity,
			Brackets: a.Brackets, Label: a.Label.record()})
	}
	for _, p := range s.Purposes {
		f.Purposes = append(f.Purposes, record.Purpose{Code: p.Code, Label: p.Label.record()})
	}
	slices.SortFunc(f.Purposes, func(a, b record.Purpose) int { return strings.Compare(a.Code, b.Code) })
	f.Parameters = append(s.retention(),
		record.Parameter{Name: "phase", Value: s.Consortium.Parameters.Phase},
		record.Parameter{Name: "receive-hours", Value: fmt.Sprint(s.receiveHours())},
		record.Parameter{Name: "sensor-approver", Value: s.approverCategory()})
	slices.SortFunc(f.Parameters, func(a, b record.Parameter) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// retention returns the parameters about data with a deadline: how long items and
// readings are kept, for which purposes they are collected and looked at, which sensors need a
// sign, and how old a manager's credential may be.
func (s *Story) retention() (list []record.Parameter) {
	set := func(name string, value ...string) {
		if v := strings.Join(value, " "); v != "" {
			list = append(list, record.Parameter{Name: name, Value: v})
		}
	}
	for _, p := range s.Policies {
		item, ok := p.Parameters["item"].(string)
		if limit, is := p.Parameters["limit"].(string); p.Check == "retention" && ok && is {
			set("retention-"+item, limit)
		}
	}
	kinds := []string{}
	for _, sensor := range s.Sensors {
		for _, name := range sensor.readingNames() {
			known := slices.ContainsFunc(list, func(p record.Parameter) bool { return p.Name == "retention-"+name })
			if sensor.Retention != nil && !known {
				set("retention-"+name, sensor.Retention.String())
			}
		}
		if sensor.SignRequired {
			kinds = append(kinds, sensor.Kind)
		}
	}
	set("collect-purposes", s.Consortium.Parameters.CollectPurposes...)
	set("view-purposes", s.Consortium.Parameters.ViewPurposes...)
	set("sign-required", ascending(kinds)...)
	if days := s.Consortium.Parameters.CredentialRotationDays; days > 0 {
		set("credential-rotation-days", fmt.Sprint(days))
	}
	return list
}

// begin is when the first member joins, and before the first step.
func (s *Story) begin() time.Time {
	begin := s.Steps[0].When.Add(-time.Hour)
	for _, m := range s.Members {
		if m.Joined.Start().Before(begin) {
			begin = m.Joined.Start()
		}
	}
	return begin
}

func (s *Story) receiveHours() int { return cmp.Or(s.Consortium.Parameters.ReceiveHours, 24) }

// approvers is the category of those who approve sensors where the story has no
// word for it.
const approvers = "sensor-approver"

// approverCategory is the category by which approvers of sensors are known: public
// bodies, where all of the story's are.
func (s *Story) approverCategory() string {
	for _, sensor := range s.Sensors {
		if m := s.Member(sensor.ApprovedBy); m == nil || !slices.Contains(m.Categories, "public-body") {
			return approvers
		}
	}
	return "public-body"
}

// categories are those of an organisation in the ledger.
func (s *Story) categories(m *Member) []string {
	all := slices.Clone(m.Categories)
	if s.approverCategory() == approvers && slices.ContainsFunc(s.Sensors, func(x Sensor) bool { return x.ApprovedBy == m.ID }) {
		all = append(all, approvers)
	}
	return ascending(all)
}

// regime returns the ledger's word for a regime of law.
func regime(word string) string {
	switch word {
	case "ch4", "ch5", "telecom":
		return word
	}
	return "foreign"
}

func (t Text) record() record.Text { return record.Text{Ja: t.JA, En: cmp.Or(t.EN, t.JA)} }

// ascending returns a sorted copy without repetitions.
func ascending(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// party returns how an organisation without a node is admitted.
func (s *Story) party(m *Member) rest.PartyForm {
	return rest.PartyForm{ID: m.ID, Name: m.Name.record(), Regime: regime(m.Regime), Country: m.Country, Categories: s.categories(m)}
}

// form returns how a service is opened.
func (v *Service) form() rest.ServiceForm {
	return rest.ServiceForm{ID: v.ID, Name: v.Name.record(), Contact: v.Contact.record(), Clauses: ascending(v.RequiredClauses),
		Fields: ascending(v.RegistrationFields), SelfOnly: v.SourceSelfOnly}
}

// screen returns one version of terms with one scope a purpose, each with all
// items and recipients that the story's screen names.
func (v *Service) screen(t *Terms) rest.ScreenForm {
	f := rest.ScreenForm{Service: v.ID, Version: t.Version, Effective: t.Effective, Text: t.Text.record(),
		Withdrawal: t.Withdrawal.record(), Retention: t.Retention.String(), Clauses: ascending(t.Clauses)}
	if t.Foreign != nil {
		f.Foreign = t.Foreign.Ground
	}
	expiry := ""
	if t.ConsentPeriod != nil {
		expiry = t.ConsentPeriod.String()
	}
	for _, p := range t.Purposes {
		f.Scopes = append(f.Scopes, rest.ScopeForm{Purpose: p, Required: ascending(t.Items.Required), Optional: ascending(t.Items.Optional),
			Recipients: ascending(t.Recipients.Named), Categories: ascending(t.Recipients.Categories), MaxExpiry: expiry})
	}
	return f
}

// Value returns what a person gives for an item: what the story says, or the
// first allowed value, or words that say it is invented.
func (s *Story) Value(p *Person, item string) string {
	if v, ok := p.Values[item]; ok {
		return v
	}
	switch item {
	case "name":
		return p.Name
	case "kana":
		return p.Kana
	case "email":
		return p.Email
	case "phone":
		return p.Phone
	case "gender":
		return p.Gender
	case "birth-date":
		return p.BirthDate.String()
	case "birth-year":
		return p.BirthDate.String()[:4]
	case "user-id":
		return "user-" + p.ID
	}
	if a := s.Attribute(item); len(a.Brackets) > 0 {
		return a.Brackets[0]
	}
	return "見本 " + item + " " + p.ID
}
