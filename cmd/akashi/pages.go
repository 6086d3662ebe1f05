package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/tiles"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// mountPages puts the citizens' pages beside the API. signIn is where people sign in,
// "" where they come by a link only.
func mountPages(mux *http.ServeMux, n *node.Node, api *rest.API, with shared, sessions *session.Store, signIn string) error {
	pages, err := web.New(&pageBackend{n: n, api: api, tokens: with.tokens, sessions: sessions}, web.Options{Log: with.log, Secure: with.tls != nil, SignIn: signIn})
	if err != nil {
		return err
	}
	for _, path := range web.Paths() {
		mux.Handle(path, pages)
	}
	return nil
}

// pageBackend shows a node to the pages.
type pageBackend struct {
	n        *node.Node
	api      *rest.API
	tokens   *token.Store
	sessions *session.Store
}

// Enter implements web.Sessions.
func (b *pageBackend) Enter(_ context.Context, code, agent string) (string, error) {
	c, err := b.tokens.Redeem(code)
	if errors.Is(err, token.ErrUnknown) || err == nil && c.Role != token.Subject {
		return "", web.ErrNoSession
	}
	if err != nil {
		return "", err
	}
	text, _, err := b.sessions.Start(c.Person, session.Link, agent)
	return text, err
}

// Whose implements web.Sessions.
func (b *pageBackend) Whose(_ context.Context, code string) (string, error) {
	c, err := b.tokens.Peek(code)
	if errors.Is(err, token.ErrUnknown) || err == nil && c.Role != token.Subject {
		return "", web.ErrNoSession
	}
	return c.Person, err
}

// Account implements web.Sessions.
func (b *pageBackend) Account(_ context.Context, person string) (string, error) {
	return b.n.Desk().Hint(custody.Ref(person))
}

// Person implements web.Sessions.
func (b *pageBackend) Person(_ context.Context, text string) (string, error) {
	s, err := b.sessions.Lookup(text)
	if errors.Is(err, session.ErrUnknown) {
		return "", web.ErrNoSession
	}
	if err != nil {
		return "", err
	}
	return s.Person, nil
}

// Leave implements web.Sessions.
func (b *pageBackend) Leave(_ context.Context, text string) error { return b.sessions.End(text) }

// Board implements web.Ledger.
func (b *pageBackend) Board(context.Context) (*web.Board, error) {
	f, st := b.n.Final(), b.n.FinalState()
	if f == nil || st == nil {
		return nil, web.ErrNotFinal
	}
	words, err := namesOf(st)
	if err != nil {
		return nil, err
	}
	board := &web.Board{Consortium: record.Text{Ja: b.n.Origin(), En: b.n.Origin()}, Member: words.party(b.n.Self()), StoryTime: b.n.Clock.Story()}
	now := uint64(b.n.Clock.Now().UnixMilli())
	for _, id := range words.dir.Services {
		s := words.services[id]
		v := web.Service{ID: id, Name: s.Name, Provider: words.party(s.Owner), Contact: s.Contact, Here: s.Owner == b.n.Self()}
		for i := range s.Terms {
			if s.Live(uint32(i+1), now) != "" {
				continue
			}
			terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(s.Terms[i].Hash))
			if err != nil || terms == nil {
				return nil, err
			}
			for _, sc := range terms.Scopes {
				v.Purposes = append(v.Purposes, web.Purpose{Code: sc.Purpose, Label: words.purpose(sc.Purpose)})
			}
		}
		board.Services = append(board.Services, v)
	}
	board.Log = web.Log{Origin: b.n.Origin(), Size: f.End.Size, Root: f.End.Root, K: f.Policy.K, FinalMs: int64(f.FreshAt()) * 1000}
	for _, m := range f.Policy.Members {
		c := web.Cosigner{ID: m.ID, Name: words.party(m.ID)}
		for _, s := range f.Sigs {
			if s.Member == m.ID {
				c.TimeMs = int64(s.Time) * 1000
			}
		}
		board.Log.Members = append(board.Log.Members, c)
	}
	return board, nil
}

// Policy implements web.Ledger.
func (b *pageBackend) Policy(context.Context) ([]byte, error) {
	f, st := b.n.Final(), b.n.FinalState()
	if f == nil || st == nil {
		return nil, web.ErrNotFinal
	}
	p, err := tiles.Policy(st, f.Policy)
	if err != nil {
		return nil, err
	}
	return p.Format(), nil
}

// pageError turns what the node refuses with into what pages know.
func pageError(err error) error {
	if err == nil {
		return nil
	}
	switch rest.CodeOf(err) {
	case "not-authorised", "record.unknown", "beyond-final", "receipt.none", string(record.CodeHandleUnknown), string(record.CodeAlreadyRevoked), string(record.CodeNoConsent),
		string(record.CodeServiceUnknown):
		return web.ErrNotFound
	case string(record.CodeErased), string(custody.CodePersonUnknown):
		return web.ErrErased
	case "handle.none":
		return web.ErrNoSecret
	case "outbox.busy", "outbox.no-leader", "outbox.storage", "outbox.closed", string(custody.CodePersonLeaving):
		return web.ErrBusy
	case "not-final-yet":
		return web.ErrNotFinal
	}
	var no *record.Refusal
	if errors.As(err, &no) {
		return &web.Refused{Code: string(no.Code)}
	}
	return err
}
