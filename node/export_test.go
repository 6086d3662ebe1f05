package node

import "github.com/akashi-ledger/akashi/ledger/record"

// OnTwice is what Raft's part calls when a leader signed two headers.
func (n *Node) OnTwice(a, b *record.Header) { n.onTwice(a, b) }
