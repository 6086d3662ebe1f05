package receipt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// FormatChain is the format of a policy chain: what leads from the policy of the
// founding to the newest, one link for each policy epoch that is over
// (docs/spec/policy.md). It is no file that a person keeps, but what lets one
// verify under policies that came later.
const FormatChain = "akashi-policy-chain/v1"

// MaxChainBytes bounds a policy chain.
const MaxChainBytes = 16 << 20

type chain struct {
	Format string `json:"format"`
	Links  []link `json:"links"` // of epochs 0, 1, …
}

// link ends a policy epoch: the record that changes the members and the seal
// that is the closing checkpoint's last leaf, both proven at that checkpoint.
type link struct {
	Epoch uint64 `json:"epoch"`
	Leaf  []byte `json:"leaf"`
	Proof string `json:"proof"`
	Seal  proven `json:"seal"`
}

// Closing is the closing checkpoint of a policy epoch and what a link shows of it.
type Closing struct {
	Epoch uint64
	Index uint64 // of the record that closes the epoch
	Note  []byte // signed under the epoch's policy
	Size  uint64
	Leaf  func(index uint64) ([]byte, error)
	Path  func(index uint64) ([]merkle.Hash, error) // to the root at Size
}

// BuildChain makes the policy chain of closing checkpoints, in order.
func BuildChain(closings []Closing) ([]byte, error) {
	f := &chain{Format: FormatChain, Links: []link{}}
	for i := range closings {
		c := &closings[i]
		rec, err := c.proven(c.Index)
		if err != nil {
			return nil, fmt.Errorf("policy epoch %d: %w", c.Epoch, err)
		}
		seal, err := c.proven(c.Size - 1)
		if err != nil {
			return nil, fmt.Errorf("policy epoch %d: %w", c.Epoch, err)
		}
		f.Links = append(f.Links, link{Epoch: c.Epoch, Leaf: rec.Leaf, Proof: rec.Proof, Seal: *seal})
	}
	return render(f)
}

func (c *Closing) proven(index uint64) (*proven, error) {
	leaf, err := c.Leaf(index)
	if err != nil {
		return nil, err
	}
	path, err := c.Path(index)
	if err != nil {
		return nil, err
	}
	return &proven{leaf, formatProof(inclusion{index, path, string(c.Note)})}, nil
}

// ErrChain says that a policy chain leads from none of the policies given.
var ErrChain = errors.New("the policy chain leads from none of the policies given")

// FollowChain verifies a policy chain from the first link that closes an epoch of
// one of the trusted policies, and returns the policies of all epochs from there
// on, each with its range, and before them those trusted policies that are none
// of these. An empty chain adds nothing. Every link is final under the policy that the links before it lead
// to. An error that is not ErrChain is an *Error.
func FollowChain(b []byte, trusted []*sign.Policy) ([]*sign.Policy, error) {
	f := new(chain)
	if err := decode("policy-chain", b, MaxChainBytes, f); err != nil {
		return nil, err
	}
	if f.Format != FormatChain {
		return nil, &Error{Format: "policy-chain", Part: "format", Err: fmt.Errorf("%q, this program knows %q", f.Format, FormatChain)}
	}
	if len(f.Links) == 0 && len(trusted) > 0 { // nothing has changed since the founding
		return trusted, nil
	}
	var epochs []*sign.Policy
	for i := range f.Links {
		l := &f.Links[i]
		if l.Epoch != uint64(i) {
			return nil, l.fails(fmt.Errorf("it is link %d", i))
		}
		if len(epochs) == 0 {
			epochs = l.anchor(trusted)
			if len(epochs) == 0 {
				continue
			}
		}
		next, err := l.follow(epochs[len(epochs)-1])
		if err != nil {
			return nil, l.fails(err)
		}
		epochs = append(epochs, next)
	}
	if len(epochs) == 0 {
		return nil, ErrChain
	}
	var out []*sign.Policy
	for _, p := range trusted {
		same := func(e *sign.Policy) bool { return bytes.Equal(e.Format(), p.Format()) }
		if !slices.ContainsFunc(epochs, same) {
			out = append(out, p)
		}
	}
	return append(out, epochs...), nil
}

func (l *link) fails(err error) error {
	return &Error{Format: "policy-chain", Part: "links", For: fmt.Sprintf("policy epoch %d", l.Epoch), Err: err}
}

// anchor returns a copy of the trusted policy under which the link's checkpoint
// is final, none where there is none.
func (l *link) anchor(trusted []*sign.Policy) []*sign.Policy {
	p, err := parseProof(l.Proof)
	if err != nil {
		return nil
	}
	for _, t := range trusted {
		if _, err := openNote(p.note, []*sign.Policy{members(t)}); err == nil {
			own := *t
			first := sign.RangeEnd{Size: 1}
			if t.Range != nil {
				first = t.Range.First
			}
			own.Range = &sign.Range{Epoch: l.Epoch, First: first}
			return []*sign.Policy{&own}
		}
	}
	return nil
}

// members returns a policy without what it wants beyond k members: an epoch ends
// by these alone.
func members(p *sign.Policy) *sign.Policy {
	return &sign.Policy{Origin: p.Origin, Log: p.Log, Members: p.Members, K: p.K}
}

// follow verifies the link under the policy of the epoch that it ends, completes
// that policy's range, and returns the policy of the next.
func (l *link) follow(p *sign.Policy) (*sign.Policy, error) {
	proof, err := parseProof(l.Proof)
	if err != nil {
		return nil, err
	}
	at, err := openNote(proof.note, []*sign.Policy{members(p)})
	if err != nil {
		return nil, err
	}
	seal, err := at.last(&l.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := at.holds(proof, l.Leaf); err != nil {
		return nil, err
	}
	rec, err := record.Parse(l.Leaf)
	if err != nil {
		return nil, err
	}
	change, ok := rec.Body.(*record.MemberChange)
	switch {
	case !ok:
		return nil, fmt.Errorf("a record of kind %v ends no epoch", rec.Kind)
	case seal.PolicyEpoch != l.Epoch || change.Epoch != l.Epoch:
		return nil, fmt.Errorf("its batch is of epoch %d, its votes are for epoch %d", seal.PolicyEpoch, change.Epoch)
	case at.Size-1-proof.index > uint64(acceptedIn(seal)):
		return nil, errors.New("the record is not in the closing batch")
	}
	next, err := after(p, change)
	if err != nil {
		return nil, err
	}
	closing := sign.RangeEnd{Height: seal.Height, Size: at.Size, Root: at.Root}
	if at.Size < p.Range.First.Size {
		return nil, errors.New("it closes before it begins")
	}
	p.Range.Closing = closing
	next.Range = &sign.Range{Epoch: l.Epoch + 1, First: sign.RangeEnd{Height: closing.Height + 1, Size: closing.Size + 1}}
	return next, nil
}

// acceptedIn returns how many records a seal says that its batch has.
func acceptedIn(seal *record.Seal) int {
	n := 0
	for i := range seal.Submissions {
		n += int(seal.Submissions[i].Count)
	}
	for _, r := range seal.Refusals {
		if r.All {
			n -= int(seal.Submissions[r.Sub].Count)
		} else {
			n--
		}
	}
	return n
}

// after returns the policy that a change leads to. What the rules refused is not
// in the log, so all that is checked is that this program knows the change and
// that the policy is one.
func after(p *sign.Policy, c *record.MemberChange) (*sign.Policy, error) {
	next := *p
	next.Members = slices.Clone(p.Members)
	i := slices.IndexFunc(next.Members, func(m sign.PolicyMember) bool { return m.ID == c.Member })
	there := i >= 0
	switch {
	case c.Action == record.ActionAdd && !there:
		next.Members = append(next.Members, sign.PolicyMember{ID: c.Member, Signer: c.Info.Cosigner, Key: c.Info.CosignKey})
		slices.SortFunc(next.Members, func(a, b sign.PolicyMember) int { return strings.Compare(a.ID, b.ID) })
	case c.Action == record.ActionRemove && there && len(next.Members) > 1:
		next.Members = slices.Delete(next.Members, i, i+1)
	case c.Action == record.ActionRotate && there:
		if k := c.Key(record.RoleCosigner); k != nil {
			next.Members[i].Key = *k
		}
	default:
		return nil, fmt.Errorf("%s of %s: a change that this program does not know", c.Action, c.Member)
	}
	next.K = sign.Quorum(len(next.Members))
	if _, err := sign.ParsePolicy(next.Format()); err != nil {
		return nil, err
	}
	return &next, nil
}
