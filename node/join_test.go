package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
)

// candidate makes the directory of a member that wants to join.
func (c *consortium) candidate(id string) record.MemberInfo {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), id)
	mkdir(c.t, dir)
	s := node.Settings{Member: id, HTTP: machine.FreeAddr(c.t), GRPC: machine.FreeAddr(c.t), P2P: machine.FreeAddr(c.t), AutoReceive: true}
	keys := node.NewKeys(sign.NewKey()) // the log's own key comes with the welcome
	if err := s.Save(dir); err != nil {
		c.t.Fatal(err)
	}
	if err := keys.Save(dir); err != nil {
		c.t.Fatal(err)
	}
	c.dirs[id] = dir
	return keys.MemberOf(record.MemberInfo{ID: id, Name: record.Text{Ja: id}, Regime: "ch4", Country: "JP", Addr: s.P2P}, "test.example/log")
}

// epoch is the policy epoch of a node's newest state.
func (c *consortium) epoch(at string) uint64 {
	c.t.Helper()
	p, err := rules.Load[rules.Policy](c.nodes[at].Newest(), rules.KeyPolicy)
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Epoch
}

// request is a candidate's record with the votes of members.
func (c *consortium) request(m record.MemberInfo, voters ...string) *record.Record {
	c.t.Helper()
	keys, err := node.LoadKeys(c.dirs[m.ID])
	if err != nil {
		c.t.Fatal(err)
	}
	id, b := keys.Request(m, "test.example/log", c.epoch(voters[0]))
	return c.voted(&record.Record{Kind: record.KindMember, ID: id, Body: b}, voters...)
}

// removal is the record that ends a membership.
func (c *consortium) removal(id string, voters ...string) *record.Record {
	c.t.Helper()
	return c.voted(&record.Record{Kind: record.KindMember, ID: node.NewID(),
		Body: &record.MemberChange{Action: record.ActionRemove, Epoch: c.epoch(voters[0]), Member: id}}, voters...)
}

func (c *consortium) voted(r *record.Record, voters ...string) *record.Record {
	c.t.Helper()
	b := r.Body.(*record.MemberChange)
	for _, id := range voters {
		sig, err := c.nodes[id].Sign(sign.DomainGovernance, b.Ballot(r.ID))
		if err != nil {
			c.t.Fatal(err)
		}
		b.Votes = append(b.Votes, record.MemberVote{Member: id, Sig: sig})
	}
	slices.SortFunc(b.Votes, func(a, b record.MemberVote) int { return strings.Compare(a.Member, b.Member) })
	return r
}

// join completes a candidate's directory and starts its node.
func (c *consortium) join(id string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := node.Join(ctx, c.dirs[id], c.genesis, nil, c.log.With("member", id)); err != nil {
		c.t.Fatalf("join %s: %v", id, err)
	}
	c.start(id)
	c.ids = append(c.ids, id)
}

// cosigned waits until a node has a final checkpoint with so many cosignatures.
func (c *consortium) cosigned(at string, n int) {
	c.t.Helper()
	c.eventually("cosignatures of all", func() error {
		if f := c.finalOf(at); len(f.Sigs) < n {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.nodes[at].Refresh(ctx) // sooner than the heartbeat
			return fmt.Errorf("%d cosignatures, want %d", len(f.Sigs), n)
		}
		return nil
	})
}

// receipt is made by a node at its newest final checkpoint.
func (c *consortium) receipt(at string, index uint64) []byte {
	c.t.Helper()
	src, ok := c.nodes[at].Source()
	if !ok {
		c.t.Fatal("nothing is final")
	}
	b, err := receipt.Build(src, index, receipt.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// votes wants a member to vote in Raft, or not to be there, as the leader has it.
func (c *consortium) votes(id string, want bool) error {
	for _, n := range c.nodes {
		if n.Leader() != n.Self() {
			continue
		}
		vote, follow := n.Voters()
		if slices.Contains(vote, id) != want || slices.Contains(follow, id) {
			return fmt.Errorf("voters %v, others %v", vote, follow)
		}
		return nil
	}
	return errors.New("nobody leads")
}

// TestClusterJoinAndLeave: a fifth member joins under load and cosigns; receipts
// of before and after verify; then one leaves, is cut off, and the others go on.
func TestClusterJoinAndLeave(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	first := c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	old := c.receipt("a-sha", first.Outcomes[0].Index)
	before := c.finalOf("a-sha").Policy.Sign()
	stop := c.load("a-sha", "c-sha")
	info := c.candidate("d-sha")
	r := c.change("b-sha", c.request(info, "a-sha", "b-sha", "c-sha"))
	if r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.join("d-sha")
	c.eventually("d ready", c.nodes["d-sha"].Ready)
	c.eventually("d votes in Raft", func() error { return c.votes("d-sha", true) })
	c.post("d-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	n := stop()
	t.Logf("%d records while one joined", n)
	c.settle()
	c.cosigned("a-sha", 5)
	f := c.finalOf("d-sha")
	if f.Policy.Epoch != 1 || f.Policy.K != 4 || len(f.Policy.Members) != 5 {
		t.Fatalf("epoch %d, %d of %d", f.Policy.Epoch, f.Policy.K, len(f.Policy.Members))
	}
	after := f.Policy.Sign()
	fresh := c.receipt("d-sha", first.Outcomes[0].Index)
	if _, err := receipt.Verify(old, before); err != nil {
		t.Errorf("the receipt of before: %v", err)
	}
	if _, err := receipt.Verify(fresh, after); err != nil {
		t.Errorf("the receipt of after: %v", err)
	}

	others, gone := []string{"a-sha", "c-sha", "d-sha", "pf"}, c.nodes["b-sha"].Peer()
	stop = c.load("a-sha", "d-sha")
	if r := c.change("pf", c.removal("b-sha", others...)); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.eventually("b has left Raft", func() error { return c.votes("b-sha", false) })
	c.eventually("b is told", func() error {
		if c.nodes["b-sha"].Ready() == nil {
			return errors.New("it is ready")
		}
		return nil
	})
	c.eventually("b is cut off", func() error {
		for _, id := range others {
			if c.nodes[id].Hears(gone) {
				return fmt.Errorf("%s hears it", id)
			}
		}
		return nil
	})
	stop()
	c.ids = others
	c.stop("b-sha")
	c.settle()
	for _, id := range others {
		c.post(id, &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
		if f := c.finalOf(id); f.Policy.Epoch != 2 || f.Policy.K != 3 || len(f.Policy.Members) != 4 {
			t.Errorf("%s: epoch %d, %d of %d", id, f.Policy.Epoch, f.Policy.K, len(f.Policy.Members))
		}
	}
	for _, id := range others { // all at once, also the one that is no founder
		c.stop(id)
	}
	c.start(others...)
	c.ready()
	c.post("d-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
}

func (c *consortium) leader() string {
	c.t.Helper()
	var id string
	c.eventually("somebody leads", func() error {
		for _, n := range c.nodes {
			if id = n.Leader(); id != "" && c.nodes[id] != nil {
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return id
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(o string) bool { return o == id })
}

// TestClusterLeaderLeavesAndComesBack: the leader is voted out and hands leadership
// on. It comes back under its id with new keys and what it held of people, and votes
// again. Then a founder derives its state anew: it must hear members that came later.
func TestClusterLeaderLeavesAndComesBack(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	tick := func() *record.Record { return &record.Record{Kind: record.KindTick, Body: &record.Tick{}} }
	id := c.leader()
	for range 3 {
		c.post(id, tick())
	}
	others := without(c.ids, id)
	if r := c.change(others[0], c.removal(id, others...)); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.ids = others
	c.eventually("it is out of Raft", func() error { return c.votes(id, false) })
	c.stop(id)
	for _, o := range others {
		c.post(o, tick())
	}
	old := c.dirs[id]
	info := c.candidate(id)
	for _, part := range []string{"blobs", "vault.slot"} {
		if err := os.Rename(filepath.Join(old, part), filepath.Join(c.dirs[id], part)); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.change(others[1], c.request(info, others...)); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.join(id)
	c.eventually("it is ready", c.nodes[id].Ready)
	c.eventually("it votes again", func() error { return c.votes(id, true) })
	c.post(id, tick())
	c.settle()
	c.cosigned(others[0], 4)

	c.stop(others[0])
	if err := os.RemoveAll(filepath.Join(c.dirs[others[0]], "state")); err != nil {
		t.Fatal(err)
	}
	c.stop(others[1]) // so that its vote is needed, and its cosignature
	c.start(others[0])
	c.eventually("it has derived its state anew", c.nodes[others[0]].Ready)
	c.post(others[0], tick())
	c.start(others[1])
	c.post(id, tick())
	c.settle()
}

// TestClusterOfOneGrows: one member becomes two, where both must sign, and one again.
func TestClusterOfOneGrows(t *testing.T) {
	c := foundOf(t, false, "a-sha")
	c.start("a-sha")
	c.ready()
	tick := func() *record.Record { return &record.Record{Kind: record.KindTick, Body: &record.Tick{}} }
	c.post("a-sha", tick())
	info := c.candidate("b-sha")
	if r := c.change("a-sha", c.request(info, "a-sha")); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.join("b-sha")
	c.eventually("b is ready", c.nodes["b-sha"].Ready)
	c.eventually("b votes", func() error { return c.votes("b-sha", true) })
	c.post("b-sha", tick())
	c.post("a-sha", tick())
	if f := c.finalOf("a-sha"); f.Policy.K != 2 || len(f.Sigs) != 2 {
		t.Errorf("%d of %d signed", len(f.Sigs), f.Policy.K)
	}
	if r := c.change("b-sha", c.removal("a-sha", "a-sha", "b-sha")); r.Refused != nil { // the founder leaves
		t.Fatalf("refused: %v", r.Refused)
	}
	c.eventually("a is out of Raft", func() error { return c.votes("a-sha", false) })
	c.stop("a-sha")
	c.ids = []string{"b-sha"}
	c.post("b-sha", tick())
	c.stop("b-sha")
	c.start("b-sha")
	c.eventually("b goes on alone", c.nodes["b-sha"].Ready)
	c.post("b-sha", tick())
}
