package ledgertest

import (
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Commit seals a part under a fresh nonce, keeps the opening under the record's
// id, and returns the commitment.
func (c *Consortium) Commit(openings map[record.ID]record.Opening, id record.ID, part any) record.Digest {
	o := record.Opening{Nonce: c.draw(), Part: canon.Must(part)}
	openings[id] = o
	return seal.Commit(o.Nonce, o.Part)
}

// sealed returns a record with a sealed part.
func (c *Consortium) sealed(kind record.Kind, id record.ID, body record.Body, part any) *record.Record {
	d := c.Commit(c.Openings, id, part)
	return &record.Record{Kind: kind, ID: id, Body: body, Commitment: &d}
}

// plain returns a record without a sealed part.
func (c *Consortium) plain(kind record.Kind, body record.Body) *record.Record {
	return &record.Record{Kind: kind, ID: c.ID(), Body: body}
}

// Service returns the record that opens a service.
func (c *Consortium) Service(id string, clauses ...string) *record.Record {
	return c.plain(record.KindService, &record.Service{ID: id, Name: record.Text{Ja: id + "のサービス", En: id},
		Contact: record.Text{Ja: "窓口"}, Clauses: clauses, Fields: []string{"name", "user-id"}})
}

// Screen returns what a consent screen says. Without scopes it has the usual
// two: 0 "service" to b-sha, with required and optional items; 1 "platform" to
// the category consortium, for at most a year.
func (c *Consortium) Screen(service, version string, scopes ...record.Scope) *record.Screen {
	if len(scopes) == 0 {
		scopes = []record.Scope{
			{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"birth-year", "name"}, Recipients: []string{"b-sha"}},
			{Purpose: "platform", Required: []string{"income"}, Categories: []string{"consortium"}, MaxExpiry: "P1Y"},
		}
	}
	return &record.Screen{Service: service, Version: version, EffectiveMs: c.Founding.CreatedMs,
		Text: record.Text{Ja: "同意の画面", En: "consent screen"}, Withdrawal: record.Text{Ja: "いつでも止められます"},
		Retention: "P3Y", Scopes: scopes}
}

// Terms returns the record that publishes a screen, and its hash.
func (c *Consortium) Terms(s *record.Screen) (*record.Record, record.Digest) {
	t := &record.Terms{Screen: canon.Must(s)}
	return c.plain(record.KindTerms, t), t.Hash()
}

// Offer opens a service with the usual terms and returns their hash.
func (c *Consortium) Offer(owner, service string) record.Digest {
	c.t.Helper()
	r, hash := c.Terms(c.Screen(service, "1"))
	c.Must(owner, c.Service(service), r)
	return hash
}

// HandleOpen returns the record that begins a handle without consent.
func (c *Consortium) HandleOpen(h sign.PublicKey, service string) *record.Record {
	return c.plain(record.KindHandleOpen, &record.HandleOpen{Handle: h, For: service})
}

// HandleMove returns the record that replaces a handle.
func (c *Consortium) HandleMove(from, to sign.Key) *record.Record {
	m := &record.HandleMove{Old: from.Public(), New: to.Public()}
	m.OldSig = from.Sign(sign.DomainMove, c.Origin, m.Statement())
	m.NewSig = to.Sign(sign.DomainMove, c.Origin, m.Statement())
	return c.plain(record.KindHandleMove, m)
}

// HandleClose returns the record that ends a handle, and hand-overs under it
// (ids ascending).
func (c *Consortium) HandleClose(h sign.PublicKey, intents ...record.ID) *record.Record {
	return c.plain(record.KindHandleClose, &record.HandleClose{Handle: h, Intents: intents})
}

// Party returns the record by which a host admits a party. Its key is that of
// the name "sign/"+id.
func (c *Consortium) Party(id string, categories ...string) *record.Record {
	return c.plain(record.KindParty, &record.Party{ID: id, Name: record.Text{Ja: id + "店"}, Regime: "ch4",
		Country: "JP", Categories: categories, Key: c.Key("sign/" + id).Public()})
}

// Leave returns the record by which a host ends a party.
func (c *Consortium) Leave(id string) *record.Record {
	r := c.Party(id)
	r.Body.(*record.Party).Leave = true
	return r
}

// KeyChange returns the record that makes the key of the name "next/"+id the
// issuer's, or "then/"+id where it has that one.
func (c *Consortium) KeyChange(id string) *record.Record {
	r := c.plain(record.KindKey, nil)
	next := c.Key("next/" + id)
	if c.Keys[id].Public() == next.Public() {
		next = c.Key("then/" + id)
	}
	r.Body = &record.KeyChange{Key: next.Public(), Proof: next.Sign(sign.DomainGovernance, c.Origin, r.ID[:])}
	return r
}

// Vote returns the record by which members set parameters.
func (c *Consortium) Vote(topic string, sets []record.Parameter, voters ...string) *record.Record {
	r := c.plain(record.KindVote, nil)
	v := &record.Vote{Topic: topic, Sets: sets}
	ballot := canon.Must(&record.Ballot{ID: r.ID, Topic: topic, Sets: sets})
	for _, id := range voters {
		v.Votes = append(v.Votes, record.MemberVote{Member: id, Sig: c.Keys[id].Sign(sign.DomainGovernance, c.Origin, ballot)})
	}
	r.Body = v
	return r
}

// SensorApprove returns the record that registers a sensor.
func (c *Consortium) SensorApprove(sensor, operator string) *record.Record {
	return c.plain(record.KindSensorApprove, &record.SensorApprove{Sensor: sensor, Operator: operator,
		Type: "people-count", Readings: []string{"count"}})
}

// SensorRetire returns the record that ends a sensor.
func (c *Consortium) SensorRetire(sensor string) *record.Record {
	return c.plain(record.KindSensorRetire, &record.SensorRetire{Sensor: sensor})
}

// Tree returns the record that makes a commitment tree.
func (c *Consortium) Tree(name string) *record.Record {
	return c.plain(record.KindTree, &record.Tree{Name: name, Type: "sensor"})
}

// TreeAdvance returns the record that anchors a commitment tree.
func (c *Consortium) TreeAdvance(tree, size uint64, root record.Digest) *record.Record {
	return c.plain(record.KindTreeAdvance, &record.TreeAdvance{Tree: tree, Size: size, Root: root})
}

// Tick returns a record that says that time has passed.
func (c *Consortium) Tick() *record.Record { return c.plain(record.KindTick, &record.Tick{}) }

// Ms returns the Unix milliseconds of a time written as 2006-01-02 15:04:05 in
// JST, with or without the clock part.
func Ms(s string) uint64 {
	layout := "2006-01-02 15:04:05"
	t, err := time.ParseInLocation(layout[:min(len(s), len(layout))], s, record.JST)
	if err != nil {
		panic(err)
	}
	return uint64(t.UnixMilli())
}

// Day returns a day written as 2006-01-02, as days since 1970-01-01.
func Day(s string) uint32 { return uint32(record.DayOf(Ms(s))) }
