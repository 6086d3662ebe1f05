package forest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// MaxRange is how many leaves one call of Leaves returns.
const MaxRange = 1000

// maxByHash is how many leaves one call of LeavesByHash returns.
const maxByHash = 64

// Stored is a leaf as it stands in a tree, with index and time.
type Stored = store.TreeLeaf

// Tree is a commitment tree as the final register has it.
type Tree struct {
	ID          uint64 // 63 bits, never 0
	Owner       string
	Name        string
	Type        string   // record.TreeLog, TreePreordered, TreeSensor
	Writers     []string // beside the owner; record.AnyWriter: everyone
	IntervalMs  uint32   // between advances, the type's own where the record has none
	Display     string
	Description string
	CreatedMs   uint64 // batch time of the record that made it
	Anchor      *Anchor
}

// knownTrees keeps what never changes of a tree.
type knownTrees struct {
	mu    sync.Mutex
	trees map[uint64]Tree
}

const maxKnown = 4096

// CreateRequest asks for a new tree.
type CreateRequest struct {
	Issuer      string // whose key this node holds; the member where empty
	Name        string
	Type        string // record.TreeLog, TreePreordered, TreeSensor
	Writers     []string
	IntervalMs  uint32
	Display     string
	Description string
	Client, Key string   // who asks, and the Idempotency-Key; empty for none
	Body        [32]byte // hash of what was asked, to tell requests under one key apart
}

// Create makes a tree. It is final when Create returns. Where the Idempotency-Key
// was used before, it returns the tree that was made then.
func (f *Forest) Create(ctx context.Context, r CreateRequest) (*Tree, error) {
	if r.Issuer == "" {
		r.Issuer = f.Self
	}
	done, refused, err := f.post(ctx, outbox.Request{Issuer: r.Issuer, Client: r.Client, Key: r.Key, Body: r.Body},
		&record.Record{Kind: record.KindTree, Issuer: r.Issuer, Body: &record.Tree{Name: r.Name, Type: r.Type, Writers: r.Writers,
			IntervalMs: r.IntervalMs, Display: r.Display, Description: r.Description}})
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused
	}
	return f.Tree(rules.TreeID(done.LeafHash))
}

func (f *Forest) final() (*store.State, error) {
	if st := f.Final(); st != nil {
		return st, nil
	}
	return nil, ErrNotReady
}

// Tree returns a tree; a *record.Refusal where there is none.
func (f *Forest) Tree(id uint64) (*Tree, error) {
	st, err := f.final()
	if err != nil {
		return nil, err
	}
	return f.tree(st, id)
}

// Type returns a tree's type, which never changes: it is cheaper than Tree.
func (f *Forest) Type(id uint64) (string, error) {
	st, err := f.final()
	if err != nil {
		return "", err
	}
	t, err := f.fixed(st, id)
	if err != nil {
		return "", err
	}
	return t.Type, nil
}

// Trees returns every tree, ascending by id.
func (f *Forest) Trees() ([]*Tree, error) {
	st, err := f.final()
	if err != nil {
		return nil, err
	}
	var ids []uint64
	err = st.Listed("tree/", func(key string, _ []byte) error {
		t, err := rules.Load[rules.Tree](st, key)
		if err == nil && t != nil {
			ids = append(ids, t.ID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	out := make([]*Tree, len(ids))
	for i, id := range ids {
		if out[i], err = f.tree(st, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *Forest) tree(st *store.State, id uint64) (*Tree, error) {
	t, err := f.fixed(st, id)
	if err != nil {
		return nil, err
	}
	r, err := st.CommitmentTree(id)
	if err != nil {
		return nil, err
	}
	t.Anchor = anchorOf(r.Anchor)
	return t, nil
}

// fixed returns what never changes of a tree.
func (f *Forest) fixed(st *store.State, id uint64) (*Tree, error) {
	f.known.mu.Lock()
	t, ok := f.known.trees[id]
	f.known.mu.Unlock()
	if ok {
		return &t, nil
	}
	v, err := rules.Load[rules.Tree](st, rules.KeyTree(id))
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, record.Refuse(record.CodeTreeUnknown, "tree %d", id)
	}
	index, found, err := st.IndexOf(v.Record)
	if err != nil || !found {
		return nil, errors.Join(err, errors.New("the record of a commitment tree is missing"))
	}
	leaf, err := st.Leaf(index)
	if err != nil {
		return nil, err
	}
	rec, err := record.Parse(leaf)
	if err != nil {
		return nil, err
	}
	end, err := st.EndWith(index)
	if err != nil {
		return nil, err
	}
	t = Tree{ID: id, Owner: v.Owner, Name: v.Name, Type: v.Type, Writers: v.Writers, IntervalMs: uint32(interval(v).Milliseconds()), CreatedMs: end.TimeMs}
	if body, ok := rec.Body.(*record.Tree); ok {
		t.Display, t.Description = body.Display, body.Description
	}
	f.known.mu.Lock()
	if len(f.known.trees) >= maxKnown {
		clear(f.known.trees)
	}
	f.known.trees[id] = t
	f.known.mu.Unlock()
	return &t, nil
}

// reader opens a tree at its last final advance.
func (f *Forest) reader(id uint64) (*store.TreeReader, error) {
	st, err := f.final()
	if err != nil {
		return nil, err
	}
	if _, err := f.fixed(st, id); err != nil {
		return nil, err
	}
	r, err := st.CommitmentTree(id)
	if err == nil && r.Anchor == nil {
		r.Size = 0
	} else if err == nil {
		r.Size = r.Anchor.Size
	}
	return r, err
}

// Anchor returns the last final advance of a tree, nil before the first.
func (f *Forest) Anchor(tree uint64) (*Anchor, error) {
	r, err := f.reader(tree)
	if err != nil {
		return nil, err
	}
	return anchorOf(r.Anchor), nil
}

// Leaves returns leaves from first on: as many as there are, at most count and
// MaxRange.
func (f *Forest) Leaves(tree, first, count uint64) (out []Stored, err error) {
	r, err := f.reader(tree)
	if err != nil {
		return nil, err
	}
	if first >= r.Size {
		return nil, nil
	}
	err = r.Range(first, first+min(count, MaxRange, r.Size-first), func(l *store.TreeLeaf) error {
		out = append(out, whole(l))
		return nil
	})
	return out, err
}

// whole fills the identity in.
func whole(l *store.TreeLeaf) Stored {
	if len(l.Identity) == 0 {
		id := l.ID()
		l.Identity = id[:]
	}
	return *l
}

// LeavesByHash returns the leaves with a leaf hash, ascending by index, at most 64.
func (f *Forest) LeavesByHash(tree uint64, leafHash merkle.Hash) (out []Stored, err error) {
	r, err := f.reader(tree)
	if err != nil {
		return nil, err
	}
	at, err := r.FindHash(leafHash, maxByHash)
	for _, i := range at {
		if err == nil {
			err = r.Range(i, i+1, func(l *store.TreeLeaf) error { out = append(out, whole(l)); return nil })
		}
	}
	return out, err
}

// LeafByIdentity returns the leaf with an identity hash, nil where there is none.
func (f *Forest) LeafByIdentity(tree uint64, id record.Digest) (out *Stored, err error) {
	r, err := f.reader(tree)
	if err != nil {
		return nil, err
	}
	i, found, err := r.Find(id)
	if err != nil || !found {
		return nil, err
	}
	err = r.Range(i, i+1, func(l *store.TreeLeaf) error { s := whole(l); out = &s; return nil })
	return out, err
}

// AppliedLeaf returns a leaf that this node has applied, final or not: one that
// Queue has just named. ErrBeyond where there is none.
func (f *Forest) AppliedLeaf(tree, index uint64) (out *Stored, err error) {
	if l, ok := f.Growing(tree, index); ok {
		s := whole(l)
		return &s, nil
	}
	r, err := f.Newest().CommitmentTree(tree)
	if err != nil {
		return nil, err
	}
	if index >= r.Size {
		return nil, ErrBeyond
	}
	err = r.Range(index, index+1, func(l *store.TreeLeaf) error { s := whole(l); out = &s; return nil })
	return out, err
}

// upTo opens a tree where a size is covered by its last final advance.
func (f *Forest) upTo(tree, size uint64) (*store.TreeReader, error) {
	r, err := f.reader(tree)
	if err == nil && size > r.Size {
		err = ErrBeyond
	}
	return r, err
}

// RootAt returns the root of a tree at a size.
func (f *Forest) RootAt(tree, size uint64) (merkle.Hash, error) {
	r, err := f.upTo(tree, size)
	if err != nil {
		return merkle.Hash{}, err
	}
	return r.RootAt(size)
}

// Inclusion returns the path of a leaf at a size (RFC 9162 §2.1.3).
func (f *Forest) Inclusion(tree, index, size uint64) ([]merkle.Hash, error) {
	r, err := f.upTo(tree, size)
	if err == nil && index >= size {
		err = ErrBeyond
	}
	if err != nil {
		return nil, err
	}
	return r.Inclusion(index, size)
}

// Consistency returns the path between two sizes (RFC 9162 §2.1.4).
func (f *Forest) Consistency(tree, oldSize, newSize uint64) ([]merkle.Hash, error) {
	r, err := f.upTo(tree, newSize)
	if err == nil && oldSize > newSize {
		err = ErrBeyond
	}
	if err != nil {
		return nil, err
	}
	return r.Consistency(oldSize, newSize)
}
