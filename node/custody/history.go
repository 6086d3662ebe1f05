package custody

import (
	"cmp"
	"context"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// MaxHistory bounds the records of one page of a history.
const MaxHistory = 200

// HistoryQuery chooses a page of a person's records. What is counted is always
// everything.
type HistoryQuery struct {
	Before  uint64   // only records with a lower index; 0: from the newest
	Limit   int      // 0 to MaxHistory
	Service string   // under the handle of this service or party; "": under all
	Kinds   []string // of records; none: all
}

// History is a page of a person's records, newest first, and what all of them
// come to.
type History struct {
	Events []Event
	Older  uint64         // the Before of the next page; 0: there is none
	Count  int            // records that the query chooses, on all pages
	Kinds  map[string]int // records of each kind under the query's service, whichever kinds it chooses
	Flows  []Flow         // over all records, most first
	Uses   []Use          // newest hand-over of each purpose under consent
}

// Flow counts the hand-overs from one party to another on one kind of basis.
type Flow struct {
	From, To string // To is in words where a disclosure names no party
	Kind     string // provision, provision.optout or provision.exception
	Count    int
}

// Use is the newest hand-over under consent for one purpose of a service.
type Use struct {
	Service, Purpose string
	TimeMs           uint64
}

// trace is a record under one of a person's handles, before anything was opened.
type trace struct {
	index  uint64
	rec    *record.Record
	handle *rules.Handle
	state  string // of a hand-over
}

// traces returns every record under some handles, in the order of the log.
func (d *Desk) traces(ctx context.Context, st *store.State, handles []HandleOf) ([]trace, error) {
	var out []trace
	closed := map[record.ID]string{} // intent → state
	for _, k := range handles {
		h, err := rules.HandleState(st, k.Key)
		if err != nil {
			return nil, err
		}
		if h == nil {
			continue
		}
		for rec, err := range under(ctx, st, k.Key, h) {
			if err != nil {
				return nil, err
			}
			t := trace{index: rec.index, rec: rec.Record, handle: h}
			switch b := rec.Body.(type) {
			case *record.Received:
				closed[b.Intent] = "received"
			case *record.Undelivered:
				closed[b.Intent] = "undelivered"
			case *record.Provision:
				t.state = d.intentState(b.DeadlineMs)
			case *record.OptOut:
				t.state = d.intentState(b.DeadlineMs)
			}
			out = append(out, t)
		}
	}
	present := map[string]bool{} // party → whether it takes part
	for i := range out {
		if err := d.settleState(st, &out[i], closed[out[i].rec.ID], present); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b trace) int { return cmp.Compare(a.index, b.index) })
	return out, nil
}

// settleState says how a hand-over ended, or that nobody is left to end it. Most of
// somebody's go to few recipients, each looked up once for present.
func (d *Desk) settleState(st *store.State, t *trace, ended string, present map[string]bool) error {
	if t.state == "" { // no hand-over
		return nil
	}
	if ended != "" {
		t.state = ended
		return nil
	}
	if t.handle.Closed != 0 && len(t.handle.MovedTo) == 0 { // it ended with its handle
		t.state = "closed"
		return nil
	}
	_, to, err := handsOver(t.rec)
	if err != nil {
		return err
	}
	there, known := present[to]
	if !known {
		if _, there, err = d.here(st, to); err != nil {
			return err
		}
		present[to] = there
	}
	if !there {
		t.state = "recipient-left"
	}
	return nil
}

// traced opens what can be opened of a trace.
func (d *Desk) traced(st *store.State, t *trace) (*Event, error) {
	e, err := d.event(st, t.handle, t.index, t.rec)
	if err == nil {
		e.State = t.state
	}
	return e, err
}

// History returns a page of a person's records. Only the page is opened, so that
// a long history costs little.
func (d *Desk) History(ctx context.Context, ref Ref, q HistoryQuery) (*History, error) {
	if q.Limit < 0 || q.Limit > MaxHistory {
		return nil, malformed("limit", "%d records a page, at most %d", q.Limit, MaxHistory)
	}
	st, p, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	handles, err := d.knownHandles(st, p)
	if err != nil {
		return nil, err
	}
	all, err := d.traces(ctx, st, handles)
	if err != nil {
		return nil, err
	}
	h := &History{Kinds: map[string]int{}}
	if h.Flows, err = d.flows(st, all); err != nil {
		return nil, err
	}
	if h.Uses, err = d.uses(st, all); err != nil {
		return nil, err
	}
	return h, d.page(st, h, all, &q)
}

// page fills in the records that a query chooses.
func (d *Desk) page(st *store.State, h *History, all []trace, q *HistoryQuery) error {
	for i := len(all) - 1; i >= 0; i-- {
		t := &all[i]
		kind := t.rec.Kind.String()
		if q.Service != "" && t.handle.For != q.Service {
			continue
		}
		if h.Kinds[kind]++; len(q.Kinds) > 0 && !slices.Contains(q.Kinds, kind) {
			continue
		}
		h.Count++
		switch {
		case q.Before != 0 && t.index >= q.Before:
		case len(h.Events) < q.Limit:
			e, err := d.traced(st, t)
			if err != nil {
				return err
			}
			h.Events = append(h.Events, *e)
		case h.Older == 0 && q.Limit > 0:
			h.Older = h.Events[q.Limit-1].Index
		}
	}
	return nil
}

// flows counts hand-overs. Of disclosures on a legal ground, which are few, the
// recipient is sealed and has to be opened.
func (d *Desk) flows(st *store.State, all []trace) ([]Flow, error) {
	counts := map[Flow]int{}
	for i := range all {
		f := Flow{From: all[i].rec.Issuer, Kind: all[i].rec.Kind.String()}
		switch b := all[i].rec.Body.(type) {
		case *record.Provision:
			f.To = b.To
		case *record.OptOut:
			f.To = b.To
		case *record.Exception:
			e, err := d.traced(st, &all[i])
			if err != nil {
				return nil, err
			}
			f.To = e.To
		default:
			continue
		}
		counts[f]++
	}
	out := make([]Flow, 0, len(counts))
	for f, n := range counts {
		f.Count = n
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Kind, b.Kind))
	})
	return out, nil
}

// uses finds the newest hand-over of each purpose.
func (d *Desk) uses(st *store.State, all []trace) ([]Use, error) {
	type place struct {
		service string
		terms   uint32
		scope   uint8
	}
	var out []Use
	seen := map[place]bool{}
	for i := len(all) - 1; i >= 0; i-- {
		b, ok := all[i].rec.Body.(*record.Provision)
		if !ok {
			continue
		}
		at := place{all[i].handle.For, b.Terms, b.Scope}
		if seen[at] {
			continue
		}
		seen[at] = true
		e, err := d.traced(st, &all[i])
		if err != nil {
			return nil, err
		}
		out = append(out, Use{Service: at.service, Purpose: e.Purpose, TimeMs: e.TimeMs})
	}
	return out, nil
}
