package node_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// escrowed is a consortium in which b-sha and pf keep copies of a-sha's keys.
func escrowed(t *testing.T) *consortium {
	t.Helper()
	return escrowedTo(t)
}

// escrowedTo is escrowed with recipients of a-sha's backups.
func escrowedTo(t *testing.T, backupTo ...string) *consortium {
	t.Helper()
	c := found(t, false)
	own, err := node.LoadSettings(c.dirs["a-sha"])
	must(t, err)
	own.BackupTo = backupTo
	must(t, own.Save(c.dirs["a-sha"]))
	for _, id := range []string{"b-sha", "pf"} {
		s, err := node.LoadSettings(c.dirs[id])
		must(t, err)
		s.EscrowFor = []string{"a-sha"}
		must(t, s.Save(c.dirs[id]))
	}
	c.start(c.ids...)
	c.ready()
	for _, id := range []string{"b-sha", "pf"} {
		c.post("a-sha", &record.Record{Kind: record.KindCustodian, Body: &record.Custodian{Owner: "a-sha", Custodian: id}})
	}
	c.post("a-sha", &record.Record{Kind: record.KindService, Body: &record.Service{ID: "portal", Name: record.Text{Ja: "窓口"}, Contact: record.Text{Ja: "窓口"},
		Fields: []string{"name", "user-id"}}})
	c.copied()
	return c
}

// copied waits until every custodian has every key of a-sha.
func (c *consortium) copied() {
	c.t.Helper()
	c.eventually("every key copied", func() error {
		status := c.nodes["a-sha"].Custodians()
		for _, s := range status {
			if !s.Gone && !s.Complete {
				return fmt.Errorf("%+v", s)
			}
		}
		if len(status) != 2 {
			return errors.New("custodians are missing")
		}
		return nil
	})
}

func (c *consortium) register(ref custody.Ref) {
	c.t.Helper()
	_, err := c.nodes["a-sha"].Desk().Register(context.Background(), custody.Call{Client: "app"}, custody.Registration{Person: ref, Service: "portal",
		Items: map[string]string{"name": "名前 " + string(ref)}, Lookup: map[string]string{"phone": "070-" + string(ref)}, Source: "self"})
	must(c.t, err)
}

func (c *consortium) eraseAt(id string, ref custody.Ref) record.ID {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v, _, err := c.nodes[id].Desk().Erase(ctx, custody.Call{Client: "app"}, custody.EraseRequest{Person: ref, Cause: "request"})
	must(c.t, err)
	var rid record.ID
	if _, err := hex.Decode(rid[:], []byte(v.ID)); err != nil {
		c.t.Fatal(err)
	}
	return rid
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCustodians: keys are copied to two other members, and an erasure is complete
// when both have attested, also the one that was down.
func TestCustodians(t *testing.T) {
	c := escrowed(t)
	c.register("hana")
	c.register("taro")
	c.copied()
	c.stop("pf")
	id := c.eraseAt("a-sha", "hana")
	state := func(want int) func() error {
		return func() error {
			e, err := rules.Load[rules.Erasure](c.nodes["a-sha"].FinalState(), rules.KeyErasure(id))
			if err != nil || e == nil || len(e.Copies) != 2 {
				return fmt.Errorf("%+v, %v", e, err)
			}
			done := 0
			for _, k := range e.Copies {
				if k.TimeMs != 0 {
					done++
				}
			}
			if done != want || len(e.Pending) != 0 {
				return fmt.Errorf("%d custodians attested, want %d: %+v", done, want, e)
			}
			return nil
		}
	}
	c.eventually("one custodian attests", state(1))
	c.start("pf")
	c.eventually("both attest", state(2))
	c.register("jiro")
	c.copied()
}
