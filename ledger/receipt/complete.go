package receipt

import (
	"encoding/hex"
	"errors"
	"fmt"

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
	Register  []fact       `json:"register"` // policy, directory, names, terms, purposes
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

// CompleteOptions say where a person's handles and events come from.
type CompleteOptions struct {
	// Handle returns the person's handle towards a service or party in a
	// generation: from the secret, or as the person's browser gave it.
	Handle func(id string, generation uint64) (sign.PublicKey, error)
	Events Events
}

// Events returns the leaves of the first n events under a handle, in order.
type Events func(h sign.PublicKey, n uint64) ([][]byte, error)

// BuildComplete makes the proof that a person's records are all there are, at
// the source's checkpoint, and the state of every scope.
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
	w, err := newWalk(s.asking(&f.Register), 0)
	if err != nil {
		return nil, err
	}
	for _, id := range w.ids() {
		for gen := uint64(0); ; gen++ {
			p, state, err := s.handlePart(id, gen, o)
			if err == nil {
				err = w.add(p, state)
			}
			if err != nil {
				return nil, fmt.Errorf("completeness of %s: %w", id, err)
			}
			if f.Handles = append(f.Handles, *p); state == nil {
				break
			}
		}
	}
	f.StoryTime, f.Human = w.facts.policy.StoryTime, w.human()
	return render(f)
}

func (s *sourced) handlePart(id string, gen uint64, o CompleteOptions) (*handlePart, *rules.Handle, error) {
	if gen > maxGenerations {
		return nil, nil, errors.New("too many generations")
	}
	key, err := o.Handle(id, gen)
	if err != nil {
		return nil, nil, err
	}
	var facts []fact
	state, err := get[rules.Handle](s.asking(&facts), rules.KeyHandle(key))
	if err != nil {
		return nil, nil, err
	}
	p := &handlePart{For: id, Generation: gen, Handle: key[:], Proof: facts[0].Proof}
	if state != nil {
		if p.Events, err = o.Events(key, state.Events); err != nil {
			return nil, nil, fmt.Errorf("events: %w", err)
		}
	}
	return p, state, nil
}

// walk goes through a person's handles, in the order of the directory.
type walk struct {
	facts *facts
	dir   *rules.Directory
	ms    uint64 // at which scopes are judged; 0 where a file is built
	found []Standing
}

func newWalk(ask lookup, ms uint64) (*walk, error) {
	f, err := newFacts(ask)
	if err != nil {
		return nil, err
	}
	dir, err := must[rules.Directory](ask, rules.KeyDirectory)
	return &walk{facts: f, dir: dir, ms: ms}, err
}

// ids returns what a person can have handles towards, in the proof's order.
func (w *walk) ids() []string {
	return append(append([]string(nil), w.dir.Services...), w.dir.Parties...)
}

// add checks one handle; h is nil where the register has none.
func (w *walk) add(p *handlePart, h *rules.Handle) error {
	if h != nil && h.For != p.For {
		return fmt.Errorf("the handle is for %s", h.For)
	}
	if h == nil && len(p.Events) > 0 {
		return errors.New("events under a handle that is absent")
	}
	if err := w.towards(p.For); err != nil {
		return &Error{Format: "completeness", Part: "register", Err: err}
	}
	st := &Standing{For: p.For, Handle: hex.EncodeToString(p.Handle)}
	st.Name, _ = w.facts.towardsName()
	if h != nil {
		var err error
		if st, err = w.facts.standing(sign.PublicKey(p.Handle), h, w.ms); err != nil {
			return &Error{Format: "completeness", Part: "register", Err: err}
		}
		if err := st.counted(p.Events, h); err != nil {
			return err
		}
	}
	st.Generation = p.Generation
	w.found = append(w.found, *st)
	return nil
}

// towards asks for a service or party of the directory.
func (w *walk) towards(id string) (err error) {
	f := w.facts
	f.service, f.party = nil, nil
	for _, s := range w.dir.Services {
		if s == id {
			f.service, err = must[rules.Service](f.ask, rules.KeyService(id))
			return err
		}
	}
	f.party, err = must[rules.Party](f.ask, rules.KeyParty(id))
	return err
}

func (w *walk) human() Human {
	l := &lines{}
	var total uint64
	var none []record.Text
	for i := range w.found {
		total += w.found[i].Events
	}
	if total == 0 {
		l.add("これで全部です：記録は一件もありません", "This is all: there are no records")
	} else {
		l.add("これで全部です", "This is all")
	}
	for i := range w.found {
		s := &w.found[i]
		if s.Present {
			s.human(l)
		} else if s.Generation == 0 {
			none = append(none, s.Name)
		}
	}
	if len(none) > 0 {
		t := list(none)
		l.named("記録がないことを示したサービスと参加者", "Shown to have no records", t)
	}
	l.add(fmt.Sprintf("あわせて%d件。示した鍵のもとには、どのサービスや参加者についても、ほかに記録はありません。", total),
		fmt.Sprintf("In all: %d. Under the handles shown there are no others, towards any service or party.", total))
	l.add("分からないこと：だれも記録しなかったこと、あなたの知らない別の鍵で記録されたこと。",
		"Not shown: what nobody recorded, and what was recorded under another key that you do not know.")
	return l.Human
}
