package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// history is a page of the history, as it is drawn.
type history struct {
	*History
	Days    []day
	Picture *picture // nil: nothing was handed over
	Service string   // that was chosen
	Kind    string   // that was chosen
}

// day is one day of the history.
type day struct {
	Ms     int64
	Events []Event
}

// Lengths of one page of the history and of the list of receipts.
const (
	eventsShown   = 20
	receiptsShown = 50
)

// kinds are the choices of the filter, in their order, with the kinds of records
// behind them.
var kinds = []struct {
	Name  string
	kinds []string
}{
	{"given", []string{"provision", "provision.optout", "provision.exception"}},
	{"received", []string{"provision.received", "provision.undelivered"}},
	{"denied", []string{"denial"}},
	{"mine", []string{"consent", "revocation", "stop", "handle.open", "handle.move", "handle.close"}},
}

// Kinds are the names of the filter's choices.
func (p *page) Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// query reads what part of the history is asked for. What it does not know, it
// does not heed.
func query(values url.Values, limit int) (HistoryQuery, string) {
	q := HistoryQuery{Limit: limit}
	q.Before, _ = strconv.ParseUint(values.Get("before"), 10, 64)
	if id := values.Get("service"); record.ValidID(id) {
		q.Service = id
	}
	for _, k := range kinds {
		if k.Name == values.Get("kind") {
			q.Kinds = k.kinds
			return q, k.Name
		}
	}
	return q, ""
}

// history shows who got what, when and why, newest first.
func (s *server) history(w http.ResponseWriter, r *http.Request) {
	s.records(w, r, "history", "hist.h", eventsShown)
}

// receipts lists what can be saved.
func (s *server) receipts(w http.ResponseWriter, r *http.Request) {
	s.records(w, r, "receipts", "receipts.h", receiptsShown)
}

func (s *server) records(w http.ResponseWriter, r *http.Request, name, title string, limit int) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	q, kind := query(r.URL.Query(), limit)
	h, err := s.backend.History(r.Context(), person, q)
	if err != nil {
		s.fail(w, r, name, err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.Title, p.Script = p.Lang.text(title), "history"
	p.History = &history{History: h, Days: days(h.Events), Picture: draw(p.Lang, h.Flows), Service: q.Service, Kind: kind}
	s.show(w, http.StatusOK, name, p)
}

// Next is the address of the next page.
func (h *history) Next() string {
	v := url.Values{"before": {strconv.FormatUint(h.Older, 10)}}
	if h.Service != "" {
		v.Set("service", h.Service)
	}
	if h.Kind != "" {
		v.Set("kind", h.Kind)
	}
	return "?" + v.Encode()
}

// days groups events, newest first, by day.
func days(events []Event) (out []day) {
	last := ""
	for _, e := range events {
		date := time.UnixMilli(e.TimeMs).In(record.JST).Format(time.DateOnly)
		if date != last {
			out, last = append(out, day{Ms: e.TimeMs}), date
		}
		d := &out[len(out)-1]
		d.Events = append(d.Events, e)
	}
	return out
}
