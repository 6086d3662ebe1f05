package forest

import (
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Tree is one commitment tree: over its leaves, and over their extra data.
type Tree struct{ Leaves, Extra *merkle.Tree }

// NewTree returns the tree without leaves.
func NewTree() *Tree { return &Tree{merkle.New(), merkle.New()} }

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.Leaves.Size() }

// A Forest is the trees before an entry.
type Forest interface {
	// Tree returns a tree, an empty one where it has no leaf yet. It is not changed.
	Tree(id uint64) (*Tree, error)
	// Find returns the index of the leaf with an identity hash.
	Find(id uint64, identity record.Digest) (index uint64, found bool, err error)
}

// Outcome is what became of one leaf.
type Outcome struct {
	Index     uint64      // of the leaf, or of that which has its identity or, with CodeTreeIndex, its place
	Duplicate bool        // it was there before
	Refused   record.Code // CodeTreeIndex, CodeTreeGap; "" where it was not
	TimeMs    uint64      // of a new leaf
}

// Result is the effect of one commit.
type Result struct {
	Refused  *record.Refusal // not nil: the commit has no effect
	Tree     uint64
	TimeMs   uint64    // of the new leaves: that of the last applied batch
	Outcomes []Outcome // one a leaf, in order
	First    uint64    // index of the first new leaf
	New      []Leaf    // new leaves, in order
	Next     *Tree     // the tree after them
	Tiles    []merkle.FullTile
	Extra    []merkle.FullTile // of the tree over extra data
	Cost     int               // what they take in the store
}

// Costs of the store, beside the bytes of leaves and tiles.
const (
	leafCost     = 128 // its place in a segment, and the entry by identity
	identityCost = 96  // the entry by leaf hash, where the identity is another
	tileCost     = merkle.TileWidth*merkle.HashSize + 64
)

// Apply judges one commit. view is the register at the last applied batch, room
// what commits may still take until the next. An error means that the state could
// not be read: the node must stop.
func Apply(view rules.View, trees Forest, room int, entry []byte) (*Result, error) {
	c, err := Parse(entry)
	if err != nil {
		return refused(err)
	}
	t, err := admit(view, c)
	if err != nil {
		return refused(err)
	}
	head, err := rules.Load[rules.Head](view, rules.KeyHead)
	if err != nil {
		return nil, err
	}
	r := &Result{Tree: c.Tree, TimeMs: head.TimeMs, Outcomes: make([]Outcome, len(c.Leaves))}
	before, err := trees.Tree(c.Tree)
	if err != nil {
		return nil, err
	}
	r.First = before.Size()
	if err := r.place(trees, c, t.Type == record.TreePreordered); err != nil {
		return nil, err
	}
	r.grow(before)
	if r.Cost > room {
		return refused(record.Refuse(record.CodeTreeBusy, "tree %d", c.Tree))
	}
	return r, nil
}

func refused(err error) (*Result, error) {
	r, ok := err.(*record.Refusal)
	if !ok {
		return nil, err
	}
	return &Result{Refused: r}, nil
}

// admit checks who commits, and the signature.
func admit(view rules.View, c *Commit) (*rules.Tree, error) {
	policy, err := rules.Load[rules.Policy](view, rules.KeyPolicy)
	if err != nil {
		return nil, err
	}
	p, err := rules.Load[rules.Party](view, rules.KeyParty(c.Issuer))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, record.Refuse(record.CodeSubmissionIssuer, "%s", c.Issuer)
	}
	if there, err := rules.Here(view, p); err != nil {
		return nil, err
	} else if !there {
		return nil, record.Refuse(record.CodeSubmissionIssuer, "%s", c.Issuer)
	}
	t, err := rules.Load[rules.Tree](view, rules.KeyTree(c.Tree))
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, record.Refuse(record.CodeTreeUnknown, "tree %d", c.Tree)
	case !t.MayWrite(c.Issuer):
		return nil, record.Refuse(record.CodeNotAuthorised, "%s does not write tree %d", c.Issuer, c.Tree)
	case c.First != 0 && t.Type != record.TreePreordered:
		return nil, record.Refuse(record.CodeRecordMalformed, "tree %d gives leaves their index itself", c.Tree)
	}
	if sign.Verify(p.Key, sign.DomainTree, policy.Origin, c.Signed(), c.Sig) != nil {
		return nil, record.Refuse(record.CodeSignature, "commit of %s", c.Issuer)
	}
	return t, nil
}

// place finds the index of every leaf, and which ones are new.
func (r *Result) place(trees Forest, c *Commit, preordered bool) error {
	here := map[record.Digest]uint64{} // new ones of this commit
	next := r.First
	for i := range c.Leaves {
		l, o := &c.Leaves[i], &r.Outcomes[i]
		id := l.ID()
		at, found := here[id]
		if !found {
			var err error
			if at, found, err = trees.Find(c.Tree, id); err != nil {
				return err
			}
		}
		want := c.First + uint64(i)
		switch {
		case found && preordered && at != want:
			o.Index, o.Refused = at, record.CodeTreeIndex
		case !found && preordered && want < next:
			o.Index, o.Refused = want, record.CodeTreeIndex
		case found:
			o.Index, o.Duplicate = at, true
		case preordered && want > next:
			o.Refused = record.CodeTreeGap
		default:
			o.Index, o.TimeMs = next, r.TimeMs
			here[id] = next
			r.New = append(r.New, *l)
			next++
		}
	}
	return nil
}

// grow appends the new leaves and adds up what they take.
func (r *Result) grow(before *Tree) {
	r.Next = before
	if len(r.New) == 0 {
		return
	}
	leaves, extra := make([]merkle.Hash, len(r.New)), make([]merkle.Hash, len(r.New))
	for i := range r.New {
		l := &r.New[i]
		leaves[i], extra[i] = l.Hash(), merkle.LeafHash(l.Extra)
		r.Cost += leafCost + len(l.Value) + len(l.Extra)
		if l.ID() != record.Digest(leaves[i]) {
			r.Cost += identityCost
		}
	}
	r.Next = &Tree{before.Leaves.Clone(), before.Extra.Clone()}
	r.Tiles, r.Extra = r.Next.Leaves.Append(leaves...), r.Next.Extra.Append(extra...)
	r.Cost += (len(r.Tiles) + len(r.Extra)) * tileCost
}
