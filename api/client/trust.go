package client

import (
	"context"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// trust is what a client believes: the policies that its caller gave, and those
// of later policy epochs that the consortium's own votes lead to from them.
type trust struct {
	given []*sign.Policy

	mu    sync.Mutex
	known []*sign.Policy
}

func (t *trust) policies() []*sign.Policy {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// maxChain is the largest policy chain in bytes.
const maxChain = receipt.MaxChainBytes

// under runs a check under the policies that the client has, and where it fails
// once more under those that the node's policy chain leads to: members' keys may
// have been replaced since. The first answer stands where the chain says nothing
// new.
func under[T any](ctx context.Context, c *Client, check func([]*sign.Policy) (T, error)) (T, error) {
	known := c.trust.policies()
	v, err := check(known)
	if err == nil || len(known) == 0 {
		return v, err
	}
	chain, chainErr := c.LogFile(ctx, "policy/chain", maxChain)
	if chainErr != nil {
		return v, err
	}
	followed, chainErr := receipt.FollowChain(chain, c.trust.given)
	if chainErr != nil {
		return v, err
	}
	c.trust.mu.Lock()
	c.trust.known = followed
	c.trust.mu.Unlock()
	return check(followed)
}
