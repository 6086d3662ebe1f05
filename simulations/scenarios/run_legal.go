package scenarios

import (
	"context"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/node/custody"
)

// thirdParty is the switch that stops hand-overs under an opt-out filing. The
// ledger's stop goes further than the switch: it turns the service's consents off,
// too.
const thirdParty = "third-party"

// fileOptOut announces a filing. Its number in the story is words; the ledger's is
// an id.
func (m *moved) fileOptOut(ctx context.Context) error {
	p := m.params.(*FileOptOut)
	id := fmt.Sprintf("filing-%d", len(m.filings)+1)
	d, err := m.at(m.actor()).FileOptOut(ctx, rest.FilingForm{Number: id, From: p.From, Items: ascending(p.Items)})
	if err == nil {
		m.filings[m.actor()] = id
		m.records(d, "")
	}
	return err
}

func (m *moved) stopFiling(ctx context.Context) error {
	d, err := m.at(m.actor()).EndFiling(ctx, m.filingOf(m.actor()))
	if err == nil {
		m.records(d, "")
	}
	return err
}

// filingOf is the id of an organisation's filing; one that never filed has none of
// this name.
func (m *moved) filingOf(organisation string) string {
	if id := m.filings[organisation]; id != "" {
		return id
	}
	return "filing-0"
}

// heldUnder is the service under which an organisation knows a person: the first
// where nobody was registered.
func (m *moved) heldUnder(organisation, person string) (service string, held bool) {
	for i := range m.Services {
		if v := &m.Services[i]; v.Member == organisation {
			if m.held[holdingAt{v.ID, person}] != nil {
				return v.ID, true
			}
			if service == "" {
				service = v.ID
			}
		}
	}
	return service, false
}

// openFor has the handle of somebody whose data is held in the ledger.
func (m *moved) openFor(ctx context.Context, service, person string) error {
	_, err := m.at(m.Service(service).Member).Register(ctx, custody.Registration{Person: custody.Ref(person), Service: service,
		Items: map[string]string{}, Source: "self", Secret: m.secret(person), Open: true})
	if err != nil {
		return fmt.Errorf("open the handle first: %w", err)
	}
	return nil
}

func (m *moved) provideOptOut(ctx context.Context, p *Provide) error {
	from := m.actor()
	service, held := m.heldUnder(from, p.Person)
	if held {
		if err := m.openFor(ctx, service, p.Person); err != nil {
			return err
		}
	}
	r := custody.OptOutRequest{Person: m.refAt(from, p.Person), Service: service, Filing: m.filingOf(from), To: p.To, Items: p.Items,
		Purpose: p.Purpose, Levels: p.Levels, Values: map[string]string{}, Method: p.Method}
	for _, item := range p.Items {
		r.Values[item] = m.Value(m.Person(p.Person), item)
	}
	for item, v := range p.Values {
		r.Values[item] = v
	}
	d, err := m.at(from).ProvideOptOut(ctx, r)
	if err != nil {
		return err
	}
	m.records(d, p.Person)
	m.made = &asMade{id: d.Records[0].ID, timeMs: d.Records[0].TimeMs, person: p.Person, service: service, to: p.To}
	return nil
}

// switches are the stories' words for the switches that a member keeps for a person.
var switches = map[string]string{"marketing": custody.StopMarketing, "ads": custody.StopMarketing, "group": custody.StopGroup, "mail": custody.StopMail}

// unplayableSwitch says what is asked for by turning a switch.
func (r *runner) unplayableSwitch(person, scope string) string {
	switch {
	case scope == thirdParty:
		return ""
	case switches[scope] == "":
		return "the switch " + scope
	case !slices.ContainsFunc(r.played, arrivalOf(person)):
		return "a switch of somebody who is registered nowhere"
	}
	return ""
}

// arrivalOf finds steps after which somebody's data is held.
func arrivalOf(person string) func(*Step) bool {
	return func(s *Step) bool {
		params, err := s.Decode()
		if err != nil || s.Expect.Refused() {
			return false
		}
		switch p := params.(type) {
		case *RegisterPerson:
			return p.Person == person
		case *GiveConsent:
			return p.Person == person
		}
		return false
	}
}

// optIn lets hand-overs go on that the person had stopped.
func (m *moved) optIn(ctx context.Context) error {
	p := m.params.(*OptIn)
	return m.turn(ctx, p.Person, p.Scope, false)
}

// turn turns a person's switch wherever an organisation holds something of theirs.
func (m *moved) turn(ctx context.Context, person, scope string, stopped bool) error {
	for i := range m.Members {
		id := m.Members[i].ID
		if _, held := m.heldUnder(id, person); !held {
			continue
		}
		if _, err := m.at(id).SetStop(ctx, m.refAt(id, person), switches[scope], stopped); err != nil {
			return err
		}
		m.p.Person = person
	}
	return nil
}

// optOut stops hand-overs under a filing everywhere where there is one, or turns a
// switch that leaves the service's consents on.
func (m *moved) optOut(ctx context.Context) error {
	p := m.params.(*OptOut)
	if p.Scope != thirdParty {
		return m.turn(ctx, p.Person, p.Scope, true)
	}
	for i := range m.Members {
		id := m.Members[i].ID
		service, held := m.heldUnder(id, p.Person)
		if m.filings[id] == "" || !held {
			continue
		}
		d, err := m.at(id).Stop(ctx, custody.WithdrawRequest{Person: custody.Ref(p.Person), Service: service, Stop: true})
		if err != nil {
			return err
		}
		m.records(d, p.Person)
	}
	return nil
}

// discloseLegal asks, has another person approve, and fetches what is disclosed.
func (m *moved) discloseLegal(ctx context.Context) error {
	p := m.params.(*DiscloseLegal)
	by := m.actor()
	service, held := m.heldUnder(by, p.Person)
	from := m.named(p.Dataset)
	if from != nil {
		service = from.service
	} else if held {
		if err := m.holdItems(ctx, service, p); err != nil {
			return err
		}
	}
	r := custody.ExceptionRequest{Person: m.refAt(by, p.Person), Service: service, To: said(p.Fields.Recipient), Items: p.Items,
		Purpose: said(p.Fields.Purpose), Date: p.Fields.DateTime, Ground: p.Ground, Statute: said(p.Statute), Request: said(p.RequestRef),
		Reason: said(p.Fields.Reason), Necessity: said(p.Necessity), Requester: p.Requester}
	if !p.Fields.Information.Given() {
		r.Items = nil
	}
	if from != nil {
		r.Dataset = from.id
	}
	v, err := m.at(by).AskException(ctx, r)
	if err != nil {
		return byItself(err, from)
	}
	approver := m.system.Approver(by)
	if p.Approver == p.Requester {
		approver = m.system.As(by)
	}
	d, err := approver.As(by).ApproveException(ctx, v.ID)
	if err != nil {
		return err
	}
	m.records(d, p.Person)
	items, err := m.at(by).ExceptionItems(ctx, v.ID)
	if err != nil {
		return err
	}
	for _, item := range p.Items {
		if items[item] != m.Value(m.Person(p.Person), item) {
			return fmt.Errorf("%s was disclosed otherwise than it is held", item)
		}
	}
	return nil
}

// holdItems opens the handle and stores what the organisation has in files of its
// own.
func (m *moved) holdItems(ctx context.Context, service string, p *DiscloseLegal) error {
	if err := m.openFor(ctx, service, p.Person); err != nil {
		return err
	}
	values := map[string]string{}
	for _, item := range p.Items {
		values[item] = m.Value(m.Person(p.Person), item)
	}
	return m.at(m.Service(service).Member).PutItems(ctx, custody.Ref(p.Person), service, values)
}

func said(s *Saying) string {
	if s == nil {
		return ""
	}
	return s.JA
}
