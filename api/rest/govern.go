package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// ClockForm moves a story's clock.
type ClockForm struct {
	Now  time.Time `json:"now" doc:"RFC 3339"`
	Wait bool      `json:"wait,omitempty" doc:"until k members have cosigned at the new time; they must have it too"`
}

// ClockView is a story's clock after it was moved.
type ClockView struct {
	NowMs uint64 `json:"nowMs"`
	Fresh bool   `json:"fresh" doc:"k members cosigned at the new time"`
}

// PartyForm admits a party. Its key is made and kept by this node.
type PartyForm struct {
	ID         string      `json:"id"`
	Name       record.Text `json:"name"`
	Regime     string      `json:"regime" enum:"ch4,ch5,telecom,foreign"`
	Country    string      `json:"country" minLength:"2" maxLength:"2"`
	Categories []string    `json:"categories,omitempty"`
}

// ServiceForm opens a service.
type ServiceForm struct {
	ID       string      `json:"id"`
	Name     record.Text `json:"name"`
	Contact  record.Text `json:"contact"`
	Clauses  []string    `json:"clauses,omitempty" doc:"that its terms must hold"`
	Fields   []string    `json:"fields,omitempty" doc:"item codes of registration"`
	SelfOnly bool        `json:"selfOnly,omitempty" doc:"registration only by the person"`
}

// TermsDone is what became of published terms.
type TermsDone struct {
	custody.Done
	Hash string `json:"hash"`
}

// VoteForm signs a ballot, or posts a vote with the ballots of others.
type VoteForm struct {
	ID     string            `json:"id,omitempty" doc:"of the record; drawn where absent"`
	Topic  string            `json:"topic"`
	Sets   map[string]string `json:"sets,omitempty" doc:"parameter to value"`
	Votes  []VoteOf          `json:"votes,omitempty" doc:"of other members"`
	Submit bool              `json:"submit,omitempty" doc:"post it; otherwise this member only signs"`
}

// VoteOf is one member's signature over a ballot.
type VoteOf struct {
	Member string `json:"member"`
	Sig    []byte `json:"sig"`
}

// VoteDone is a ballot with the votes on it, and what became of it where it was
// posted.
type VoteDone struct {
	ID      string           `json:"id"`
	Votes   []VoteOf         `json:"votes"`
	Key     string           `json:"idempotencyKey,omitempty"`
	Final   bool             `json:"final"`
	Records []custody.Posted `json:"records"`
}

// TickForm asks for a record that says that time has passed.
type TickForm struct{}

func governRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/clock", name: "clock", tag: "consortium", text: Sentence{"物語の時計を進める", "Move a story's clock"},
			roles: admin, body: ClockForm{}, result: ClockView{}, early: true, explain: true, handle: (*call).clock},
		{method: "POST", path: "/v1/parties", name: "admit-party", tag: "consortium", text: Sentence{"参加者を迎える", "Admit a party"},
			roles: admin, body: PartyForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).admitParty},
		{method: "DELETE", path: "/v1/parties/{id}", name: "end-party", tag: "consortium", text: Sentence{"参加を終える", "End a party"},
			roles: admin, result: custody.Done{}, writes: true, explain: true, handle: (*call).endParty},
		{method: "POST", path: "/v1/services", name: "open-service", tag: "consortium", text: Sentence{"サービスを開く", "Open a service"},
			roles: admin, body: ServiceForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).openService},
		{method: "POST", path: "/v1/terms", name: "publish-terms", tag: "consortium", text: Sentence{"規約の版を公開", "Publish one version of terms"},
			roles: admin, body: ScreenForm{}, result: TermsDone{}, limit: 256 << 10, writes: true, explain: true, handle: (*call).publishTerms},
		{method: "POST", path: "/v1/votes", name: "vote", tag: "consortium", text: Sentence{"投票で決める", "Decide parameters by vote"},
			roles: admin, body: VoteForm{}, result: VoteDone{}, writes: true, explain: true, handle: (*call).vote},
		{method: "POST", path: "/v1/ticks", name: "tick", tag: "consortium", text: Sentence{"時間が過ぎたことを記録", "Record that time has passed"},
			roles: admin | app, body: TickForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).tick},
	}
}

// reasonOf is what exactly was wrong, where the rules said so.
func reasonOf(err error) string {
	var r *record.Refusal
	if errors.As(err, &r) {
		return r.Detail
	}
	return ""
}

const refreshWait = 3 * time.Second

func (c *call) clock() (any, error) {
	var f ClockForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	if !c.Clock.Story() {
		return nil, fault(codeRealClock)
	}
	now := f.Now
	if now.UnixMilli() < 0 || now.UnixMilli() > record.MaxTimeMs {
		return nil, faultAt(codeInvalid, "now")
	}
	if now.Before(c.Clock.Now()) {
		return nil, fault(codeClockBack)
	}
	c.Clock.Set(now)
	v := ClockView{NowMs: uint64(now.UnixMilli())}
	refresh := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, refreshWait)
		defer cancel()
		v.Fresh = c.Refresh(ctx) == nil
	}
	if f.Wait {
		refresh(c.ctx)
		return v, nil
	}
	answer := v
	go refresh(context.WithoutCancel(c.ctx))
	return answer, nil
}

// newID draws the id of a record. Under an Idempotency-Key it follows from the
// key, so that a repeated request is the same one.
func (c *call) newID(to custody.Call, what string) record.ID {
	if to.Key == "" {
		var id record.ID
		if _, err := rand.Read(id[:]); err != nil {
			panic("rest: no randomness: " + err.Error())
		}
		return id
	}
	sum := sha256.Sum256(canon.Must([]string{"akashi/rest/id", c.Founding.Origin, c.acting(to), to.Client, to.Key, what}))
	return record.ID(sum[:16])
}

// post enters one public record of this member or a party that it hosts.
func (c *call) post(to custody.Call, kind record.Kind, body record.Body) (*custody.Done, error) {
	rec := &record.Record{Kind: kind, ID: c.newID(to, kind.String()), Issuer: c.acting(to), Body: body}
	leaf, err := rec.Leaf()
	if err != nil {
		return nil, err
	}
	return c.postRecord(to, rec, leaf)
}

func (c *call) postRecord(to custody.Call, rec *record.Record, leaf []byte) (*custody.Done, error) {
	submit := c.Outbox.Submit
	if to.Committed {
		submit = c.Outbox.SubmitCommitted
	}
	result, err := submit(c.ctx, outbox.Request{Issuer: rec.Issuer, Client: to.Client, Key: to.Key, Body: sha256.Sum256(leaf), Records: []*record.Record{rec}})
	if err != nil {
		return nil, err
	}
	o := &result.Outcomes[0]
	if o.Refused != nil {
		return nil, o.Refused
	}
	return &custody.Done{Key: result.Key, Final: result.Final, Records: []custody.Posted{{ID: hex.EncodeToString(o.ID[:]), Kind: rec.Kind.String(),
		Index: o.Index, Height: o.Height, TimeMs: o.TimeMs}}}, nil
}

func (c *call) admitParty() (any, error) {
	var f PartyForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if to.As != "" && to.As != c.Self { // the host admits
		return nil, fault(codeRole)
	}
	p := &record.Party{ID: f.ID, Name: f.Name, Regime: f.Regime, Country: f.Country, Categories: ordered(f.Categories)}
	if !record.ValidID(p.ID) {
		return nil, faultAt(codeInvalid, "id")
	}
	there, err := rules.Load[rules.Party](c.final.State, rules.KeyParty(p.ID))
	if err != nil {
		return nil, err
	}
	if there != nil && there.Host != c.Self {
		here, err := rules.Here(c.final.State, there)
		if err != nil {
			return nil, err
		}
		if here {
			return nil, record.Refuse(record.CodePartyExists, "%s is there", p.ID)
		}
	}
	if p.Key, err = c.Host(p.ID); err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindParty, p))
}

func (c *call) endParty() (any, error) {
	to, err := c.writing()
	if err != nil {
		return nil, err
	}
	if to.As != "" && to.As != c.Self {
		return nil, fault(codeRole)
	}
	id := c.r.PathValue("id")
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodePartyUnknown, "")
	}
	p, err := rules.Load[rules.Party](c.final.State, rules.KeyParty(id))
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, record.Refuse(record.CodePartyUnknown, "")
	case p.Host != c.Self || p.Member:
		return nil, fault(codeRole)
	}
	return done(c.post(to, record.KindParty, &record.Party{ID: p.ID, Name: p.Name, Regime: p.Regime, Country: p.Country,
		Categories: p.Categories, Key: p.Key, Leave: true}))
}

func (c *call) openService() (any, error) {
	var f ServiceForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindService, &record.Service{ID: f.ID, Name: f.Name, Contact: f.Contact,
		Clauses: ordered(f.Clauses), Fields: ordered(f.Fields), SelfOnly: f.SelfOnly}))
}

func (c *call) publishTerms() (any, error) {
	var f ScreenForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if f.Effective.UnixMilli() < 0 || f.Effective.UnixMilli() > record.MaxTimeMs {
		return nil, faultAt(codeInvalid, "effective")
	}
	screen, err := canon.Marshal(f.screen())
	if err != nil {
		return nil, faultAt(codeInvalid, "text")
	}
	t := &record.Terms{Screen: screen}
	d, err := c.post(to, record.KindTerms, t)
	if err != nil {
		return nil, err
	}
	hash := t.Hash()
	return TermsDone{*d, hex.EncodeToString(hash[:])}, nil
}

func (c *call) vote() (any, error) {
	var f VoteForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if to.As != "" && to.As != c.Self { // only members vote
		return nil, fault(codeRole)
	}
	id := c.newID(to, "vote")
	if f.ID != "" {
		if id, err = recordID("id", f.ID); err != nil {
			return nil, faultAt(codeInvalid, "id")
		}
	}
	v := &record.Vote{Topic: f.Topic}
	for _, name := range slices.Sorted(maps.Keys(f.Sets)) {
		v.Sets = append(v.Sets, record.Parameter{Name: name, Value: f.Sets[name]})
	}
	if v.Votes, err = c.voted(f.Votes, canon.Must(&record.Ballot{ID: id, Topic: v.Topic, Sets: v.Sets})); err != nil {
		return nil, err
	}
	rec := &record.Record{Kind: record.KindVote, ID: id, Issuer: c.Self, Body: v}
	leaf, err := rec.Leaf() // nothing malformed is signed for, or handed back
	if err != nil {
		return nil, err
	}
	out := VoteDone{ID: hex.EncodeToString(id[:]), Votes: votesOf(v.Votes), Records: []custody.Posted{}}
	if !f.Submit {
		return out, nil
	}
	d, err := c.postRecord(to, rec, leaf)
	if err != nil {
		return nil, err
	}
	out.Key, out.Final, out.Records = d.Key, d.Final, d.Records
	return out, nil
}

// voted returns the votes of others with this member's own, ascending.
func (c *call) voted(others []VoteOf, ballot []byte) ([]record.MemberVote, error) {
	var votes []record.MemberVote
	for _, o := range others {
		if len(o.Sig) != sign.SignatureSize || !record.ValidID(o.Member) {
			return nil, faultAt(codeInvalid, "votes")
		}
		if o.Member != c.Self { // ours is made again
			votes = append(votes, record.MemberVote{Member: o.Member, Sig: sign.Signature(o.Sig)})
		}
	}
	sig, err := c.Sign(sign.DomainGovernance, ballot)
	if err != nil {
		return nil, err
	}
	votes = append(votes, record.MemberVote{Member: c.Self, Sig: sig})
	slices.SortFunc(votes, func(a, b record.MemberVote) int { return strings.Compare(a.Member, b.Member) })
	return votes, nil
}

func votesOf(votes []record.MemberVote) []VoteOf {
	out := []VoteOf{}
	for _, m := range votes {
		out = append(out, VoteOf{m.Member, m.Sig[:]})
	}
	return out
}

func (c *call) tick() (any, error) {
	var f TickForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindTick, &record.Tick{}))
}
