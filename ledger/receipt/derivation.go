package receipt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// A Derivation is what members cosigned at the end of a batch, and what a node
// that judged the same batch has to show that it does not follow.
type Derivation struct {
	Policy *sign.Policy
	Theirs Cosigned
	Seal   []byte // the last leaf of theirs
	Entry  []byte // the batch, as Raft delivered it

	// The log before the batch, which both have alike, and the register then.
	Edge     merkle.Edge
	Previous []byte        // the seal that ends it
	Path     []merkle.Hash // of that seal
	Prove    func(key []byte) (register.Proof, error)
	Beside   func(*register.Hidden) (register.Proof, error) // register.Tree.Neighbour
}

// derived is a batch that is judged again by what a file shows.
type derived struct {
	seal     *record.Seal // as it was cosigned
	sealLeaf []byte
	entry    *record.Entry
	raw      []byte
	before   *record.Seal
	edge     merkle.Edge
	result   *rules.Result
	why      record.Text
}

// BuildDerivation makes evidence that members cosigned a batch that does not
// follow from the rules. The state before it is the one that they cosigned with
// it, so nobody else's word is needed.
func BuildDerivation(d *Derivation) ([]byte, error) {
	note, err := d.Policy.FormatCosigned(d.Theirs.Checkpoint, d.Theirs.Sigs)
	if err != nil {
		return nil, err
	}
	f := &evidence{Format: FormatEvidence, Kind: EvidenceDerivation, Signers: bothSigned(d.Policy, d.Theirs.Sigs, d.Theirs.Sigs),
		Checkpoints: []string{string(note)}, Entry: d.Entry, Seal: d.Seal,
		Previous: &before{d.Edge.Size, hashBytes(d.Edge.Roots), d.Previous, hashBytes(d.Path)}}
	b := new(derived)
	if err := b.read(f, d.Theirs.Checkpoint); err != nil {
		return nil, err
	}
	ask := (&sourced{Source: proving{prove: d.Prove}}).asking(&f.Register)
	if err := b.judge(ask); err != nil {
		return nil, err
	}
	err = b.compare(f.Register, func(h *register.Hidden) (p register.Proof, err error) {
		if p, err = d.Beside(h); err == nil {
			var raw []byte
			raw, err = p.MarshalBinary()
			f.Neighbours = append(f.Neighbours, raw)
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	f.Human = b.human(f.Signers, d.Theirs.Checkpoint)
	return render(f)
}

// proving is a source of register proofs alone.
type proving struct {
	Source
	prove func(key []byte) (register.Proof, error)
}

// Prove implements Source.
func (p proving) Prove(key []byte) (register.Proof, error) { return p.prove(key) }

// read takes a file apart and binds every part of the batch to the checkpoint.
// Its errors name the part.
func (b *derived) read(f *evidence, at sign.Checkpoint) error {
	part := func(name string, err error) error { return &Error{Format: "evidence", Part: name, Err: err} }
	if err := b.readBefore(f.Previous); err != nil {
		return part("previous", err)
	}
	var err error
	b.sealLeaf, b.raw = f.Seal, f.Entry
	if b.seal, err = record.ParseSeal(f.Seal); err != nil {
		return part("seal", err)
	}
	if b.seal.Header == nil {
		return part("seal", errors.New("it is the seal of the genesis"))
	}
	if err := b.readEntry(); err != nil {
		return part("entry", err)
	}
	leaves, err := b.accepted()
	if err != nil {
		return part("seal", err)
	}
	hashes := make([]merkle.Hash, 0, len(leaves)+1)
	for _, l := range append(leaves, f.Seal) {
		hashes = append(hashes, merkle.LeafHash(l))
	}
	if after := b.edge.With(hashes...); after.Size != at.Size || after.Root() != at.Root {
		return part("seal", errors.New("the batch does not lead to the checkpoint with it"))
	}
	if !bytes.Equal(canon.Must(b.seal.Header), canon.Must(&b.entry.Header)) {
		return part("entry", errors.New("it is another batch than the seal's"))
	}
	return nil
}

func (b *derived) readBefore(p *before) error {
	roots, err := hashesOf(p.Edge)
	if err != nil {
		return err
	}
	path, err := hashesOf(p.Path)
	if err != nil {
		return err
	}
	b.edge = merkle.Edge{Size: p.Size, Roots: roots}
	if !b.edge.Fits() || p.Size == 0 {
		return fmt.Errorf("%d subtrees make no log of %d leaves", len(roots), p.Size)
	}
	if b.before, err = record.ParseSeal(p.Leaf); err != nil {
		return err
	}
	if b.before.Rules != rules.Version || b.before.RegisterV != rules.RegisterVersion {
		return fmt.Errorf("rules %d and register %d are not this program's", b.before.Rules, b.before.RegisterV)
	}
	return merkle.VerifyInclusion(merkle.LeafHash(p.Leaf), p.Size-1, p.Size, path, b.edge.Root())
}

// readEntry wants a batch of which every record is the one that was signed: of
// others nobody can say what was judged.
func (b *derived) readEntry() (err error) {
	if b.entry, err = record.ParseEntry(b.raw); err != nil {
		return err
	}
	subs := make([]record.Submission, len(b.entry.Submissions))
	for i := range b.entry.Submissions {
		s := &b.entry.Submissions[i]
		if record.RootOf(s.Leaves) != s.Submission.Root {
			return fmt.Errorf("the records of submission %d are not those that were signed", i)
		}
		subs[i] = s.Submission
	}
	if record.SubmissionsRoot(subs) != b.entry.Header.Submissions {
		return errors.New("the submissions are not those of the header")
	}
	return nil
}

// accepted returns the leaves that the seal does not say to be refused.
func (b *derived) accepted() (leaves [][]byte, err error) {
	refused := b.seal.Refusals
	if len(b.seal.Submissions) != len(b.entry.Submissions) {
		return nil, fmt.Errorf("%d submissions, the batch has %d", len(b.seal.Submissions), len(b.entry.Submissions))
	}
	for i := range b.entry.Submissions {
		if len(refused) > 0 && int(refused[0].Sub) == i && refused[0].All {
			if refused[0].Code == record.CodeSubmissionRoot {
				return nil, errors.New("it was given other records: what it made of them is not known")
			}
			refused = refused[1:]
			continue
		}
		for j, leaf := range b.entry.Submissions[i].Leaves {
			if len(refused) > 0 && int(refused[0].Sub) == i && int(refused[0].Pos) == j {
				refused = refused[1:]
				continue
			}
			leaves = append(leaves, leaf)
		}
	}
	return leaves, nil
}

// asked is the register as a lookup shows it.
type asked struct{ ask lookup }

// Get implements rules.View.
func (a asked) Get(key []byte) ([]byte, error) { return a.ask(string(key)) }

// judge applies the rules, and asks for what they write without having read it.
func (b *derived) judge(ask lookup) (err error) {
	b.result, err = rules.Apply(asked{ask}, rules.Prev{Size: b.edge.Size, Root: b.edge.Root()}, b.raw)
	if err != nil {
		return err
	}
	for _, w := range b.result.Writes {
		if _, err := ask(string(w.Key)); err != nil {
			return err
		}
	}
	return nil
}

// compare finds what the rules give instead. It fails where they give the same.
func (b *derived) compare(facts []fact, beside func(*register.Hidden) (register.Proof, error)) error {
	if b.result.Void != nil {
		b.why = text("このまとまりは、規則では無効です："+string(b.result.Void.Code), "by the rules the batch is void: "+string(b.result.Void.Code))
		return nil
	}
	root, err := b.after(facts, beside)
	if err != nil {
		return err
	}
	ours := b.result.Seal
	ours.Register = record.Digest(root)
	switch same := ours; {
	case bytes.Equal(ours.Leaf(), b.sealLeaf):
		return &Error{Format: "evidence", Part: "seal", Err: errors.New("it follows from the rules: no evidence")}
	case !slices.EqualFunc(ours.Refusals, b.seal.Refusals, func(a, b record.Refused) bool { return bytes.Equal(canon.Must(&a), canon.Must(&b)) }):
		b.why = text("規則では、受け付ける記録が異なります。", "by the rules other records are accepted or refused.")
	default:
		same.Register = b.seal.Register
		b.why = text(fmt.Sprintf("規則では、登録簿の根は %x です。署名されたのは %x です。", ours.Register, b.seal.Register),
			fmt.Sprintf("by the rules the register's root is %x, and %x was cosigned.", ours.Register, b.seal.Register))
		if !bytes.Equal(same.Leaf(), b.sealLeaf) {
			b.why = text("規則では、封印が異なります。", "by the rules the seal is another.")
		}
	}
	return nil
}

// after derives the register's root from proofs.
func (b *derived) after(facts []fact, beside func(*register.Hidden) (register.Proof, error)) (merkle.Hash, error) {
	known := register.NewPartial(merkle.Hash(b.before.Register))
	for i := range facts {
		var p register.Proof
		if err := p.UnmarshalBinary(facts[i].Proof); err != nil {
			return merkle.Hash{}, err
		}
		if err := known.Add(register.HashKey(facts[i].Key), p); err != nil {
			return merkle.Hash{}, err
		}
	}
	for {
		root, err := known.After(b.result.Writes)
		var hidden *register.Hidden
		if !errors.As(err, &hidden) {
			return root, err
		}
		p, err := beside(hidden)
		if err != nil {
			return merkle.Hash{}, err
		}
		if p.Leaf == nil || !hidden.Covers(p.Leaf.KeyHash) {
			return merkle.Hash{}, fmt.Errorf("a proof of another subtree: %w", hidden)
		}
		if err := known.Add(p.Leaf.KeyHash, p); err != nil {
			return merkle.Hash{}, err
		}
	}
}

func (b *derived) human(signers []string, at sign.Checkpoint) Human {
	l := &lines{}
	l.add(strings.Join(signers, "、")+" は、規則から導けない台帳に署名しました。",
		strings.Join(signers, ", ")+" cosigned a log that does not follow from the rules.")
	l.add(fmt.Sprintf("記録 %d 件、根 %x", at.Size, at.Root), fmt.Sprintf("%d leaves, root %x", at.Size, at.Root))
	l.add(b.why.Ja, b.why.En)
	return l.Human
}

// derivationStages are the checks of a derivation.
func (c *witnessing) derivationStages() []stage {
	return []stage{
		{"checkpoints", text("チェックポイントの署名が正しい", "the cosignatures of the checkpoint verify"), c.openNotes},
		{"entry", text("まとまりと封印は、そのチェックポイントの終わりにある", "the batch and its seal end the log of the checkpoint"), func() error {
			return c.batch.read(c.evidence, c.notes[0].Checkpoint)
		}},
		{"register", text("規則が読み書きする値は、直前の状態で証明されている", "what the rules read and write is proven by the state before"), c.checkJudged},
		{"neighbours", text("規則から導かれる封印は、署名されたものと異なる", "the seal that follows from the rules is another"), c.checkCompared},
	}
}

func (c *witnessing) checkJudged() error {
	ask, rest := answering(c.batch.before.Register, c.Register)
	if err := c.batch.judge(ask); err != nil {
		return err
	}
	return rest()
}

func (c *witnessing) checkCompared() error {
	given := c.Neighbours
	err := c.batch.compare(c.Register, func(h *register.Hidden) (p register.Proof, err error) {
		if len(given) == 0 {
			return p, h
		}
		err, given = p.UnmarshalBinary(given[0]), given[1:]
		return p, err
	})
	if err == nil && len(given) > 0 {
		err = fmt.Errorf("%d proofs that nothing needs", len(given))
	}
	c.human = c.batch.human(c.signers, c.notes[0].Checkpoint)
	return err
}
