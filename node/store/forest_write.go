package store

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/dgraph-io/badger/v4"
)

// A harvest is what a batch writes of the commitment trees: the leaves that were
// committed since the last one, and the advances that are in the batch.
type harvest struct {
	states map[uint64]*treeState
	untrue []FalseAdvance
}

// harvest compares the batch's advances with the trees.
func (l *Ledger) harvest(st *State, res *rules.Result) (*harvest, error) {
	txn := l.db.NewTransactionAt(st.ts, false)
	defer txn.Discard()
	h := &harvest{states: map[uint64]*treeState{}}
	for id, g := range l.trees.growing {
		s, err := h.state(txn, id)
		if err != nil {
			return nil, err
		}
		s.Size, s.Root, s.Extra = g.tree.Size(), record.Digest(g.tree.Leaves.Root()), record.Digest(g.tree.Extra.Root())
	}
	for i, leaf := range res.Leaves {
		if !record.IsTreeAdvance(leaf) {
			continue
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			return nil, err // the rules accepted it
		}
		if err := l.advance(txn, h, rec, res, st.Size+uint64(i)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *harvest) state(txn *badger.Txn, id uint64) (*treeState, error) {
	if s := h.states[id]; s != nil {
		return s, nil
	}
	s, err := loadTreeState(txn, id)
	if err == nil {
		h.states[id] = s
	}
	return s, err
}

// advance holds one accepted tree.advance against the tree.
func (l *Ledger) advance(txn *badger.Txn, h *harvest, rec *record.Record, res *rules.Result, logIndex uint64) error {
	a := rec.Body.(*record.TreeAdvance)
	have, at, err := l.rootsAt(txn, a)
	if err != nil {
		return err
	}
	if have < a.Size || !forest.Anchored(a, at) {
		h.untrue = append(h.untrue, FalseAdvance{Tree: a.Tree, Issuer: rec.Issuer, Record: rec.ID, LogIndex: logIndex,
			Size: a.Size, Root: a.Root, HaveSize: have, HaveRoot: record.Digest(at.Leaves)})
		return nil
	}
	s, err := h.state(txn, a.Tree)
	if err != nil {
		return err
	}
	s.Anchor = &Anchor{Size: a.Size, Root: a.Root, Extra: record.Digest(at.Extra), Height: res.Height, TimeMs: res.TimeMs,
		LogIndex: logIndex, Record: rec.ID}
	return nil
}

// rootsAt returns the tree's size now, and its roots at an advance's size, or now
// where the tree is smaller.
func (l *Ledger) rootsAt(txn *badger.Txn, a *record.TreeAdvance) (have uint64, at forest.Roots, err error) {
	t, err := applyForest{l, txn}.Tree(a.Tree)
	if err != nil {
		return 0, at, err
	}
	size := min(a.Size, t.Size())
	var tiles, extra []merkle.FullTile
	if g := l.trees.growing[a.Tree]; g != nil {
		tiles, extra = g.tiles, g.extra
	}
	if at.Leaves, err = t.Leaves.View().RootAt(size, overlay{tiles, treeTiles{txn, treeOfTiles, a.Tree}}); err != nil {
		return 0, at, err
	}
	at.Extra, err = t.Extra.View().RootAt(size, overlay{extra, treeTiles{txn, treeOfExtra, a.Tree}})
	return t.Size(), at, err
}

// forest writes the harvest.
func (w *writer) forest(ts *trees, h *harvest) {
	for id, g := range ts.growing {
		w.treeLeaves(id, g)
		for _, t := range g.tiles {
			w.put(treeTileKey(treeOfTiles, id, t.ID), t.Data)
		}
		for _, t := range g.extra {
			w.put(treeTileKey(treeOfExtra, id, t.ID), t.Data)
		}
	}
	for id, s := range h.states {
		w.put(forestKey(treeOfState, id), canon.Must(s))
	}
	for i := range h.untrue {
		f := &h.untrue[i]
		w.put(forestKey(treeOfFalse, f.LogIndex), canon.Must(f))
	}
}

// treeLeaves stores leaves in segments below segmentBytes, a larger one by itself,
// and their indexes.
func (w *writer) treeLeaves(id uint64, g *growing) {
	first, bytes, from := g.first, 0, 0
	flush := func(to int) {
		if to > from {
			w.put(treeIndexKey(id, first), canon.Must(&treeSegment{g.timeMs, g.leaves[from:to]}))
		}
		first, from, bytes = first+uint64(to-from), to, 0
	}
	for i := range g.leaves {
		leaf := &g.leaves[i]
		n := len(leaf.Value) + len(leaf.Extra) + len(leaf.Identity) + 16
		if bytes+n > segmentBytes-16 {
			flush(i)
		}
		bytes += n
		index, identity, hash := g.first+uint64(i), leaf.ID(), leaf.Hash()
		w.put(forestKey(treeOfIdentity, id, identity[:]...), binary.BigEndian.AppendUint64(nil, index))
		if merkle.Hash(identity) != hash {
			w.put(treeHashKey(id, hash, index), []byte{})
		}
	}
	flush(len(g.leaves))
}

// wrote takes over what a batch has written.
func (l *Ledger) wrote(h *harvest) {
	ts := l.trees
	for id, g := range ts.growing {
		ts.keep(id, g.tree)
	}
	ts.mu.Lock()
	for id, g := range ts.growing {
		ts.show(id, g.tree)
	}
	clear(ts.growing)
	ts.mu.Unlock()
	ts.room.Store(forest.MaxPending)
	for i := range h.untrue {
		f := &h.untrue[i]
		l.log.Error("a tree.advance is not what the tree has", "tree", f.Tree, "issuer", f.Issuer, "logIndex", f.LogIndex, "size", f.Size, "have", f.HaveSize)
	}
	l.falseAdvances.Add(uint64(len(h.untrue)))
}

// show lets readers see a tree; ts.mu is held.
func (ts *trees) show(id uint64, t *forest.Tree) *shownTree {
	if len(ts.shown) >= keepTrees {
		for _, old := range slices.Collect(maps.Keys(ts.shown))[:keepTrees/8] {
			delete(ts.shown, old)
		}
	}
	s := &shownTree{t.Leaves.View(), t.Extra.View()}
	ts.shown[id] = s
	return s
}
