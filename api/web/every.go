package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// A page verifies a person's receipts at once: every sends those that the filter of
// the history chooses, newest first. Each is a line of JSON of its own, since a
// reader can begin with the first before the last is made; the last line says how
// many there were, so that an answer that was cut is known as one.
//
//	{"index":828,"file":"{…}"}
//	{"index":827,"why":"erased"}
//	{"count":2}
//
// why is erased, notfinal or none, as Backend.Receipt has it.

// everyRead is how many records are chosen at a time.
const everyRead = 200

// everyLine is a line of the answer.
type everyLine struct {
	Index uint64 `json:"index,omitempty"`
	File  string `json:"file,omitempty"`
	Why   string `json:"why,omitempty"`
	Count *int   `json:"count,omitempty"`
}

func (s *server) every(w http.ResponseWriter, r *http.Request) {
	_, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	q, _ := query(r.URL.Query(), everyRead)
	h, err := s.backend.History(r.Context(), person, q)
	if err != nil {
		s.fail(w, r, "every receipt", err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	out := json.NewEncoder(w)
	count := 0
	for {
		if err := s.sendEvery(r, person, h.Events, out); err != nil {
			s.Log.Error("page", "what", "every receipt", "err", err)
			return // without its last line
		}
		count += len(h.Events)
		if q.Before = h.Older; q.Before == 0 {
			break
		}
		if h, err = s.backend.History(r.Context(), person, q); err != nil {
			s.Log.Error("page", "what", "every receipt", "err", err)
			return
		}
	}
	out.Encode(everyLine{Count: &count})
}

func (s *server) sendEvery(r *http.Request, person string, events []Event, out *json.Encoder) error {
	indexes := make([]uint64, len(events))
	for i, e := range events {
		indexes[i] = e.Index
	}
	for f, err := range s.backend.Receipts(r.Context(), person, indexes) {
		line := everyLine{File: string(f)}
		switch {
		case errors.Is(err, ErrErased):
			line.Why = "erased"
		case errors.Is(err, ErrNotFinal):
			line.Why = "notfinal"
		case errors.Is(err, ErrNotFound):
			line.Why = "none"
		case err != nil:
			return err
		}
		line.Index, indexes = indexes[0], indexes[1:]
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return r.Context().Err()
}

// Every is the address of the receipts of all that this page's filter chooses.
func (h *history) Every() string {
	v := url.Values{}
	if h.Service != "" {
		v.Set("service", h.Service)
	}
	if h.Kind != "" {
		v.Set("kind", h.Kind)
	}
	return "/receipts/every?" + v.Encode()
}
