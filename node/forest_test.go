package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// sameTree wants one root and the same leaves at every node, in a tree whose
// anchor covers size leaves.
func (c *consortium) sameTree(tree, size uint64) map[string]uint64 {
	c.t.Helper()
	at := map[string]uint64{}
	var root merkle.Hash
	for _, id := range c.ids {
		n := c.nodes[id]
		if n == nil {
			continue
		}
		f := n.Forest()
		a, err := f.Settle(within(c.t), tree, size)
		if err != nil {
			c.t.Fatalf("%s: %v", id, err)
		}
		here, err := f.RootAt(tree, size)
		if err != nil {
			c.t.Fatal(err)
		}
		if root != (merkle.Hash{}) && here != root {
			c.t.Fatalf("%s has another root at %d", id, size)
		}
		root = here
		var hashes []merkle.Hash
		for uint64(len(hashes)) < size {
			leaves, err := f.Leaves(tree, uint64(len(hashes)), size)
			if err != nil || len(leaves) == 0 {
				c.t.Fatalf("%s: leaves from %d: %v", id, len(hashes), err)
			}
			for _, l := range leaves {
				if uint64(len(hashes)) < size {
					at[string(l.Value)] = l.Index
					hashes = append(hashes, l.Hash())
				}
			}
		}
		if merkle.RootOf(hashes) != root {
			c.t.Fatalf("%s: the leaves do not give the root", id)
		}
		path, err := f.Consistency(tree, size, a.Size)
		if err == nil {
			err = merkle.VerifyConsistency(size, a.Size, path, root, a.Root)
		}
		if err != nil {
			c.t.Fatalf("%s: %v", id, err)
		}
	}
	return at
}

// TestForestLeaderChange: while leaves are queued at two members, the leader goes.
// Nothing that was acknowledged is lost or doubled, and all members have one root.
func TestForestLeaderChange(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	ctx := within(t)
	victim := c.nodes["a-sha"].Leader()
	var writers []string
	for _, id := range c.ids {
		if id != victim && len(writers) < 2 {
			writers = append(writers, id)
		}
	}
	owner := writers[0]
	tree, err := c.nodes[owner].Forest().Create(ctx, forest.CreateRequest{Name: "log", Type: record.TreeLog, Writers: []string{record.AnyWriter}, Display: "試験"})
	if err != nil {
		t.Fatal(err)
	}
	if tree.Anchor != nil || tree.Owner != owner || tree.IntervalMs != 50 || tree.Display != "試験" || tree.CreatedMs == 0 {
		t.Fatalf("%+v", tree)
	}
	c.settle() // else the other writer may not know the tree yet
	var mu sync.Mutex
	said := map[string]uint64{}
	var wg sync.WaitGroup
	half := make(chan struct{})
	for w := range 8 {
		id := writers[w%len(writers)]
		wg.Go(func() {
			for i := range 60 {
				if w == 0 && i == 20 {
					close(half)
				}
				value := fmt.Sprintf("%d/%d", w, i)
				for {
					out, err := c.nodes[id].Forest().Queue(ctx, id, tree.ID, []law.Leaf{{Value: []byte(value), Extra: []byte("x")}})
					if errors.Is(err, forest.ErrBusy) || errors.Is(err, forest.ErrUnknown) && ctx.Err() == nil {
						continue
					}
					if err != nil || out[0].Refused != "" {
						t.Errorf("%s: %s: %+v %v", id, value, out, err)
						return
					}
					mu.Lock()
					said[value] = out[0].Index
					mu.Unlock()
					break
				}
			}
		})
	}
	<-half
	gone := c.nodes[victim]
	if err := gone.Close(); err != nil {
		t.Errorf("%s: %v", victim, err)
	}
	wg.Wait()
	delete(c.nodes, victim)
	c.start(victim)
	c.ready()
	if len(said) != 480 {
		t.Fatalf("%d leaves were acknowledged", len(said))
	}
	at := c.sameTree(tree.ID, 480)
	for value, index := range said {
		if at[value] != index {
			t.Errorf("%s was acknowledged at %d and stands at %d", value, index, at[value])
		}
	}
	for id, n := range c.nodes {
		if n.FalseAdvances() != 0 {
			t.Errorf("%s counts %d false advances", id, n.FalseAdvances())
		}
	}
}

// TestForest: what callers lean on, at a running consortium.
func TestForest(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	ctx := within(t)
	a, b := c.nodes["a-sha"].Forest(), c.nodes["b-sha"].Forest()
	req := forest.CreateRequest{Name: "pre", Type: record.TreePreordered, Client: "t", Key: "k1"}
	tree, err := a.Create(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.Create(ctx, req); err != nil || again.ID != tree.ID {
		t.Fatalf("the same Idempotency-Key makes another tree: %v", err)
	}
	anchor, err := a.Init(ctx, tree.ID)
	if err != nil || anchor.Size != 0 || anchor.Root != merkle.EmptyRoot() || anchor.TimeMs == 0 {
		t.Fatalf("%+v %v", anchor, err)
	}
	if _, err := a.Init(ctx, tree.ID); !errors.Is(err, forest.ErrInitialised) {
		t.Fatal(err)
	}
	var refusal *record.Refusal
	leaves := []law.Leaf{{Value: []byte("0")}, {Value: []byte("1"), Extra: []byte("e")}}
	if _, err := b.AddSequenced(ctx, "b-sha", tree.ID, 0, leaves); !errors.As(err, &refusal) || refusal.Code != record.CodeNotAuthorised {
		t.Fatalf("no writer: %v", err)
	}
	if _, err := b.AddSequenced(ctx, "a-sha", tree.ID, 0, leaves); !errors.Is(err, forest.ErrNoKey) {
		t.Fatalf("another's key: %v", err)
	}
	if _, err := a.Queue(ctx, "a-sha", 12345, leaves); !errors.As(err, &refusal) || refusal.Code != record.CodeTreeUnknown {
		t.Fatalf("no such tree: %v", err)
	}
	if _, err := a.Queue(ctx, "a-sha", tree.ID, []law.Leaf{{Value: make([]byte, record.MaxTreeLeaf+1)}}); !errors.As(err, &refusal) || refusal.Code != record.CodeRecordOversize {
		t.Fatalf("oversize: %v", err)
	}
	out, err := a.AddSequenced(ctx, "a-sha", tree.ID, 0, leaves)
	if err != nil || out[0].Index != 0 || out[1].Index != 1 || out[0].Duplicate {
		t.Fatalf("%+v %v", out, err)
	}
	if l, err := a.AppliedLeaf(tree.ID, 1); err != nil || string(l.Value) != "1" || string(l.Extra) != "e" {
		t.Fatalf("%+v %v", l, err)
	}
	many := make([]law.Leaf, 2500)
	for i := range many {
		many[i].Value = fmt.Append(nil, i)
	}
	out, err = a.AddSequenced(ctx, "a-sha", tree.ID, 0, many)
	if err != nil || len(out) != 2500 || !out[0].Duplicate || !out[1].Duplicate || out[2499].Index != 2499 || out[2499].Refused != "" {
		t.Fatalf("%d %v", len(out), err)
	}
	c.sameTree(tree.ID, 2500)
	for _, f := range []*forest.Forest{a, b} {
		l, err := f.LeavesByHash(tree.ID, merkle.LeafHash([]byte("7")))
		if err != nil || len(l) != 1 || l[0].Index != 7 || len(l[0].Identity) != 32 {
			t.Fatalf("%+v %v", l, err)
		}
		if _, err := f.Inclusion(tree.ID, 2500, 2501); !errors.Is(err, forest.ErrBeyond) {
			t.Fatal(err)
		}
		if s, err := f.LeafByIdentity(tree.ID, record.Digest{1}); err != nil || s != nil {
			t.Fatalf("%+v %v", s, err)
		}
	}

	// A lie of the owner: kept and counted everywhere, and nothing leans on it.
	lie := &record.Record{Kind: record.KindTreeAdvance, Body: &record.TreeAdvance{Tree: tree.ID, Size: 2501, Root: record.Digest{1}}}
	c.post("a-sha", lie)
	if _, err := a.AddSequenced(ctx, "a-sha", tree.ID, 2500, []law.Leaf{{Value: []byte("x")}, {Value: []byte("y")}}); err != nil {
		t.Fatal(err)
	}
	c.sameTree(tree.ID, 2502)
	for id, n := range c.nodes {
		if n.FalseAdvances() != 1 {
			t.Errorf("%s counts %d false advances", id, n.FalseAdvances())
		}
	}
	c.names(receipt.EvidenceAdvance, "a-sha") // its true anchor contradicts its false one
	list, err := b.Trees()
	if err != nil || len(list) != 1 || list[0].ID != tree.ID || list[0].Anchor.Size != 2502 {
		t.Fatalf("%+v %v", list, err)
	}
}
