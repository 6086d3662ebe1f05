package node_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// rotation is the record that replaces keys of a member, signed by its own node
// and by the voters' nodes.
func (c *consortium) rotation(member string, roles []string, voters ...string) *record.Record {
	c.t.Helper()
	own := c.nodes[member]
	policy, err := rules.Load[rules.Policy](own.Newest(), rules.KeyPolicy)
	if err != nil {
		c.t.Fatal(err)
	}
	b := &record.MemberChange{Action: record.ActionRotate, Epoch: policy.Epoch, Member: member}
	for _, role := range roles {
		k, err := own.Prepare(role)
		if err != nil {
			c.t.Fatal(err)
		}
		b.Keys = append(b.Keys, record.NewKey{Role: role, Key: k})
	}
	r := &record.Record{Kind: record.KindMember, ID: node.NewID(), Body: b}
	ballot := b.Ballot(r.ID)
	for i, k := range b.Keys {
		proof, ok := own.Prove(k.Role, k.Key, ballot)
		if !ok {
			c.t.Fatal("no proof of a key that was prepared")
		}
		b.Keys[i].Proof = proof
	}
	for _, id := range voters {
		sig, err := c.nodes[id].Sign(sign.DomainGovernance, ballot)
		if err != nil {
			c.t.Fatal(err)
		}
		b.Votes = append(b.Votes, record.MemberVote{Member: id, Sig: sig})
	}
	slices.SortFunc(b.Votes, func(a, b record.MemberVote) int { return strings.Compare(a.Member, b.Member) })
	return r
}

// change posts a governance record, whose id its votes name.
func (c *consortium) change(at string, r *record.Record) *outbox.Outcome {
	c.t.Helper()
	r.Issuer = at
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := c.nodes[at].Outbox().Submit(ctx, outbox.Request{Issuer: at, Records: []*record.Record{r}})
	if err != nil {
		c.t.Fatalf("post at %s: %v", at, err)
	}
	return &res.Outcomes[0]
}

// load posts ticks at members that stay up, until stopped; each must be accepted
// and final.
func (c *consortium) load(ids ...string) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	posted := 0
	for _, id := range ids {
		n := c.nodes[id]
		wg.Go(func() {
			for ctx.Err() == nil {
				r := &record.Record{Kind: record.KindTick, ID: node.NewID(), Issuer: id, Body: &record.Tick{}}
				res, err := n.Outbox().Submit(context.Background(), outbox.Request{Issuer: id, Records: []*record.Record{r}})
				if err != nil || !res.Final || res.Outcomes[0].Refused != nil {
					c.t.Errorf("load at %s: %+v, %v", id, res, err)
					return
				}
				mu.Lock()
				posted++
				mu.Unlock()
			}
		})
	}
	return func() int { cancel(); wg.Wait(); return posted }
}

func (c *consortium) finalOf(id string) *cosign.Final {
	c.t.Helper()
	f := c.nodes[id].Final()
	if f == nil {
		c.t.Fatalf("%s has nothing final", id)
	}
	return f
}

// TestClusterRotation replaces the cosigner key of one member and the record key
// of another while records flow, and starts nodes again before, at and after the
// switch. Every record is accepted and final, old checkpoints verify under the
// old policy only, new ones under the new only.
func TestClusterRotation(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	before := c.finalOf("a-sha")
	old := before.Policy.Sign()
	stop := c.load("a-sha", "c-sha")
	change := c.rotation("b-sha", []string{record.RoleCosigner}, "a-sha", "b-sha", "c-sha")
	c.stop("b-sha") // with the next key prepared and nothing voted
	c.start("b-sha")
	c.eventually("b ready", c.nodes["b-sha"].Ready)
	c.stop("pf")
	at := c.change("a-sha", change)
	if at.Refused != nil {
		t.Fatalf("the change is refused: %v", at.Refused)
	}
	c.stop("b-sha") // at the switch: two of four, so nothing more becomes final
	c.start("pf")   // derives the switch after a start
	c.start("b-sha")
	c.eventually("b ready", c.nodes["b-sha"].Ready)
	if r := c.change("a-sha", c.rotation("c-sha", []string{record.RoleCosigner, record.RoleRecord}, "a-sha", "b-sha", "c-sha")); r.Refused != nil {
		t.Fatalf("the second change is refused: %v", r.Refused)
	}
	c.post("c-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	n := stop()
	c.settle()
	t.Logf("%d records while keys changed", n)
	for _, id := range c.ids {
		f := c.finalOf(id)
		if f.Policy.Epoch != 2 {
			t.Fatalf("%s is in epoch %d", id, f.Policy.Epoch)
		}
		if _, err := f.Policy.Sign().Open(f.Note()); err != nil {
			t.Errorf("%s: new checkpoint: %v", id, err)
		}
		if _, err := old.Open(f.Note()); err == nil { // of the new one's keys it knows two
			t.Errorf("%s: a new checkpoint under the old policy", id)
		}
		if _, err := old.Open(before.Note()); err != nil {
			t.Errorf("%s: old checkpoint: %v", id, err)
		}
		past, err := rules.Load[rules.Past](c.nodes[id].Newest(), rules.KeyPast(0))
		if err != nil || past == nil || past.Closing.Height != at.Height {
			t.Errorf("%s: epoch 0: %+v, %v", id, past, err)
		}
	}
	for _, id := range c.ids { // all at once, in the new epoch
		c.stop(id)
	}
	c.start(c.ids...)
	c.ready()
	for _, id := range c.ids {
		c.post(id, &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	}
}
