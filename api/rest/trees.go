package rest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"

	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/store"
)

// Trees is the consortium's commitment trees (forest.Forest).
type Trees interface {
	TreeWriter
	TreeReader
}

// TreeWriter makes trees and commits leaves.
type TreeWriter interface {
	Create(ctx context.Context, r forest.CreateRequest) (*forest.Tree, error)
	Queue(ctx context.Context, issuer string, tree uint64, leaves []law.Leaf) ([]law.Outcome, error)
	AddSequenced(ctx context.Context, issuer string, tree, first uint64, leaves []law.Leaf) ([]law.Outcome, error)
	Settle(ctx context.Context, tree, size uint64) (*forest.Anchor, error)
}

// TreeReader shows what is final.
type TreeReader interface {
	Tree(id uint64) (*forest.Tree, error)
	Trees() ([]*forest.Tree, error)
	Leaves(tree, first, count uint64) ([]forest.Stored, error)
	Committed(tree, index uint64) (*receipt.Committed, error)
}

// TreeForm makes a commitment tree.
type TreeForm struct {
	Name        string   `json:"name"`
	Type        string   `json:"type" enum:"log,preordered"`
	Writers     []string `json:"writers,omitempty" doc:"who may commit beside the owner, by id; * for every party"`
	IntervalMs  uint32   `json:"intervalMs,omitempty" doc:"between advances in the log; 50 where absent"`
	Display     string   `json:"displayName,omitempty"`
	Description string   `json:"description,omitempty"`
}

// TreeView is a commitment tree.
type TreeView struct {
	ID          string      `json:"id" doc:"16 hex digits"`
	Owner       string      `json:"owner"`
	Name        string      `json:"name"`
	Type        string      `json:"type"`
	Writers     []string    `json:"writers"`
	IntervalMs  uint32      `json:"intervalMs"`
	Display     string      `json:"displayName,omitempty"`
	Description string      `json:"description,omitempty"`
	CreatedMs   uint64      `json:"createdMs"`
	Anchor      *AnchorView `json:"anchor,omitempty" doc:"the last final advance; absent before the first"`
}

// AnchorView is a tree's last final advance in the log.
type AnchorView struct {
	Size     uint64 `json:"size"`
	Root     []byte `json:"root"`
	Extra    []byte `json:"extraRoot" doc:"RFC 6962 root over the leaves' extra data"`
	TimeMs   uint64 `json:"timeMs"`
	Record   string `json:"record" doc:"id of the tree.advance record"`
	LogIndex uint64 `json:"logIndex"`
}

// TreeList is every commitment tree.
type TreeList struct {
	Trees []TreeView `json:"trees"`
}

// TreeLeafForm is a leaf to be committed.
type TreeLeafForm struct {
	Value    []byte `json:"value" doc:"at most 60,000 bytes"`
	Extra    []byte `json:"extra,omitempty" doc:"at most 4,096 bytes beside the leaf"`
	Identity []byte `json:"identity,omitempty" doc:"32 bytes: a tree has one leaf of each; the leaf hash where absent"`
}

// AppendForm commits leaves to a tree.
type AppendForm struct {
	First  *uint64        `json:"first,omitempty" doc:"index of the first leaf, in pre-ordered trees"`
	Leaves []TreeLeafForm `json:"leaves" minItems:"1" maxItems:"1000"`
}

// Appended says what became of leaves.
type Appended struct {
	Tree   string         `json:"tree"`
	Final  bool           `json:"final" doc:"a final advance covers them"`
	Leaves []AppendedLeaf `json:"leaves"`
}

// AppendedLeaf is what became of one leaf.
type AppendedLeaf struct {
	Index     uint64      `json:"index"`
	Duplicate bool        `json:"duplicate,omitempty" doc:"the leaf with this identity was there before"`
	Code      record.Code `json:"code,omitempty" doc:"why it was refused"`
}

// TreeLeaves is a range of a tree's leaves.
type TreeLeaves struct {
	Leaves []TreeLeafView `json:"leaves"`
}

// TreeLeafView is a leaf as it stands in a tree.
type TreeLeafView struct {
	Index    uint64 `json:"index"`
	Value    []byte `json:"value"`
	Extra    []byte `json:"extra,omitempty"`
	Identity []byte `json:"identity"`
	TimeMs   uint64 `json:"timeMs"`
}

// FalseAdvance is a tree.advance that is not what the tree has.
type FalseAdvance struct {
	Tree     string `json:"tree"`
	Issuer   string `json:"issuer"`
	Record   string `json:"record"`
	LogIndex uint64 `json:"logIndex"`
	Size     uint64 `json:"size" doc:"that it claims"`
	HaveSize uint64 `json:"haveSize" doc:"of the tree then"`
}

// maxFalse is how many false advances a status lists.
const maxFalse = 100

var errEnough = errors.New("no more are listed")

func falseAdvances(st *store.State) ([]FalseAdvance, error) {
	var out []FalseAdvance
	err := st.FalseAdvances(0, func(f *store.FalseAdvance) error {
		if len(out) == maxFalse {
			return errEnough
		}
		out = append(out, FalseAdvance{Tree: treeName(f.Tree), Issuer: f.Issuer, Record: hex.EncodeToString(f.Record[:]),
			LogIndex: f.LogIndex, Size: f.Size, HaveSize: f.HaveSize})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

func treeRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/trees", name: "create-tree", tag: "trees", text: Sentence{"コミットメント木をつくる", "Make a commitment tree"},
			roles: admin | manager, body: TreeForm{}, result: TreeView{}, writes: true, explain: true, handle: (*call).createTree},
		{method: "GET", path: "/v1/trees", name: "trees", tag: "trees", text: Sentence{"コミットメント木の一覧", "Every commitment tree"},
			result: TreeList{}, handle: (*call).listTrees},
		{method: "GET", path: "/v1/trees/{id}", name: "tree", tag: "trees", text: Sentence{"コミットメント木", "One commitment tree"},
			result: TreeView{}, handle: (*call).showTree},
		{method: "POST", path: "/v1/trees/{id}/leaves", name: "append-leaves", tag: "trees", text: Sentence{"コミットメント木に葉を加える", "Commit leaves to a commitment tree; each identity once"},
			roles: staff, body: AppendForm{}, result: Appended{}, limit: 2 << 20, writes: true, bulk: true, handle: (*call).appendLeaves},
		{method: "GET", path: "/v1/trees/{id}/leaves", name: "tree-leaves", tag: "trees", text: Sentence{"コミットメント木の葉", "Leaves of a commitment tree, as far as a final advance covers them"},
			roles: admin | app | auditor, query: []parameter{{"first", "index of the first; 0 where absent"}, {"count", "at most 1,000, which is the default"}},
			result: TreeLeaves{}, handle: (*call).treeLeaves},
		{method: "GET", path: "/v1/trees/{id}/leaves/{index}/proof", name: "leaf-proof", tag: "trees", text: Sentence{"コミットメント木の葉の証明", "Proof of a leaf, for akashi verify: leaf, tree, tree.advance record, checkpoint"},
			roles: admin | app | auditor, result: "application/json", handle: (*call).leafProof},
	}
}

func treeView(t *forest.Tree) TreeView {
	v := TreeView{ID: treeName(t.ID), Owner: t.Owner, Name: t.Name, Type: t.Type, Writers: list(t.Writers), IntervalMs: t.IntervalMs,
		Display: t.Display, Description: t.Description, CreatedMs: t.CreatedMs}
	if a := t.Anchor; a != nil {
		v.Anchor = &AnchorView{Size: a.Size, Root: a.Root[:], Extra: a.Extra[:], TimeMs: a.TimeMs, Record: hex.EncodeToString(a.Record[:]), LogIndex: a.LogIndex}
	}
	return v
}

// treeID reads the id in the path in its one spelling.
func (c *call) treeID() (uint64, error) {
	s := c.r.PathValue("id")
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 || treeName(binary.BigEndian.Uint64(b)) != s {
		return 0, faultAt(codeParameter, "id")
	}
	return binary.BigEndian.Uint64(b), nil
}

func (c *call) createTree() (any, error) {
	var f TreeForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if f.Type != record.TreeLog && f.Type != record.TreePreordered {
		return nil, faultAt(codeInvalid, "type")
	}
	asked, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	t, err := c.Trees.Create(c.ctx, forest.CreateRequest{Issuer: c.acting(to), Name: f.Name, Type: f.Type, Writers: ordered(f.Writers),
		IntervalMs: f.IntervalMs, Display: f.Display, Description: f.Description, Client: to.Client, Key: to.Key, Body: sha256.Sum256(asked)})
	if err != nil {
		return nil, err
	}
	return treeView(t), nil
}

func (c *call) listTrees() (any, error) {
	all, err := c.Trees.Trees()
	out := TreeList{Trees: []TreeView{}}
	for _, t := range all {
		out.Trees = append(out.Trees, treeView(t))
	}
	return out, err
}

func (c *call) showTree() (any, error) {
	id, err := c.treeID()
	if err != nil {
		return nil, err
	}
	t, err := c.Trees.Tree(id)
	if err != nil {
		return nil, err
	}
	return treeView(t), nil
}

func (c *call) appendLeaves() (any, error) {
	var f AppendForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	id, err := c.treeID()
	if err != nil {
		return nil, err
	}
	leaves := make([]law.Leaf, len(f.Leaves))
	for i, l := range f.Leaves {
		leaves[i] = law.Leaf{Value: l.Value, Extra: l.Extra, Identity: l.Identity}
	}
	var outcomes []law.Outcome
	if f.First != nil {
		outcomes, err = c.Trees.AddSequenced(c.ctx, c.acting(to), id, *f.First, leaves)
	} else {
		outcomes, err = c.Trees.Queue(c.ctx, c.acting(to), id, leaves)
	}
	if err != nil {
		return nil, err
	}
	done, size := Appended{Tree: treeName(id), Final: !to.Committed, Leaves: []AppendedLeaf{}}, uint64(0)
	for _, o := range outcomes {
		done.Leaves = append(done.Leaves, AppendedLeaf{Index: o.Index, Duplicate: o.Duplicate, Code: o.Refused})
		if o.Refused == "" {
			size = max(size, o.Index+1)
		}
	}
	if done.Final && size > 0 {
		_, err = c.Trees.Settle(c.ctx, id, size)
	}
	return done, err
}

func (c *call) treeLeaves() (any, error) {
	id, err := c.treeID()
	if err != nil {
		return nil, err
	}
	first, err := c.number("first", 0)
	if err != nil {
		return nil, err
	}
	count, err := c.number("count", forest.MaxRange)
	if err != nil {
		return nil, err
	}
	leaves, err := c.Trees.Leaves(id, first, count)
	out := TreeLeaves{Leaves: []TreeLeafView{}}
	for _, l := range leaves {
		out.Leaves = append(out.Leaves, TreeLeafView{Index: l.Index, Value: l.Value, Extra: l.Extra, Identity: l.Identity, TimeMs: l.TimeMs})
	}
	return out, err
}

func (c *call) leafProof() (any, error) {
	id, err := c.treeID()
	if err != nil {
		return nil, err
	}
	index, err := decimal("index", c.r.PathValue("index"))
	if err != nil {
		return nil, err
	}
	l, err := c.Trees.Committed(id, index)
	if err != nil {
		return nil, err
	}
	c.final = c.Final() // at least as new as the advance
	b, err := receipt.BuildCommitted(c.final.source(), l)
	if err != nil {
		return nil, err
	}
	return c.checked(b, treeName(id)+"-"+c.r.PathValue("index")+".akashi.json")
}
