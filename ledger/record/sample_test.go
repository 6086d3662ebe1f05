package record_test

import (
	"bytes"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// samples returns one record of every kind, all of them well formed.
func samples(t testing.TB) map[record.Kind]*record.Record {
	t.Helper()
	c := ledgertest.New(t, ledgertest.Options{})
	h, next := c.Person("p").Handle("s", 0), c.Person("p").Handle("s", 1)
	terms, hash := c.Terms(c.Screen("s", "1"))
	provision := c.Provision(h.Public(), 1, 0, "b-sha")
	provision.Issuer = "a-sha"
	genesis, err := record.Parse(c.Leaves[0])
	if err != nil {
		t.Fatal(err)
	}
	all := map[record.Kind]*record.Record{record.KindGenesis: genesis}
	for _, r := range []*record.Record{
		c.Rotate("a-sha", []string{record.RoleCosigner, record.RoleRecord}, "a-sha", "b-sha"),
		c.Party("shop", "retail", "shop"), c.KeyChange("a-sha"), c.Service("s", "clause"), terms,
		c.Grant(h, hash, 1, 21274), c.Revoke(h, hash, 0), c.Stop(h.Public(), hash, 0), c.HandleOpen(h.Public(), "s"),
		c.HandleMove(h, next), c.HandleClose(h.Public()), provision, c.Received(provision), c.Undelivered(provision),
		c.OptOut(h.Public(), "filing-1", "b-sha"), c.Exception(h.Public(), c.Members[0].Approver),
		c.Denial(h.Public(), record.CodeRevoked), c.Erasure([]record.KeyNumber{{1}, {2}}, "a-sha", "b-sha"),
		c.Attestation(record.ID{7}, record.KeyNumber{3}), c.SensorApprove("sensor-1", "a-sha"), c.SensorRetire("sensor-1"),
		c.Tree("crossing"), c.TreeAdvance(9, 1000, record.Digest{4}),
		c.Vote("phase", []record.Parameter{{Name: "phase", Value: "two"}}, "a-sha", "b-sha", "c-sha"), c.Tick(),
		c.Filing("filing-1", ledgertest.FoundedMs, "name", "user-id"),
		c.Custodian("a-sha", "b-sha", 3), c.CustodianLost("a-sha", "b-sha", record.LostStolen),
	} {
		if r.ID == (record.ID{}) {
			r.ID = c.ID()
		}
		if r.Issuer == "" {
			r.Issuer = "a-sha"
		}
		all[r.Kind] = r
	}
	return all
}

// sample returns one record of a kind to change.
func sample[B record.Body](t testing.TB, k record.Kind) (*record.Record, B) {
	t.Helper()
	r := samples(t)[k]
	return r, r.Body.(B)
}

// raw encodes a record as Leaf does, without any check.
func raw(r *record.Record) []byte {
	e := record.Envelope{Version: record.Version, Kind: r.Kind, ID: r.ID, Issuer: r.Issuer, Body: canon.Must(r.Body)}
	if r.Commitment != nil {
		e.Commitment = r.Commitment[:]
	}
	return pad(canon.Must(&e))
}

func pad(b []byte) []byte {
	return append(b, bytes.Repeat([]byte{0}, (128-len(b)%128)%128)...)
}
