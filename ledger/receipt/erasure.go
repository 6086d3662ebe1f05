package receipt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// certificate is an akashi-erasure/v1.
type certificate struct {
	Format       string   `json:"format"`
	Human        Human    `json:"human"`
	StoryTime    bool     `json:"storyTime,omitempty"`
	Leaf         []byte   `json:"leaf"`                   // the erasure
	Proof        string   `json:"proof"`                  // tlog-proof@v1 of it
	Attestations []proven `json:"attestations,omitempty"` // in the order in which they were recorded
	State        proven   `json:"state"`                  // seal that is the checkpoint's last leaf
	Register     []fact   `json:"register"`               // policy, erasure, tombstones, names
}

// Erased is what an erasure certificate shows.
type Erased struct {
	ID      string        `json:"id"`
	Cause   string        `json:"cause"`
	Issuer  string        `json:"issuer"`
	TimeMs  uint64        `json:"timeMs"`
	Numbers int           `json:"numbers"` // keys with a tombstone
	Done    []HolderState `json:"done"`
	Pending []HolderState `json:"pending"`
	Copies  []CopyState   `json:"copies,omitempty"` // at the holders' custodians
}

// Complete reports whether every holder and every custodian has attested, or was
// lost by name.
func (e *Erased) Complete() bool {
	open := slices.ContainsFunc(e.Copies, func(c CopyState) bool { return c.TimeMs == 0 && c.Lost == "" })
	return len(e.Pending) == 0 && !open
}

// CopyState is what one custodian answered; TimeMs 0: nothing yet, unless it lost
// its copies.
type CopyState struct {
	Member     string      `json:"member"` // whose keys the copies are of
	MemberName record.Text `json:"memberName"`
	HolderState
	Lost   string `json:"lost,omitempty"` // destroyed, stolen
	LostMs uint64 `json:"lostMs,omitempty"`
}

// HolderState is what one holder answered; TimeMs 0: nothing yet.
type HolderState struct {
	Holder     string      `json:"holder"`
	Name       record.Text `json:"name"`
	TimeMs     uint64      `json:"timeMs,omitempty"`
	Class      string      `json:"class,omitempty"`
	Generation uint64      `json:"generation,omitempty"`
	Kept       *Kept       `json:"kept,omitempty"` // nil where it does not say
}

// Kept is what a holder keeps after an erasure because the law wants it.
type Kept struct {
	RecordsUntil string `json:"recordsUntil,omitempty"` // last day in JST of its last record identity, 2006-01-02; "": it keeps none
}

// erasing is an erasure with its attestations and what the register says.
type erasing struct {
	rec    *record.Record
	body   *record.Erasure
	atts   []*record.Attestation
	by     []string              // issuers of atts
	said   []*record.Attestation // of the holders that are done, in their order
	facts  *facts
	state  *rules.Erasure
	result *Erased
}

// BuildErasure makes the certificate of the erasure at a leaf index, with the
// leaves of its attestations in their order.
func BuildErasure(src Source, index uint64, attestations []uint64) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	p, err := s.proven(index)
	if err != nil {
		return nil, err
	}
	last, err := s.proven(s.checkpoint.Size - 1)
	if err != nil {
		return nil, err
	}
	f := &certificate{Format: FormatErasure, Leaf: p.Leaf, Proof: p.Proof, State: *last}
	for _, i := range attestations {
		a, err := s.proven(i)
		if err != nil {
			return nil, err
		}
		f.Attestations = append(f.Attestations, *a)
	}
	e := &erasing{}
	if err := e.read(f); err != nil {
		return nil, fmt.Errorf("certificate of leaf %d: %w", index, err)
	}
	if err := e.derive(s.asking(&f.Register)); err != nil {
		return nil, fmt.Errorf("certificate of leaf %d: %w", index, err)
	}
	f.StoryTime, f.Human = e.facts.policy.StoryTime, e.human()
	return render(f)
}

// read parses the leaves. Its errors name the part.
func (e *erasing) read(f *certificate) error {
	rec, err := record.Parse(f.Leaf)
	if err != nil {
		return &Error{Format: "erasure", Part: "leaf", Err: err}
	}
	body, ok := rec.Body.(*record.Erasure)
	if !ok {
		return &Error{Format: "erasure", Part: "leaf", Err: fmt.Errorf("a record of kind %v", rec.Kind)}
	}
	e.rec, e.body = rec, body
	for i := range f.Attestations {
		r, err := record.Parse(f.Attestations[i].Leaf)
		if err != nil {
			return &Error{Format: "erasure", Part: "attestations", Err: err}
		}
		a, ok := r.Body.(*record.Attestation)
		if !ok {
			return &Error{Format: "erasure", Part: "attestations", Err: fmt.Errorf("a record of kind %v", r.Kind)}
		}
		e.atts, e.by = append(e.atts, a), append(e.by, r.Issuer)
	}
	return nil
}

// derive asks the register for progress, tombstones and names.
func (e *erasing) derive(ask lookup) (err error) {
	if e.facts, err = newFacts(ask); err != nil {
		return err
	}
	if e.state, err = must[rules.Erasure](ask, rules.KeyErasure(e.rec.ID)); err != nil {
		return err
	}
	if err := e.matchAttestations(); err != nil {
		return &Error{Format: "erasure", Part: "attestations", Err: err}
	}
	n, err := e.tombstones(ask)
	if err != nil {
		return err
	}
	names := append([]string{e.rec.Issuer}, e.body.Holders...)
	for _, a := range e.said { // holders who were named later
		names = append(names, a.Onward...)
	}
	for _, c := range e.state.Copies {
		names = append(names, c.Member, c.Custodian)
	}
	if err := e.facts.parties(names); err != nil {
		return err
	}
	e.result = &Erased{ID: fmt.Sprintf("%x", e.rec.ID[:]), Cause: e.body.Cause, Issuer: e.rec.Issuer,
		TimeMs: e.state.TimeMs, Numbers: n, Done: []HolderState{}, Pending: []HolderState{}}
	for i, d := range e.state.Done {
		e.result.Done = append(e.result.Done, HolderState{Holder: d.Holder, Name: e.facts.names[d.Holder], TimeMs: d.TimeMs,
			Class: d.Class, Generation: d.Generation, Kept: keptOf(e.said[i])})
	}
	for _, id := range e.state.Pending {
		e.result.Pending = append(e.result.Pending, HolderState{Holder: id, Name: e.facts.names[id]})
	}
	return e.copies(ask)
}

// copies asks the register which custodians that have not answered lost their
// copies.
func (e *erasing) copies(ask lookup) error {
	for _, c := range e.state.Copies {
		s := CopyState{Member: c.Member, MemberName: e.facts.names[c.Member],
			HolderState: HolderState{Holder: c.Custodian, Name: e.facts.names[c.Custodian], TimeMs: c.TimeMs, Class: c.Class, Generation: c.Generation}}
		if c.TimeMs == 0 {
			custody, err := must[rules.Custody](ask, rules.KeyCustody(c.Member))
			if err != nil {
				return err
			}
			if loss := e.state.Lost(c, custody); loss != nil {
				s.Lost, s.LostMs = loss.Reason, loss.TimeMs
			}
		}
		e.result.Copies = append(e.result.Copies, s)
	}
	return nil
}

// matchAttestations wants one attestation for each holder that is done, in their
// order, and one for each custodian that is.
func (e *erasing) matchAttestations() error {
	want := slices.Clone(e.state.Done)
	copies := slices.DeleteFunc(slices.Clone(e.state.Copies), func(c rules.CopyErase) bool { return c.TimeMs == 0 })
	for i, a := range e.atts {
		d := rules.HolderErase{}
		at := slices.IndexFunc(copies, func(c rules.CopyErase) bool { return c.Member == a.For && c.Custodian == e.by[i] })
		if at >= 0 {
			c := copies[at]
			d = rules.HolderErase{Holder: c.Custodian, Class: c.Class, Generation: c.Generation}
			copies = slices.Delete(copies, at, at+1)
		} else if a.For == "" && len(want) > 0 {
			d, want, e.said = want[0], want[1:], append(e.said, a)
		}
		if a.Erasure != e.rec.ID || e.by[i] != d.Holder || a.Class != d.Class || a.Generation != d.Generation {
			return fmt.Errorf("attestation %d is not one that the register has", i)
		}
	}
	if len(want)+len(copies) > 0 {
		return fmt.Errorf("%d attestations that the register has are missing", len(want)+len(copies))
	}
	return nil
}

// tombstones wants one for every number, and returns how many there are.
func (e *erasing) tombstones(ask lookup) (int, error) {
	numbers := append([]record.KeyNumber(nil), e.body.Numbers...)
	for _, a := range e.atts {
		numbers = append(numbers, a.Numbers...)
	}
	for _, n := range numbers {
		t, err := must[rules.Tombstone](ask, rules.KeyTombstone(n))
		if err != nil {
			return 0, err
		}
		if t.Erasure != e.rec.ID {
			return 0, errors.New("a tombstone of another erasure")
		}
	}
	return len(numbers), nil
}

var causes = map[string]record.Text{
	"request":    {Ja: "本人の求め", En: "request of the person"},
	"withdrawal": {Ja: "撤回・退会", En: "withdrawal"},
	"retention":  {Ja: "保存期間の終わり", En: "end of the retention period"},
}

func (e *erasing) human() Human {
	l, story := &lines{}, e.facts.policy.StoryTime
	l.add("消去の証明書", "Certificate of erasure")
	l.named("消去を求めた者", "Asked for by", e.facts.names[e.rec.Issuer])
	l.named("きっかけ", "Cause", causes[e.body.Cause])
	l.named("求めた時刻", "Asked at", clock(e.result.TimeMs, story))
	l.add(fmt.Sprintf("対象の鍵：%d個（番号は台帳に残り、古い写しを見分けられます）", e.result.Numbers),
		fmt.Sprintf("Keys: %d (their numbers stay in the ledger, so that a stale copy is recognised)", e.result.Numbers))
	for _, d := range e.result.Done {
		t := clock(d.TimeMs, story)
		l.add(fmt.Sprintf("消去した：%s（%s、保管の種類 %s）", d.Name.Ja, t.Ja, d.Class),
			fmt.Sprintf("Destroyed: %s (%s, storage class %s)", english(d.Name), t.En, d.Class))
		l.kept(&d)
	}
	for _, d := range e.result.Pending {
		l.add("まだ答えていない："+d.Name.Ja, "Has not answered: "+english(d.Name))
	}
	e.humanCopies(l)
	if e.result.Complete() {
		l.add("すべての保管者が消去しました。", "Every holder has destroyed its copies.")
	}
	l.add("証明できないこと：記憶装置や仮想マシンの控えに残った写し、すでに渡された平文、うそをつく保管者、だれかが手元に残した控え。",
		"Not proven: copies left by storage remapping or machine snapshots, plaintext already handed out, a holder that lies, a receipt that somebody kept.")
	return l.Human
}

// keptOf puts what a holder says that it keeps in words.
func keptOf(a *record.Attestation) *Kept {
	if a.Kept == nil {
		return nil
	}
	k := new(Kept)
	if a.Kept.Records != 0 {
		k.RecordsUntil = day(a.Kept.Records).En
	}
	return k
}

// kept says until when a holder keeps the records that the law wants.
func (l *lines) kept(d *HolderState) {
	switch {
	case d.Kept == nil:
	case d.Kept.RecordsUntil == "":
		l.add("法律で残す記録はない："+d.Name.Ja, "Keeps no records: "+english(d.Name))
	default:
		l.add("法律で残す記録（提供の記録など）："+d.Name.Ja+"、"+d.Kept.RecordsUntil+" の終わりまで",
			"Records kept by law (of hand-overs): "+english(d.Name)+", until the end of "+d.Kept.RecordsUntil)
	}
}

// humanCopies says what became of the copies at custodians.
func (e *erasing) humanCopies(l *lines) {
	for _, c := range e.result.Copies {
		who, at := c.MemberName.Ja+"の鍵の写し（保管："+c.Name.Ja+"）", english(c.Name)+", for "+english(c.MemberName)
		switch t := clock(c.TimeMs, e.facts.policy.StoryTime); {
		case c.TimeMs != 0:
			l.add(fmt.Sprintf("消去した：%s（%s、保管の種類 %s）", who, t.Ja, c.Class),
				fmt.Sprintf("Copies destroyed: %s (%s, storage class %s)", at, t.En, c.Class))
		case c.Lost == record.LostStolen:
			l.add("例外：盗まれたと届け出た："+who+"。写しが残っているおそれがあります。",
				"Exception: copies reported stolen: "+at+". Somebody may still have them.")
		case c.Lost != "":
			l.add("例外：失われたと届け出た："+who, "Exception: copies reported destroyed without attestation: "+at)
		default:
			l.add("まだ答えていない："+who, "Has not answered: "+at)
		}
	}
}

// certifying is a certificate on its way through the checks.
type certifying struct {
	check
	*certificate
	erasing
	policies []*sign.Policy
	at       *final
}

func verifyErasure(b []byte, policies []*sign.Policy) (*Verdict, error) {
	v := &Verdict{Format: FormatErasure}
	c := &certifying{check: check{"erasure", v}, certificate: new(certificate), policies: policies}
	for _, s := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("ファイルの形が正しい", "the file's form is right"), func() error {
			if err := c.check.read("erasure", FormatErasure, b, c.certificate, &c.Format); err != nil {
				return err
			}
			return c.erasing.read(c.certificate)
		}},
		{"proof", text("消去の記録は、加盟企業の定足数が署名した台帳にある", "the erasure is in a log that a quorum of members signed"), c.checkProof},
		{"attestations", text("保管者の証明が台帳にある", "the holders' attestations are in the log"), c.checkAttestations},
		{"register", text("進み具合と、鍵の番号の墓標が、台帳の状態で証明されている", "progress and tombstones are proven by the state"), c.checkRegister},
		{"human", text("読める文は、記録そのものから導ける", "what people read follows from the records"), c.checkHuman},
	} {
		if err := c.step(s.part, s.done, s.f); err != nil {
			return v, err
		}
	}
	v.Erasure, v.Kind, v.TimeMs = c.result, record.KindErasure.String(), c.result.TimeMs
	c.notChecked("保管者が本当に消したかどうかは、その言葉によります", "that a holder really destroyed its copies rests on its word")
	return v, nil
}

func (c *certifying) checkProof() error {
	p, err := parseProof(c.Proof)
	if err != nil {
		return err
	}
	if c.at, err = openNote(p.note, c.policies); err != nil {
		return err
	}
	c.v.Origin, c.v.Size, c.v.FinalMs = c.at.Origin, c.at.Size, c.at.timeMs
	return c.at.holds(p, c.Leaf)
}

func (c *certifying) checkAttestations() error {
	for i := range c.Attestations {
		p, err := parseProof(c.Attestations[i].Proof)
		if err != nil {
			return err
		}
		if err := c.at.holds(p, c.Attestations[i].Leaf); err != nil {
			return err
		}
	}
	return nil
}

func (c *certifying) checkRegister() error {
	last, err := c.at.last(&c.certificate.State)
	if err != nil {
		return c.fail("state", err)
	}
	ask, rest := answering(last.Register, c.Register)
	if err := c.derive(ask); err != nil {
		return err
	}
	if c.facts.policy.Origin != c.at.Origin {
		return fmt.Errorf("its policy is for the log %q", c.facts.policy.Origin)
	}
	return rest()
}

func (c *certifying) checkHuman() error {
	if c.StoryTime != c.facts.policy.StoryTime {
		return c.fail("story-time", fmt.Errorf("the consortium's policy says %v", c.facts.policy.StoryTime))
	}
	h := c.erasing.human()
	if !sameHuman(h, c.Human) {
		return errors.New("the text does not follow from the records")
	}
	c.v.Human, c.v.StoryTime = h, c.StoryTime
	return nil
}
