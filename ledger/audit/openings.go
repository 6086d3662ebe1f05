package audit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Openings gives what opens the commitments of records.
type Openings interface {
	// Open returns what there is for a record; nothing is no error.
	Open(id record.ID) (Opened, error)
}

// Opened is what opens one record.
type Opened struct {
	Part   *record.Opening // the sealed part
	Items  *record.Opening // the items of a hand-over
	Erased bool            // the openings were destroyed with the person's keys
}

// choice is one scope that a subject can have consented to.
type choice struct {
	terms uint32
	scope uint8
}

// sealed checks what the sealed parts of a batch say, after its effect:
//
//   - each opening opens its commitment and is a canonical part of its kind;
//   - consent: chosen items ⊆ those on the screen, with all that are required;
//   - hand-over: purpose = the scope's, items ⊆ chosen ⊆ on the screen, levels
//     no finer than the vocabulary allows, brackets known;
//   - consent that a passkey confirmed: its answer is to these consents, and those
//     before it that were given at once were recorded right before it;
//   - opt-out hand-over: items ⊆ those filed;
//   - exception: a ground of the list, recipient, purpose, reason, items and
//     necessity are there.
func (a *auditor) sealed(p *pending) error {
	if a.Openings == nil {
		for _, leaf := range p.leaves {
			if n := commitments(kindOf(leaf)); n > 0 {
				a.unchecked(CheckSealed, n)
			}
		}
		return nil
	}
	for i, leaf := range p.leaves {
		rec, err := record.Parse(leaf)
		if err != nil {
			continue // a replay has read it
		}
		before := answer{known: true}
		switch b := rec.Body.(type) {
		case *record.HandleMove:
			if a.items[b.Old] != nil {
				a.items[b.New] = a.items[b.Old]
				delete(a.items, b.Old)
			}
			delete(a.answers, b.Old)
		case *record.Revocation:
			a.answers[b.Handle] = answer{known: true}
		case *record.Stop:
			a.answers[b.Handle] = answer{known: true}
		case *record.Consent:
			if have, there := a.answers[b.Handle]; there {
				before = have
			}
			a.answers[b.Handle] = answer{} // until it is opened
		}
		if rec.Commitment == nil {
			continue
		}
		o, err := a.Openings.Open(rec.ID)
		if err != nil {
			return fmt.Errorf("opening of leaf %d: %w", p.first+uint64(i), err)
		}
		(&sealedRecord{a: a, rec: rec, index: p.first + uint64(i), o: o, before: before}).check()
	}
	return nil
}

// commitments returns how many a record of a kind always has.
func commitments(k record.Kind) int {
	switch k {
	case record.KindConsent, record.KindReceived, record.KindException:
		return 1
	case record.KindProvision, record.KindOptOut:
		return 2
	}
	return 0
}

// sealedRecord is a record with its openings.
type sealedRecord struct {
	a     *auditor
	rec   *record.Record
	index uint64
	o     Opened
	part  any
	items *record.ItemsPart

	before answer // of the record before a consent, under its handle
}

func (s *sealedRecord) breaks(check string, code record.Code, ja, en string) {
	s.a.breaks(check, Finding{Code: string(code), Index: s.index, Height: s.a.height, Member: s.rec.Issuer, Detail: text(ja, en)})
}

func (s *sealedRecord) check() {
	if !s.open() {
		return
	}
	switch b := s.rec.Body.(type) {
	case *record.Consent:
		s.passkey(b)
		s.consent(b)
	case *record.Provision:
		s.provision(b)
	case *record.OptOut:
		s.optOut(b)
	case *record.Exception:
		s.exception()
	}
}

// open opens both commitments as far as there are openings. It reports false
// where one does not fit.
func (s *sealedRecord) open() bool {
	part, ok := s.opens(s.o.Part, *s.rec.Commitment)
	if !ok {
		return false
	}
	if part != nil {
		var err error
		if s.part, err = record.DecodePart(s.rec.Kind, part); err != nil {
			s.breaks(CheckSealed, "opening.malformed", "封じた部分の形が正しくありません", "the sealed part is malformed")
			return false
		}
	}
	var c record.Digest
	switch b := s.rec.Body.(type) {
	case *record.Provision:
		c = b.Items
	case *record.OptOut:
		c = b.Items
	default:
		return true
	}
	in := s.a.open[s.rec.ID]
	if in != nil && s.o.Items == nil && s.o.Erased {
		in.items = itemsErased
	}
	items, ok := s.opens(s.o.Items, c)
	if !ok || items == nil {
		return ok
	}
	s.items = new(record.ItemsPart)
	if canon.UnmarshalMax(items, record.MaxLeafBytes, s.items) != nil {
		s.breaks(CheckSealed, "opening.malformed", "封じた項目の形が正しくありません", "the sealed items are malformed")
		return false
	}
	if in != nil {
		in.items = itemsOpened
	}
	return true
}

func (s *sealedRecord) opens(o *record.Opening, c record.Digest) ([]byte, bool) {
	switch {
	case o == nil:
		s.a.unchecked(CheckSealed, 1)
		return nil, true
	case !seal.CheckOpening(c, seal.Nonce(o.Nonce), o.Part):
		s.breaks(CheckSealed, "opening.mismatch", "封じた部分が、記録の約束と違います", "the opening does not open the commitment")
		return nil, false
	}
	s.a.holds(CheckSealed, 1)
	return o.Part, true
}

// answer is what a passkey answered for the last of a handle's consents, revocations and stops.
type answer struct {
	known bool              // false where the record was not opened
	to    *record.Confirmed // nil where no passkey confirmed it
}

// passkey: the evidence is of this consent and of those before it.
func (s *sealedRecord) passkey(b *record.Consent) {
	p, ok := s.part.(*record.ConsentPart)
	if !ok {
		return
	}
	if s.a.answers[b.Handle] = (answer{known: true}); len(p.Evidence) == 0 {
		return
	}
	v, err := b.CheckEvidence(s.a.origin(), s.o.Part.Nonce, p)
	if err == nil {
		s.a.answers[b.Handle] = answer{true, v}
		if v.Position > 0 && !s.before.known {
			s.a.unchecked(CheckPasskey, 1)
			return
		}
		err = v.Follows(s.before.to)
	}
	var refusal *record.Refusal
	if errors.As(err, &refusal) {
		s.breaks(CheckPasskey, refusal.Code, "パスキーの答えが、この同意のものではありません", "the passkey's answer is not to this consent: "+err.Error())
		return
	}
	s.a.holds(CheckPasskey, 1)
}

// consent: chosen items are on the screen, and the required ones are chosen.
func (s *sealedRecord) consent(b *record.Consent) {
	p, ok := s.part.(*record.ConsentPart)
	terms, err := rules.Load[rules.Terms](s.a, rules.KeyTerms(b.Terms))
	if !ok || err != nil || terms == nil || int(b.Scope) >= len(terms.Scopes) {
		s.a.unchecked(CheckContent, 1)
		return
	}
	sc := &terms.Scopes[b.Scope]
	key := choice{terms.Number, b.Scope}
	if s.a.items[b.Handle] == nil {
		s.a.items[b.Handle] = map[choice][]string{}
	}
	s.a.items[b.Handle][key] = p.Items
	for _, it := range p.Items {
		if !sc.Has(it) {
			s.breaks(CheckContent, record.CodeItemNotOnScreen, "画面にない項目に同意しています："+it, "an item that is not on the screen: "+it)
			return
		}
	}
	for _, it := range sc.Required {
		if !slices.Contains(p.Items, it) {
			s.breaks(CheckContent, record.CodeRequiredItemMissing, "必須の項目が選ばれていません："+it, "a required item is not among those chosen: "+it)
			return
		}
	}
	s.a.holds(CheckContent, 1)
}

// scope returns the scope of a hand-over, as its handle's service has it.
func (s *sealedRecord) scope(h sign.PublicKey, number uint32, scope uint8) *record.Scope {
	handle, err := rules.HandleState(s.a, h)
	if err != nil || handle == nil {
		return nil
	}
	service, err := rules.Load[rules.Service](s.a, rules.KeyService(handle.For))
	if err != nil || service == nil || number == 0 || int(number) > len(service.Terms) {
		return nil
	}
	terms, err := rules.Load[rules.Terms](s.a, rules.KeyTerms(service.Terms[number-1].Hash))
	if err != nil || terms == nil || int(scope) >= len(terms.Scopes) {
		return nil
	}
	return &terms.Scopes[scope]
}

// provision: purpose, items and levels of a hand-over under consent.
func (s *sealedRecord) provision(b *record.Provision) {
	sc := s.scope(b.Handle, b.Terms, b.Scope)
	if sc == nil || s.part == nil && s.items == nil {
		s.a.unchecked(CheckContent, 1)
		return
	}
	chosen, known := s.a.items[b.Handle][choice{b.Terms, b.Scope}]
	if s.items != nil {
		for _, it := range s.items.Items {
			switch {
			case !sc.Has(it):
				s.breaks(CheckContent, record.CodeItemNotOnScreen, "画面にない項目を渡しています："+it, "an item that is not on the screen is handed over: "+it)
				return
			case known && !slices.Contains(chosen, it):
				s.breaks(CheckContent, record.CodeItemNotConsented, "同意のない項目を渡しています："+it, "an item without consent is handed over: "+it)
				return
			}
		}
	}
	if p, ok := s.part.(*record.HandOverPart); ok {
		if p.Purpose != sc.Purpose {
			s.breaks(CheckContent, record.CodePurposeNotConsented, "同意と違う目的で渡しています："+p.Purpose, "handed over for a purpose without consent: "+p.Purpose)
			return
		}
		if !s.levels(p) {
			return
		}
	}
	if s.part == nil || s.items == nil || !known {
		s.a.unchecked(CheckContent, 1)
		return
	}
	s.a.holds(CheckContent, 1)
}

// levels: none is finer than the vocabulary allows, of an item that is handed
// over; for an item with brackets a level may be one of these.
func (s *sealedRecord) levels(p *record.HandOverPart) bool {
	if len(p.Levels) == 0 {
		return true
	}
	order, _ := rules.Load[[]string](s.a, "levels")
	if order == nil {
		order = new([]string)
	}
	for _, l := range p.Levels {
		attr, err := rules.Load[record.Attribute](s.a, rules.KeyAttribute(l.Item))
		if err != nil || attr == nil || s.items != nil && !slices.Contains(s.items.Items, l.Item) {
			s.breaks(CheckContent, record.CodeItemUnknown, "渡していない項目の細かさです："+l.Item, "a level of an item that is not handed over: "+l.Item)
			return false
		}
		if slices.Contains(attr.Brackets, l.Level) {
			continue
		}
		at := slices.Index(*order, l.Level)
		switch {
		case at < 0 && len(attr.Brackets) > 0:
			s.breaks(CheckContent, record.CodeBracketUnknown, "決められていない区分です："+l.Item+" "+l.Level, "an unknown bracket: "+l.Item+" "+l.Level)
			return false
		case at < 0, attr.Granularity != "" && at > slices.Index(*order, attr.Granularity):
			s.breaks(CheckContent, record.CodeFinerThanAllowed, "決めより細かい情報を渡しています："+l.Item+" "+l.Level, "finer than allowed: "+l.Item+" at "+l.Level)
			return false
		}
	}
	return true
}

// optOut: items are among those filed.
func (s *sealedRecord) optOut(b *record.OptOut) {
	f, err := rules.Load[rules.Filing](s.a, rules.KeyFiling(s.rec.Issuer, b.Filing))
	if s.items == nil || err != nil || f == nil {
		s.a.unchecked(CheckContent, 1)
		return
	}
	for _, it := range s.items.Items {
		if !slices.Contains(f.Items, it) {
			s.breaks(CheckContent, record.CodeOptOutItemNotFiled, "届け出ていない項目を渡しています："+it, "an item that was not filed is handed over: "+it)
			return
		}
	}
	s.a.holds(CheckContent, 1)
}

func (s *sealedRecord) exception() {
	p, ok := s.part.(*record.HandOverPart)
	switch {
	case !ok:
		s.a.unchecked(CheckContent, 1)
	case p.CheckGround() != nil:
		s.breaks(CheckContent, "exception.incomplete", "根拠・渡す先・目的・理由・項目・必要性のどれかがないか、決まりにない根拠です",
			"ground, recipient, purpose, reason, items or necessity are missing, or the ground is none of the list")
	default:
		s.a.holds(CheckContent, 1)
	}
}
