package receipt

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// committed is an akashi-committed/v1: a leaf of a commitment tree, the
// tree.advance record that anchors the tree, and that record's proof.
type committed struct {
	Format    string   `json:"format"`
	Human     Human    `json:"human"`
	Tree      string   `json:"tree"`  // 16 hexadecimal digits
	Index     uint64   `json:"index"` // of the leaf in the tree
	Value     []byte   `json:"value"` // of the leaf
	Path      [][]byte `json:"path"`  // RFC 9162 §2.1.3, to the root in the advance
	Extra     []byte   `json:"extra,omitempty"`
	ExtraPath [][]byte `json:"extraPath,omitempty"` // where the advance has a root over extra data
	Leaf      []byte   `json:"leaf"`                // the tree.advance record
	Proof     string   `json:"proof"`               // its tlog-proof@v1
}

// Committed is a leaf of a commitment tree.
type Committed struct {
	Tree      uint64
	Index     uint64
	Value     []byte
	Extra     []byte
	Path      []merkle.Hash // in the tree, at the size of the advance
	ExtraPath []merkle.Hash // in the tree over extra data, at that size
	LogIndex  uint64        // of the tree.advance leaf in the log
}

// Leaf is what a proof of commitment proves: a leaf of a commitment tree.
type Leaf struct {
	Tree     string `json:"tree"` // 16 hexadecimal digits
	TreeSize uint64 `json:"treeSize"`
	Index    uint64 `json:"index"`
	Value    []byte `json:"value"`
	Extra    []byte `json:"extra,omitempty"`
}

// BuildCommitted makes the proof of a leaf of a commitment tree: leaf, root of the
// tree, tree.advance record, checkpoint. Verify the file before it is handed out.
func BuildCommitted(src Source, l *Committed) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	p, err := s.proven(l.LogIndex)
	if err != nil {
		return nil, err
	}
	a, err := advanceOf(p.Leaf)
	if err != nil {
		return nil, err
	}
	f := &committed{Format: FormatCommitted, Tree: treeName(l.Tree), Index: l.Index, Value: orEmpty(l.Value), Path: hashBytes(l.Path),
		Extra: l.Extra, Leaf: p.Leaf, Proof: p.Proof}
	if len(a.Extra) > 0 {
		f.ExtraPath = hashBytes(l.ExtraPath)
	}
	f.Human = committedHuman(f, a)
	return render(f)
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func treeName(id uint64) string { return fmt.Sprintf("%016x", id) }

func advanceOf(leaf []byte) (*record.TreeAdvance, error) {
	rec, err := record.Parse(leaf)
	if err != nil {
		return nil, err
	}
	a, ok := rec.Body.(*record.TreeAdvance)
	if !ok {
		return nil, fmt.Errorf("a record of kind %v, not a tree.advance", rec.Kind)
	}
	return a, nil
}

func committedHuman(f *committed, a *record.TreeAdvance) Human {
	return Human{
		Ja: []string{fmt.Sprintf("コミットメント木 %s の %d 番目（先頭は0）の葉。木の大きさが %d のときの根が台帳にある。", f.Tree, f.Index, a.Size)},
		En: []string{fmt.Sprintf("Leaf %d (from 0) of commitment tree %s, whose root at size %d is in the log.", f.Index, f.Tree, a.Size)},
	}
}

// anchoring is an akashi-committed/v1 on its way through the checks.
type anchoring struct {
	check
	*committed
	policies []*sign.Policy
	advance  *record.TreeAdvance
}

func verifyCommitted(b []byte, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatCommitted}
	c := &anchoring{check: check{"committed", v}, committed: new(committed), policies: policies}
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("ファイルの形が正しい", "the file's form is right"), func() error {
			return c.read("committed", FormatCommitted, b, c.committed, &c.Format)
		}},
		{"leaf", text("木の根を台帳に留める記録である", "the record anchors a commitment tree"), c.checkAdvance},
		{"proof", text("その記録は、加盟企業の定足数が署名した台帳にある", "that record is in a log that a quorum of members signed"), c.checkProof},
		{"path", text("葉は木の中にある", "the leaf is in the tree"), c.checkPath},
		{"extra", text("付帯データは葉と共にある", "the extra data stands with the leaf"), c.checkExtra},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the record"), c.checkHuman},
	} {
		if err := c.step(s.part, s.done, s.f); err != nil {
			return v, err
		}
	}
	v.Kind, v.Human = record.KindTreeAdvance.String(), c.Human
	v.Committed = &Leaf{Tree: c.Tree, TreeSize: c.advance.Size, Index: c.Index, Value: c.Value, Extra: c.Extra}
	c.notChecked("留められた根は、持ち主の言葉です。ほかの加盟企業が同じ木を持つかどうかは分かりません。各社の /v1/status と akashi audit が、偽りの根を示します",
		"whether the anchor is true: it is the owner's word, and the other members may not have this tree. Any member's /v1/status and akashi audit show a false one")
	c.notChecked("木のほかの葉と、葉の中身が事実かどうかは分かりません", "the tree's other leaves, and whether a leaf tells the truth")
	return v, nil
}

func (c *anchoring) checkAdvance() (err error) {
	if c.advance, err = advanceOf(c.Leaf); err != nil {
		return err
	}
	if id, err := strconv.ParseUint(c.Tree, 16, 64); err != nil || treeName(id) != c.Tree || id != c.advance.Tree {
		return c.fail("tree", errors.New("the record is of another tree"))
	}
	return nil
}

func (c *anchoring) checkProof() error {
	p, err := parseProof(c.Proof)
	if err != nil {
		return err
	}
	at, err := openNote(p.note, c.policies)
	if err != nil {
		return err
	}
	c.v.Origin, c.v.Size, c.v.FinalMs = at.Origin, at.Size, at.timeMs
	return at.holds(p, c.Leaf)
}

func (c *anchoring) checkPath() error {
	path, err := hashesOf(c.Path)
	if err != nil {
		return err
	}
	return merkle.VerifyInclusion(merkle.LeafHash(c.Value), c.Index, c.advance.Size, path, merkle.Hash(c.advance.Root))
}

// checkExtra: where the advance has no root over extra data, no leaf has any.
func (c *anchoring) checkExtra() error {
	if len(c.advance.Extra) == 0 {
		if len(c.Extra) > 0 || len(c.ExtraPath) > 0 {
			return errors.New("extra data that the record does not cover")
		}
		return nil
	}
	path, err := hashesOf(c.ExtraPath)
	if err != nil {
		return c.fail("extraPath", err)
	}
	if merkle.Hash(c.advance.Extra) == forest.NoExtra(c.advance.Size) {
		return c.fail("leaf", errors.New("a root over extra data where there is none"))
	}
	return merkle.VerifyInclusion(merkle.LeafHash(c.Extra), c.Index, c.advance.Size, path, merkle.Hash(c.advance.Extra))
}

func (c *anchoring) checkHuman() error {
	want, err := render(committedHuman(c.committed, c.advance))
	if err != nil {
		return err
	}
	if have, err := render(c.Human); err != nil || string(have) != string(want) {
		return errors.New("the lines do not follow from the record")
	}
	return nil
}
