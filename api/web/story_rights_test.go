package web_test

import (
	"context"
	"encoding/hex"
	"iter"
	"slices"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// rights are what the person of a story asked for and stopped.
type rights struct {
	requests []web.Request
	filed    []web.NewRequest
	stops    []web.Stop
	strong   bool
	ended    []string // service, and "erase" where it was
	erasure  record.ID
	attested []record.ID
}

func (s *story) Strong(context.Context, string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strong, nil
}

func (s *story) Requests(_ context.Context, who string) ([]web.Request, []web.Service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return nil, nil, orElse(s.err, web.ErrNotFound)
	}
	return s.requests, s.board.Services[2:], nil
}

func (s *story) FileRequest(_ context.Context, who string, n web.NewRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return orElse(s.err, web.ErrNotFound)
	}
	s.filed = append(s.filed, n)
	s.requests = append([]web.Request{{ID: n.Once, Kind: n.Kind, Service: s.service(n.Service).Name, Note: n.Note, FiledMs: int64(s.c.NowMs), Due: "2026-12-19", Public: true, State: "open"}}, s.requests...)
	return nil
}

func (s *story) Stops(_ context.Context, who string, signal bool) ([]web.Stop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	if s.stops == nil {
		s.stops = []web.Stop{{Kind: "marketing"}, {Kind: "group"}, {Kind: "mail"}}
	}
	for i := range s.stops {
		if v := &s.stops[i]; signal && v.SinceMs == 0 && v.Kind != "mail" {
			*v = web.Stop{Kind: v.Kind, Stopped: true, SinceMs: int64(s.c.NowMs), By: "gpc"}
		}
	}
	return slices.Clone(s.stops), nil
}

func (s *story) SetStop(_ context.Context, who, kind string, stopped bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return orElse(s.err, web.ErrNotFound)
	}
	for i := range s.stops {
		if s.stops[i].Kind == kind {
			s.stops[i] = web.Stop{Kind: kind, Stopped: stopped, SinceMs: int64(s.c.NowMs), By: "person"}
		}
	}
	return nil
}

func (s *story) Ending(_ context.Context, who, service string) (*web.Ending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.board.Services, func(x web.Service) bool { return x.ID == service })
	if s.err != nil || who != person || i < 0 {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	e := &web.Ending{Service: s.board.Services[i], Erasable: true, RecordsUntil: "2029-11-18", Items: []record.Text{items["name"], items["user-id"]},
		Withdrawal: text("クーポンの配信が止まります", "No more coupons"), Past: web.Past{Agreed: 2, Ended: 1, Given: 3, Refused: 1, LastMs: s.events0[0].TimeMs}}
	for _, c := range s.view.Consents {
		if c.Service == service && c.State == "active" {
			e.On = append(e.On, c.Purpose.Label)
		}
	}
	return e, nil
}

func (s *story) End(_ context.Context, who, service string, erase bool, once string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return "", false, orElse(s.err, web.ErrNotFound)
	}
	if !erase {
		s.ended = append(s.ended, service)
		return "", true, nil
	}
	s.ended = append(s.ended, service+" erase")
	rec := s.c.Erasure([]record.KeyNumber{s.c.Number(), s.c.Number()}, "aoba", "kitahi", "minato")
	s.c.Must("aoba", rec)
	s.erasure = rec.ID
	for _, holder := range []string{"aoba", "kitahi"} {
		s.c.Pass(60_000)
		a := s.c.Attestation(rec.ID, s.c.Number())
		s.c.Must(holder, a)
		s.attested = append(s.attested, a.ID)
	}
	return hex.EncodeToString(rec.ID[:]), true, nil
}

func (s *story) Erasure(_ context.Context, id string) (*web.Erasure, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || id != hex.EncodeToString(s.erasure[:]) {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	index, _ := s.c.Find(s.erasure)
	return &web.Erasure{ID: id, Index: index, TimeMs: int64(s.c.NowMs) - 120_000, Pending: []record.Text{members["minato"]},
		Done: []web.Holder{{Name: members["aoba"], TimeMs: int64(s.c.NowMs) - 60_000, Class: "file", Until: "2029-11-18"}, {Name: members["kitahi"], TimeMs: int64(s.c.NowMs), Class: "file"}},
		Lost: []web.Lost{{Name: record.Text{Ja: "みなと（あおばの鍵の写し）", En: "Minato (copies of the keys of Aoba)"}, Stolen: true}}}, nil
}

func (s *story) Certificate(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || id != hex.EncodeToString(s.erasure[:]) {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	index, _ := s.c.Find(s.erasure)
	var at []uint64
	for _, a := range s.attested {
		i, _ := s.c.Find(a)
		at = append(at, i)
	}
	return receipt.BuildErasure(newest(s.c), index, at)
}

// foretell seals another purpose in a hand-over before it is posted.
func (s *story) foretell(r *record.Record, purpose string) {
	part, err := record.DecodePart(r.Kind, s.c.Openings[r.ID].Part)
	if err != nil {
		panic(err)
	}
	sealed := part.(*record.HandOverPart)
	sealed.Purpose = purpose
	d := s.c.Commit(s.c.Openings, r.ID, sealed)
	r.Commitment = &d
}

func (s *story) Receipts(ctx context.Context, who string, indexes []uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, i := range indexes {
			if !yield(s.Receipt(ctx, who, i)) {
				return
			}
		}
	}
}
