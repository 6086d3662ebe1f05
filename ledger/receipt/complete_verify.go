package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// stating checks what handle and completeness proofs begin with: the state of
// the log at a final checkpoint.
type stating struct {
	check
	policies []*sign.Policy
	at       *final
	register record.Digest
}

func (c *stating) checkState(s *proven) error {
	p, err := parseProof(s.Proof)
	if err != nil {
		return err
	}
	if c.at, err = openNote(p.note, c.policies); err != nil {
		return err
	}
	seal, err := c.at.last(s)
	if err != nil {
		return err
	}
	c.register = seal.Register
	c.v.Origin, c.v.Size, c.v.FinalMs = c.at.Origin, c.at.Size, c.at.timeMs
	return nil
}

// ofThisLog wants the register's own policy to be for the checkpoint's log.
func (c *stating) ofThisLog(f *facts) error {
	if f.policy.Origin != c.at.Origin {
		return fmt.Errorf("its policy is for the log %q", f.policy.Origin)
	}
	return nil
}

// checkWords derives the words again.
func (c *stating) checkWords(f *facts, story bool, want, got Human) error {
	if story != f.policy.StoryTime {
		return c.fail("story-time", fmt.Errorf("the consortium's policy says %v", f.policy.StoryTime))
	}
	if !sameHuman(want, got) {
		return errors.New("the text does not follow from the records")
	}
	c.v.Human, c.v.StoryTime = want, story
	return nil
}

// completing is a completeness proof on its way through the checks.
type completing struct {
	stating
	*completeness
	secret *sign.Secret
	rest   func() error
	w      *walk
}

func verifyCompleteness(b []byte, secret *sign.Secret, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatCompleteness}
	c := &completing{stating: stating{check: check{"completeness", v}, policies: policies}, completeness: new(completeness), secret: secret}
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("ファイルの形が正しい", "the file's form is right"), func() error {
			return c.read("completeness", FormatCompleteness, b, c.completeness, &c.Format)
		}},
		{"state", text("台帳の今の状態に、加盟企業の定足数が署名した", "a quorum of members signed the state of the log"), func() error { return c.checkState(&c.State) }},
		{"register", text("サービスと参加者の一覧は、台帳の状態で証明されている", "the list of services and parties is proven by the state"), c.checkDirectory},
		{"handles", text("どのサービスと参加者についても、記録は一件も欠けていない", "no record is missing, for any service or party"), c.checkHandles},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the records"), func() error {
			return c.checkWords(c.w.facts, c.StoryTime, c.w.human(), c.Human)
		}},
	} {
		if err := c.step(s.part, s.done, s.f); err != nil {
			return v, err
		}
	}
	v.Handles, v.OwnHandles = c.w.found, secret != nil
	if secret == nil {
		c.notChecked("鍵はファイルのまま（本人の鍵がすべてかどうかは、本人の秘密で確かめます）", "handles as given: whether they are all of the person's, only their secret shows")
	}
	c.notChecked("だれも記録しなかったこと、別の秘密で記録されたことは分かりません", "what nobody recorded, and what was recorded under a second secret")
	return v, nil
}

func (c *completing) checkDirectory() (err error) {
	var ask lookup
	ask, c.rest = answering(c.register, c.Register)
	if c.w, err = newWalk(ask, c.at.timeMs); err != nil {
		return err
	}
	return c.ofThisLog(c.w.facts)
}

// checkHandles wants, for every service and party of the directory, the
// generations of the handle from 0 to the first that is absent.
func (c *completing) checkHandles() error {
	given := c.Handles
	for _, id := range c.w.ids() {
		for gen := uint64(0); ; gen++ {
			if len(given) == 0 || given[0].For != id || given[0].Generation != gen {
				return c.forID(id, fmt.Errorf("generation %d is missing or out of order", gen))
			}
			h := &given[0]
			given = given[1:]
			state, err := c.handle(h)
			if err == nil {
				err = c.w.add(h, state)
			}
			if err != nil {
				return c.forID(id, err)
			}
			if state == nil {
				break
			}
		}
	}
	if len(given) > 0 {
		return c.forID(given[0].For, errors.New("it is not in the directory, or follows an absent handle"))
	}
	if err := c.rest(); err != nil {
		return c.fail("register", err)
	}
	return nil
}

// forID names the service or party whose handle does not hold.
func (c *completing) forID(id string, err error) error {
	e := *c.fail("handles", err)
	e.For = id
	return &e
}

// handle returns the proven state of a handle, nil where it is absent.
func (c *completing) handle(h *handlePart) (*rules.Handle, error) {
	if len(h.Handle) != sign.PublicKeySize {
		return nil, fmt.Errorf("handle of %d bytes", len(h.Handle))
	}
	key := sign.PublicKey(h.Handle)
	if c.secret != nil {
		if own := c.secret.Handle(h.For, h.Generation); own.Public() != key {
			return nil, fmt.Errorf("generation %d is not the person's own handle", h.Generation)
		}
	}
	ask, _ := answering(c.register, []fact{{[]byte(rules.KeyHandle(key)), h.Proof}})
	return get[rules.Handle](ask, rules.KeyHandle(key))
}
