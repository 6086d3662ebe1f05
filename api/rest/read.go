package rest

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/witness"
)

// Status is where a node stands.
type Status struct {
	Member    string      `json:"member"`
	Origin    string      `json:"origin" doc:"the log's name"`
	Version   string      `json:"version" doc:"of the program"`
	StoryTime bool        `json:"storyTime" doc:"the clock is a story's, not the world's"`
	NowMs     uint64      `json:"nowMs" doc:"the consortium's clock"`
	Leader    string      `json:"leader,omitempty"`
	Ready     bool        `json:"ready"`
	Evidence  int         `json:"evidence" doc:"files of evidence against members that this node keeps: /v1/evidence"`
	Final     *FinalPoint `json:"final,omitempty" doc:"the highest final checkpoint"`
	Keys      KeyCopies   `json:"keys" doc:"what would be lost with this machine's disk"`

	Witnesses []WitnessView  `json:"witnesses,omitempty" doc:"external witnesses that this node asks"`
	False     []FalseAdvance `json:"falseAdvances,omitempty" doc:"anchors of commitment trees that are not what the trees have; /v1/evidence once a true one contradicts them"`
}

// KeyCopies is how many of this member's keys no custodian has a copy of.
type KeyCopies struct {
	Custodians int    `json:"custodians" doc:"that hold copies of this member's keys"`
	Waiting    int    `json:"waiting" doc:"keys of which none of them has a copy yet"`
	AgeMs      uint64 `json:"ageMs,omitempty" doc:"since the first of these was made"`
	Unknown    bool   `json:"unknown,omitempty" doc:"no custodian's copies have been compared with the vault yet: more may wait"`
	Degraded   bool   `json:"degraded,omitempty" doc:"they have waited for more than five minutes: look at /v1/custodians"`
}

func copiesView(l escrow.Lag) KeyCopies {
	now := time.Now()
	return KeyCopies{Custodians: l.Custodians, Waiting: l.Keys, AgeMs: uint64(max(0, l.Age(now).Milliseconds())), Unknown: l.Unknown, Degraded: l.Degraded(now)}
}

// WitnessView is how an external witness stands, as this node sees it.
type WitnessView struct {
	Name     string `json:"name" doc:"of its key"`
	Required bool   `json:"required" doc:"nothing is final without enough of those that are"`
	Size     uint64 `json:"size" doc:"of the last checkpoint that it cosigned for this node; 0: none since the start"`
	SignedMs uint64 `json:"signedMs,omitempty" doc:"the time that it put to it"`
	AgeMs    uint64 `json:"ageMs,omitempty" doc:"since this node got it"`
	Failing  bool   `json:"failing,omitempty" doc:"the last request failed; the node's log says why"`
}

// FinalPoint is the highest final checkpoint.
type FinalPoint struct {
	Height  uint64 `json:"height"`
	Size    uint64 `json:"size" doc:"leaves in the log"`
	Root    []byte `json:"root"`
	TimeMs  uint64 `json:"timeMs" doc:"of its last batch"`
	FreshMs uint64 `json:"freshMs" doc:"the k-th newest cosignature"`
}

// PartyView is a member or a party.
type PartyView struct {
	ID         string      `json:"id"`
	Name       record.Text `json:"name"`
	Member     bool        `json:"member" doc:"has a vote and a node of its own"`
	Host       string      `json:"host" doc:"the member whose node acts for it"`
	Active     bool        `json:"active"`
	Regime     string      `json:"regime"`
	Country    string      `json:"country"`
	Categories []string    `json:"categories"`
	Key        string      `json:"key" doc:"signs its submissions; hex"`
	Joined     uint64      `json:"joined" doc:"height"`
	Left       uint64      `json:"left,omitempty" doc:"height"`
}

// PartyList is one page of parties.
type PartyList struct {
	Parties []PartyView `json:"parties"`
	Next    string      `json:"next,omitempty" doc:"ask again with after=next"`
}

// ServiceView is a service with its versions of terms.
type ServiceView struct {
	ID       string         `json:"id"`
	Owner    string         `json:"owner"`
	Name     record.Text    `json:"name"`
	Contact  record.Text    `json:"contact"`
	Clauses  []string       `json:"clauses"`
	Fields   []string       `json:"fields" doc:"item codes of registration"`
	SelfOnly bool           `json:"selfOnly" doc:"registration only by the person"`
	Terms    []TermsVersion `json:"terms" doc:"number n is the n-th"`
}

// TermsVersion names one version of terms.
type TermsVersion struct {
	Number      uint32 `json:"number"`
	Version     string `json:"version"`
	Hash        string `json:"hash"`
	EffectiveMs uint64 `json:"effectiveMs"`
}

// ServiceList is one page of services.
type ServiceList struct {
	Services []ServiceView `json:"services"`
	Next     string        `json:"next,omitempty" doc:"ask again with after=next"`
}

// Vocabulary is what items and purposes there are.
type Vocabulary struct {
	Attributes []AttributeView `json:"attributes"`
	Purposes   []PurposeView   `json:"purposes"`
	Levels     []string        `json:"levels" doc:"granularities, coarse to fine"`
	Parameters []ParameterView `json:"parameters"`
}

// AttributeView is one item code.
type AttributeView struct {
	Code        string      `json:"code"`
	Label       record.Text `json:"label"`
	Class       string      `json:"class"`
	Granularity string      `json:"granularity,omitempty" doc:"finest allowed level"`
	Brackets    []string    `json:"brackets,omitempty" doc:"the only allowed values"`
}

// PurposeView is one purpose code.
type PurposeView struct {
	Code  string      `json:"code"`
	Label record.Text `json:"label"`
}

// ParameterView is a named value that members may change by vote.
type ParameterView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var pageParameters = []parameter{{"after", "the id after which the page begins"}, {"limit", "1 to 1000; 200 where absent"}}

func readRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/status", name: "status", tag: "log", text: Sentence{"ノードの状態", "Where the node stands"},
			result: Status{}, early: true, handle: (*call).status},
		{method: "GET", path: "/v1/parties", name: "parties", tag: "consortium", text: Sentence{"参加者の一覧", "Members and parties"},
			query: pageParameters, result: PartyList{}, handle: (*call).parties},
		{method: "GET", path: "/v1/services", name: "services", tag: "consortium", text: Sentence{"サービスの一覧", "Services"},
			query: pageParameters, result: ServiceList{}, handle: (*call).services},
		{method: "GET", path: "/v1/services/{id}", name: "service", tag: "consortium", text: Sentence{"サービス", "One service"},
			result: ServiceView{}, handle: (*call).service},
		{method: "GET", path: "/v1/terms/{hash}", name: "terms", tag: "consortium", text: Sentence{"規約の一つの版", "One version of terms"},
			result: TermsView{}, handle: (*call).terms},
		{method: "GET", path: "/v1/attributes", name: "attributes", tag: "consortium", text: Sentence{"項目・目的・設定", "Items, purposes and parameters"},
			result: Vocabulary{}, handle: (*call).attributes},
	}
}

func (c *call) status() (any, error) {
	s := Status{Member: c.Self, Origin: c.Founding.Origin, Version: c.version(), StoryTime: c.Clock.Story(),
		NowMs: uint64(c.Clock.Now().UnixMilli()), Leader: c.Leader(), Ready: c.Ready() == nil, Evidence: len(c.Kept.Items())}
	if f := c.final; f != nil {
		var err error
		if s.False, err = falseAdvances(f.State); err != nil {
			return nil, err
		}
		s.Final = &FinalPoint{Height: f.State.Height, Size: f.State.Size, Root: f.State.Root[:], TimeMs: f.State.TimeMs, FreshMs: f.FreshAt * 1000}
	}
	s.Witnesses, s.Keys = c.witnesses(), copiesView(c.Custody.KeyLag())
	return s, nil
}

func (c *call) witnesses() (views []WitnessView) {
	if c.Witnesses == nil {
		return nil
	}
	for _, w := range c.Witnesses() {
		v := WitnessView{Name: w.Witness.Name, Required: w.Witness.Required, Size: w.Size, SignedMs: w.Signed * 1000,
			Failing: w.Err != nil && !errors.Is(w.Err, witness.ErrAhead)}
		if w.Size > 0 {
			v.AgeMs = uint64(time.Since(w.At).Milliseconds())
		}
		views = append(views, v)
	}
	return views
}

// page cuts a page out of ascending ids.
func (c *call) page(ids []string) (page []string, next string, err error) {
	after := c.query.Get("after")
	limit, err := c.number("limit", 200)
	switch {
	case err != nil:
		return nil, "", err
	case limit < 1 || limit > 1000:
		return nil, "", faultAt(codeParameter, "limit")
	case after != "" && !record.ValidID(after):
		return nil, "", faultAt(codeParameter, "after")
	}
	if at, found := slices.BinarySearch(ids, after); after != "" {
		if found {
			at++
		}
		ids = ids[at:]
	}
	if uint64(len(ids)) > limit {
		ids, next = ids[:limit], ids[limit-1]
	}
	return ids, next, nil
}

func (c *call) directory() (*rules.Directory, error) {
	d, err := rules.Load[rules.Directory](c.final.State, rules.KeyDirectory)
	if d == nil {
		d = &rules.Directory{}
	}
	return d, err
}

func (c *call) parties() (any, error) {
	d, err := c.directory()
	if err != nil {
		return nil, err
	}
	ids, next, err := c.page(d.Parties)
	if err != nil {
		return nil, err
	}
	list := PartyList{Parties: []PartyView{}, Next: next}
	view := c.final.State.View()
	defer view.Close()
	for _, id := range ids {
		p, err := rules.Load[rules.Party](view, rules.KeyParty(id))
		if err != nil {
			return nil, err
		}
		if p != nil {
			there, err := rules.Here(view, p)
			if err != nil {
				return nil, err
			}
			list.Parties = append(list.Parties, partyView(p, there))
		}
	}
	return list, nil
}

func partyView(p *rules.Party, active bool) PartyView {
	return PartyView{ID: p.ID, Name: p.Name, Member: p.Member, Host: p.Host, Active: active, Regime: p.Regime, Country: p.Country,
		Categories: list(p.Categories), Key: hex.EncodeToString(p.Key[:]), Joined: p.Joined, Left: p.Left}
}

// list is never null in JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (c *call) services() (any, error) {
	d, err := c.directory()
	if err != nil {
		return nil, err
	}
	ids, next, err := c.page(d.Services)
	if err != nil {
		return nil, err
	}
	out := ServiceList{Services: []ServiceView{}, Next: next}
	view := c.final.State.View()
	defer view.Close()
	for _, id := range ids {
		s, err := rules.Load[rules.Service](view, rules.KeyService(id))
		if err != nil {
			return nil, err
		}
		if s != nil {
			out.Services = append(out.Services, serviceView(s))
		}
	}
	return out, nil
}

func (c *call) service() (any, error) {
	s, err := c.loadService(c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return serviceView(s), nil
}

func (c *call) loadService(id string) (*rules.Service, error) {
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeServiceUnknown, "")
	}
	s, err := rules.Load[rules.Service](c.final.State, rules.KeyService(id))
	if err == nil && s == nil {
		err = record.Refuse(record.CodeServiceUnknown, "")
	}
	return s, err
}

func serviceView(s *rules.Service) ServiceView {
	v := ServiceView{ID: s.ID, Owner: s.Owner, Name: s.Name, Contact: s.Contact, Clauses: list(s.Clauses), Fields: list(s.Fields),
		SelfOnly: s.SelfOnly, Terms: []TermsVersion{}}
	for i, t := range s.Terms {
		v.Terms = append(v.Terms, TermsVersion{Number: uint32(i + 1), Version: t.Version, Hash: hex.EncodeToString(t.Hash[:]), EffectiveMs: t.EffectiveMs})
	}
	return v
}

func (c *call) attributes() (any, error) {
	v := Vocabulary{Attributes: []AttributeView{}, Purposes: []PurposeView{}, Levels: list(c.Founding.Levels), Parameters: []ParameterView{}}
	for _, a := range c.Founding.Attributes {
		v.Attributes = append(v.Attributes, AttributeView{Code: a.Code, Label: a.Label, Class: a.Class, Granularity: a.Granularity, Brackets: a.Brackets})
	}
	for _, p := range c.Founding.Purposes {
		v.Purposes = append(v.Purposes, PurposeView{Code: p.Code, Label: p.Label})
	}
	names := map[string]bool{}
	for name := range rules.Parameters {
		names[name] = true
	}
	for _, p := range c.Founding.Parameters {
		names[p.Name] = true
	}
	for name := range names {
		value, err := rules.Load[rules.Value](c.final.State, rules.KeyParameter(name))
		if err != nil {
			return nil, err
		}
		if value != nil {
			v.Parameters = append(v.Parameters, ParameterView{name, value.V})
		}
	}
	slices.SortFunc(v.Parameters, func(a, b ParameterView) int { return strings.Compare(a.Name, b.Name) })
	return v, nil
}
