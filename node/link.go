package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Names and bounds of the requests between members.
const (
	callSubmit  = "submit"
	callCommit  = "commit"
	callCosign  = "cosign"
	callSeal    = "seal"
	callHeight  = "height"
	callWelcome = "welcome"
	callDesk    = "desk"
)

func (n *Node) openNetwork([]byte) error {
	if err := n.seatAtStart(); err != nil {
		return err
	}
	host, err := transport.New(transport.Config{
		Key: n.keys.Peer.Private(), Listen: n.Settings.P2P, Peers: n.addresses(n.peers.Load().seats), Log: n.Log,
		Admit: func(id peer.ID) bool { _, ok := n.peers.Load().members[id]; return ok },
	})
	if err != nil {
		return err
	}
	n.host = host
	for _, h := range []struct {
		name   string
		limits transport.Limits
		handle func(ctx context.Context, member string, req []byte) ([]byte, error)
	}{
		{callSubmit, transport.Limits{MaxRequest: 1 << 20, MaxResponse: 1 << 10, Concurrency: 32}, n.serveSubmit},
		{callCommit, transport.Limits{MaxRequest: law.MaxCommitBytes + 1, MaxResponse: 1 << 10, Concurrency: 16}, n.serveCommit},
		{callCosign, transport.Limits{MaxRequest: 1 << 20, MaxResponse: 1 << 10, Concurrency: 8}, n.serveCosign},
		{callSeal, transport.Limits{MaxRequest: 64, MaxResponse: record.MaxSealBytes, Concurrency: 4}, n.serveSeal},
		{callHeight, transport.Limits{MaxRequest: 1, MaxResponse: 16, Concurrency: 4}, n.serveHeight},
		{callWelcome, welcomeLimits, n.serveWelcome},
		{callDesk, transport.Limits{MaxRequest: 5 << 20, MaxResponse: 1 << 20, Concurrency: 8}, n.serveDesk},
		{callOrigin, originLimits, n.serveOrigin},
		{callEscrow, transport.Limits{MaxRequest: escrow.MaxRequest, MaxResponse: escrow.MaxResponse, Concurrency: 4}, n.serveEscrow},
	} {
		handle := h.handle
		err := host.Handle(h.name, h.limits, func(ctx context.Context, from peer.ID, req []byte) ([]byte, error) {
			if !n.serving.Load() {
				return nil, &transport.RemoteError{Code: "starting"}
			}
			return handle(ctx, n.peers.Load().members[from], req)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type submitMessage struct {
	Urgent    bool             `cbor:"1,keyasint,omitempty"`
	Submitted record.Submitted `cbor:"2,keyasint"`
}

// serveSubmit queues another member's submission, if we lead and it is signed by an
// issuer of that member's.
func (n *Node) serveSubmit(_ context.Context, from string, req []byte) ([]byte, error) {
	r := n.replica.Load()
	if r == nil {
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	var m submitMessage
	if err := canon.Unmarshal(req, &m); err != nil {
		return nil, &transport.RemoteError{Code: "malformed"}
	}
	if err := checkSubmission(n.ledger.State(), n.Founding.Origin, from, &m.Submitted.Submission); err != nil {
		return nil, err
	}
	var refusal *record.Refusal
	switch err := r.Submit(from, &m.Submitted, m.Urgent); {
	case errors.Is(err, replica.ErrBusy):
		return nil, &transport.RemoteError{Code: "busy"}
	case errors.As(err, &refusal):
		return nil, &transport.RemoteError{Code: "malformed"}
	case err != nil:
		return nil, &transport.RemoteError{Code: "no-leader"}
	}
	return nil, nil
}

// checkSubmission refuses what the rules would refuse, before it takes room in the
// queue. An issuer or a key that is not known here may be in an entry that is not
// applied yet: then the sender tries again.
func checkSubmission(view rules.View, origin, from string, s *record.Submission) error {
	if !record.ValidID(s.Issuer) {
		return &transport.RemoteError{Code: "malformed"}
	}
	p, err := rules.Load[rules.Party](view, rules.KeyParty(s.Issuer))
	switch {
	case err != nil:
		return err
	case p == nil || p.Host != from || sign.Verify(p.Key, sign.DomainSubmission, origin, s.Signed(), s.Sig) != nil:
		return &transport.RemoteError{Code: "issuer"}
	}
	return nil
}

// leaderLink sends our submissions to whoever leads.
type leaderLink struct{ n *Node }

// Send implements outbox.Leader.
func (l leaderLink) Send(ctx context.Context, s *record.Submitted, urgent bool) error {
	r := l.n.replica.Load()
	if r == nil {
		return outbox.ErrNoLeader
	}
	leader := r.Leader()
	if leader == l.n.Settings.Member {
		switch err := r.Submit(leader, s, urgent); {
		case errors.Is(err, replica.ErrBusy):
			return outbox.ErrBusy
		case err != nil:
			return outbox.ErrNoLeader
		}
		return nil
	}
	id, ok := l.n.peers.Load().ids[leader]
	if !ok {
		return outbox.ErrNoLeader
	}
	_, err := l.n.host.Call(ctx, id, callSubmit, canon.Must(&submitMessage{urgent, *s}))
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		switch remote.Code {
		case "busy":
			return outbox.ErrBusy
		case "no-leader":
			return outbox.ErrNoLeader
		}
	}
	return err
}

func (n *Node) sendCosignatures(ctx context.Context, to string, m []byte) error {
	id, ok := n.peers.Load().ids[to]
	if !ok {
		return fmt.Errorf("%s is not on the network yet, or any more", to)
	}
	_, err := n.host.Call(ctx, id, callCosign, m)
	return err
}

func (n *Node) serveCosign(_ context.Context, _ string, req []byte) ([]byte, error) {
	if err := n.cosign.Receive(req); err != nil {
		return nil, &transport.RemoteError{Code: "malformed", Message: err.Error()}
	}
	return nil, nil
}

type deskMessage struct {
	What string `cbor:"1,keyasint"`
	Body []byte `cbor:"2,keyasint"`
}

// serveDesk hands another member's request to our desk.
func (n *Node) serveDesk(ctx context.Context, member string, req []byte) ([]byte, error) {
	var m deskMessage
	if err := canon.UnmarshalMax(req, 5<<20, &m); err != nil {
		return nil, &transport.RemoteError{Code: "malformed"}
	}
	if !n.deskOpen.Load() {
		return nil, &transport.RemoteError{Code: "starting"}
	}
	answer, err := n.desk.Handle(ctx, member, m.What, m.Body)
	var refusal *record.Refusal
	if errors.As(err, &refusal) {
		return nil, &transport.RemoteError{Code: string(refusal.Code), Message: refusal.Detail}
	}
	return answer, err
}

// deskLink reaches the desks of other members.
type deskLink struct{ n *Node }

// Call implements custody.Network. A refusal at the other end comes back as a
// *record.Refusal.
func (l deskLink) Call(ctx context.Context, member, what string, req []byte) ([]byte, error) {
	body := canon.Must(&deskMessage{what, req})
	if member == l.n.Settings.Member {
		return l.n.serveDesk(ctx, member, body)
	}
	id, ok := l.n.peers.Load().ids[member]
	if !ok {
		return nil, fmt.Errorf("%q is not a member", member)
	}
	answer, err := l.n.host.Call(ctx, id, callDesk, body)
	var remote *transport.RemoteError
	if errors.As(err, &remote) && record.ValidCode(record.Code(remote.Code)) && !strings.HasPrefix(remote.Code, "transport.") {
		return nil, &record.Refusal{Code: record.Code(remote.Code), Detail: remote.Message}
	}
	return answer, err
}

// vaultBlobs keeps the vault's blocks among the blobs.
type vaultBlobs struct {
	b interface {
		Get(key []byte) ([]byte, bool, error)
		PutMany(entries []store.KV) error
		Delete(keys ...[]byte) error
		Keys(prefix []byte, fn func(key []byte) error) error
	}
	prefix string
}

// What begins the keys of the vaults' blocks.
const (
	vaultPrefix  = "V/" // the member's own
	copiesPrefix = "W/" // of other members' copies
)

func (v vaultBlobs) Get(key string) ([]byte, error) {
	b, ok, err := v.b.Get([]byte(v.prefix + key))
	if err == nil && !ok {
		return nil, vault.ErrNoBlob
	}
	return b, err
}

func (v vaultBlobs) Put(blobs ...vault.Blob) error {
	entries := make([]store.KV, len(blobs))
	for i, b := range blobs {
		key := v.prefix + b.Key
		if b.Beside { // of the desk, among whose blobs it lies
			key = b.Key
		}
		entries[i] = store.KV{Key: []byte(key), Value: b.Value}
	}
	return v.b.PutMany(entries)
}

func (v vaultBlobs) Delete(keys ...string) error {
	full := make([][]byte, len(keys))
	for i, key := range keys {
		if vault.OwnKey(key) {
			key = v.prefix + key
		}
		full[i] = []byte(key)
	}
	return v.b.Delete(full...)
}

func (v vaultBlobs) List(prefix string) ([]string, error) {
	var out []string
	err := v.b.Keys([]byte(v.prefix+prefix), func(key []byte) error {
		out = append(out, string(key[len(v.prefix):]))
		return nil
	})
	return out, err
}

// VaultBlobs returns where a node keeps its vault's blocks among its blobs: for
// tools that open a copy of a data directory.
func VaultBlobs(b *store.Blobs) vault.Blobs { return vaultBlobs{b, vaultPrefix} }

// CopiesBlobs is VaultBlobs for the vault of what the node keeps for other members.
func CopiesBlobs(b *store.Blobs) vault.Blobs { return vaultBlobs{b, copiesPrefix} }
