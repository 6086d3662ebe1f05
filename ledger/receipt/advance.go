package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Anchors are two tree.advance records of one commitment tree that contradict
// each other.
type Anchors struct {
	Earlier, Later []byte // their receipts (Build)
	Past           Past   // how the tree began, as it has it at the later one's size
	ExtraPast      Past   // the same of the tree over extra data
}

// anchored is a tree.advance on its way through the checks.
type anchored struct {
	leaf    []byte
	issuer  string
	advance *record.TreeAdvance
	verdict *Verdict
}

// extraRoot returns the root over extra data that an advance says.
func extraRoot(a *record.TreeAdvance) record.Digest {
	if len(a.Extra) == 0 {
		return record.Digest(forest.NoExtra(a.Size))
	}
	return record.Digest(a.Extra)
}

// readAnchored reads a receipt of a tree.advance.
func readAnchored(f *file) (*anchored, error) {
	rec, err := record.Parse(f.Leaf)
	if err != nil {
		return nil, err
	}
	a, ok := rec.Body.(*record.TreeAdvance)
	if !ok {
		return nil, fmt.Errorf("a record of kind %v, not a tree.advance", rec.Kind)
	}
	return &anchored{leaf: f.Leaf, issuer: rec.Issuer, advance: a}, nil
}

// ErrAgree: one tree can have both anchors.
var ErrAgree = errors.New("the anchors agree")

// BuildAdvances makes evidence that the owner of a commitment tree anchored what
// no one tree can have, or fails with ErrAgree. Which of the two is false it does
// not show, nor does it matter: the owner signed both.
func BuildAdvances(a *Anchors) ([]byte, error) {
	f := &evidence{Format: FormatEvidence, Kind: EvidenceAdvance, Receipts: []*file{new(file), new(file)}}
	var anchors [2]*anchored
	for i, b := range [][]byte{a.Earlier, a.Later} {
		err := decode("receipt", b, MaxReceiptBytes, f.Receipts[i])
		if err == nil {
			anchors[i], err = readAnchored(f.Receipts[i])
		}
		if err != nil {
			return nil, err
		}
	}
	earlier, later := anchors[0], anchors[1]
	f.Signers = []string{earlier.issuer}
	edge, path, err := a.Past(earlier.advance.Size, later.advance.Size)
	if err != nil {
		return nil, err
	}
	if f.Past = (&past{edge.Size, hashBytes(edge.Roots), hashBytes(path)}); edge.Root() == merkle.Hash(earlier.advance.Root) {
		if edge, path, err = a.ExtraPast(earlier.advance.Size, later.advance.Size); err != nil {
			return nil, err
		}
		if edge.Root() == merkle.Hash(extraRoot(earlier.advance)) {
			return nil, ErrAgree
		}
		f.Past, f.ExtraPast = nil, &past{edge.Size, hashBytes(edge.Roots), hashBytes(path)}
	}
	f.Human = advancesHuman(earlier, later, f.ExtraPast != nil)
	return render(f)
}

func advancesHuman(a, b *anchored, extra bool) Human {
	l, tree := &lines{}, treeName(a.advance.Tree)
	l.add(fmt.Sprintf("%s は、コミットメント木 %s について、互いに食い違う二つの根を台帳に留めました。", a.issuer, tree),
		fmt.Sprintf("%s anchored two roots of commitment tree %s that contradict each other.", a.issuer, tree))
	for _, x := range []*anchored{a, b} {
		if extra {
			l.add(fmt.Sprintf("葉 %d 枚、付帯データの根 %x", x.advance.Size, extraRoot(x.advance)),
				fmt.Sprintf("%d leaves, root over extra data %x", x.advance.Size, extraRoot(x.advance)))
			continue
		}
		l.add(fmt.Sprintf("葉 %d 枚、根 %x", x.advance.Size, x.advance.Root), fmt.Sprintf("%d leaves, root %x", x.advance.Size, x.advance.Root))
	}
	return l.Human
}

func (c *witnessing) advanceStages() []stage {
	at := "past"
	if c.ExtraPast != nil {
		at = "extraPast"
	}
	return []stage{
		{"receipts", text("二つの記録は、一つの木の根を留め、どちらも持ち主が署名し、台帳にある", "two records anchor one tree; its owner signed both, and both are in the log"), c.checkReceipts},
		{at, text("後の根の木の初めの部分は、前の根と異なる", "the tree of the later root does not begin as the earlier one says"), c.checkBeginning},
	}
}

// checkReceipts verifies both records, each under a policy of its own.
func (c *witnessing) checkReceipts() error {
	if len(c.Receipts) != 2 {
		return fmt.Errorf("%d receipts, 2 in this kind", len(c.Receipts))
	}
	for i, f := range c.Receipts {
		v, err := verifyFile(f, c.policies)
		if err != nil {
			return &Error{Format: c.format, Part: "receipts", Err: err}
		}
		if c.advances[i], err = readAnchored(f); err != nil {
			return err
		}
		c.advances[i].verdict = v
	}
	a, b := c.advances[0], c.advances[1]
	switch {
	case a.verdict.Origin != b.verdict.Origin || a.issuer != b.issuer || a.advance.Tree != b.advance.Tree:
		return errors.New("they are of two trees, or of two issuers")
	case a.advance.Size >= b.advance.Size:
		return errors.New("they are not ascending by size")
	}
	c.v.Origin, c.v.Size, c.v.FinalMs, c.v.StoryTime = b.verdict.Origin, b.verdict.Size, b.verdict.FinalMs, b.verdict.StoryTime
	c.signers, c.human = []string{a.issuer}, advancesHuman(a, b, c.ExtraPast != nil)
	return nil
}

// checkBeginning wants the later root's tree to begin as the file says, and not as
// the earlier root says.
func (c *witnessing) checkBeginning() error {
	a, b := c.advances[0].advance, c.advances[1].advance
	p, was, is := c.Past, a.Root, b.Root
	if c.ExtraPast != nil {
		p, was, is = c.ExtraPast, extraRoot(a), extraRoot(b)
	}
	root, err := p.root(sign.Checkpoint{Size: b.Size, Root: is})
	if err != nil {
		return err
	}
	if p.Size != a.Size {
		return fmt.Errorf("it is of size %d, the earlier root of %d", p.Size, a.Size)
	}
	if root == merkle.Hash(was) {
		return errors.New("the tree begins as the earlier root says: no contradiction")
	}
	return nil
}
