package rest

import (
	"net/http"

	"github.com/akashi-ledger/akashi/api/tiles"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

var (
	_ Desk   = (*custody.Desk)(nil)
	_ Outbox = (*outbox.Outbox)(nil)
	_ Trees  = (*forest.Forest)(nil)
)

// API is the interface of one node, an http.Handler.
type API = server

// New returns the API of a node.
func New(n *node.Node, o Options) (*API, error) {
	h, err := NewHandler(Backend{
		Self: n.Self(), Founding: n.Founding, Clock: n.Clock, Desk: n.Desk(), Outbox: n.Outbox(), Trees: n.Forest(), Kept: n.Evidence(), Custody: n,
		Final: func() *Final { return finalOf(n) }, Changed: n.FinalChanged, Closing: n.Done(),
		Leader: n.Leader, Ready: n.Ready, Refresh: n.Refresh, Witnesses: n.Witnesses, Host: n.Host, Sign: n.Sign,
		Candidate: n.CheckCandidate, Network: func() Network { return networkOf(n) },
		Prepare: n.Prepare, Prove: n.Prove,
	}, o)
	if err != nil {
		return nil, err
	}
	return h.(*server), nil
}

// finalOf pairs a checkpoint with the ledger at it.
func finalOf(n *node.Node) *Final {
	for range 8 { // another may become final between the two looks
		f, st := n.Final(), n.FinalState()
		if f == nil || st == nil {
			return nil
		}
		if f.End.Height == st.Height {
			return &Final{State: st, Note: f.Note, Shown: f.Shown, FreshAt: f.FreshAt()}
		}
	}
	return nil
}

// Tiles returns the node's log for everything below /log/. Entry bundles are for
// admin, app and auditor, or for everyone where the node's settings say so.
func Tiles(n *node.Node, o Options) http.Handler {
	return tiles.New(logOf{n}, tiles.Options{Log: o.Log, Entries: func(r *http.Request) tiles.Access {
		if n.Settings.OpenEntries {
			return tiles.Public
		}
		return entryAccess(o.Tokens, r)
	}})
}

func entryAccess(tokens *token.Store, r *http.Request) tiles.Access {
	switch c, ok := Caller(tokens, r); {
	case !ok:
		return tiles.Unknown
	case c.Party == "" && (admin | app | auditor).has(c.Role):
		return tiles.Allowed
	}
	return tiles.Refused
}

type logOf struct{ n *node.Node }

// Final implements tiles.Source.
func (l logOf) Final() (note []byte, st *store.State, ok bool) {
	f := finalOf(l.n)
	if f == nil {
		return nil, nil, false
	}
	return f.Shown(), f.State, true
}

// Agreed implements tiles.Source.
func (l logOf) Agreed() *store.State { return l.n.AgreedState() }

// Cited implements tiles.Source.
func (l logOf) Cited(p *rules.Policy, c *record.Cited) ([]byte, error) { return l.n.NoteOf(p, c) }

func networkOf(n *node.Node) (net Network) {
	net.Seats = n.Seats()
	net.Vote, net.Follow = n.Voters()
	return net
}
