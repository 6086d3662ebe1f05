package rest

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// KeysForm replaces keys of a member, in one form that goes round: the member's
// own node prepares the keys and signs with them, each further member's node
// adds its vote, and the last posts the record.
type KeysForm struct {
	ID     string   `json:"id,omitempty" doc:"of the record; drawn where absent"`
	Epoch  *uint64  `json:"epoch,omitempty" doc:"policy epoch that the change ends; the present one where absent"`
	Roles  []string `json:"roles,omitempty" doc:"keys to prepare, at the member's own node only: approver, cosigner, record"`
	Keys   []KeyOf  `json:"keys,omitempty" doc:"as the member's own node gave them"`
	Votes  []VoteOf `json:"votes,omitempty" doc:"of other members"`
	Submit bool     `json:"submit,omitempty" doc:"post it; otherwise this member only signs"`
}

// KeyOf is a member's next key in a role, and its signature over the ballot.
type KeyOf struct {
	Role  string `json:"role" enum:"approver,cosigner,record"`
	Key   []byte `json:"key"`
	Proof []byte `json:"proof"`
}

// KeysDone is the form as it stands, for the next member, and what became of it
// where it was posted.
type KeysDone struct {
	ID      string           `json:"id"`
	Epoch   uint64           `json:"epoch"`
	Keys    []KeyOf          `json:"keys"`
	Votes   []VoteOf         `json:"votes"`
	Key     string           `json:"idempotencyKey,omitempty"`
	Final   bool             `json:"final,omitempty" doc:"only where it was posted: till then the answer is the next member's form"`
	Records []custody.Posted `json:"records,omitempty" doc:"as final"`
}

func (c *call) rotateKeys() (any, error) {
	var f KeysForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if to.As != "" && to.As != c.Self { // only members vote
		return nil, fault(codeRole)
	}
	id, b, err := c.rotation(to, &f)
	if err != nil {
		return nil, err
	}
	d, err := c.voteFor(to, id, b, f.Votes, f.Submit)
	if err != nil {
		return nil, err
	}
	out := KeysDone{ID: hex.EncodeToString(id[:]), Epoch: b.Epoch, Keys: []KeyOf{}, Votes: votesOf(b.Votes), Key: d.Key, Final: d.Final, Records: d.Records}
	for _, k := range b.Keys {
		out.Keys = append(out.Keys, KeyOf{k.Role, k.Key[:], k.Proof[:]})
	}
	return out, nil
}

// beginEpoch posts a tick: the new keys count from the next batch on, and an idle
// log has none. Where that fails, whatever is posted next does as well.
func (c *call) beginEpoch() {
	_, err := c.Outbox.Submit(c.ctx, outbox.Request{Issuer: c.Self, Urgent: true, Brief: true, Records: []*record.Record{
		{Kind: record.KindTick, ID: c.newID(custody.Call{}, "tick"), Issuer: c.Self, Body: &record.Tick{}}}})
	if err != nil {
		c.Log.Warn("the new policy epoch waits for the next batch", "err", err)
	}
}

// rotation builds the change without votes, at the member's own node with the keys.
func (c *call) rotation(to custody.Call, f *KeysForm) (id record.ID, b *record.MemberChange, err error) {
	id = c.newID(to, "keys")
	if f.ID != "" {
		if id, err = recordID("id", f.ID); err != nil {
			return id, nil, faultAt(codeInvalid, "id")
		}
	}
	policy, err := rules.Load[rules.Policy](c.final.State, rules.KeyPolicy)
	if err != nil {
		return id, nil, err
	}
	b = &record.MemberChange{Action: record.ActionRotate, Epoch: policy.Epoch, Member: c.r.PathValue("id")}
	if f.Epoch != nil {
		b.Epoch = *f.Epoch
	}
	if b.Keys, err = c.nextKeys(b.Member, f); err != nil {
		return id, nil, err
	}
	ballot := b.Ballot(id)
	for i := range b.Keys {
		if b.Member == c.Self { // ours are made again: a changed ballot needs them anew
			proof, ok := c.Prove(b.Keys[i].Role, b.Keys[i].Key, ballot)
			if !ok {
				return id, nil, faultAt(codeInvalid, "keys")
			}
			b.Keys[i].Proof = proof
		} else if sign.Verify(b.Keys[i].Key, sign.DomainGovernance, c.Founding.Origin, ballot, b.Keys[i].Proof) != nil {
			return id, nil, record.Refuse(record.CodeSignature, "the proof of the %s key", b.Keys[i].Role)
		}
	}
	return id, b, nil
}

// nextKeys reads the keys of a form, or prepares them.
func (c *call) nextKeys(member string, f *KeysForm) ([]record.NewKey, error) {
	if len(f.Keys)+len(f.Roles) > 3 || len(f.Roles) > 0 && (len(f.Keys) > 0 || member != c.Self) {
		return nil, faultAt(codeInvalid, "roles")
	}
	var keys []record.NewKey
	for _, role := range f.Roles {
		k, err := c.Prepare(role)
		if err != nil {
			return nil, err
		}
		keys = append(keys, record.NewKey{Role: role, Key: k})
	}
	for _, k := range f.Keys {
		if len(k.Key) != sign.PublicKeySize || len(k.Proof) != sign.SignatureSize {
			return nil, faultAt(codeInvalid, "keys")
		}
		keys = append(keys, record.NewKey{Role: k.Role, Key: sign.PublicKey(k.Key), Proof: sign.Signature(k.Proof)})
	}
	slices.SortFunc(keys, func(a, b record.NewKey) int { return strings.Compare(a.Role, b.Role) })
	return keys, nil
}
