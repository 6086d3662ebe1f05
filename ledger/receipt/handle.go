package receipt

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// handleProof is an akashi-handle/v1: what the register says of one handle.
type handleProof struct {
	Format    string   `json:"format"`
	Human     Human    `json:"human"`
	StoryTime bool     `json:"storyTime,omitempty"`
	Handle    []byte   `json:"handle"`
	State     proven   `json:"state"`            // seal that is the checkpoint's last leaf
	Register  []fact   `json:"register"`         // policy, the handle, what it is towards, terms, purposes
	Events    [][]byte `json:"events,omitempty"` // all of them, or none where only the state is shown
}

// BuildHandle makes the proof of one handle's state at the source's checkpoint;
// with events also that its records are all there are. Without them (nil) it
// shows how many there are.
func BuildHandle(src Source, key sign.PublicKey, events Events) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	last, err := s.proven(s.checkpoint.Size - 1)
	if err != nil {
		return nil, err
	}
	f := &handleProof{Format: FormatHandle, Handle: key[:], State: *last}
	one, err := deriveHandle(s.asking(&f.Register), key, 0)
	if err != nil {
		return nil, fmt.Errorf("handle: %w", err)
	}
	if events != nil && one.state != nil {
		if f.Events, err = events(key, one.state.Events); err != nil {
			return nil, fmt.Errorf("events of a handle: %w", err)
		}
		if err := one.shown.counted(f.Events, one.state); err != nil {
			return nil, fmt.Errorf("events of a handle: %w", err)
		}
	}
	f.StoryTime, f.Human = one.facts.policy.StoryTime, one.human()
	return render(f)
}

// oneHandle is a handle with what the register says of it.
type oneHandle struct {
	facts *facts
	state *rules.Handle // nil: absent
	shown *Standing
}

func deriveHandle(ask lookup, key sign.PublicKey, ms uint64) (*oneHandle, error) {
	f, err := newFacts(ask)
	if err != nil {
		return nil, err
	}
	o := &oneHandle{facts: f, shown: &Standing{Handle: hex.EncodeToString(key[:])}}
	if o.state, err = get[rules.Handle](ask, rules.KeyHandle(key)); err != nil || o.state == nil {
		return o, err
	}
	if err := f.owner(o.state.For); err != nil {
		return nil, err
	}
	o.shown, err = f.standing(key, o.state, ms)
	return o, err
}

func (o *oneHandle) human() Human {
	l := &lines{}
	l.add("一つの鍵の、いまの状態と記録", "State and records of one handle")
	l.add("鍵："+o.shown.Handle, "Handle: "+o.shown.Handle)
	if o.state == nil {
		l.add("この鍵のもとに、記録は一件もありません。", "There are no records under this handle.")
		return l.Human
	}
	o.shown.human(l)
	if o.shown.Kinds == nil {
		l.add("記録そのものは、このファイルに入っていません。", "The records themselves are not in this file.")
	} else {
		l.add("記録は、これで全部です。", "These are all the records.")
	}
	l.add("記録の鎖の先頭："+o.shown.Head, "Head of the chain of records: "+o.shown.Head)
	return l.Human
}

// handling is a handle proof on its way through the checks.
type handling struct {
	stating
	*handleProof
	one *oneHandle
}

func verifyHandle(b []byte, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatHandle}
	c := &handling{stating: stating{check: check{"handle", v}, policies: policies}, handleProof: new(handleProof)}
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("ファイルの形が正しい", "the file's form is right"), func() error {
			return c.read("handle", FormatHandle, b, c.handleProof, &c.Format)
		}},
		{"state", text("台帳の今の状態に、加盟企業の定足数が署名した", "a quorum of members signed the state of the log"), func() error { return c.checkState(&c.State) }},
		{"register", text("鍵の状態は、台帳の状態で証明されている", "the handle's state is proven by the state of the log"), c.checkRegister},
		{"events", text("示した記録は、一件も欠けていない", "of the records shown, none is missing"), c.checkEvents},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the records"), func() error {
			return c.checkWords(c.one.facts, c.StoryTime, c.one.human(), c.Human)
		}},
	} {
		if err := c.step(s.part, s.done, s.f); err != nil {
			return v, err
		}
	}
	v.Handles = []Standing{*c.one.shown}
	if c.one.state != nil && c.one.shown.Kinds == nil {
		c.notChecked("記録そのものは、このファイルにありません", "the records themselves are not in this file")
	}
	c.notChecked("状態は、示した時刻のものです。そのあとのことは分かりません", "the status is that of the time shown, not of now")
	c.notChecked("だれの鍵かは、このファイルでは分かりません", "whose handle it is")
	return v, nil
}

func (c *handling) checkRegister() (err error) {
	if len(c.Handle) != sign.PublicKeySize {
		return c.fail("handle", fmt.Errorf("%d bytes", len(c.Handle)))
	}
	if err := c.ownProof(); err != nil {
		return c.fail("handle", err)
	}
	ask, rest := answering(c.register, c.Register)
	if c.one, err = deriveHandle(ask, sign.PublicKey(c.Handle), c.at.timeMs); err != nil {
		return err
	}
	if err := c.ofThisLog(c.one.facts); err != nil {
		return err
	}
	return rest()
}

// ownProof tells a changed handle from a changed proof: where the register has a
// handle, but another, the handle is to blame.
func (c *handling) ownProof() error {
	want := rules.KeyHandle(sign.PublicKey(c.Handle))
	if len(c.Register) < 2 || string(c.Register[1].Key) == want {
		return nil
	}
	if v, err := c.Register[1].value(c.register); err == nil && v != nil {
		return errors.New("the proof is of another handle")
	}
	return nil
}

func (c *handling) checkEvents() error {
	switch {
	case c.one.state == nil && len(c.Events) > 0:
		return errors.New("events under a handle that is absent")
	case len(c.Events) == 0:
		return nil // the words then say that they are not in the file
	}
	return c.one.shown.counted(c.Events, c.one.state)
}
