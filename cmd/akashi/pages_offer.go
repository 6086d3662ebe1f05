package main

import (
	"context"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// Offer implements web.Desk.
func (b *pageBackend) Offer(ctx context.Context, person, service, purpose string) (*web.Offer, error) {
	w, err := b.names()
	if err != nil {
		return nil, err
	}
	s := w.services[service]
	if s == nil || s.Owner != b.n.Self() {
		return nil, web.ErrNotFound
	}
	live, err := b.n.Desk().Live(ctx, service)
	if err != nil {
		return nil, pageError(err)
	}
	for _, t := range slices.Backward(live) {
		o := b.offered(w, service, t.Version, t.Screen, purpose)
		if o.Purpose.Code == "" {
			continue
		}
		if o.Was, err = b.compared(ctx, w, person, o); err != nil {
			return nil, err
		}
		o.Past, err = b.past(ctx, person, service)
		return o, err
	}
	return nil, web.ErrNotFound
}

// offered is what a version of a service's terms says of one purpose, which it may
// not have.
func (b *pageBackend) offered(w *publicNames, service, version string, screen *record.Screen, purpose string) *web.Offer {
	s := w.services[service]
	o := &web.Offer{Service: web.Service{ID: service, Name: s.Name, Provider: w.party(s.Owner), Contact: s.Contact},
		Version: version, Withdrawal: screen.Withdrawal, Text: screen.Text, Foreign: screen.Foreign}
	if p, err := record.ParsePeriod(screen.Retention); err == nil {
		o.Retention = p
	}
	if i := slices.IndexFunc(screen.Scopes, func(sc record.Scope) bool { return sc.Purpose == purpose }); i >= 0 {
		o.Purpose = web.Purpose{Code: purpose, Label: w.purpose(purpose)}
		b.fill(w, o, &screen.Scopes[i])
	}
	return o
}

// compared is the offer that a person's choices in the service stand under, nil where
// it is the one that is made now.
func (b *pageBackend) compared(ctx context.Context, w *publicNames, person string, now *web.Offer) (*web.Offer, error) {
	views, err := b.n.Desk().Consents(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	var stands []custody.ScopeNow
	for _, v := range views {
		if v.Service == now.Service.ID && v.State != "closed" {
			stands = append(stands, custody.ScopeNow{Version: v.Version, On: v.State == "active"})
		}
	}
	version := custody.Since(w.services[now.Service.ID], stands)
	if version == "" || version == now.Version {
		return nil, nil
	}
	was, err := b.n.Desk().Screen(ctx, now.Service.ID, version)
	if err != nil {
		return nil, pageError(err)
	}
	return b.offered(w, now.Service.ID, version, was.Screen, now.Purpose.Code), nil
}

// past counts a person's records in one service.
func (b *pageBackend) past(ctx context.Context, person, service string) (web.Past, error) {
	h, err := b.n.Desk().History(ctx, custody.Ref(person), custody.HistoryQuery{Service: service, Limit: 1,
		Kinds: []string{"provision", "provision.optout", "provision.exception"}})
	if err != nil {
		return web.Past{}, pageError(err)
	}
	p := web.Past{Agreed: h.Kinds["consent"], Ended: h.Kinds["revocation"] + h.Kinds["stop"], Given: h.Count, Refused: h.Kinds["denial"]}
	if len(h.Events) > 0 {
		p.LastMs = int64(h.Events[0].TimeMs)
	}
	return p, nil
}

// fill adds what a scope says to an offer.
func (b *pageBackend) fill(w *publicNames, o *web.Offer, sc *record.Scope) {
	for _, list := range []struct {
		codes []string
		to    *[]web.Item
	}{{sc.Required, &o.Required}, {sc.Optional, &o.Optional}} {
		for _, code := range list.codes {
			item := web.Item{Code: code, Label: w.items([]string{code})[0]}
			if a, err := rules.Load[record.Attribute](w.st, rules.KeyAttribute(code)); err == nil && a != nil {
				item.Sensitive = a.Class == "sensitive"
			}
			*list.to = append(*list.to, item)
		}
	}
	for _, id := range sc.Recipients {
		o.Recipients = append(o.Recipients, w.party(id))
	}
	for _, category := range sc.Categories {
		for _, id := range w.dir.Parties {
			if p, err := rules.Load[rules.Party](w.st, rules.KeyParty(id)); err == nil && p != nil && slices.Contains(p.Categories, category) && !slices.Contains(sc.Recipients, id) {
				o.Recipients = append(o.Recipients, p.Name)
			}
		}
	}
	if p, err := record.ParsePeriod(sc.MaxExpiry); err == nil {
		o.Until = time.Unix(p.LastDay(record.DayOf(uint64(b.n.Clock.Now().UnixMilli())))*86400, 0).UTC().Format(time.DateOnly)
	}
}
