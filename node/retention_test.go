package node_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestClusterRetention: whole nodes on a story's clock. What is due is destroyed by
// itself at the deadline and not a second before, and by a node that was down over
// its deadline as soon as it is back; each time with a record that all members have.
func TestClusterRetention(t *testing.T) {
	c := found(t, true)
	c.start(c.ids...)
	c.ready()
	ctx, call, text := context.Background(), custody.Call{Client: "test"}, record.Text{Ja: "見本", En: "sample"}
	datasets := map[string]*custody.Dataset{}
	for _, id := range []string{"a-sha", "pf"} {
		screen := &record.Screen{Service: "cam-" + id, Version: "1", Text: text, Withdrawal: text, Retention: "P7D",
			Scopes: []record.Scope{{Purpose: "service", Required: []string{"name"}}}}
		c.post(id, &record.Record{Kind: record.KindService, Body: &record.Service{ID: screen.Service, Name: text, Contact: text}})
		c.post(id, &record.Record{Kind: record.KindTerms, Body: &record.Terms{Screen: canon.Must(screen)}})
		desk := c.nodes[id].Desk()
		if _, err := desk.Register(ctx, call, custody.Registration{Person: "p06", Service: screen.Service, Source: "other"}); err != nil {
			t.Fatal(err)
		}
		v, err := desk.Collect(ctx, call, custody.Collection{Person: "p06", Service: screen.Service, Purpose: "service", Items: map[string]string{"name": "still"}})
		if err != nil {
			t.Fatal(err)
		}
		datasets[id] = v
	}
	v := datasets["a-sha"]
	c.stop("pf")
	set := func(at time.Time) {
		for _, n := range c.nodes {
			n.Clock.Set(at)
		}
	}
	view := func(id string) record.Code {
		_, err := c.nodes[id].Desk().ReadDataset(ctx, call, datasets[id].ID, custody.Reader{Purpose: "service"})
		return codeOf(err)
	}
	set(v.Until.Add(-time.Second))
	c.eventually("fresh a second before", func() error { return c.nodes["a-sha"].Refresh(ctx) })
	if code := view("a-sha"); code != "" {
		t.Fatalf("a second before its deadline: %s", code)
	}
	set(v.Until)
	if code := view("a-sha"); code != custody.CodeRetention && code != record.CodeErased {
		t.Fatalf("at its deadline it is read: %q", code)
	}
	set(v.Until.Add(time.Second)) // the ledger's time comes in whole seconds
	recorded := func(at string, d *custody.Dataset) func() error {
		return func() error {
			number, err := hex.DecodeString(d.ID)
			if err != nil {
				return err
			}
			st := c.nodes[at].FinalState()
			tomb, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(record.KeyNumber(number)))
			if err != nil || tomb == nil {
				return fmt.Errorf("no tombstone: %v", err)
			}
			e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(tomb.Erasure))
			if err != nil || len(e.Pending) != 0 || e.TimeMs < uint64(d.Until.UnixMilli()) {
				return fmt.Errorf("%+v, %v", e, err)
			}
			return nil
		}
	}
	c.eventually("a-sha destroys what is due", recorded("a-sha", v))
	c.eventually("b-sha has the record", recorded("b-sha", v))
	if code := view("a-sha"); code != record.CodeErased {
		t.Fatalf("after it was destroyed: %q", code)
	}
	c.start("pf")
	set(v.Until.Add(time.Second))
	c.ready()
	c.eventually("pf destroys what was due while it was down", recorded("pf", datasets["pf"]))
	if code := view("pf"); code != record.CodeErased {
		t.Fatalf("at pf: %q", code)
	}
}
