package node

import (
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// issuers remembers how the issuers of this node stand in the newest register: every
// request asks, and the answer changes with a batch at most.
type issuers struct {
	mu     sync.RWMutex
	height uint64
	held   map[string]standing
}

// standing is what the register says of an issuer.
type standing struct {
	known bool
	left  bool // is a member no more, or its host is none
	key   sign.PublicKey
}

func (c *issuers) of(st *store.State, issuer string) (standing, error) {
	c.mu.RLock()
	s, ok := c.held[issuer]
	ok = ok && c.height == st.Height
	c.mu.RUnlock()
	if ok {
		return s, nil
	}
	s, err := standingOf(st, issuer)
	if err != nil || !s.known { // any name may be asked for: those that are none are not kept
		return s, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || st.Height > c.height {
		c.height, c.held = st.Height, map[string]standing{}
	}
	if c.height == st.Height {
		c.held[issuer] = s
	}
	return s, nil
}

func standingOf(st *store.State, issuer string) (standing, error) {
	p, err := rules.Load[rules.Party](st, rules.KeyParty(issuer))
	if err != nil || p == nil {
		return standing{}, err
	}
	s := standing{known: true, key: p.Key}
	if p.Member || p.Active() { // a party that ended may be admitted again
		there, err := rules.Here(st, p)
		if err != nil {
			return standing{}, err
		}
		s.left = !there
	}
	return s, nil
}
