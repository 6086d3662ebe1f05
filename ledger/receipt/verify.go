package receipt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// checking is a receipt on its way through the checks.
type checking struct {
	check
	*file
	opened
	policies []*sign.Policy
	at       *final
	proof    inclusion
	seal     *record.Seal
	sealAt   uint64
	ask      lookup
	rest     func() error
	facts    *facts

	confirmation *record.Confirmed // by a passkey, nil without
}

func verifyReceipt(b []byte, policies []*sign.Policy) (*Verdict, error) {
	c := &checking{check: check{"receipt", &Verdict{Format: FormatReceipt}}, file: new(file), policies: policies}
	err := c.step("file", text("ファイルの形が正しい", "the file's form is right"), func() error {
		if err := decode("receipt", b, MaxReceiptBytes, c.file); err != nil {
			return err
		}
		return c.known()
	})
	if err != nil {
		return c.v, err
	}
	return c.content()
}

// verifyFile verifies a receipt that stands in another file.
func verifyFile(f *file, policies []*sign.Policy) (*Verdict, error) {
	c := &checking{check: check{"receipt", &Verdict{Format: FormatReceipt}}, file: f, policies: policies}
	if err := c.known(); err != nil {
		return c.v, err
	}
	return c.content()
}

func (c *checking) known() error {
	if c.Format != FormatReceipt {
		return c.fail("format", fmt.Errorf("%q, this program knows %q", c.Format, FormatReceipt))
	}
	return nil
}

// content checks everything behind the file's form.
func (c *checking) content() (*Verdict, error) {
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"leaf", text("記録の形が正しい", "the record's form is right"), c.checkForm},
		{"proof", text("記録は、加盟企業の定足数が署名した台帳にある", "the record is in a log that a quorum of members signed"), c.checkProof},
		{"submission", text("記録は、発行者が署名した提出の中にある", "the record is in what its issuer signed"), c.checkPlace},
		{"state", text("台帳の今の状態が示されている", "the state of the log is shown"), c.checkState},
		{"opening", text("封じた部分が記録と合う", "the sealed parts fit the record"), c.checkOpenings},
		{"register", text("名前や目的は、台帳の状態で証明されている", "names and purposes are proven by the state"), c.checkRegister},
		{"key", text("発行者の署名が正しい", "the issuer's signature verifies"), c.checkIssuer},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the record"), c.checkViews},
		{"subject", text("本人の鍵による署名が正しい", "the subject's signature verifies"), c.checkSubject},
		{"evidence", text("パスキーが、本人の鍵の署名する内容に署名した", "a passkey signed what the subject's key signs"), c.checkEvidence},
		{"status", text("状態の証明が正しい", "the proof of status holds"), c.checkStatus},
	} {
		if s.part == "status" && c.Status == nil || s.part == "evidence" && !c.confirmed() {
			continue
		}
		if err := c.step(s.part, s.done, s.f); err != nil {
			return c.v, err
		}
	}
	c.leftOpen()
	return c.v, nil
}

func (c *checking) checkForm() error {
	rec, err := record.Parse(c.Leaf)
	if err != nil {
		return err
	}
	if c.Kind != rec.Kind.String() {
		return c.fail("kind", fmt.Errorf("%q, the record is of kind %v", c.Kind, rec.Kind))
	}
	c.rec, c.v.Kind = rec, c.Kind
	return nil
}

// checkProof checks checkpoint, inclusion of the record, and the seal. Where
// the record's proof fails, the path in the submission tells whether the leaf
// or the proof is to blame.
func (c *checking) checkProof() (err error) {
	if c.proof, err = parseProof(c.Proof); err != nil {
		return err
	}
	if c.at, err = openNote(c.proof.note, c.policies); err != nil {
		return err
	}
	c.v.Origin, c.v.Size, c.v.FinalMs = c.at.Origin, c.at.Size, c.at.timeMs
	if c.seal, c.sealAt, err = c.at.seal(&c.Seal); err != nil {
		return c.fail("seal", err)
	}
	if c.seal.Header == nil {
		return c.fail("seal", errors.New("it is the seal of the genesis"))
	}
	c.timeMs, c.v.TimeMs = c.seal.Header.TimeMs, c.seal.Header.TimeMs
	c.height = c.seal.Height
	if err := c.at.holds(c.proof, c.Leaf); err != nil {
		if c.checkPath() != nil {
			return c.fail("leaf", errors.New("the log has another record here"))
		}
		return err
	}
	return nil
}

// checkPath checks the record against the root of its submission.
func (c *checking) checkPath() error {
	s := &c.Submission
	if _, ok := leafIndex(c.seal, c.sealAt, s.Index, s.Position); !ok {
		return errors.New("the seal has no accepted record at that place")
	}
	path := make([]merkle.Hash, len(s.Path))
	for i, h := range s.Path {
		if len(h) != merkle.HashSize || i > 16 {
			return errors.New("malformed path")
		}
		path[i] = merkle.Hash(h)
	}
	sub := &c.seal.Submissions[s.Index]
	return merkle.VerifyInclusion(merkle.LeafHash(c.Leaf), uint64(s.Position), uint64(sub.Count), path, merkle.Hash(sub.Root))
}

func (c *checking) checkPlace() error {
	if err := c.checkPath(); err != nil {
		return err
	}
	if at, _ := leafIndex(c.seal, c.sealAt, c.Submission.Index, c.Submission.Position); at != c.proof.index {
		return fmt.Errorf("the place is that of leaf %d", at)
	}
	if is := c.seal.Submissions[c.Submission.Index].Issuer; is != c.rec.Issuer {
		return fmt.Errorf("the submission is of %s, the record of %s", is, c.rec.Issuer)
	}
	return nil
}

// checkState finds the seal that is the checkpoint's last leaf.
func (c *checking) checkState() error {
	last := c.seal
	if c.State == nil {
		if c.sealAt != c.at.Size-1 {
			return errors.New("the seal that is the checkpoint's last leaf is missing")
		}
	} else {
		if c.sealAt == c.at.Size-1 {
			return errors.New("the record's own seal is the last: one is enough")
		}
		var err error
		if last, err = c.at.last(c.State); err != nil {
			return err
		}
	}
	c.ask, c.rest = answering(last.Register, c.Register)
	return nil
}

func (c *checking) checkOpenings() error {
	if err := c.openPart(c.Opening); err != nil {
		return err
	}
	if err := c.openItems(c.file.Items); err != nil {
		return c.fail("items", err)
	}
	return nil
}

func (c *checking) checkRegister() (err error) {
	if c.facts, err = newFacts(c.ask); err != nil {
		return err
	}
	if err := c.facts.of(&c.opened); err != nil {
		return err
	}
	if c.facts.policy.Origin != c.at.Origin {
		return fmt.Errorf("its policy is for the log %q", c.facts.policy.Origin)
	}
	if err := c.rest(); err != nil {
		return err
	}
	if err := c.readScreen(c.Screen, c.facts.hash); err != nil {
		return c.fail("screen", err)
	}
	return nil
}

// checkIssuer verifies the signature over the submission, under the key that
// the register has now or under one that a leaf of the log gave.
func (c *checking) checkIssuer() error {
	sub := &c.seal.Submissions[c.Submission.Index]
	if c.Key == nil {
		if signed(sub, c.facts.issuer.Key, c.at.Origin) != nil {
			return fmt.Errorf("%w, and the file has no proof of the old one", ErrKeyChanged)
		}
		return nil
	}
	p, err := parseProof(c.Key.Proof)
	if err != nil {
		return err
	}
	if err := c.at.holds(p, c.Key.Leaf); err != nil {
		return err
	}
	if p.index >= c.proof.index {
		return errors.New("the key came after the record")
	}
	key, err := keyGiven(c.Key.Leaf, c.rec.Issuer)
	if err != nil {
		return err
	}
	if key == c.facts.issuer.Key {
		return errors.New("it is the key that the register has: no proof is needed")
	}
	return signed(sub, key, c.at.Origin)
}

func (c *checking) checkViews() error {
	if c.StoryTime != c.facts.policy.StoryTime {
		return c.fail("story-time", fmt.Errorf("the consortium's policy says %v", c.facts.policy.StoryTime))
	}
	h := human(&c.opened, c.facts)
	if !sameHuman(h, c.Human) {
		return errors.New("the text does not follow from the record")
	}
	want, err := render(payload(&c.opened, c.facts))
	if err != nil {
		return err
	}
	if got, err := render(c.Payload); err != nil || string(got) != string(want) {
		return c.fail("payload", errors.New("it does not follow from the record"))
	}
	c.v.Human, c.v.StoryTime = h, c.StoryTime
	return nil
}

func sameHuman(a, b Human) bool { return slices.Equal(a.Ja, b.Ja) && slices.Equal(a.En, b.En) }

// checkSubject verifies what the subject's own key signed inside the record, and
// blames the leaf where it does not hold: the signature is in it.
func (c *checking) checkSubject() error {
	if err := c.subjectSigned(); err != nil {
		return c.fail("leaf", err)
	}
	return nil
}

func (c *checking) subjectSigned() error {
	o := c.at.Origin
	switch b := c.rec.Body.(type) {
	case *record.Consent:
		return sign.Verify(b.Handle, sign.DomainConsent, o, b.Statement(*c.rec.Commitment), b.Sig)
	case *record.Revocation:
		return sign.Verify(b.Handle, sign.DomainConsent, o, b.Statement(), b.Sig)
	case *record.HandleMove:
		if err := sign.Verify(b.Old, sign.DomainMove, o, b.Statement(), b.OldSig); err != nil {
			return err
		}
		return sign.Verify(b.New, sign.DomainMove, o, b.Statement(), b.NewSig)
	}
	return nil
}

// checkEvidence verifies the passkey's answer by which the person confirmed.
func (c *checking) checkEvidence() (err error) {
	consent, ok := c.rec.Body.(*record.Consent)
	if !ok {
		return errors.New("only consents are confirmed by a passkey")
	}
	c.confirmation, err = consent.CheckEvidence(c.at.Origin, seal.Nonce(c.Opening.Nonce), c.part.(*record.ConsentPart))
	if err == nil {
		c.v.Passkey = c.confirmation.Site
	}
	return err
}

func (c *checking) checkStatus() (err error) {
	c.v.Status, err = verifyStatus(c.file.Status, &c.opened, c.facts, c.at, c.policies)
	return err
}

// leftOpen says what the file does not show.
func (c *checking) leftOpen() {
	if c.rec.Commitment != nil && c.Opening == nil {
		c.notChecked("封じた部分は、この控えにありません", "the sealed part is not in this receipt")
	}
	if c.v.Passkey != "" {
		c.notChecked("だれのパスキーか、"+c.v.Passkey+" が加盟企業のサイトかは、この控えだけでは分かりません",
			"whose passkey it is, and that "+c.v.Passkey+" is the member's site, is not in this receipt")
		if c.confirmation.Position > 0 {
			c.notChecked("一度に確かめた同意のうち、前のものがすぐ前に記録されたかどうかは、この控えだけでは分かりません（akashi audit が確かめます）",
				"that the consents before it, which the passkey confirmed at once with it, were recorded right before it is not in this receipt (akashi audit checks it)")
		}
	}
	if _, ok := itemsOf(c.rec.Body); ok && c.file.Items == nil {
		c.notChecked("渡した項目は、この控えにありません", "the items handed over are not in this receipt")
	}
	if c.file.Status == nil {
		if _, ok := record.HandleOf(c.rec.Body); ok {
			c.notChecked("今も有効かどうかは、この控えだけでは分かりません", "whether it still holds is not in this receipt")
		}
	} else {
		c.notChecked("状態は、示した時刻のものです。そのあとのことは分かりません", "the status is that of the time shown, not of now")
	}
	c.notChecked("封じた部分の中身が事実かどうかは、台帳では分かりません", "whether the sealed part tells the truth is beyond the ledger")
}
