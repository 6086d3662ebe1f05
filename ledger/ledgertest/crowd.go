package ledgertest

import (
	"encoding/binary"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Crowd makes the register and the log as large as if many others used them, for
// measurements of proofs: that many handles with one scope each, which nobody
// derived from records, and a log of that many leaves, of which only the hashes
// exist. It needs no vault and no signatures. The log cannot be audited after it.
func (c *Consortium) Crowd(handles int, leaves uint64, service string) {
	c.t.Helper()
	for n := c.tree.Size(); n < leaves; n++ {
		h := merkle.Hash(c.Bytes("leaf/" + string(binary.BigEndian.AppendUint64(nil, n))))
		for _, full := range c.tree.Append(h) {
			c.tiles[full.ID] = full.Data
		}
		c.Leaves = append(c.Leaves, nil)
	}
	tick := c.Tick()
	r := c.Judge(canon.Must(c.Entry(c.Submit(c.Members[0].ID, tick))))
	if r.Void != nil {
		c.t.Fatalf("batch is void: %v", r.Void)
	}
	value := canon.Must(&rules.Handle{For: service, Opened: 1, Events: 3, EventHead: c.Bytes("head"), Consents: 1, ConsentHead: c.Bytes("consents"),
		Scopes: []rules.ScopeState{{Terms: 1, On: true, Height: 1, By: rules.ByConsent}}})
	for n := range handles {
		key := record.Digest(c.Bytes("handle/" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))))
		r.Writes = append(r.Writes, register.Write{Key: []byte("handle/" + string(key[:])), Value: value})
	}
	c.commit(r, c.Last().Register)
}
