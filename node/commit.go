package node

import (
	"context"
	"errors"

	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
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
		switch err := r.Commit(entry); {
		case errors.Is(err, replica.ErrBusy):
			return forest.ErrLeaderBusy
		case errors.Is(err, replica.ErrNotLeader):
			return forest.ErrNoLeader
		default:
			return err
		}
	}
	id, ok := n.peers.ids[leader]
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

// serveCommit proposes another member's commit, if we lead.
func (n *Node) serveCommit(_ context.Context, _ string, req []byte) ([]byte, error) {
	r := n.replica.Load()
	if r == nil {
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	var refusal *record.Refusal
	switch err := r.Commit(req); {
	case errors.Is(err, replica.ErrBusy):
		return nil, &transport.RemoteError{Code: "busy"}
	case errors.As(err, &refusal):
		return nil, &transport.RemoteError{Code: "malformed"}
	case err != nil:
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	return nil, nil
}

// onCommitted is called by the applying goroutine for every commit to a tree.
// What waits for a batch gets one soon: an advance of the tree, or a tick by the
// leader, where whoever owns the tree is away.
func (n *Node) onCommitted(entry []byte, res *law.Result) {
	n.forest.Applied(entry, res)
	if n.ledger.Pending() <= law.MaxPending/2 || n.Leader() != n.Settings.Member || !n.ticking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer n.ticking.Store(false)
		n.tick()
	}()
}
