package record

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// What a MemberChange does.
const (
	ActionAdd    = "add"
	ActionRemove = "remove"
	ActionRotate = "rotate"
)

// Roles of a member's keys. All but RoleNetwork can be replaced while it stays a
// member: that one is its name in Raft, and changes with the membership.
const (
	RoleApprover = "approver" // second approver of exceptions
	RoleCosigner = "cosigner" // signs checkpoints
	RoleNetwork  = "network"  // identity on the network
	RoleRecord   = "record"   // signs submissions, headers and votes
)

// MemberChange changes who cosigns, and so ends a policy epoch: a member's keys
// are replaced, a member leaves, or one joins. Proofs and votes sign Ballot
// (domain "governance"). A candidate's proofs are its consent to join: of all
// four keys, over all that the members vote on.
type MemberChange struct {
	Action string       `cbor:"1,keyasint"`
	Epoch  uint64       `cbor:"2,keyasint"`           // policy epoch that it ends: no vote counts in another
	Member string       `cbor:"3,keyasint"`           // whom it is about
	Keys   []NewKey     `cbor:"4,keyasint,omitempty"` // ascending by role; add: those of Info, all four
	Info   *MemberInfo  `cbor:"5,keyasint,omitempty"` // add: as a founder's
	Votes  []MemberVote `cbor:"6,keyasint"`
}

// NewKey is a member's next key in a role, which signs the ballot: whoever
// proposes a key has it.
type NewKey struct {
	Role  string         `cbor:"1,keyasint"`
	Key   sign.PublicKey `cbor:"2,keyasint"`
	Proof sign.Signature `cbor:"3,keyasint"`
}

func (c *MemberChange) check() error {
	if err := checkID("member", c.Member); err != nil {
		return err
	}
	if err := checkVotes(c.Votes); err != nil {
		return err
	}
	switch {
	case c.Action == ActionRotate && len(c.Keys) > 0 && c.Info == nil:
		if c.Key(RoleNetwork) != nil {
			return refuse(CodeRecordMalformed, "the key on the network stays as long as the member does")
		}
		return c.checkKeys()
	case c.Action == ActionAdd && c.Info != nil && c.Info.ID == c.Member:
		if err := c.Info.check(); err != nil {
			return err
		}
		if len(c.Keys) != 4 || c.Keys[0].Key != c.Info.Approver || c.Keys[1].Key != c.Info.CosignKey ||
			c.Keys[2].Key != c.Info.Peer || c.Keys[3].Key != c.Info.Key {
			return refuse(CodeRecordMalformed, "proofs are not those of the new member's keys")
		}
		return c.checkKeys()
	case c.Action == ActionRemove && len(c.Keys) == 0 && c.Info == nil:
		return nil
	}
	return refuse(CodeRecordMalformed, "action %q does not go with what the record holds", c.Action)
}

var roles = map[string]bool{RoleApprover: true, RoleCosigner: true, RoleNetwork: true, RoleRecord: true}

func (c *MemberChange) checkKeys() error {
	for i, k := range c.Keys {
		if !roles[k.Role] || i > 0 && c.Keys[i-1].Role >= k.Role {
			return refuse(CodeRecordMalformed, "role %q", k.Role)
		}
		if err := checkKey("the next key", k.Key); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Keys[:i], func(o NewKey) bool { return o.Key == k.Key }) {
			return refuse(CodeRecordMalformed, "one key in two roles")
		}
	}
	return nil
}

// Key returns the next key in a role, nil where the record has none.
func (c *MemberChange) Key(role string) *sign.PublicKey {
	for i := range c.Keys {
		if c.Keys[i].Role == role {
			return &c.Keys[i].Key
		}
	}
	return nil
}

type changeBallot struct {
	ID     ID          `cbor:"1,keyasint"`
	Action string      `cbor:"2,keyasint"`
	Epoch  uint64      `cbor:"3,keyasint"`
	Member string      `cbor:"4,keyasint"`
	Keys   []ballotKey `cbor:"5,keyasint,omitempty"`
	Info   *MemberInfo `cbor:"6,keyasint,omitempty"`
}

type ballotKey struct {
	Role string         `cbor:"1,keyasint"`
	Key  sign.PublicKey `cbor:"2,keyasint"`
}

// Ballot returns what members and next keys sign: the record's id and all of its
// body but proofs and votes.
func (c *MemberChange) Ballot(id ID) []byte {
	b := &changeBallot{ID: id, Action: c.Action, Epoch: c.Epoch, Member: c.Member, Info: c.Info}
	for _, k := range c.Keys {
		b.Keys = append(b.Keys, ballotKey{k.Role, k.Key})
	}
	return canon.Must(b)
}

// MemberVote is one member's signed agreement (domain "governance").
type MemberVote struct {
	Member string         `cbor:"1,keyasint"`
	Sig    sign.Signature `cbor:"2,keyasint"`
}

func checkVotes(vs []MemberVote) error {
	if len(vs) > MaxMembers {
		return refuse(CodeRecordMalformed, "%d votes", len(vs))
	}
	for i, v := range vs {
		if !ValidID(v.Member) || i > 0 && vs[i-1].Member >= v.Member {
			return refuse(CodeRecordMalformed, "votes are not in ascending order of member")
		}
	}
	return nil
}
