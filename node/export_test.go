package node

import (
	"context"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/libp2p/go-libp2p/core/peer"
)

// OnTwice is what Raft's part calls when a leader signed two headers.
func (n *Node) OnTwice(a, b *record.Header) { n.onTwice(a, b) }

// ServeCommit takes a commit as from another member.
func (n *Node) ServeCommit(from string, entry []byte) error {
	_, err := n.serveCommit(context.Background(), from, entry)
	return err
}

// Source is the log at the newest final checkpoint.
func (n *Node) Source() (receipt.Source, bool) { return n.finalSource() }

// Hears reports whether another node may talk to this one.
func (n *Node) Hears(id peer.ID) bool { _, ok := n.peers.Load().members[id]; return ok }

// Peer is this node's name on the network.
func (n *Node) Peer() peer.ID { return n.host.ID() }

// Stored calls fn for every entry of the sealed data, vaults' blocks too.
func (n *Node) Stored(fn func(key, value []byte) error) error { return n.blobs.Scan(nil, fn) }

// VaultGet returns an entry of the member's own vault.
func (n *Node) VaultGet(id string) ([]byte, error) { return n.vault.Get(id) }
