package main

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// names are the public names at the newest final state.
func (b *pageBackend) names() (*publicNames, error) {
	st := b.n.FinalState()
	if st == nil {
		return nil, web.ErrNotFinal
	}
	return namesOf(st)
}

// View implements web.Desk.
func (b *pageBackend) View(ctx context.Context, person string) (*web.View, error) {
	w, err := b.names()
	if err != nil {
		return nil, err
	}
	consents, err := b.n.Desk().Consents(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	h, err := b.n.Desk().History(ctx, custody.Ref(person), custody.HistoryQuery{})
	if err != nil {
		return nil, pageError(err)
	}
	v := &web.View{}
	for _, f := range h.Flows {
		v.Given += f.Count
	}
	for _, c := range consents {
		shown := web.Consent{Service: c.Service, Purpose: web.Purpose{Code: c.Purpose, Label: w.purpose(c.Purpose)},
			State: c.State, Until: c.Until, Items: w.items(c.Items), Index: c.Index, Again: c.Again}
		if i := slices.IndexFunc(h.Uses, func(u custody.Use) bool { return u.Service == c.Service && u.Purpose == c.Purpose }); i >= 0 {
			shown.UsedMs = int64(h.Uses[i].TimeMs)
		}
		v.Consents = append(v.Consents, shown)
	}
	return v, nil
}

// History implements web.Desk.
func (b *pageBackend) History(ctx context.Context, person string, q web.HistoryQuery) (*web.History, error) {
	w, err := b.names()
	if err != nil {
		return nil, err
	}
	h, err := b.n.Desk().History(ctx, custody.Ref(person), custody.HistoryQuery(q))
	if err != nil {
		return nil, pageError(err)
	}
	out := &web.History{Older: h.Older, Count: h.Count}
	for _, f := range h.Flows {
		out.Flows = append(out.Flows, web.Flow{From: w.party(f.From), To: w.to(f.To), Kind: f.Kind, Count: f.Count})
	}
	for _, e := range h.Events {
		shown := web.Event{Index: e.Index, Kind: e.Kind, Service: w.service(e.Service), From: w.party(e.Issuer), Purpose: w.purpose(e.Purpose),
			Items: w.items(e.Items), TimeMs: int64(e.TimeMs), Code: string(e.Code), State: e.State, Version: e.Version, Filing: e.Filing,
			Ground: e.Ground, Statute: e.Statute, Reason: e.Reason, How: e.How}
		if e.To != "" {
			shown.To = w.party(e.To)
		}
		out.Events = append(out.Events, shown)
	}
	return out, nil
}

// Grant implements web.Desk.
func (b *pageBackend) Grant(ctx context.Context, person string, g web.Grant) (bool, error) {
	call := custody.Call{Client: "page", Key: g.Once}
	if g.Again {
		return pageDone(b.n.Desk().Resume(ctx, call, custody.ResumeRequest{Person: custody.Ref(person), Service: g.Service, Purpose: g.Purpose, Button: g.Button, Language: g.Language}))
	}
	o, err := b.Offer(ctx, person, g.Service, g.Purpose)
	if err != nil {
		return false, err
	}
	if o.Version != g.Version {
		return false, &web.Refused{Code: string(record.CodeTermsNotEffective)}
	}
	items := slices.Clone(g.Items)
	for _, i := range o.Required {
		items = append(items, i.Code)
	}
	return pageDone(b.n.Desk().Consent(ctx, call, custody.ConsentRequest{Person: custody.Ref(person), Service: g.Service, Version: g.Version, Items: items,
		Purposes: []string{g.Purpose}, Button: g.Button, Language: g.Language, Foreign: o.Foreign != "", Sensitive: g.Clear}))
}

// Withdraw implements web.Desk.
func (b *pageBackend) Withdraw(ctx context.Context, person string, w web.Withdrawal) (bool, error) {
	return pageDone(b.n.Desk().Withdraw(ctx, custody.Call{Client: "page", Key: w.Once},
		custody.WithdrawRequest{Person: custody.Ref(person), Service: w.Service, Purposes: []string{w.Purpose}}))
}

// pageDone says whether a change is final. One whose outcome is not known yet
// holds: the outbox brings it in.
func pageDone(done *custody.Done, err error) (bool, error) {
	if errors.Is(err, outbox.ErrUnknown) {
		return false, nil
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

// Receipts implements web.Desk.
func (b *pageBackend) Receipts(ctx context.Context, person string, indexes []uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for f, err := range b.api.Receipts(ctx, custody.Ref(person), indexes) {
			if !yield(f, pageError(err)) {
				return
			}
		}
	}
}

// Complete implements web.Desk.
func (b *pageBackend) Complete(ctx context.Context, person string) ([]byte, error) {
	f, err := b.api.Completeness(ctx, custody.Ref(person))
	return f, pageError(err)
}
