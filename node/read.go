package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// Self returns the member's id.
func (n *Node) Self() string { return n.Settings.Member }

// Origin returns the log's name.
func (n *Node) Origin() string { return n.Founding.Origin }

// Leader returns the member that leads Raft, "" where none is known.
func (n *Node) Leader() string {
	if r := n.replica.Load(); r != nil {
		return r.Leader()
	}
	return ""
}

// Voters returns the members whose nodes vote in Raft, and those that are on their
// way to it, each ascending.
func (n *Node) Voters() (vote, follow []string) {
	if r := n.replica.Load(); r != nil {
		return r.Voters()
	}
	return nil, nil
}

// Final returns the highest final checkpoint, nil before the first.
func (n *Node) Final() *cosign.Final {
	if n.cosign == nil {
		return nil
	}
	return n.cosign.Current()
}

// FinalState returns the ledger at the highest final checkpoint, nil before the
// first. Everything that is shown to the outside comes from it.
func (n *Node) FinalState() *store.State { return n.at(n.Final()) }

// AgreedState returns the ledger at the highest checkpoint that k members cosigned,
// whether or not the witnesses that the policy requires did; nil before the first.
func (n *Node) AgreedState() *store.State {
	if n.cosign == nil {
		return nil
	}
	return n.at(n.cosign.Quorum())
}

func (n *Node) at(f *cosign.Final) *store.State {
	if f == nil {
		return nil
	}
	if st, ok := n.ledger.At(f.End.Height); ok {
		return st
	}
	return nil
}

// Newest returns the newest derived state, which may not be final.
func (n *Node) Newest() *store.State { return n.ledger.State() }

// NoteOf returns the signed note of a checkpoint that a header cites: with the
// log's own line, which is the same at every member.
func (n *Node) NoteOf(p *rules.Policy, c *record.Cited) ([]byte, error) {
	return cosign.NoteOf(p, c, n.keys.Log)
}

// FinalChanged returns a channel that is closed when the next checkpoint
// becomes final.
func (n *Node) FinalChanged() <-chan struct{} {
	n.finalMu.Lock()
	defer n.finalMu.Unlock()
	return n.finalCh
}

// Desk returns what the member does for people.
func (n *Node) Desk() *custody.Desk { return n.desk }

// Forest returns the node's part in commitment trees.
func (n *Node) Forest() *forest.Forest { return n.forest }

// FalseAdvances returns how many tree.advance records this node has met that do
// not say what their trees have. With a true one after it, each is evidence
// against its issuer (Evidence).
func (n *Node) FalseAdvances() uint64 { return n.ledger.CountFalseAdvances() }

// Outbox returns the way into the ledger.
func (n *Node) Outbox() *outbox.Outbox { return n.outbox }

// Blobs returns the member's local storage: tokens, sessions, settings.
func (n *Node) Blobs() *store.Blobs { return n.blobs }

func (n *Node) freshAt() uint64 {
	if f := n.Final(); f != nil {
		return f.FreshAt()
	}
	return 0
}

// Ready reports whether the node can serve: it has derived that it is a member,
// has a final checkpoint, and knows a leader.
func (n *Node) Ready() error {
	_, seated := n.peers.Load().servers[n.Settings.Member]
	_, derived := n.recordKey()
	switch {
	case !seated:
		return errors.New("this member is none of the consortium's")
	case !derived:
		return errors.New("the log is derived: it has not come to this member's joining")
	case n.Final() == nil:
		return errors.New("no final checkpoint yet")
	case n.Leader() == "":
		return errors.New("no leader")
	}
	return nil
}

func (n *Node) hosted() []string {
	n.keysMu.RLock()
	defer n.keysMu.RUnlock()
	ids := make([]string, 0, len(n.keys.Parties))
	for id := range n.keys.Parties {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Host makes a signing key for a party and keeps it: durable before the public
// half is returned. A party that has a key keeps it.
func (n *Node) Host(party string) (sign.PublicKey, error) {
	if !record.ValidID(party) || party == n.Settings.Member {
		return sign.PublicKey{}, record.Refuse(record.CodeRecordMalformed, "party %q", party)
	}
	n.keysMu.Lock()
	defer n.keysMu.Unlock()
	if k, ok := n.keys.Parties[party]; ok {
		return k.Public(), nil
	}
	k := sign.NewKey()
	n.keys.Parties[party] = k
	if err := n.keys.Save(n.Dir); err != nil {
		delete(n.keys.Parties, party)
		return sign.PublicKey{}, err
	}
	return k.Public(), nil
}

// tick submits a tick record, so that time passes in an idle log. It returns
// when the record is final, or after 30 s.
func (n *Node) tick() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := n.outbox.Submit(ctx, outbox.Request{Issuer: n.Settings.Member, Urgent: true, Brief: true,
		Records: []*record.Record{{Kind: record.KindTick, ID: NewID(), Issuer: n.Settings.Member, Body: &record.Tick{}}}})
	if err != nil {
		n.Log.Debug("tick", "err", err)
	}
}
