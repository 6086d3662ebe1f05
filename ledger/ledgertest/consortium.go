// Package ledgertest is a consortium in memory, for tests of the rules, of
// receipts and of the audit: keys of every member, a clock that the test sets,
// and the log with its register, without Raft, network or disk.
//
//	c := ledgertest.New(t, ledgertest.Options{})
//	terms := c.Offer("a-sha", "a-portal")
//	hana := c.Person("hana").Handle("a-portal", 0)
//	c.Must("a-sha", c.Grant(hana, terms, 0))
//	c.Must("a-sha", c.Provision(hana.Public(), 1, 0, "b-sha"))
//
// Everything is derived from Options.Seed: equal calls give equal bytes. It is
// for tests only; no product code imports it.
package ledgertest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// FoundedMs is the time of founding where options give none: 2027-04-01 09:00
// JST, in Unix milliseconds.
const FoundedMs = 1806537600_000

// Options shape a consortium.
type Options struct {
	Seed      string                 // of all keys, ids and nonces
	Origin    string                 // the log's name; "test.example/log" where empty
	FoundedMs uint64                 // Unix milliseconds; FoundedMs where 0
	Members   []string               // ascending; a-sha, b-sha, c-sha, pf where nil
	Change    func(*record.Founding) // before the founders sign
}

// Member is a member with the keys that it had when it came.
type Member struct {
	ID       string
	Key      sign.Key // submissions, headers, votes
	Cosign   sign.Key
	Approver sign.Key
	Peer     sign.Key
}

// Consortium is the log, its register and everyone's keys.
type Consortium struct {
	Origin   string
	NowMs    uint64 // the clock: time of the next batch and of cosignatures
	Founding record.Founding
	Members  []Member
	Log      sign.Key
	Keys     map[string]sign.Key // signing key by party, as the register has it
	Term     uint64              // Raft term of the next headers
	Leader   int                 // index of the member that signs the next headers

	Leaves  [][]byte // of the log, seals included
	Heights []Height // by height; 0 is genesis

	// Openings of the sealed parts of the records that this consortium made, by
	// record; Items those of the second commitment of hand-overs.
	Openings map[record.ID]record.Opening
	Items    map[record.ID]record.Opening

	next  map[sign.PublicKey]sign.Key // keys that Rotate proposed
	t     testing.TB
	seed  string
	draws uint64
	seqs  map[string]uint64
	mem   *register.Mem
	tree  *merkle.Tree
	tiles tiles
}

// New founds a consortium and derives batch 0.
func New(t testing.TB, o Options) *Consortium {
	t.Helper()
	if o.Origin == "" {
		o.Origin = "test.example/log"
	}
	if o.FoundedMs == 0 {
		o.FoundedMs = FoundedMs
	}
	if o.Members == nil {
		o.Members = []string{"a-sha", "b-sha", "c-sha", "pf"}
	}
	c := &Consortium{Origin: o.Origin, NowMs: o.FoundedMs, Term: 1, Keys: map[string]sign.Key{},
		Openings: map[record.ID]record.Opening{}, Items: map[record.ID]record.Opening{},
		next: map[sign.PublicKey]sign.Key{}, t: t, seed: o.Seed, seqs: map[string]uint64{}, mem: register.MemLeaves(), tree: merkle.New(), tiles: tiles{}}
	c.Log = c.Key("log")
	c.Founding = record.Founding{Origin: o.Origin, CreatedMs: o.FoundedMs, LogKey: c.Log.Public(),
		Attributes: attributes(), Purposes: purposes(), Levels: []string{"prefecture", "city", "town"}}
	for _, id := range o.Members {
		c.addMember(id)
	}
	if o.Change != nil {
		o.Change(&c.Founding)
	}
	g := &record.Genesis{Founding: c.Founding}
	signed := canon.Must(&c.Founding)
	for _, m := range c.Members {
		g.Signatures = append(g.Signatures, m.Key.Sign(sign.DomainGenesis, o.Origin, signed))
	}
	leaf := c.Leaf(&record.Record{Kind: record.KindGenesis, ID: c.ID(), Issuer: o.Members[0], Body: g})
	r, err := rules.Found(leaf)
	if err != nil {
		t.Fatalf("found the consortium: %v", err)
	}
	c.commit(r, register.Empty(register.Options{}))
	return c
}

func (c *Consortium) addMember(id string) {
	m := Member{ID: id, Key: c.Key("sign/" + id), Cosign: c.Key("cosign/" + id),
		Approver: c.Key("approve/" + id), Peer: c.Key("peer/" + id)}
	info := c.info(m)
	if id == "pf" {
		info.Categories = []string{"consortium", "public-body"}
	}
	c.Members = append(c.Members, m)
	c.Keys[id] = m.Key
	c.Founding.Members = append(c.Founding.Members, info)
}

// info is what the founders, or the members, say of a member.
func (c *Consortium) info(m Member) record.MemberInfo {
	return record.MemberInfo{ID: m.ID, Name: record.Text{Ja: m.ID + "社"}, Regime: "ch4", Country: "JP",
		Categories: []string{"consortium"}, Key: m.Key.Public(), Cosigner: c.Origin + "/" + m.ID,
		CosignKey: m.Cosign.Public(), Peer: m.Peer.Public(), Approver: m.Approver.Public(), Addr: m.ID + ".example:7000"}
}

// attributes is a small vocabulary of item codes.
func attributes() []record.Attribute {
	text := func(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }
	return []record.Attribute{
		{Code: "user-id", Class: "normal", Label: text("利用者番号", "user id")},
		{Code: "name", Class: "normal", Label: text("氏名", "name")},
		{Code: "birth-year", Class: "normal", Label: text("生まれた年", "year of birth")},
		{Code: "address", Class: "location", Granularity: "town", Label: text("住所", "address")},
		{Code: "allergy", Class: "sensitive", Label: text("アレルギー", "allergy")},
		{Code: "income", Class: "normal", Label: text("収入", "income"),
			Brackets: []string{"0-3m", "3m-6m", "6m-10m", "over-10m"}},
	}
}

func purposes() []record.Purpose {
	return []record.Purpose{
		{Code: "platform", Label: record.Text{Ja: "データ連携", En: "data platform"}},
		{Code: "service", Label: record.Text{Ja: "サービスの提供", En: "providing the service"}},
	}
}

// Bytes returns 32 bytes that follow from the seed and a name.
func (c *Consortium) Bytes(name string) [32]byte {
	return sha256.Sum256([]byte("ledgertest\x00" + c.seed + "\x00" + name))
}

// Key returns the signing key of a name.
func (c *Consortium) Key(name string) sign.Key {
	seed := c.Bytes("key/" + name)
	k, err := sign.KeyFromSeed(seed[:])
	if err != nil {
		panic(err) // the seed has the right size
	}
	return k
}

// Person returns the secret of a person.
func (c *Consortium) Person(name string) sign.Secret { return c.Bytes("person/" + name) }

// draw returns 32 bytes that no other draw returns.
func (c *Consortium) draw() [32]byte {
	c.draws++
	return c.Bytes("draw/" + string(binary.BigEndian.AppendUint64(nil, c.draws)))
}

// ID draws the id of a record.
func (c *Consortium) ID() record.ID { d := c.draw(); return record.ID(d[:16]) }

// Leaf returns the bytes of a record that must be well formed.
func (c *Consortium) Leaf(r *record.Record) []byte {
	c.t.Helper()
	b, err := r.Leaf()
	if err != nil {
		c.t.Fatalf("leaf of kind %v: %v", r.Kind, err)
	}
	return b
}

// Member returns a member by id.
func (c *Consortium) Member(id string) Member {
	c.t.Helper()
	i := slices.IndexFunc(c.Members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		c.t.Fatalf("no member %q", id)
	}
	return c.Members[i]
}

// Pass moves the clock forward.
func (c *Consortium) Pass(ms uint64) { c.NowMs += ms }
