package receipt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// witnessing is a file of evidence on its way through the checks.
type witnessing struct {
	check
	*evidence
	policies []*sign.Policy
	headers  [2]*record.Header
	at       *final
	register record.Digest
	signer   *rules.Party
	batch    derived
	notes    []*sign.OpenedNote
	advances [2]*anchored
	signers  []string // that follow
	human    Human
}

// A stage is one step of a check: part, what holds then, how.
type stage struct {
	part string
	done record.Text
	f    func() error
}

func verifyEvidence(b []byte, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatEvidence}
	c := &witnessing{check: check{"evidence", v}, evidence: new(evidence), policies: policies}
	var err error
	run := func(stages []stage) bool {
		for _, s := range stages {
			if err = c.step(s.part, s.done, s.f); err != nil {
				return false
			}
		}
		return true
	}
	_ = run([]stage{{"file", text("ファイルの形が正しい", "the file's form is right"), func() error { return c.form(b) }}}) &&
		run(c.stages()) &&
		run([]stage{
			{"signers", text("だれが署名したかが、署名そのものから導ける", "whom it names follows from the signatures"), c.checkSigners},
			{"human", text("読める文は、証拠そのものから導ける", "what people read follows from the evidence"), c.checkHuman},
		})
	if err != nil {
		return v, err
	}
	v.Kind, v.Human = c.Kind, c.human
	v.Evidence = &Evidence{Kind: c.Kind, Signers: c.signers, Claim: c.claim()}
	for _, n := range c.notes {
		v.Evidence.Sizes = append(v.Evidence.Sizes, n.Size)
	}
	if c.Kind == EvidenceAdvance {
		c.notChecked("二つの根のどちらが木のものかは分かりません", "which of the two roots the tree has")
	}
	c.notChecked("鍵が盗まれていなかったかどうかは分かりません", "whether the key was in its owner's hands")
	return v, nil
}

// form reads the file, and wants the parts of its kind and no others.
func (c *witnessing) form(b []byte) error {
	if err := decode("evidence", b, MaxBundleBytes, c.evidence); err != nil {
		return err
	}
	if c.Format != FormatEvidence {
		return c.fail("format", fmt.Errorf("%q, this program knows %q", c.Format, FormatEvidence))
	}
	header, notes, derived := c.Kind == EvidenceHeader, c.Kind == EvidenceCheckpoint || c.Kind == EvidenceFork, c.Kind == EvidenceDerivation
	advance := c.Kind == EvidenceAdvance
	if !header && !notes && !derived && !advance {
		return c.fail("kind", fmt.Errorf("%q is not known to this program", c.Kind))
	}
	for _, p := range []struct {
		part          string
		there, belong bool
	}{
		{"headers", c.Headers != nil, header}, {"state", c.State != nil, header}, {"register", c.Register != nil, header || derived},
		{"checkpoints", c.Checkpoints != nil, notes || derived}, {"past", c.Past != nil, notes && c.Past != nil || advance && c.ExtraPast == nil},
		{"receipts", c.Receipts != nil, advance}, {"extraPast", c.ExtraPast != nil, advance && c.Past == nil},
		{"previous", c.Previous != nil, derived}, {"seal", c.Seal != nil, derived}, {"entry", c.Entry != nil, derived},
		{"neighbours", c.Neighbours != nil, derived && c.Neighbours != nil},
	} {
		if p.there != p.belong {
			return c.fail("kind", fmt.Errorf("%q, and the part %s is missing or one too many", c.Kind, p.part))
		}
	}
	return nil
}

func (c *witnessing) stages() []stage {
	if c.Kind == EvidenceHeader {
		return []stage{
			{"headers", text("二つの見出しは、同じ場所のもので、異なる", "two headers stand for one place, and differ"), c.checkPlaces},
			{"state", text("台帳の状態に、加盟企業の定足数が署名した", "a quorum of members signed the state of the log"), c.checkState},
			{"register", text("署名した者の鍵は、台帳の状態で証明されている", "the signer's key is proven by the state"), c.checkKey},
			{"headers", text("二つとも署名が正しい", "both are signed"), c.checkHeaders},
		}
	}
	switch c.Kind {
	case EvidenceDerivation:
		return c.derivationStages()
	case EvidenceAdvance:
		return c.advanceStages()
	}
	stages := []stage{{"checkpoints", text("どちらのチェックポイントの署名も正しい", "the cosignatures of both checkpoints verify"), c.openNotes}}
	if c.Past != nil {
		stages = append(stages, stage{"past", text("後の台帳の初めの部分は、前の台帳と異なる", "the later log does not begin as the earlier one"), c.checkPast})
	}
	return append(stages, stage{"checkpoints", text("二つは食い違う", "they contradict each other"), c.checkContradiction})
}

// checkPlaces reads the headers and compares their places.
func (c *witnessing) checkPlaces() error {
	if len(c.Headers) != 2 || bytes.Compare(c.Headers[0], c.Headers[1]) >= 0 {
		return errors.New("not two headers in ascending order")
	}
	for i, b := range c.Headers {
		h, err := record.ParseHeader(b)
		if err != nil {
			return err
		}
		c.headers[i] = h
	}
	switch a, b := c.headers[0], c.headers[1]; {
	case !a.SamePlace(b):
		return errors.New("they are of two leaders or stand for two places")
	case a.Hash() == b.Hash():
		return errors.New("they say the same")
	}
	return nil
}

func (c *witnessing) checkState() error {
	p, err := parseProof(c.State.Proof)
	if err != nil {
		return err
	}
	if c.at, err = openNote(p.note, c.policies); err != nil {
		return err
	}
	seal, err := c.at.last(c.State)
	if err != nil {
		return err
	}
	c.register = seal.Register
	c.v.Origin, c.v.Size, c.v.FinalMs = c.at.Origin, c.at.Size, c.at.timeMs
	return nil
}

func (c *witnessing) checkKey() (err error) {
	ask, rest := answering(c.register, c.Register)
	if c.signer, err = must[rules.Party](ask, rules.KeyParty(c.headers[0].Leader)); err != nil {
		return err
	}
	if !c.signer.Member {
		return fmt.Errorf("%s is not a member", c.signer.ID)
	}
	return rest()
}

func (c *witnessing) checkHeaders() error {
	for _, h := range c.headers {
		if err := sign.Verify(c.signer.Key, sign.DomainHeader, c.at.Origin, h.Signed(), h.Sig); err != nil {
			return err
		}
	}
	c.signers, c.human = []string{c.signer.ID}, headersHuman(c.headers[0])
	return nil
}

// openNotes opens both notes under one policy: members' keys change with the
// policy epoch, and a key that was replaced may be anybody's.
func (c *witnessing) openNotes() error {
	if want := map[bool]int{true: 1, false: 2}[c.Kind == EvidenceDerivation]; len(c.Checkpoints) != want {
		return fmt.Errorf("%d checkpoints, %d in this kind", len(c.Checkpoints), want)
	}
	origin, _, _ := strings.Cut(c.Checkpoints[0], "\n")
	var reason error = ErrPolicy
	for _, p := range c.policies {
		if p.Origin != origin {
			continue
		}
		notes, err := openAll(p, c.Checkpoints)
		if err != nil {
			reason = err
			continue
		}
		first, last := notes[0], notes[len(notes)-1]
		c.notes, c.signers = notes, bothSigned(p, first.Cosigned, last.Cosigned)
		c.v.Origin, c.v.Size = last.Origin, last.Size
		return nil
	}
	return reason
}

func openAll(p *sign.Policy, texts []string) (notes []*sign.OpenedNote, err error) {
	for _, text := range texts {
		n, err := p.OpenCosigned([]byte(text))
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// checkPast wants the larger log to begin as the file says.
func (c *witnessing) checkPast() error {
	a, b := c.notes[0], c.notes[1]
	root, err := c.Past.root(b.Checkpoint)
	if err != nil {
		return err
	}
	if c.Past.Size != a.Size {
		return fmt.Errorf("it is of size %d, the smaller checkpoint of %d", c.Past.Size, a.Size)
	}
	if root == a.Root {
		return errors.New("the later log begins as the earlier one: no contradiction")
	}
	return nil
}

func (c *witnessing) checkContradiction() error {
	a, b := c.notes[0], c.notes[1]
	switch {
	case a.Size > b.Size || a.Size == b.Size && bytes.Compare(a.Root[:], b.Root[:]) > 0:
		return errors.New("they are out of order")
	case a.Size == b.Size && a.Root == b.Root:
		return errors.New("they say the same")
	case (a.Size != b.Size) != (c.Past != nil):
		return c.fail("past", errors.New("it belongs to checkpoints of different sizes, and only to those"))
	}
	c.human = checkpointsHuman(c.signers, a.Checkpoint, b.Checkpoint)
	return nil
}

func (c *witnessing) checkSigners() error {
	if !slices.Equal(c.signers, c.Signers) {
		return fmt.Errorf("the signatures name %q", c.signers)
	}
	if len(c.notes) == 2 && c.Kind != kindOf(c.signers) {
		return c.fail("kind", fmt.Errorf("%q, and %d members cosigned both", c.Kind, len(c.signers)))
	}
	return nil
}

func (c *witnessing) checkHuman() error {
	if !sameHuman(c.human, c.Human) {
		return errors.New("the text does not follow from the evidence")
	}
	return nil
}

// claim hashes kind, signers and what contradicts itself, without signatures,
// times and proofs.
func (c *witnessing) claim() record.Digest {
	parts := append([]string{c.v.Origin, c.Kind}, c.signers...)
	for _, n := range c.notes {
		parts = append(parts, n.Text())
		for _, s := range n.Cosigned {
			parts = append(parts, s.Signer)
		}
	}
	for _, h := range c.headers {
		if h != nil {
			parts = append(parts, string(h.Signed()))
		}
	}
	if a := c.advances[0]; a != nil { // whichever later one it contradicts
		parts = append(parts, string(a.leaf))
	}
	return sha256.Sum256(canon.Must(parts))
}
