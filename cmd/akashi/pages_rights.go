package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// strongFor is how long ago a person may have shown who they are where something
// cannot be undone.
const strongFor = 10 * time.Minute

// Strong implements web.Sessions.
func (b *pageBackend) Strong(_ context.Context, text string) (bool, error) {
	s, err := b.sessions.Lookup(text)
	if errors.Is(err, session.ErrUnknown) {
		return false, web.ErrNoSession
	}
	return err == nil && s.Strong(time.Now(), strongFor), err
}

// Requests implements web.Rights.
func (b *pageBackend) Requests(ctx context.Context, person string) ([]web.Request, []web.Service, error) {
	w, err := b.names()
	if err != nil {
		return nil, nil, err
	}
	list, err := b.n.Desk().Rights(ctx, custody.Ref(person))
	if err != nil {
		return nil, nil, pageError(err)
	}
	var out []web.Request
	for _, r := range list {
		out = append(out, web.Request{ID: r.ID, Kind: r.Kind, Service: w.service(r.Service), Note: r.Note, FiledMs: int64(r.FiledMs), Due: r.Due, Public: r.Public,
			Overdue: r.Overdue, State: r.State, Answer: r.Answer, AnsweredMs: int64(r.AnsweredMs)})
	}
	held, err := b.n.Desk().Disclose(ctx, custody.Ref(person))
	if err != nil {
		return nil, nil, pageError(err)
	}
	var services []web.Service
	for _, c := range held.Classes {
		if !slices.ContainsFunc(services, func(s web.Service) bool { return s.ID == c.Service }) {
			services = append(services, web.Service{ID: c.Service, Name: w.service(c.Service)})
		}
	}
	return out, services, nil
}

// FileRequest implements web.Rights.
func (b *pageBackend) FileRequest(ctx context.Context, person string, r web.NewRequest) error {
	_, err := b.n.Desk().FileRight(ctx, custody.Call{Client: "page", Key: r.Once}, custody.RightRequest{Person: custody.Ref(person), Kind: r.Kind, Service: r.Service, Note: r.Note})
	return pageError(err)
}

// Stops implements web.Rights.
func (b *pageBackend) Stops(ctx context.Context, person string, signal bool) ([]web.Stop, error) {
	read := b.n.Desk().Stops
	if signal {
		read = b.n.Desk().SignalStop
	}
	list, err := read(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	var out []web.Stop
	for _, s := range list {
		out = append(out, web.Stop{Kind: s.Kind, Stopped: s.Stopped, SinceMs: int64(s.SinceMs), By: s.By})
	}
	return out, nil
}

// SetStop implements web.Rights.
func (b *pageBackend) SetStop(ctx context.Context, person, kind string, stopped bool) error {
	_, err := b.n.Desk().SetStop(ctx, custody.Ref(person), kind, stopped, custody.StopByPerson)
	return pageError(err)
}

// Ending implements web.Erasures.
func (b *pageBackend) Ending(ctx context.Context, person, service string) (*web.Ending, error) {
	w, err := b.names()
	if err != nil {
		return nil, err
	}
	s := w.services[service]
	if s == nil {
		return nil, web.ErrNotFound
	}
	held, err := b.n.Desk().Disclose(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	consents, err := b.n.Desk().Consents(ctx, custody.Ref(person))
	if err != nil {
		return nil, pageError(err)
	}
	live, err := b.n.Desk().Live(ctx, service)
	if err != nil {
		return nil, pageError(err)
	}
	e := &web.Ending{Service: web.Service{ID: service, Name: s.Name, Provider: w.party(s.Owner), Contact: s.Contact}}
	if e.Past, err = b.past(ctx, person, service); err != nil {
		return nil, err
	}
	for _, c := range consents {
		if c.Service == service && c.On {
			e.On = append(e.On, w.purpose(c.Purpose))
		}
	}
	if len(live) > 0 {
		e.Withdrawal = live[len(live)-1].Screen.Withdrawal
	}
	for _, c := range held.Classes {
		if c.Service != service || c.Holder != s.Owner {
			continue
		}
		e.Erasable = s.Owner == b.n.Self()
		for _, it := range c.Items {
			e.Items = append(e.Items, w.items([]string{it.Code})[0])
		}
	}
	for _, m := range held.Records {
		e.RecordsUntil = max(e.RecordsUntil, m.Until)
	}
	return e, nil
}

// End implements web.Erasures. Erasing stops everything here at once by itself; a
// revocation beside it would tell from the log whose erasure it is.
func (b *pageBackend) End(ctx context.Context, person, service string, erase bool, once string) (string, bool, error) {
	if !erase {
		final, err := pageDone(b.n.Desk().Withdraw(ctx, custody.Call{Client: "page", Key: once}, custody.WithdrawRequest{Person: custody.Ref(person), Service: service}))
		return "", final, err
	}
	view, _, err := b.n.Desk().Erase(ctx, custody.Call{Client: "page", Key: once + "-erase"}, custody.EraseRequest{Person: custody.Ref(person), Cause: "withdrawal", Service: service})
	if err != nil {
		return "", false, pageError(err)
	}
	return view.ID, true, nil
}

// Erasure implements web.Erasures.
func (b *pageBackend) Erasure(ctx context.Context, id string) (*web.Erasure, error) {
	w, err := b.names()
	if err != nil {
		return nil, err
	}
	v, err := b.n.Desk().Erasure(ctx, id)
	if err != nil {
		return nil, erasureError(err)
	}
	e := &web.Erasure{ID: v.ID, Index: v.Index, TimeMs: int64(v.TimeMs)}
	for _, h := range v.Done {
		e.Done = append(e.Done, web.Holder{Name: w.party(h.Holder), TimeMs: int64(h.TimeMs), Class: h.Class, Until: h.RecordsUntil})
	}
	for _, id := range v.Pending {
		e.Pending = append(e.Pending, w.party(id))
	}
	for _, c := range v.Copies {
		at, of := w.party(c.Custodian), w.party(c.Member)
		name := record.Text{Ja: at.Ja + "（" + of.Ja + "の鍵の写し）", En: cmp.Or(at.En, at.Ja) + " (copies of the keys of " + cmp.Or(of.En, of.Ja) + ")"}
		switch {
		case c.TimeMs != 0:
			e.Done = append(e.Done, web.Holder{Name: name, TimeMs: int64(c.TimeMs), Class: c.Class})
		case c.Lost != "":
			e.Lost = append(e.Lost, web.Lost{Name: name, Stolen: c.Lost == record.LostStolen})
		default:
			e.Pending = append(e.Pending, name)
		}
	}
	return e, nil
}

// Certificate implements web.Erasures.
func (b *pageBackend) Certificate(_ context.Context, id string) ([]byte, error) {
	f, err := b.api.Certificate(id)
	return f, erasureError(err)
}

func erasureError(err error) error {
	if err != nil && rest.CodeOf(err) == string(record.CodeErasureUnknown) {
		return web.ErrNotFound
	}
	return pageError(err)
}
