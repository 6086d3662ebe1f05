package store

import (
	"encoding/binary"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/dgraph-io/badger/v4"
)

// TreeLeaf is a leaf as it stands in a commitment tree.
type TreeLeaf struct {
	forest.Leaf
	Index  uint64
	TimeMs uint64 // batch time when it was committed
}

// A TreeReader reads one commitment tree as the state has it. Its leaves are those
// that a batch has written; Anchor says up to where an advance covers them.
type TreeReader struct {
	ID     uint64
	Anchor *Anchor // nil before the first
	Size   uint64  // leaves that are written
	Roots  forest.Roots
	state  *State
	tree   *shownTree
}

// CommitmentTree opens a commitment tree for reading.
func (s *State) CommitmentTree(id uint64) (*TreeReader, error) {
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	ts, err := loadTreeState(txn, id)
	if err != nil {
		return nil, err
	}
	r := &TreeReader{ID: id, Anchor: ts.Anchor, Size: ts.Size, Roots: forest.Roots{Leaves: merkle.Hash(ts.Root), Extra: merkle.Hash(ts.Extra)}, state: s}
	all := s.ledger.trees
	if r.tree = all.seen(id, ts.Size); r.tree != nil {
		return r, nil
	}
	t, err := loadTree(txn, id)
	if err != nil {
		return nil, err
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if newer := all.shown[id]; newer != nil && newer.leaves.Size() >= ts.Size {
		r.tree = newer
	} else {
		r.tree = all.show(id, t)
	}
	return r, nil
}

// seen returns a tree that readers have, if it has size leaves.
func (ts *trees) seen(id, size uint64) *shownTree {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.shown[id]; t != nil && t.leaves.Size() >= size {
		return t
	}
	return nil
}

func (r *TreeReader) read(fn func(txn *badger.Txn) error) error { return r.readBeside(new(bool), fn) }

// readBeside is read for what calls back, see Ledger.guardBeside.
func (r *TreeReader) readBeside(called *bool, fn func(txn *badger.Txn) error) (err error) {
	defer r.state.ledger.guardBeside(called, &err)
	// What is in the newest state is never changed, and a view may be newer than
	// the state by which the reader was opened.
	txn := r.state.ledger.db.NewTransactionAt(r.state.ledger.State().ts, false)
	defer txn.Discard()
	return fn(txn)
}

// Range calls fn with the leaves from start to end (exclusive), in order.
func (r *TreeReader) Range(start, end uint64, fn func(*TreeLeaf) error) error {
	called := false
	return r.readBeside(&called, func(txn *badger.Txn) error {
		return rangeTree(txn, r.ID, start, min(end, r.Size), func(l *TreeLeaf) error {
			called = true
			err := fn(l)
			called = false
			return err
		})
	})
}

// Find returns the index of the leaf with an identity hash.
func (r *TreeReader) Find(identity record.Digest) (index uint64, found bool, err error) {
	err = r.read(func(txn *badger.Txn) error {
		index, found, err = findLeaf(txn, r.ID, identity)
		return err
	})
	return index, found && index < r.Size, err
}

// FindHash returns the indices of leaves with a leaf hash, ascending, at most most.
func (r *TreeReader) FindHash(hash merkle.Hash, most int) (out []uint64, err error) {
	err = r.read(func(txn *badger.Txn) error {
		byID, found, err := findLeaf(txn, r.ID, record.Digest(hash)) // its identity is its leaf hash, unless somebody chose it
		if err != nil {
			return err
		}
		found = found && byID < r.Size
		if found {
			err = rangeTree(txn, r.ID, byID, byID+1, func(l *TreeLeaf) error { found = l.Hash() == hash; return nil })
		}
		if err != nil {
			return err
		}
		opts := badger.DefaultIteratorOptions
		opts.PrefetchValues, opts.Prefix = false, forestKey(treeOfHash, r.ID, hash[:]...)
		it := txn.NewIterator(opts)
		defer it.Close()
		for it.Rewind(); it.Valid() && len(out) < most; it.Next() {
			i := binary.BigEndian.Uint64(it.Item().Key()[len(opts.Prefix):])
			if found && byID < i {
				out, found = append(out, byID), false
			}
			if i < r.Size {
				out = append(out, i)
			}
		}
		if found {
			out = append(out, byID)
		}
		return nil
	})
	return out[:min(len(out), most)], err
}

// RootAt returns the root at a size.
func (r *TreeReader) RootAt(size uint64) (root merkle.Hash, err error) {
	err = r.read(func(txn *badger.Txn) error {
		root, err = r.tree.leaves.RootAt(size, treeTiles{txn, treeOfTiles, r.ID})
		return err
	})
	return root, err
}

// Inclusion returns the proof of a leaf at a size.
func (r *TreeReader) Inclusion(index, size uint64) (path []merkle.Hash, err error) {
	err = r.read(func(txn *badger.Txn) error {
		path, err = r.tree.leaves.InclusionProof(index, size, treeTiles{txn, treeOfTiles, r.ID})
		return err
	})
	return path, err
}

// ExtraInclusion is Inclusion in the tree over the leaves' extra data.
func (r *TreeReader) ExtraInclusion(index, size uint64) (path []merkle.Hash, err error) {
	err = r.read(func(txn *badger.Txn) error {
		path, err = r.tree.extra.InclusionProof(index, size, treeTiles{txn, treeOfExtra, r.ID})
		return err
	})
	return path, err
}

// Consistency returns the proof between two sizes.
func (r *TreeReader) Consistency(oldSize, newSize uint64) (path []merkle.Hash, err error) {
	err = r.read(func(txn *badger.Txn) error {
		path, err = r.tree.leaves.ConsistencyProof(oldSize, newSize, treeTiles{txn, treeOfTiles, r.ID})
		return err
	})
	return path, err
}

// Past returns how the tree began, as it has it at a later size (receipt.Past).
func (r *TreeReader) Past(size, laterSize uint64) (edge merkle.Edge, path []merkle.Hash, err error) {
	return r.past(r.tree.leaves, treeOfTiles, size, laterSize)
}

// ExtraPast is Past of the tree over the leaves' extra data.
func (r *TreeReader) ExtraPast(size, laterSize uint64) (edge merkle.Edge, path []merkle.Hash, err error) {
	return r.past(r.tree.extra, treeOfExtra, size, laterSize)
}

func (r *TreeReader) past(v *merkle.View, what byte, size, laterSize uint64) (edge merkle.Edge, path []merkle.Hash, err error) {
	err = r.read(func(txn *badger.Txn) error {
		tiles := treeTiles{txn, what, r.ID}
		if edge, err = v.Edge(size, tiles); err == nil {
			path, err = v.ConsistencyProof(size, laterSize, tiles)
		}
		return err
	})
	return edge, path, err
}

// rangeTree calls fn with leaves in order.
func rangeTree(txn *badger.Txn, tree, start, end uint64, fn func(*TreeLeaf) error) error {
	if start >= end {
		return nil
	}
	prefix := forestKey(treeOfLeaves, tree)
	at, err := segmentOf(txn, prefix, start)
	if err != nil {
		return err
	}
	opts := badger.DefaultIteratorOptions
	opts.Prefix, opts.PrefetchSize = prefix, 8
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Seek(treeIndexKey(tree, at)); it.Valid() && at < end; it.Next() {
		if first := binary.BigEndian.Uint64(it.Item().Key()[len(prefix):]); first != at {
			break
		}
		seg := new(treeSegment)
		if err := it.Item().Value(func(b []byte) error { return canon.Decode(b, seg) }); err != nil {
			return fmt.Errorf("%w: commitment tree %d at %d: %w", ErrDamaged, tree, at, err)
		}
		for i := range seg.Leaves {
			if at >= start && at < end {
				if err := fn(&TreeLeaf{seg.Leaves[i], at, seg.TimeMs}); err != nil {
					return err
				}
			}
			at++
		}
	}
	if at < end {
		return fmt.Errorf("%w: leaves of commitment tree %d from %d are missing", ErrDamaged, tree, at)
	}
	return nil
}

// FalseAdvances calls fn with the tree.advance records from a leaf of the log on
// that do not say what their trees have, in the order of the log.
func (s *State) FalseAdvances(from uint64, fn func(*FalseAdvance) error) error {
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	opts := badger.DefaultIteratorOptions
	opts.Prefix = []byte{prefixForest, treeOfFalse}
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Seek(forestKey(treeOfFalse, from)); it.Valid(); it.Next() {
		f := new(FalseAdvance)
		if err := it.Item().Value(func(b []byte) error { return canon.Decode(b, f) }); err != nil {
			return fmt.Errorf("%w: a false tree.advance: %w", ErrDamaged, err)
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
