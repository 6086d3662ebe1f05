package node

import (
	"context"
	"errors"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/store"
)

// A false tree.advance alone is the members' word against its issuer's: no
// signature fixes the order of a tree's leaves. When the issuer goes on and
// anchors the tree as it is, the two contradict each other, and both are signed:
// that is evidence (akashi-evidence/v1, kind advance). An issuer that never does
// has ended its tree: nobody leans on more than the last true anchor.

// toldMost is how much evidence is made against one issuer: node/evidence keeps no
// more.
const toldMost = 16

// falseAdvances are the anchors that wait for a true one after them.
type falseAdvances struct {
	next uint64                         // leaf of the log from which on they were not read
	open map[uint64]*store.FalseAdvance // by tree: its first
	told map[string]int                 // by issuer: evident. Open ones do not count: trees that end with a lie would hide others
}

// watchAdvances makes evidence of false advances, final ones, until the node
// closes.
func (n *Node) watchAdvances() {
	w := &falseAdvances{open: map[uint64]*store.FalseAdvance{}, told: map[string]int{}}
	for {
		changed := n.FinalChanged()
		if src, ok := n.finalSource(); ok && n.FalseAdvances() > 0 {
			if err := n.lookAtAdvances(w, src); err != nil {
				n.Log.Error("evidence of a false tree.advance is not made", "err", err)
			}
		}
		select {
		case <-changed:
		case <-n.closing:
			return
		}
	}
}

func (n *Node) lookAtAdvances(w *falseAdvances, src finalSource) error {
	err := src.FalseAdvances(w.next, func(f *store.FalseAdvance) error {
		w.next = f.LogIndex + 1
		if w.open[f.Tree] == nil && w.told[f.Issuer] < toldMost {
			w.open[f.Tree] = f
		}
		return nil
	})
	for id := range w.open {
		err = errors.Join(err, n.lookAtTree(w, src, id))
	}
	return err
}

// lookAtTree makes evidence of a tree's first false advance that a true one after it
// contradicts.
func (n *Node) lookAtTree(w *falseAdvances, src finalSource, id uint64) error {
	tree, err := src.CommitmentTree(id)
	if err != nil {
		return err
	}
	for f := w.open[id]; f != nil && tree.Anchor != nil && tree.Anchor.LogIndex > f.LogIndex; f = w.open[id] {
		file, err := n.contradiction(src, tree, f)
		if errors.Is(err, receipt.ErrAgree) { // it came before its leaves, and they came as it says
			if err := w.pass(src, f); err != nil {
				return err
			}
			continue
		}
		delete(w.open, id)
		if err != nil {
			return err
		}
		w.told[f.Issuer]++
		n.keepEvidence(file)
	}
	return nil
}

var errEnough = errors.New("enough")

// pass goes on to the tree's next false advance among those that were read: one that
// says the truth early hides none.
func (w *falseAdvances) pass(src finalSource, f *store.FalseAdvance) error {
	delete(w.open, f.Tree)
	err := src.FalseAdvances(f.LogIndex+1, func(g *store.FalseAdvance) error {
		switch {
		case g.LogIndex >= w.next:
			return errEnough
		case g.Tree == f.Tree:
			w.open[f.Tree] = g
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// contradiction makes evidence of a false advance and a true one after it.
func (n *Node) contradiction(src finalSource, tree *store.TreeReader, f *store.FalseAdvance) (file []byte, err error) {
	a := &receipt.Anchors{Past: tree.Past, ExtraPast: tree.ExtraPast}
	if a.Earlier, err = receiptOf(src, f.LogIndex, f.Issuer); err != nil {
		return nil, err
	}
	if a.Later, err = receiptOf(src, tree.Anchor.LogIndex, f.Issuer); err != nil {
		return nil, err
	}
	return receipt.BuildAdvances(a)
}

// receiptOf makes the receipt of a record without sealed parts.
func receiptOf(src finalSource, index uint64, issuer string) ([]byte, error) {
	file, err := receipt.Build(src, index, receipt.Options{})
	if !errors.Is(err, receipt.ErrKeyChanged) {
		return file, err
	}
	at, err := src.KeyLeaf(context.Background(), index, issuer)
	if err != nil {
		return nil, err
	}
	return receipt.Build(src, index, receipt.Options{KeyIndex: &at})
}
