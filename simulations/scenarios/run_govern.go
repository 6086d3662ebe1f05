package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

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
