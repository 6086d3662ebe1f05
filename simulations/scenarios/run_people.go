package scenarios

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

func (m *moved) publishTerms(ctx context.Context) error {
	p := m.params.(*PublishTerms)
	service := m.Service(p.Service)
	d, err := m.at(m.actor()).PublishTerms(ctx, service.screen(service.Version(p.Version)))
	if err == nil {
		m.records(&d.Done, "")
	}
	return err
}

func (m *moved) registerPerson(ctx context.Context) error {
	p := m.params.(*RegisterPerson)
	return m.register(ctx, p.Person, p.Service, p.Items, p.Source)
}

// register registers a person with a service and brings the person's secret.
func (m *moved) register(ctx context.Context, person, service string, items []string, source string) error {
	who := m.Person(person)
	r := custody.Registration{Person: custody.Ref(person), Service: service, Items: map[string]string{}, Source: source,
		Lookup: map[string]string{"phone": who.Phone}, Secret: m.secret(person)}
	if who.Guardian != nil {
		r.Guardian = custody.Ref(*who.Guardian)
	}
	for _, item := range items {
		r.Items[item] = m.Value(who, item)
	}
	d, err := m.at(m.Service(service).Member).Register(ctx, r)
	if err != nil {
		return err
	}
	m.records(d, person)
	held := map[string]bool{}
	for _, item := range items {
		held[item] = true
	}
	m.held[holdingAt{service, person}] = held
	return nil
}

func (m *moved) giveConsent(ctx context.Context) error {
	p := m.params.(*GiveConsent)
	if err := m.arrive(ctx, p.Person, p.Service, p.Items); err != nil {
		return err
	}
	r := custody.ConsentRequest{Person: custody.Ref(p.Person), Service: p.Service, Version: p.Version, Items: p.Items, Purposes: p.Purposes,
		Button: p.Button, Language: "ja", Guardian: custody.Ref(p.Guardian), Foreign: p.ForeignInfoShown, Sensitive: p.SensitiveAgreed}
	if p.Until != nil {
		r.Until = p.Until.String()
	}
	d, err := m.at(m.Service(p.Service).Member).Consent(ctx, r)
	if err != nil {
		return err
	}
	m.records(d, p.Person)
	m.made = &asMade{person: p.Person, service: p.Service, version: p.Version, purposes: p.Purposes}
	return nil
}

// arrive registers who answers a consent screen and is not registered yet.
func (m *moved) arrive(ctx context.Context, person, service string, items []string) error {
	if m.held[holdingAt{service, person}] != nil {
		return nil
	}
	fields := m.Service(service).RegistrationFields
	asked := slices.DeleteFunc(slices.Clone(items), func(item string) bool { return !slices.Contains(fields, item) })
	if err := m.register(ctx, person, service, asked, "self"); err != nil {
		return fmt.Errorf("register first: %w", err)
	}
	return nil
}

// refuseConsent answers a screen with no: the screen is the text of its terms.
func (m *moved) refuseConsent(ctx context.Context) error {
	p := m.params.(*RefuseConsent)
	if err := m.arrive(ctx, p.Person, p.Service, nil); err != nil {
		return err
	}
	service := m.Service(p.Service)
	shown := sha256.Sum256([]byte(service.Version(p.Version).Text.JA))
	d, err := m.at(service.Member).Decline(ctx, custody.DeclineRequest{Person: custody.Ref(p.Person), Service: p.Service, Version: p.Version, Screen: shown[:]})
	if err == nil {
		m.records(d, p.Person)
	}
	return err
}

// consentNamed returns what a step named so; one that was never accepted is a
// consent to nothing.
func (m *moved) consentNamed(name string) *asMade {
	if c := m.named(name); c != nil {
		return c
	}
	return &asMade{}
}

// named returns what an accepted step named so, or nil.
func (m *moved) named(name string) *asMade { return m.names[name] }

func (m *moved) revoke(ctx context.Context) error {
	c := m.consentNamed(m.params.(*Revoke).Consent)
	service := m.Service(c.service)
	if service == nil {
		return &client.Problem{Status: http.StatusConflict, Code: record.CodeNoConsent}
	}
	d, err := m.at(service.Member).Revoke(ctx, custody.WithdrawRequest{Person: custody.Ref(c.person), Service: c.service, Purposes: c.purposes})
	if err == nil {
		m.records(d, c.person)
	}
	return err
}

func (m *moved) provide(ctx context.Context) error {
	p := m.params.(*Provide)
	if p.Basis == "optout" {
		return m.provideOptOut(ctx, p)
	}
	service := p.Service
	if c := m.consentNamed(p.Consent); c.service != "" {
		service = c.service
	}
	from, dataset := m.actor(), ""
	if made := m.named(p.Dataset); made != nil {
		service, dataset = made.service, made.id
	}
	r := custody.ProvideRequest{Person: m.refAt(from, p.Person), Service: service, To: p.To, Items: p.Items, Purpose: p.Purpose,
		Levels: p.Levels, Values: map[string]string{}, Contract: p.Contract, Method: p.Method, Dataset: dataset}
	for item, v := range p.Values {
		r.Values[item] = v
	}
	// What the provider does not keep under this service it takes from its own
	// files.
	if owner := m.Service(service); owner != nil && p.OnwardOf == "" && dataset == "" {
		held := m.held[holdingAt{service, p.Person}]
		for _, item := range p.Items {
			if _, ok := r.Values[item]; !ok && (owner.Member != from || !held[item]) {
				r.Values[item] = m.Value(m.Person(p.Person), item)
			}
		}
	}
	if p.OnwardOf != "" {
		if made := m.named(p.OnwardOf); made != nil {
			r.OnwardOf = made.id
		}
	}
	d, err := m.at(from).Provide(ctx, r)
	if err != nil {
		return err
	}
	m.records(d, p.Person)
	m.made = &asMade{id: d.Records[0].ID, timeMs: d.Records[0].TimeMs, person: p.Person, service: service, to: p.To}
	return nil
}

// parcelWait is how long a parcel may be under way.
const parcelWait = 10 * time.Second

func (m *moved) receive(ctx context.Context) error {
	p := m.params.(*Receive)
	id := "00000000000000000000000000000000"
	made := m.named(p.Provision)
	if made != nil {
		id = made.id
	}
	how := ""
	if p.HowAcquired != nil {
		how = p.HowAcquired.JA
	}
	late := time.Now().Add(parcelWait)
	for {
		d, err := m.at(m.actor()).Receive(ctx, id, how)
		if client.CodeOf(err) == custody.CodeParcelAbsent && time.Now().Before(late) && made != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		m.records(d, made.person)
		if err := m.learnRef(ctx, d.Records[0].ID, made.person); err != nil {
			return err
		}
		// The alarm is judged by the ledger's times of both records. (The deadline
		// in the record is rounded up to a full hour, so that it says less.)
		if d.Records[0].TimeMs-made.timeMs > uint64(m.receiveHours())*3_600_000 {
			m.alarms["unmatched-provision"] = true
		}
		return nil
	}
}

// refAt is an organisation's own reference of a person.
func (m *moved) refAt(organisation, person string) custody.Ref {
	return refAt(m.refs, organisation, person)
}

// learnRef reads from the recipient's receiving record by which reference it
// knows the person.
func (m *moved) learnRef(ctx context.Context, id, person string) error {
	f, err := m.as(m.actor()).Receipt(ctx, id, false)
	if err != nil {
		return fmt.Errorf("receiving record: %w", err)
	}
	var file struct {
		Opening receipt.Opening `json:"opening"`
	}
	if err := json.Unmarshal(f.Bytes, &file); err != nil {
		return err
	}
	part, err := record.DecodePart(record.KindReceived, file.Opening.Part)
	if err != nil {
		return fmt.Errorf("receiving record: %w", err)
	}
	m.refs[holdingAt{m.actor(), person}] = custody.Ref(part.(*record.ReceivedPart).Person)
	return nil
}

func (m *moved) approveOnward(ctx context.Context) error {
	p := m.params.(*ApproveOnward)
	made := m.named(p.Provision)
	if made == nil {
		return &client.Problem{Status: http.StatusConflict, Code: record.CodeIntentUnknown}
	}
	return m.at(m.actor()).ApproveOnward(ctx, made.id, p.To)
}

func (m *moved) forwardStop(ctx context.Context) error {
	p := m.params.(*ForwardStop)
	d, err := m.at(p.To).Erase(ctx, m.refAt(p.To, p.Person), "request")
	if err == nil {
		m.p.Records, m.p.Person = d.Records, p.Person
	}
	return err
}
