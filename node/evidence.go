package node

import "github.com/akashi-ledger/akashi/node/evidence"

// Evidence returns what this node keeps against members.
func (n *Node) Evidence() *evidence.Store { return n.kept }

// keepEvidence makes a file durable.
func (n *Node) keepEvidence(file []byte) {
	if _, err := n.kept.Keep(file, n.Policy.Sign()); err != nil {
		n.Log.Error("evidence is not kept", "err", err)
	}
}
