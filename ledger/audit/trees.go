package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Trees is what a Source may offer beside: the leaves of commitment trees, by
// which every tree.advance is checked.
type Trees interface {
	// TreeLeaves returns the leaves start to end-1 of a tree in order. Fewer are a
	// finding; ErrNoTree says that the source has none of this tree, any other
	// error ends the audit.
	TreeLeaves(ctx context.Context, tree, start, end uint64) iter.Seq2[forest.Leaf, error]
}

// ErrNoTree says that a source does not have a tree's leaves: its advances are
// counted as unchecked.
var ErrNoTree = errors.New("the source has no leaves of this tree")

// maxAdvances bounds the advances that wait to be checked.
const maxAdvances = 4096

// anchor is a tree.advance in the log.
type anchor struct {
	*record.TreeAdvance
	index, height uint64
	issuer        string
}

// treeCheck compares advances with the leaves of their trees.
type treeCheck struct {
	a       *auditor
	src     Trees // nil: the source has no trees
	trees   map[uint64]*forest.Tree
	waiting map[uint64][]anchor
	n       int
}

func newTreeCheck(a *auditor, src Source) *treeCheck {
	t := &treeCheck{a: a, trees: map[uint64]*forest.Tree{}, waiting: map[uint64][]anchor{}}
	t.src, _ = src.(Trees)
	return t
}

// take notes the advances among the accepted leaves of a batch.
func (t *treeCheck) take(p *pending, height uint64) {
	for i, leaf := range p.leaves {
		if record.PeekKind(leaf) != record.KindTreeAdvance {
			continue
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			continue // the rules accepted it: cannot be
		}
		adv := rec.Body.(*record.TreeAdvance)
		t.waiting[adv.Tree] = append(t.waiting[adv.Tree], anchor{adv, p.first + uint64(i), height, rec.Issuer})
		t.n++
	}
}

// check compares what waits, where that is much or all.
func (t *treeCheck) check(ctx context.Context, all bool) error {
	if t.n == 0 || !all && t.n < maxAdvances {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(t.waiting)) {
		if err := t.tree(ctx, id, t.waiting[id]); err != nil {
			return fmt.Errorf("commitment tree %016x: %w", id, err)
		}
	}
	clear(t.waiting)
	t.n = 0
	return nil
}

// tree checks one tree's advances, whose sizes ascend.
func (t *treeCheck) tree(ctx context.Context, id uint64, anchors []anchor) error {
	if t.src == nil {
		t.a.unchecked(CheckTrees, len(anchors))
		return nil
	}
	tree := t.trees[id]
	if tree == nil {
		tree = forest.NewTree()
		t.trees[id] = tree
	}
	anchors = t.at(tree, anchors)
	if len(anchors) == 0 {
		return nil
	}
	for leaf, err := range t.src.TreeLeaves(ctx, id, tree.Size(), anchors[len(anchors)-1].Size) {
		if errors.Is(err, ErrNoTree) {
			t.a.unchecked(CheckTrees, len(anchors))
			return nil
		}
		if err != nil {
			return err
		}
		tree.Leaves.Append(leaf.Hash())
		tree.Extra.Append(merkle.LeafHash(leaf.Extra))
		if anchors = t.at(tree, anchors); len(anchors) == 0 {
			return nil
		}
	}
	for _, an := range anchors {
		t.breaks(an, fmt.Sprintf("木には葉が%d個しかありません", tree.Size()), fmt.Sprintf("the tree has %d leaves only", tree.Size()))
	}
	return nil
}

// at checks the advances at the tree's size, and returns the others.
func (t *treeCheck) at(tree *forest.Tree, anchors []anchor) []anchor {
	for len(anchors) > 0 && anchors[0].Size <= tree.Size() {
		an := anchors[0]
		if forest.Anchored(an.TreeAdvance, forest.Roots{Leaves: tree.Leaves.Root(), Extra: tree.Extra.Root()}) {
			t.a.holds(CheckTrees, 1)
		} else {
			t.breaks(an, "木の葉から計算した根と違います", "the leaves of the tree lead to another root")
		}
		anchors = anchors[1:]
	}
	return anchors
}

func (t *treeCheck) breaks(an anchor, ja, en string) {
	t.a.breaks(CheckTrees, Finding{Code: "tree.advance", Index: an.index, Height: an.height, Member: an.issuer,
		Detail: text(fmt.Sprintf("コミットメント木%016xの大きさ%dの根：%s", an.Tree, an.Size, ja),
			fmt.Sprintf("root of commitment tree %016x at size %d: %s", an.Tree, an.Size, en))})
}
