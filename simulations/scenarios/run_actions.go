package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
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
	"advance-time": (*moved).advanceTime,
}

// reasons are the stories' reasons for which the real system refuses.
var reasons = []string{
	"no-consent", "revoked", "expired", "already-revoked", "item-not-consented", "purpose-not-consented", "recipient-not-listed",
	"item-not-on-screen", "purpose-not-on-screen", "required-item-missing", "terms-not-effective", "terms-superseded",
	"clause-missing", "sensitive-without-consent", "guardian-consent-missing", "foreign-info-missing", "field-not-in-schema",
	"source-not-self", "not-authorised", "receive-without-provision", "acquisition-missing", "duplicate", "onward-not-approved",
	"sensor-not-approved", "sensor-retired", "reading-out-of-schema", "bracket-unknown", "finer-than-allowed", "member-not-active",
	"votes-missing", "erased",
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
		case p.Basis != "" && p.Basis != "consent":
			return "a hand-over on the basis " + p.Basis
		case p.Dataset != "":
			return "datasets"
		case p.Consent == "" && p.Service == "":
			return "a hand-over that names no consent"
		}
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
	return ""
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
	if m.held[holdingAt{p.Service, p.Person}] == nil { // who consents to a service registers with it
		fields := m.Service(p.Service).RegistrationFields
		asked := slices.DeleteFunc(slices.Clone(p.Items), func(item string) bool { return !slices.Contains(fields, item) })
		if err := m.register(ctx, p.Person, p.Service, asked, "self"); err != nil {
			return fmt.Errorf("register first: %w", err)
		}
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
	service := p.Service
	if c := m.consentNamed(p.Consent); c.service != "" {
		service = c.service
	}
	from := m.actor()
	r := custody.ProvideRequest{Person: m.refAt(from, p.Person), Service: service, To: p.To, Items: p.Items, Purpose: p.Purpose,
		Levels: p.Levels, Values: map[string]string{}, Contract: p.Contract, Method: p.Method}
	for item, v := range p.Values {
		r.Values[item] = v
	}
	// What the provider does not keep under this service it takes from its own
	// files.
	if owner := m.Service(service); owner != nil && p.OnwardOf == "" {
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

func (m *moved) sensorApprove(ctx context.Context) error {
	s := m.Sensor(m.params.(*SensorApprove).Sensor)
	d, err := m.at(m.actor()).ApproveSensor(ctx, rest.SensorForm{Sensor: s.ID, Operator: s.Member, Type: s.Kind,
		Readings: ascending(s.readingNames()), Personal: s.Personal})
	if err == nil {
		m.records(d, "")
	}
	return err
}

func (m *moved) sensorCommit(ctx context.Context) error {
	p := m.params.(*SensorCommit)
	sensor := m.Sensor(p.Sensor)
	var readings []custody.Reading
	for i := range max(p.N, 1) {
		v := map[string]any{}
		for _, name := range p.Readings {
			v[name] = invented(sensor, name, i)
		}
		readings = append(readings, custody.Reading{Sensor: p.Sensor, TimeMs: uint64(m.p.Step.When.Add(time.Duration(i-p.N) * time.Second).UnixMilli()), Values: v})
	}
	d, err := m.at(m.actor()).CommitReadings(ctx, readings)
	if err == nil {
		m.p.Records = d.Records
	}
	return err
}

// invented makes up a value of a reading, always the same one.
func invented(s *Sensor, name string, i int) any {
	h := fnv.New32a()
	fmt.Fprint(h, s.ID, name, i)
	n := int(h.Sum32() % 40)
	for _, r := range s.Readings {
		if r.Name == name && r.Type == "string" {
			return []string{"north", "east", "south", "west"}[n%4]
		}
	}
	return n
}

func (m *moved) sensorRetire(ctx context.Context) error {
	d, err := m.at(m.actor()).RetireSensor(ctx, m.params.(*SensorRetire).Sensor)
	if err == nil {
		m.records(d, "")
	}
	return err
}

// vote collects the ballots of as many members as the story says, and posts them.
// Of what it sets, the ledger knows the phase and the hours to receive.
func (m *moved) vote(ctx context.Context) error {
	p := m.params.(*Vote)
	f := rest.VoteForm{Topic: p.Topic, Sets: ledgerParameters(p.Sets)}
	voters := slices.Clone(m.cast.Members)
	if i := slices.Index(voters, m.cast.Host[m.actor()]); i > 0 { // who posts it votes
		voters[0], voters[i] = voters[i], voters[0]
	}
	n := min(p.For*len(voters)/max(p.Of, 1), len(voters))
	for _, v := range voters[min(1, n):n] {
		ballot, err := m.at(v).Vote(ctx, f)
		if err != nil {
			return err
		}
		f.ID = ballot.ID
		f.Votes = append(f.Votes, rest.VoteOf{Member: v, Sig: sigOf(ballot, v)})
	}
	f.Submit = true
	d, err := m.at(voters[0]).Vote(ctx, f)
	if err == nil {
		m.p.Records = d.Records
	}
	return err
}

func sigOf(b *rest.VoteDone, member string) []byte {
	for _, v := range b.Votes {
		if v.Member == member {
			return v.Sig
		}
	}
	return nil
}

func (m *moved) joinMember(ctx context.Context) error {
	p := m.params.(*JoinMember)
	d, err := m.at(m.actor()).AdmitParty(ctx, m.party(m.Member(p.Member)))
	if err == nil {
		m.records(d, "")
	}
	return err
}

func (m *moved) query(ctx context.Context) error {
	p := m.params.(*Query)
	if p.What == "members" {
		parties, err := m.at(m.actor()).Parties(ctx)
		if err != nil {
			return err
		}
		ids := []string{}
		for _, v := range m.Members { // in the story's order
			if slices.ContainsFunc(parties, func(x rest.PartyView) bool { return x.ID == v.ID && x.Active }) {
				ids = append(ids, v.ID)
			}
		}
		m.value = ids
		return nil
	}
	c := m.consentNamed(p.Consent)
	service := m.Service(c.service)
	if service == nil {
		return &client.Problem{Status: http.StatusConflict, Code: record.CodeNoConsent}
	}
	views, err := m.at(service.Member).Consents(ctx, custody.Ref(c.person))
	if err != nil {
		return err
	}
	for _, v := range views {
		if v.Service != c.service || !slices.Contains(c.purposes, v.Purpose) {
			continue
		}
		if m.value = v.State; p.What == "valid-until" {
			m.value = untilOf(v.Until)
		}
		if v.State != "active" { // one purpose that is off is enough
			return nil
		}
	}
	return nil
}

// untilOf is the last second of a last valid day, as the stories write it.
func untilOf(day string) any {
	d, err := ParseDate(day)
	if err != nil {
		return nil
	}
	return d.End().Add(-time.Second).Format(time.RFC3339)
}

// ledgerParameters are those of a vote that the ledger knows.
func ledgerParameters(sets []byte) map[string]string {
	var p Parameters
	if json.Unmarshal(sets, &p) != nil {
		return nil
	}
	out := map[string]string{}
	if p.Phase != "" {
		out["phase"] = p.Phase
	}
	if p.ReceiveHours > 0 {
		out["receive-hours"] = fmt.Sprint(p.ReceiveHours)
	}
	return out
}
