package node_test

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/transport"
)

// TestCommitOfNobody: a member does not get into the Raft log what the rules refuse,
// or what is another member's to send.
func TestCommitOfNobody(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	tree, err := c.nodes["a-sha"].Forest().Create(within(t), forest.CreateRequest{Name: "log", Type: record.TreeLog})
	if err != nil {
		t.Fatal(err)
	}
	leader := c.nodes[c.nodes["a-sha"].Leader()]
	entry := func(issuer string, tree uint64) []byte {
		e := &law.Commit{Tree: tree, Issuer: issuer, Leaves: []law.Leaf{{Value: []byte("v")}}}
		e.Sign(sign.NewKey(), leader.Origin())
		return e.Entry()
	}
	for _, c := range []struct {
		what, code string
		entry      []byte
	}{
		{"a key that is nobody's", "issuer", entry("a-sha", tree.ID)},
		{"no such issuer", "issuer", entry("nobody", tree.ID)},
		{"no such tree", "issuer", entry("a-sha", 7)},
		{"no commit", "malformed", []byte{0x74}},
	} {
		err := leader.ServeCommit("a-sha", c.entry)
		var remote *transport.RemoteError
		if !errors.As(err, &remote) || remote.Code != c.code {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
