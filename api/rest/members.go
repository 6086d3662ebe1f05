package rest

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// Members join and leave by the votes of k members, in a form that goes round: each
// answer is the next member's form, and the last posts it (docs/guide/joining.md).

// Network is who belongs to the consortium's network, as a node has it.
type Network struct {
	Seats        []node.Seat
	Vote, Follow []string // members whose nodes vote in Raft, and those on their way to it
}

// MemberList is the members of the newest policy epoch.
type MemberList struct {
	Origin  string       `json:"origin"`
	Epoch   uint64       `json:"epoch" doc:"policy epoch"`
	K       int          `json:"k" doc:"so many make a checkpoint final"`
	Members []MemberView `json:"members"`
}

// MemberView is a member and its node.
type MemberView struct {
	Member  string `json:"member"`
	Key     []byte `json:"key" doc:"of the network, Ed25519"`
	Address string `json:"address" doc:"host:port of the network, as it founded or joined"`
	Raft    string `json:"raft" enum:"voter,follower,none" doc:"as this node has it; a new member's node gets its vote when it has caught up"`
}

// Candidate is who asks to join. Its keys are those that the form proves.
type Candidate struct {
	ID         string      `json:"id"`
	Name       record.Text `json:"name"`
	Regime     string      `json:"regime" enum:"ch4,ch5,telecom,foreign"`
	Country    string      `json:"country" minLength:"2" maxLength:"2"`
	Categories []string    `json:"categories,omitempty"`
	Cosigner   string      `json:"cosigner" doc:"name of its cosigner key"`
	Address    string      `json:"address" doc:"host:port of the network"`
}

// JoinForm admits a member: the candidate's request, and the votes so far.
type JoinForm struct {
	ID        string     `json:"id" doc:"of the record, as the candidate drew it"`
	Epoch     uint64     `json:"epoch" doc:"policy epoch that the joining ends"`
	Candidate Candidate  `json:"candidate"`
	Keys      []ProofOf  `json:"keys" minItems:"4" maxItems:"4" doc:"approver, cosigner, network and record, each with its signature over the ballot"`
	Votes     []VoteOf   `json:"votes,omitempty" doc:"of other members"`
	Submit    bool       `json:"submit,omitempty" doc:"post it; otherwise this member only signs"`
	Tolerance *Tolerance `json:"tolerance,omitempty" doc:"as a node answered; not read"`
}

// ProofOf is a candidate's key in a role, and its signature over the ballot.
type ProofOf struct {
	Role  string `json:"role" enum:"approver,cosigner,network,record"`
	Key   []byte `json:"key"`
	Proof []byte `json:"proof"`
}

// JoinDone is the form as it stands, for the next member, and what became of it
// where it was posted.
type JoinDone struct {
	ID        string           `json:"id"`
	Epoch     uint64           `json:"epoch"`
	Candidate Candidate        `json:"candidate"`
	Keys      []ProofOf        `json:"keys"`
	Votes     []VoteOf         `json:"votes"`
	Tolerance *Tolerance       `json:"tolerance"`
	Key       string           `json:"idempotencyKey,omitempty"`
	Final     bool             `json:"final,omitempty" doc:"only where it was posted: till then the answer is the next member's form"`
	Records   []custody.Posted `json:"records,omitempty" doc:"as final"`
}

// RemovalForm ends a membership: the votes so far.
type RemovalForm struct {
	ID        string     `json:"id,omitempty" doc:"of the record; drawn where absent"`
	Epoch     *uint64    `json:"epoch,omitempty" doc:"policy epoch that the removal ends; the present one where absent"`
	Votes     []VoteOf   `json:"votes,omitempty" doc:"of other members"`
	Submit    bool       `json:"submit,omitempty" doc:"post it; otherwise this member only signs"`
	Tolerance *Tolerance `json:"tolerance,omitempty" doc:"as a node answered; not read"`
}

// RemovalDone is the form as it stands, for the next member, and what became of it
// where it was posted.
type RemovalDone struct {
	ID        string           `json:"id"`
	Epoch     uint64           `json:"epoch"`
	Votes     []VoteOf         `json:"votes"`
	Tolerance *Tolerance       `json:"tolerance"`
	Key       string           `json:"idempotencyKey,omitempty"`
	Final     bool             `json:"final,omitempty" doc:"only where it was posted: till then the answer is the next member's form"`
	Records   []custody.Posted `json:"records,omitempty" doc:"as final"`
}

// Tolerance is what the consortium bears before a change of members, and after it.
type Tolerance struct {
	Before Bears    `json:"before"`
	After  Bears    `json:"after"`
	Says   Sentence `json:"says"`
}

// Bears is what so many members bear.
type Bears struct {
	Members int `json:"members"`
	K       int `json:"k" doc:"so many make a checkpoint final"`
	Down    int `json:"down" doc:"so many may be down, and the log goes on"`
	Liars   int `json:"liars" doc:"so many may lie, and nothing false becomes final"`
}

func bears(n int) Bears { return Bears{n, sign.Quorum(n), n - sign.Quorum(n), (n - 1) / 3} }

func toleranceOf(before, after int) *Tolerance {
	t := &Tolerance{Before: bears(before), After: bears(after)}
	b, a := t.Before, t.After
	t.Says = Sentence{fmt.Sprintf("%d社中%d社の署名が必要になります。止まってよいのは%d社（いまは%d社）、うそをついても破れないのは%d社まで（いまは%d社）です。", a.Members, a.K, a.Down, b.Down, a.Liars, b.Liars),
		fmt.Sprintf("%d of %d members must sign. %d may be down (now %d), and %d may lie without harm (now %d).", a.K, a.Members, a.Down, b.Down, a.Liars, b.Liars)}
	return t
}

func memberRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/members", name: "members", tag: "consortium", text: Sentence{"加盟企業とそのノード", "Members and their nodes"},
			result: MemberList{}, handle: (*call).members},
		{method: "POST", path: "/v1/members", name: "admit-member", tag: "consortium", text: Sentence{"加盟企業を迎える", "Admit a member"},
			roles: admin, body: JoinForm{}, result: JoinDone{}, writes: true, explain: true, handle: (*call).admitMember},
		{method: "POST", path: "/v1/members/{id}/removal", name: "remove-member", tag: "consortium", text: Sentence{"加盟を終える", "End a membership"},
			roles: admin, body: RemovalForm{}, result: RemovalDone{}, writes: true, explain: true, handle: (*call).removeMember},
		{method: "POST", path: "/v1/members/{id}/keys", name: "rotate-keys", tag: "consortium", text: Sentence{"加盟企業の鍵を替える", "Replace keys of a member"},
			roles: admin, body: KeysForm{}, result: KeysDone{}, writes: true, explain: true, handle: (*call).rotateKeys},
	}
}

func (c *call) members() (any, error) {
	policy, err := rules.Load[rules.Policy](c.final.State, rules.KeyPolicy)
	if err != nil {
		return nil, err
	}
	net := c.Network()
	list := MemberList{Origin: policy.Origin, Epoch: policy.Epoch, K: policy.K, Members: []MemberView{}}
	for _, m := range policy.Members {
		v := MemberView{Member: m.ID, Raft: "none"}
		if i := slices.IndexFunc(net.Seats, func(s node.Seat) bool { return s.Member == m.ID }); i >= 0 {
			v.Key, v.Address = net.Seats[i].Key, net.Seats[i].Address
		}
		switch {
		case slices.Contains(net.Vote, m.ID):
			v.Raft = "voter"
		case slices.Contains(net.Follow, m.ID):
			v.Raft = "follower"
		}
		list.Members = append(list.Members, v)
	}
	return list, nil
}

// membership checks who asks, and reads the policy that a change would end.
func (c *call) membership(to custody.Call) (*rules.Policy, error) {
	if to.As != "" && to.As != c.Self { // only members vote
		return nil, fault(codeRole)
	}
	return rules.Load[rules.Policy](c.final.State, rules.KeyPolicy)
}

func (c *call) admitMember() (any, error) {
	var f JoinForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	policy, err := c.membership(to)
	if err != nil {
		return nil, err
	}
	id, b, err := f.change()
	if err != nil {
		return nil, err
	}
	if err := c.joins(policy, id, b); err != nil {
		return nil, err
	}
	out := JoinDone{ID: f.ID, Epoch: f.Epoch, Candidate: f.Candidate, Keys: f.Keys, Tolerance: toleranceOf(len(policy.Members), len(policy.Members)+1)}
	d, err := c.voteFor(to, id, b, f.Votes, f.Submit)
	if err != nil {
		return nil, err
	}
	out.Votes, out.Key, out.Final, out.Records = votesOf(b.Votes), d.Key, d.Final, d.Records
	return out, nil
}

// JoinFormOf returns a candidate's request as the form that it makes.
func JoinFormOf(id record.ID, b *record.MemberChange) JoinForm {
	m := b.Info
	f := JoinForm{ID: hex.EncodeToString(id[:]), Epoch: b.Epoch, Candidate: Candidate{ID: m.ID, Name: m.Name, Regime: m.Regime,
		Country: m.Country, Categories: m.Categories, Cosigner: m.Cosigner, Address: m.Addr}}
	for _, k := range b.Keys {
		f.Keys = append(f.Keys, ProofOf{k.Role, k.Key[:], k.Proof[:]})
	}
	return f
}

// change reads the candidate's request.
func (f *JoinForm) change() (record.ID, *record.MemberChange, error) {
	id, err := recordID("id", f.ID)
	if err != nil {
		return id, nil, faultAt(codeInvalid, "id")
	}
	p := &f.Candidate
	info := &record.MemberInfo{ID: p.ID, Name: p.Name, Regime: p.Regime, Country: p.Country, Categories: p.Categories, Cosigner: p.Cosigner, Addr: p.Address}
	b := &record.MemberChange{Action: record.ActionAdd, Epoch: f.Epoch, Member: p.ID, Info: info}
	of := map[string]*sign.PublicKey{record.RoleApprover: &info.Approver, record.RoleCosigner: &info.CosignKey,
		record.RoleNetwork: &info.Peer, record.RoleRecord: &info.Key}
	for _, k := range f.Keys {
		if len(k.Key) != sign.PublicKeySize || len(k.Proof) != sign.SignatureSize || of[k.Role] == nil {
			return id, nil, faultAt(codeInvalid, "keys")
		}
		*of[k.Role] = sign.PublicKey(k.Key)
		b.Keys = append(b.Keys, record.NewKey{Role: k.Role, Key: sign.PublicKey(k.Key), Proof: sign.Signature(k.Proof)})
	}
	return id, b, nil
}

// joins refuses, before this member votes, what could not join.
func (c *call) joins(policy *rules.Policy, id record.ID, b *record.MemberChange) error {
	if err := c.Candidate(b.Info); err != nil {
		return err
	}
	if b.Epoch != policy.Epoch {
		return record.Refuse(record.CodePolicyEpoch, "the request is for epoch %d, the present one is %d", b.Epoch, policy.Epoch)
	}
	ballot := b.Ballot(id)
	for _, k := range b.Keys {
		if sign.Verify(k.Key, sign.DomainGovernance, c.Founding.Origin, ballot, k.Proof) != nil {
			return record.Refuse(record.CodeSignature, "the proof of the %s key", k.Role)
		}
	}
	there, err := rules.Load[rules.Party](c.final.State, rules.KeyParty(b.Member))
	if err != nil {
		return err
	}
	if there != nil && (!there.Member || there.Active()) {
		return record.Refuse(record.CodePartyExists, "%s is there", b.Member)
	}
	return nil
}

func (c *call) removeMember() (any, error) {
	var f RemovalForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	policy, err := c.membership(to)
	if err != nil {
		return nil, err
	}
	id := c.newID(to, "removal")
	if f.ID != "" {
		if id, err = recordID("id", f.ID); err != nil {
			return nil, faultAt(codeInvalid, "id")
		}
	}
	b := &record.MemberChange{Action: record.ActionRemove, Epoch: policy.Epoch, Member: c.r.PathValue("id")}
	if f.Epoch != nil {
		b.Epoch = *f.Epoch
	}
	switch {
	case !slices.ContainsFunc(policy.Members, func(m rules.Cosigner) bool { return m.ID == b.Member }):
		return nil, record.Refuse(record.CodeMemberNotActive, "no such member in policy epoch %d", policy.Epoch)
	case len(policy.Members) == 1:
		return nil, record.Refuse(record.CodeMemberLast, "")
	case b.Epoch != policy.Epoch:
		return nil, record.Refuse(record.CodePolicyEpoch, "the votes are for epoch %d, the present one is %d", b.Epoch, policy.Epoch)
	}
	out := RemovalDone{ID: hex.EncodeToString(id[:]), Epoch: b.Epoch, Tolerance: toleranceOf(len(policy.Members), len(policy.Members)-1)}
	d, err := c.voteFor(to, id, b, f.Votes, f.Submit)
	if err != nil {
		return nil, err
	}
	out.Votes, out.Key, out.Final, out.Records = votesOf(b.Votes), d.Key, d.Final, d.Records
	return out, nil
}

// voteFor adds this member's vote to a change, and posts it where it is the last.
func (c *call) voteFor(to custody.Call, id record.ID, b *record.MemberChange, others []VoteOf, submit bool) (*custody.Done, error) {
	var err error
	if b.Votes, err = c.voted(others, b.Ballot(id)); err != nil {
		return nil, err
	}
	rec := &record.Record{Kind: record.KindMember, ID: id, Issuer: c.Self, Body: b}
	leaf, err := rec.Leaf() // nothing malformed is signed for, or handed back
	if err != nil || !submit {
		return &custody.Done{}, err
	}
	d, err := c.postRecord(to, rec, leaf)
	if err == nil {
		c.beginEpoch()
	}
	return d, err
}
