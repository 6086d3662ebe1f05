package main

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// mountPages puts the citizens' pages beside the API.
func mountPages(mux *http.ServeMux, n *node.Node, api *rest.API, with shared, sessions *session.Store) error {
	pages, err := web.New(&pageBackend{n: n, api: api, tokens: with.tokens, sessions: sessions}, web.Options{Log: with.log, Secure: with.tls != nil})
	if err != nil {
		return err
	}
	for _, path := range []string{"/{$}", "/enter", "/leave", "/consents/", "/receipts/", "/all", "/all.akashi.json", "/verify", "/assets/"} {
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
		v := web.Service{ID: id, Name: s.Name, Provider: words.party(s.Owner), Contact: s.Contact}
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

// publicNames are the public names that pages show.
type publicNames struct {
	st       *store.State
	dir      *rules.Directory
	services map[string]*rules.Service
	parties  map[string]record.Text
}

func namesOf(st *store.State) (*publicNames, error) {
	w := &publicNames{st: st, services: map[string]*rules.Service{}, parties: map[string]record.Text{}}
	var err error
	if w.dir, err = rules.Load[rules.Directory](st, rules.KeyDirectory); err != nil || w.dir == nil {
		return nil, err
	}
	for _, id := range w.dir.Services {
		if w.services[id], err = rules.Load[rules.Service](st, rules.KeyService(id)); err != nil {
			return nil, err
		}
	}
	for _, id := range w.dir.Parties {
		p, err := rules.Load[rules.Party](st, rules.KeyParty(id))
		if err != nil {
			return nil, err
		}
		w.parties[id] = p.Name
	}
	return w, nil
}

func (w *publicNames) party(id string) record.Text {
	if t, ok := w.parties[id]; ok {
		return t
	}
	return record.Text{Ja: id, En: id}
}

func (w *publicNames) service(id string) record.Text {
	if s, ok := w.services[id]; ok {
		return s.Name
	}
	return w.party(id)
}

func (w *publicNames) purpose(code string) record.Text {
	if code == "" {
		return record.Text{}
	}
	if p, err := rules.Load[record.Purpose](w.st, rules.KeyPurpose(code)); err == nil && p != nil {
		return p.Label
	}
	return record.Text{Ja: code, En: code}
}

func (w *publicNames) items(codes []string) []record.Text {
	var out []record.Text
	for _, code := range codes {
		t := record.Text{Ja: code, En: code}
		if a, err := rules.Load[record.Attribute](w.st, rules.KeyAttribute(code)); err == nil && a != nil {
			t = a.Label
		}
		out = append(out, t)
	}
	return out
}

// View implements web.Desk.
func (b *pageBackend) View(ctx context.Context, person string) (*web.View, error) {
	st := b.n.FinalState()
	if st == nil {
		return nil, web.ErrNotFinal
	}
	w, err := namesOf(st)
	if err != nil {
		return nil, err
	}
	consents, err := b.n.Desk().Consents(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	events, err := b.n.Desk().Events(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	v := &web.View{}
	for _, c := range consents {
		v.Consents = append(v.Consents, web.Consent{Service: c.Service, Purpose: web.Purpose{Code: c.Purpose, Label: w.purpose(c.Purpose)},
			State: c.State, Until: c.Until, Items: w.items(c.Items), Index: c.Index})
	}
	slices.SortFunc(events, func(a, b custody.Event) int { return int(int64(b.Index) - int64(a.Index)) })
	for _, e := range events {
		shown := web.Event{Index: e.Index, Kind: e.Kind, Service: w.service(e.Service), From: w.party(e.Issuer), Purpose: w.purpose(e.Purpose),
			Items: w.items(e.Items), TimeMs: int64(e.TimeMs), Code: string(e.Code), State: e.State}
		if e.To != "" {
			shown.To = w.party(e.To)
		}
		v.Events = append(v.Events, shown)
		v.Receipts = append(v.Receipts, web.Receipt{Index: e.Index, Kind: e.Kind, Service: shown.Service, TimeMs: shown.TimeMs})
	}
	return v, nil
}

// Withdraw implements web.Desk.
func (b *pageBackend) Withdraw(ctx context.Context, person string, w web.Withdrawal) (bool, error) {
	done, err := b.n.Desk().Withdraw(ctx, custody.Call{Client: "page", Key: w.Once},
		custody.WithdrawRequest{Person: custody.Ref(person), Service: w.Service, Purposes: []string{w.Purpose}})
	if errors.Is(err, outbox.ErrUnknown) {
		return false, nil // it holds: the outbox brings it in
	}
	if err != nil {
		return false, pageError(err)
	}
	return done.Final, nil
}

// Receipt implements web.Desk.
func (b *pageBackend) Receipt(ctx context.Context, person string, index uint64) ([]byte, error) {
	f, err := b.api.Receipt(ctx, custody.Ref(person), index)
	return f, pageError(err)
}

// Complete implements web.Desk.
func (b *pageBackend) Complete(ctx context.Context, person string) ([]byte, error) {
	f, err := b.api.Completeness(ctx, custody.Ref(person))
	return f, pageError(err)
}

// pageError turns what the node refuses with into what pages know.
func pageError(err error) error {
	if err == nil {
		return nil
	}
	switch rest.CodeOf(err) {
	case "not-authorised", "record.unknown", "beyond-final", "receipt.none", string(record.CodeHandleUnknown), string(record.CodeAlreadyRevoked), string(record.CodeNoConsent):
		return web.ErrNotFound
	case string(record.CodeErased), string(custody.CodePersonUnknown):
		return web.ErrErased
	case "handle.none":
		return web.ErrNoSecret
	case "outbox.busy", "outbox.no-leader", "outbox.storage", "outbox.closed":
		return web.ErrBusy
	case "not-final-yet":
		return web.ErrNotFinal
	}
	return err
}
