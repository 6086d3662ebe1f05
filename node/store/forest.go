package store

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/dgraph-io/badger/v4"
)

// Keys of commitment trees, all below prefixForest; tree is 8 bytes, big endian:
//
//	s tree                   treeState
//	e tree first-index       treeSegment: leaves, as many as fit a segment
//	t tree level index       full hash tile
//	x tree level index       the same of the tree over extra data
//	i tree identity          index of the leaf (8 bytes)
//	l tree leaf-hash index   empty: leaves whose identity is not their leaf hash
//	f log-index              FalseAdvance
const (
	prefixForest = 'T'

	treeOfState    = 's'
	treeOfLeaves   = 'e'
	treeOfTiles    = 't'
	treeOfExtra    = 'x'
	treeOfIdentity = 'i'
	treeOfHash     = 'l'
	treeOfFalse    = 'f'
)

// keepTrees is how many trees are kept in memory, of some 20 to 40 kB each.
const keepTrees = 256

func forestKey(what byte, tree uint64, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{prefixForest, what}, tree), rest...)
}

func treeTileKey(what byte, tree uint64, id merkle.TileID) []byte {
	return binary.BigEndian.AppendUint64(forestKey(what, tree, id.Level), id.Index)
}

func treeIndexKey(tree, first uint64) []byte {
	return binary.BigEndian.AppendUint64(forestKey(treeOfLeaves, tree), first)
}

func treeHashKey(tree uint64, hash merkle.Hash, index uint64) []byte {
	return binary.BigEndian.AppendUint64(forestKey(treeOfHash, tree, hash[:]...), index)
}

// Anchor is a tree.advance that says what the tree has.
type Anchor struct {
	Size     uint64        `cbor:"1,keyasint"`
	Root     record.Digest `cbor:"2,keyasint"`
	Extra    record.Digest `cbor:"3,keyasint"`
	Height   uint64        `cbor:"4,keyasint"`
	TimeMs   uint64        `cbor:"5,keyasint"`
	LogIndex uint64        `cbor:"6,keyasint"`
	Record   record.ID     `cbor:"7,keyasint"`
}

// FalseAdvance is a tree.advance that does not say what the tree has.
type FalseAdvance struct {
	Tree     uint64        `cbor:"1,keyasint"`
	Issuer   string        `cbor:"2,keyasint"`
	Record   record.ID     `cbor:"3,keyasint"`
	LogIndex uint64        `cbor:"4,keyasint"`
	Size     uint64        `cbor:"5,keyasint"`
	Root     record.Digest `cbor:"6,keyasint"`
	HaveSize uint64        `cbor:"7,keyasint"` // of the tree then
	HaveRoot record.Digest `cbor:"8,keyasint"` // at Size where the tree had as much, else at HaveSize
}

// treeState is a tree as the last batch that touched it left it.
type treeState struct {
	Size   uint64        `cbor:"1,keyasint"`
	Root   record.Digest `cbor:"2,keyasint"`
	Extra  record.Digest `cbor:"3,keyasint"`
	Anchor *Anchor       `cbor:"4,keyasint,omitempty"` // the last true one
}

type treeSegment struct {
	TimeMs uint64        `cbor:"1,keyasint"`
	Leaves []forest.Leaf `cbor:"2,keyasint"`
}

// growing is a tree with leaves that no batch has written yet.
type growing struct {
	tree   *forest.Tree
	timeMs uint64
	first  uint64 // index of leaves[0]
	leaves []forest.Leaf
	ids    map[record.Digest]uint64
	tiles  []merkle.FullTile
	extra  []merkle.FullTile
}

// trees is the commitment trees. All but shown belongs to the goroutine that
// applies; others may read room.
//
// Order of effects: a commit changes memory only; the next batch writes what the
// commits before it did, in its own transaction and with the Raft index of the
// batch. A crash before that leaves the last batch, and Raft delivers the commits
// again: they meet the state that they met before.
type trees struct {
	growing map[uint64]*growing
	room    atomic.Int64 // bytes that commits may still take until the next batch
	written map[uint64]*forest.Tree

	mu    sync.Mutex // also of what the applying goroutine changes in growing
	shown map[uint64]*shownTree
}

// shownTree is a tree as it is written, for readers.
type shownTree struct{ leaves, extra *merkle.View }

func newTrees() *trees {
	ts := &trees{growing: map[uint64]*growing{}, written: map[uint64]*forest.Tree{}, shown: map[uint64]*shownTree{}}
	ts.room.Store(forest.MaxPending)
	return ts
}

// Commit judges one Raft entry that is a commit to a commitment tree. It is in
// memory until the next batch. An error means that the node must stop.
func (l *Ledger) Commit(raftIndex uint64, entry []byte) (*forest.Result, error) {
	st := l.State()
	view := st.View()
	defer view.Close()
	res, err := forest.Apply(applyView{view, l.hot, st.reg}, applyForest{l, view.txn}, int(l.trees.room.Load()), entry)
	if err != nil {
		return nil, fmt.Errorf("apply Raft entry %d: %w", raftIndex, err)
	}
	l.raft = raftIndex
	if res.Refused != nil || len(res.New) == 0 {
		return res, nil
	}
	l.trees.mu.Lock()
	defer l.trees.mu.Unlock()
	g := l.trees.growing[res.Tree]
	if g == nil {
		g = &growing{first: res.First, timeMs: res.TimeMs, ids: map[record.Digest]uint64{}}
		l.trees.growing[res.Tree] = g
	}
	for i := range res.New {
		g.ids[res.New[i].ID()] = res.First + uint64(i)
	}
	g.tree, g.leaves = res.Next, append(g.leaves, res.New...)
	g.tiles, g.extra = append(g.tiles, res.Tiles...), append(g.extra, res.Extra...)
	l.trees.room.Add(-int64(res.Cost))
	return res, nil
}

// GrowingLeaf returns a leaf that was committed and that no batch has written yet.
func (l *Ledger) GrowingLeaf(tree, index uint64) (*TreeLeaf, bool) {
	l.trees.mu.Lock()
	defer l.trees.mu.Unlock()
	g := l.trees.growing[tree]
	if g == nil || index < g.first || index-g.first >= uint64(len(g.leaves)) {
		return nil, false
	}
	return &TreeLeaf{g.leaves[index-g.first], index, g.timeMs}, true
}

// Pending returns how many bytes of commits wait for the next batch, of at most
// forest.MaxPending.
func (l *Ledger) Pending() int { return forest.MaxPending - int(l.trees.room.Load()) }

// applyForest is the trees at the newest entry.
type applyForest struct {
	l   *Ledger
	txn *badger.Txn
}

// Tree implements forest.Forest.
func (a applyForest) Tree(id uint64) (*forest.Tree, error) {
	ts := a.l.trees
	if g := ts.growing[id]; g != nil {
		return g.tree, nil
	}
	if t := ts.written[id]; t != nil {
		return t, nil
	}
	t, err := loadTree(a.txn, id)
	if err == nil {
		ts.keep(id, t)
	}
	return t, err
}

func (ts *trees) keep(id uint64, t *forest.Tree) {
	for old := range ts.written {
		if len(ts.written) < keepTrees {
			break
		}
		delete(ts.written, old)
	}
	ts.written[id] = t
}

// Find implements forest.Forest.
func (a applyForest) Find(id uint64, identity record.Digest) (uint64, bool, error) {
	if g := a.l.trees.growing[id]; g != nil {
		if i, ok := g.ids[identity]; ok {
			return i, true, nil
		}
	}
	return findLeaf(a.txn, id, identity)
}

func findLeaf(txn *badger.Txn, tree uint64, identity record.Digest) (uint64, bool, error) {
	b, err := get(txn, forestKey(treeOfIdentity, tree, identity[:]...))
	if err != nil || len(b) != 8 {
		return 0, false, err
	}
	return binary.BigEndian.Uint64(b), true, nil
}

func loadTreeState(txn *badger.Txn, id uint64) (*treeState, error) {
	b, err := get(txn, forestKey(treeOfState, id))
	s := &treeState{Root: record.Digest(merkle.EmptyRoot()), Extra: record.Digest(merkle.EmptyRoot())}
	if err != nil || b == nil {
		return s, err
	}
	*s = treeState{}
	if err := canon.Decode(b, s); err != nil {
		return nil, fmt.Errorf("%w: commitment tree %d: %w", ErrDamaged, id, err)
	}
	return s, nil
}

// loadTree rebuilds a tree as it is written, and checks it against its roots.
func loadTree(txn *badger.Txn, id uint64) (*forest.Tree, error) {
	s, err := loadTreeState(txn, id)
	if err != nil || s.Size == 0 {
		return forest.NewTree(), err
	}
	var leaves, extra []merkle.Hash
	err = rangeTree(txn, id, s.Size/merkle.TileWidth*merkle.TileWidth, s.Size, func(l *TreeLeaf) error {
		leaves, extra = append(leaves, l.Hash()), append(extra, merkle.LeafHash(l.Extra))
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := new(forest.Tree)
	if t.Leaves, err = merkle.Load(s.Size, treeTiles{txn, treeOfTiles, id}, leaves); err != nil {
		return nil, fmt.Errorf("%w: commitment tree %d: %w", ErrDamaged, id, err)
	}
	if t.Extra, err = merkle.Load(s.Size, treeTiles{txn, treeOfExtra, id}, extra); err != nil {
		return nil, fmt.Errorf("%w: commitment tree %d: %w", ErrDamaged, id, err)
	}
	if record.Digest(t.Leaves.Root()) != s.Root || record.Digest(t.Extra.Root()) != s.Extra {
		return nil, fmt.Errorf("%w: the leaves of commitment tree %d do not give its roots", ErrDamaged, id)
	}
	return t, nil
}

// treeTiles reads full tiles of one commitment tree.
type treeTiles struct {
	txn  *badger.Txn
	what byte
	tree uint64
}

// Tile implements merkle.TileReader.
func (t treeTiles) Tile(id merkle.TileID) ([]byte, error) {
	b, err := get(t.txn, treeTileKey(t.what, t.tree, id))
	if err == nil && b == nil {
		return nil, fmt.Errorf("%w: tile %d/%d of commitment tree %d is missing", ErrDamaged, id.Level, id.Index, t.tree)
	}
	return b, err
}

// overlay is full tiles that are not written yet above those that are.
type overlay struct {
	tiles []merkle.FullTile
	below merkle.TileReader
}

// Tile implements merkle.TileReader.
func (o overlay) Tile(id merkle.TileID) ([]byte, error) {
	for i := range o.tiles {
		if o.tiles[i].ID == id {
			return o.tiles[i].Data, nil
		}
	}
	return o.below.Tile(id)
}
