package main

import (
	"path/filepath"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
)

// authorizationServer makes the part of a node by which apps ask people for consent;
// nil where no origin is known by which browsers reach it.
func authorizationServer(n *node.Node, with shared, sessions *session.Store) (*oauth.Server, error) {
	issuer := n.Settings.Public()
	if issuer == "" {
		with.log.Warn("no authorization server: publicURL is not set")
		return nil, nil
	}
	sender, err := codeSender(n)
	if err != nil {
		return nil, err
	}
	return oauth.New(oauth.Options{Issuer: issuer, Member: n.Self(), Key: n.Desk().KeyFor("authorization server"), Blobs: n.Blobs(), Sessions: sessions,
		Desk: n.Desk(), State: n.FinalState, Changed: n.FinalChanged, Now: time.Now, Log: with.log, Sender: sender,
		Upstream: identityProvider(n), Members: func() []oauth.Member { return otherMembers(n) }})
}

// otherMembers are the members at whose pages people may sign in here.
func otherMembers(n *node.Node) (list []oauth.Member) {
	st := n.FinalState()
	if st == nil {
		return nil
	}
	for _, o := range n.Neighbours() {
		if p, err := rules.Load[rules.Party](st, rules.KeyParty(o.Member)); err == nil && p != nil {
			list = append(list, oauth.Member{ID: o.Member, Name: p.Name, Origin: o.Origin})
		}
	}
	return list
}

func identityProvider(n *node.Node) *oauth.Upstream {
	p := n.Settings.IdentityProvider
	if p == nil {
		return nil
	}
	u := &oauth.Upstream{Issuer: p.Issuer, ClientID: p.ClientID, Secret: p.ClientSecret, Name: p.Name, Lookup: p.Lookup}
	if u.Lookup == "" {
		u.Lookup = oauth.LookupUpstream
	}
	return u
}

// codeSender is how one-time codes reach people, nil where they do not.
func codeSender(n *node.Node) (session.Sender, error) {
	switch c := n.Settings.Codes; {
	case c.Webhook != "":
		return session.NewWebhook(c.Webhook, c.Token)
	case c.File != "":
		return &session.File{Path: filepath.Join(n.Dir, c.File)}, nil
	}
	return nil, nil
}
