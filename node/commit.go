package node

import (
	"context"
	"errors"

	"github.com/akashi-ledger/akashi/crypto/sign"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/transport"
)

// sendCommit takes a commit to a commitment tree to whoever leads.
func (n *Node) sendCommit(ctx context.Context, entry []byte) error {
	r := n.replica.Load()
	if r == nil {
		return forest.ErrNoLeader
	}
	leader := r.Leader()
	if leader == n.Settings.Member {
		switch err := r.Commit(leader, entry); {
		case errors.Is(err, replica.ErrBusy):
			n.roomFor(entry)
			return forest.ErrLeaderBusy
		case errors.Is(err, replica.ErrNotLeader):
			return forest.ErrNoLeader
		default:
			return err
		}
	}
	id, ok := n.peers.Load().ids[leader]
	if !ok {
		return forest.ErrNoLeader
	}
	_, err := n.host.Call(ctx, id, callCommit, entry)
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		switch remote.Code {
		case "busy":
			return forest.ErrLeaderBusy
		case "no-leader":
			return forest.ErrNoLeader
		}
	}
	return err
}

// serveCommit proposes another member's commit, if we lead and the rules would take
// it from an issuer of that member's: the Raft log is kept, and nobody else may fill
// it.
func (n *Node) serveCommit(_ context.Context, from string, req []byte) ([]byte, error) {
	r := n.replica.Load()
	if r == nil {
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	if err := checkCommit(n.ledger.State(), n.Founding.Origin, from, req); err != nil {
		return nil, err
	}
	var refusal *record.Refusal
	switch err := r.Commit(from, req); {
	case errors.Is(err, replica.ErrBusy):
		n.roomFor(req)
		return nil, &transport.RemoteError{Code: "busy"}
	case errors.As(err, &refusal):
		return nil, &transport.RemoteError{Code: "malformed"}
	case err != nil:
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	return nil, nil
}

// checkCommit refuses what the rules would refuse. An issuer, a key or a tree that
// is not known here may be in an entry that is not applied yet: then the sender
// tries again.
func checkCommit(view rules.View, origin, from string, entry []byte) error {
	c, err := law.Parse(entry)
	if err != nil {
		return &transport.RemoteError{Code: "malformed"}
	}
	p, err := rules.Load[rules.Party](view, rules.KeyParty(c.Issuer))
	if err != nil {
		return err
	}
	t, err := rules.Load[rules.Tree](view, rules.KeyTree(c.Tree))
	switch {
	case err != nil:
		return err
	case p == nil || p.Host != from || !p.Active() || t == nil || !t.MayWrite(c.Issuer) ||
		sign.Verify(p.Key, sign.DomainTree, origin, c.Signed(), c.Sig) != nil:
		return &transport.RemoteError{Code: "issuer"}
	}
	return nil
}

// onCommitted is called by the applying goroutine for every commit to a tree.
// What waits for a batch gets one soon: an advance of the tree, or a tick by the
// leader, where whoever owns the tree is away.
func (n *Node) onCommitted(entry []byte, res *law.Result) {
	n.forest.Applied(entry, res)
	busy := res.Refused != nil && res.Refused.Code == record.CodeTreeBusy
	if busy || n.ledger.Pending() > law.MaxPending/2 {
		n.makeRoom()
	}
}

// roomFor makes room for a commit where that is what it waits for.
func (n *Node) roomFor(entry []byte) {
	if n.ledger.Pending()+len(entry) > law.MaxPending {
		n.makeRoom()
	}
}

// makeRoom has the leader post a tick, one at a time: the batch with it makes room
// for commits to trees.
func (n *Node) makeRoom() {
	if n.Leader() != n.Settings.Member || !n.ticking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer n.ticking.Store(false)
		n.tick()
	}()
}
