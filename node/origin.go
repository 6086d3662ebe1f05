package node

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/node/transport"
)

// # Where members' pages are
//
// Each member's node serves its people at an origin of its own (Settings.Public). It
// tells the others over the network, on which it is known by the key that the register
// has of it: so a member's pages can send somebody to another member's, and nobody
// keeps a list by hand. Who does not answer keeps the place where it was last.

const (
	callOrigin  = "origin"
	originEvery = 30 * time.Second
	originWait  = 3 * time.Second
	maxOrigin   = 300 // bytes
)

// Neighbour is another member whose pages are known.
type Neighbour struct {
	Member string
	Origin string // such as https://id.example.jp
}

// neighbours are in the order of the members' ids.
type neighbours struct {
	mu   sync.Mutex
	list []Neighbour
}

// Neighbours returns the other members whose pages are known at the moment.
func (n *Node) Neighbours() []Neighbour {
	n.near.mu.Lock()
	defer n.near.mu.Unlock()
	return slices.Clone(n.near.list)
}

func (n *Node) serveOrigin(context.Context, string, []byte) ([]byte, error) {
	return []byte(n.Settings.Public()), nil
}

// meetNeighbours asks the members where their pages are, until the node stops.
func (n *Node) meetNeighbours() {
	every := time.NewTicker(originEvery)
	defer every.Stop()
	for first := time.After(time.Second); ; {
		select {
		case <-n.closing:
			return
		case <-first:
		case <-every.C:
		}
		n.askNeighbours()
	}
}

func (n *Node) askNeighbours() {
	seats := n.peers.Load().seats
	last := map[string]string{}
	for _, o := range n.Neighbours() {
		last[o.Member] = o.Origin
	}
	var list []Neighbour
	for _, s := range seats {
		if s.Member == n.Settings.Member {
			continue
		}
		origin, err := n.originOf(s.Member)
		if err != nil {
			origin = last[s.Member]
		}
		if origin != "" {
			list = append(list, Neighbour{s.Member, origin})
		}
	}
	slices.SortFunc(list, func(a, b Neighbour) int { return strings.Compare(a.Member, b.Member) })
	n.near.mu.Lock()
	n.near.list = list
	n.near.mu.Unlock()
}

// originOf asks one member; "" where it has no pages, or says what is no origin.
func (n *Node) originOf(member string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), originWait)
	defer cancel()
	go func() { // a node that stops does not wait for who is silent
		select {
		case <-n.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	b, err := n.host.Call(ctx, n.peers.Load().ids[member], callOrigin, nil)
	if err != nil || !isOrigin(string(b), n.Settings.Public()) {
		return "", err
	}
	return string(b), nil
}

// isOrigin reports whether a text is an origin, over TLS, or on this machine where our
// own is: nobody else's pages are here.
func isOrigin(text, own string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxOrigin || !sign.IsOrigin(text) || text == own {
		return false
	}
	here := u.Scheme == "http" && (loopback(u.Hostname()) || strings.HasSuffix(u.Hostname(), ".localhost"))
	return u.Scheme == "https" || here && strings.HasPrefix(own, "http://")
}

var originLimits = transport.Limits{MaxRequest: 1, MaxResponse: maxOrigin, Concurrency: 4}
