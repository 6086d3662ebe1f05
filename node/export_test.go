package node

import (
	"context"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// OnTwice is what Raft's part calls when a leader signed two headers.
func (n *Node) OnTwice(a, b *record.Header) { n.onTwice(a, b) }

// ServeCommit takes a commit as from another member.
func (n *Node) ServeCommit(from string, entry []byte) error {
	_, err := n.serveCommit(context.Background(), from, entry)
	return err
}
