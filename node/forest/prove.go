package forest

import (
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/store"
)

// Committed returns what leads from a leaf to the last final advance of its tree:
// receipt.BuildCommitted makes a file of it that verifies offline. ErrBeyond where
// no final advance covers the leaf.
func (f *Forest) Committed(tree, index uint64) (*receipt.Committed, error) {
	r, err := f.reader(tree)
	if err != nil {
		return nil, err
	}
	if index >= r.Size {
		return nil, ErrBeyond
	}
	c := &receipt.Committed{Tree: tree, Index: index, LogIndex: r.Anchor.LogIndex}
	err = r.Range(index, index+1, func(l *store.TreeLeaf) error { c.Value, c.Extra = l.Value, l.Extra; return nil })
	if err != nil {
		return nil, err
	}
	if c.Path, err = r.Inclusion(index, r.Size); err != nil {
		return nil, err
	}
	c.ExtraPath, err = r.ExtraInclusion(index, r.Size)
	return c, err
}
