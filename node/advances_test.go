package node_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
)

// TestEarlyAdvanceHidesNoLie: an owner that anchors leaves before it commits them
// tells the truth early, and a lie behind it is evidence all the same.
func TestEarlyAdvanceHidesNoLie(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	ctx := within(t)
	f := c.nodes["a-sha"].Forest()
	tree, err := f.Create(ctx, forest.CreateRequest{Name: "early", Type: record.TreePreordered, Client: "t", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Init(ctx, tree.ID); err != nil {
		t.Fatal(err)
	}
	leaves, hashes := make([]law.Leaf, 5), make([]merkle.Hash, 5)
	for i := range leaves {
		leaves[i].Value = fmt.Append(nil, i)
		hashes[i] = leaves[i].Hash()
	}
	for size := range uint64(3) {
		early := law.Advance(tree.ID, size+1, merkle.RootOf(hashes[:size+1]), law.NoExtra(size+1))
		c.post("a-sha", &record.Record{Kind: record.KindTreeAdvance, Body: early})
	}
	c.post("a-sha", &record.Record{Kind: record.KindTreeAdvance, Body: &record.TreeAdvance{Tree: tree.ID, Size: 4, Root: record.Digest{1}}})
	if _, err := f.AddSequenced(ctx, "a-sha", tree.ID, 0, leaves); err != nil {
		t.Fatal(err)
	}
	c.sameTree(tree.ID, 5)
	c.names(receipt.EvidenceAdvance, "a-sha")
}
