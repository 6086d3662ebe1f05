package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// maxGenerations bounds how often one handle can have moved in a proof.
const maxGenerations = 1024

// completeness is an akashi-completeness/v1.
type completeness struct {
	Format    string       `json:"format"`
	Human     Human        `json:"human"`
	StoryTime bool         `json:"storyTime,omitempty"`
	State     proven       `json:"state"`    // seal that is the checkpoint's last leaf
	Register  []fact       `json:"register"` // policy, directory, names
	Handles   []handlePart `json:"handles"`  // services, then parties, each by generation up to the first absent
}

// handlePart is one handle, with every event under it, or its absence.
type handlePart struct {
	For        string   `json:"for"`
	Generation uint64   `json:"generation"`
	Handle     []byte   `json:"handle"`
	Proof      []byte   `json:"proof"` // register proof
	Events     [][]byte `json:"events,omitempty"`
}

// Complete is what a completeness proof shows of one service or party.
type Complete struct {
	For        string      `json:"for"`
	Name       record.Text `json:"name"`
	Generation uint64      `json:"generation"`
	Events     uint64      `json:"events"`
	Consents   uint64      `json:"consents"` // consents, revocations, stops and moves among them
	Kinds      []string    `json:"kinds"`    // of the events, in order
	Closed     bool        `json:"closed,omitempty"`
}

// CompleteOptions say where a person's handles and events come from.
type CompleteOptions struct {
	// Handle returns the person's handle towards a service or party in a
	// generation: from the secret, or as the person's browser gave it.
	Handle func(id string, generation uint64) (sign.PublicKey, error)
	// Events returns the leaves of the first n events under a handle, in order.
	Events func(h sign.PublicKey, n uint64) ([][]byte, error)
}

// BuildComplete makes the proof that a person's records are all there are, at
// the source's checkpoint.
func BuildComplete(src Source, o CompleteOptions) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	last, err := s.proven(s.checkpoint.Size - 1)
	if err != nil {
		return nil, err
	}
	f := &completeness{Format: FormatCompleteness, State: *last}
	facts, err := newFacts(s.asking(&f.Register))
	if err != nil {
		return nil, err
	}
	dir, err := must[rules.Directory](facts.ask, rules.KeyDirectory)
	if err != nil {
		return nil, err
	}
	w := &walk{facts: facts}
	for _, id := range ids(dir) {
		for gen := uint64(0); ; gen++ {
			h, err := s.handlePart(id, gen, o)
			if err != nil {
				return nil, fmt.Errorf("completeness of %s: %w", id, err)
			}
			f.Handles = append(f.Handles, *h.part)
			if h.state == nil {
				break
			}
			if err := w.add(h.part, h.state); err != nil {
				return nil, fmt.Errorf("completeness of %s: %w", id, err)
			}
		}
	}
	f.StoryTime, f.Human = facts.policy.StoryTime, w.human()
	return render(f)
}

type handleState struct {
	part  *handlePart
	state *rules.Handle
}

func (s *sourced) handlePart(id string, gen uint64, o CompleteOptions) (*handleState, error) {
	if gen > maxGenerations {
		return nil, errors.New("too many generations")
	}
	key, err := o.Handle(id, gen)
	if err != nil {
		return nil, err
	}
	var facts []fact
	state, err := get[rules.Handle](s.asking(&facts), rules.KeyHandle(key))
	if err != nil {
		return nil, err
	}
	p := &handlePart{For: id, Generation: gen, Handle: append([]byte(nil), key[:]...), Proof: facts[0].Proof}
	if state != nil {
		if p.Events, err = o.Events(key, state.Events); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	return &handleState{p, state}, nil
}

// ids returns what a person can have handles towards, in the proof's order.
func ids(d *rules.Directory) []string {
	return append(append([]string(nil), d.Services...), d.Parties...)
}

// walk collects what complete handles show.
type walk struct {
	facts *facts
	found []Complete
}

// add checks a present handle's events against its counters and heads.
func (w *walk) add(p *handlePart, h *rules.Handle) error {
	c := Complete{For: p.For, Generation: p.Generation, Closed: h.Closed != 0, Kinds: []string{}}
	if h.For != p.For {
		return fmt.Errorf("the handle is for %s", h.For)
	}
	if uint64(len(p.Events)) != h.Events {
		return fmt.Errorf("%d events, the register counts %d", len(p.Events), h.Events)
	}
	var events, consents record.Digest
	for i, leaf := range p.Events {
		rec, err := record.Parse(leaf)
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		hash := record.Digest(merkle.LeafHash(leaf))
		events = rules.Chain(events, hash)
		switch rec.Kind {
		case record.KindConsent, record.KindRevocation, record.KindStop, record.KindHandleMove:
			c.Consents++
			consents = rules.Chain(consents, hash)
		}
		c.Kinds = append(c.Kinds, rec.Kind.String())
	}
	c.Events = uint64(len(p.Events))
	switch {
	case events != h.EventHead:
		return errors.New("the events are not those that the register counts, or not in their order")
	case c.Consents != h.Consents || consents != h.ConsentHead:
		return fmt.Errorf("%d consents, the register counts %d", c.Consents, h.Consents)
	}
	if err := w.facts.owner(p.For); err != nil {
		return &Error{Format: "completeness", Part: "register", Err: err}
	}
	c.Name, _ = w.facts.towardsName()
	w.found = append(w.found, c)
	return nil
}

func (w *walk) human() Human {
	l := &lines{}
	l.add("これで全部です", "This is all")
	var total uint64
	for _, c := range w.found {
		total += c.Events
		ja := fmt.Sprintf("%s：記録%d件（うち同意・撤回・停止・鍵の引っ越し%d件）", c.Name.Ja, c.Events, c.Consents)
		en := fmt.Sprintf("%s: %d records (consents, revocations, stops and moves: %d)", english(c.Name), c.Events, c.Consents)
		if c.Generation > 0 {
			ja, en = ja+fmt.Sprintf("、%d代目の鍵", c.Generation+1), en+fmt.Sprintf(", key number %d", c.Generation+1)
		}
		if c.Closed {
			ja, en = ja+"、終了", en+", closed"
		}
		l.add(ja, en)
	}
	l.add(fmt.Sprintf("あわせて%d件。示した鍵のもとには、どのサービスや参加者についても、ほかに記録はありません。", total),
		fmt.Sprintf("%d in all. Under the handles shown there are no others, towards any service or party.", total))
	l.add("分からないこと：だれも記録しなかったこと、あなたの知らない別の鍵で記録されたこと。",
		"Not shown: what nobody recorded, and what was recorded under another key that you do not know.")
	return l.Human
}

// completing is a completeness proof on its way through the checks.
type completing struct {
	check
	*completeness
	policies []*sign.Policy
	secret   *sign.Secret
	at       *final
	register record.Digest
	facts    *facts
	rest     func() error
	dir      *rules.Directory
	w        *walk
}

func verifyCompleteness(b []byte, secret *sign.Secret, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatCompleteness}
	c := &completing{check: check{"completeness", v}, completeness: new(completeness), policies: policies, secret: secret}
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("ファイルの形が正しい", "the file's form is right"), func() error {
			if err := decode("completeness", b, MaxBundleBytes, c.completeness); err != nil {
				return err
			}
			if c.Format != FormatCompleteness {
				return c.fail("format", fmt.Errorf("%q, this program knows %q", c.Format, FormatCompleteness))
			}
			return nil
		}},
		{"state", text("台帳の今の状態に、加盟企業の定足数が署名した", "a quorum of members signed the state of the log"), c.checkState},
		{"register", text("サービスと参加者の一覧は、台帳の状態で証明されている", "the list of services and parties is proven by the state"), c.checkDirectory},
		{"handles", text("どのサービスと参加者についても、記録は一件も欠けていない", "no record is missing, for any service or party"), c.checkHandles},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the records"), c.checkHuman},
	} {
		if err := c.step(s.part, s.done, s.f); err != nil {
			return v, err
		}
	}
	v.Complete = c.w.found
	if secret == nil {
		c.notChecked("鍵はファイルのまま（秘密の鍵で確かめていません）", "handles as given (not checked with the person's secret)")
	}
	c.notChecked("だれも記録しなかったこと、別の秘密で記録されたことは分かりません", "what nobody recorded, and what was recorded under a second secret")
	return v, nil
}

func (c *completing) checkState() error {
	p, err := parseProof(c.State.Proof)
	if err != nil {
		return err
	}
	if c.at, err = openNote(p.note, c.policies); err != nil {
		return err
	}
	seal, err := c.at.last(&c.State)
	if err != nil {
		return err
	}
	c.register = seal.Register
	c.v.Origin, c.v.Size, c.v.FinalMs = c.at.Origin, c.at.Size, c.at.timeMs
	return nil
}

func (c *completing) checkDirectory() (err error) {
	var ask lookup
	ask, c.rest = answering(c.register, c.Register)
	if c.facts, err = newFacts(ask); err != nil {
		return err
	}
	if c.facts.policy.Origin != c.at.Origin {
		return fmt.Errorf("its policy is for the log %q", c.facts.policy.Origin)
	}
	c.dir, err = must[rules.Directory](ask, rules.KeyDirectory)
	c.w = &walk{facts: c.facts}
	return err
}

// checkHandles wants, for every service and party of the directory, the
// generations of the handle from 0 to the first that is absent.
func (c *completing) checkHandles() error {
	given := c.Handles
	for _, id := range ids(c.dir) {
		for gen := uint64(0); ; gen++ {
			if len(given) == 0 || given[0].For != id || given[0].Generation != gen {
				return c.forID("handles", id, fmt.Errorf("generation %d is missing or out of order", gen))
			}
			h := &given[0]
			given = given[1:]
			state, err := c.handle(h)
			if err != nil {
				return c.forID("handles", id, err)
			}
			if state == nil {
				break
			}
			if err := c.w.add(h, state); err != nil {
				return c.forID("handles", id, err)
			}
		}
	}
	if len(given) > 0 {
		return c.forID("handles", given[0].For, errors.New("it is not in the directory"))
	}
	if err := c.rest(); err != nil {
		return c.fail("register", err)
	}
	return nil
}

func (c *completing) forID(part, id string, err error) error {
	e := *c.fail(part, err)
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
	state, err := get[rules.Handle](ask, rules.KeyHandle(key))
	if err == nil && state == nil && len(h.Events) > 0 {
		err = errors.New("events under a handle that is absent")
	}
	return state, err
}

func (c *completing) checkHuman() error {
	if c.StoryTime != c.facts.policy.StoryTime {
		return c.fail("story-time", fmt.Errorf("the consortium's policy says %v", c.facts.policy.StoryTime))
	}
	h := c.w.human()
	if !sameHuman(h, c.Human) {
		return errors.New("the text does not follow from the records")
	}
	c.v.Human, c.v.StoryTime = h, c.StoryTime
	return nil
}
