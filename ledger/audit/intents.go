package audit

import (
	"encoding/hex"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// intent is a hand-over that no record has closed.
type intent struct {
	index uint64
	items itemsState
}

// itemsState says what can be known of a hand-over's items.
type itemsState uint8

const (
	itemsUnopened itemsState = iota
	itemsOpened
	itemsErased
)

// openIntents notes the hand-overs that a batch begins.
func (a *auditor) openIntents(p *pending) {
	for i, leaf := range p.leaves {
		if k := kindOf(leaf); k == record.KindProvision || k == record.KindOptOut {
			if id, ok := record.PeekID(leaf); ok {
				a.open[id] = &intent{index: p.first + uint64(i)}
			}
		}
	}
}

// closeIntents notes the hand-overs that a batch ends.
func (a *auditor) closeIntents(p *pending) {
	for _, leaf := range p.leaves {
		if k := kindOf(leaf); k != record.KindReceived && k != record.KindUndelivered && k != record.KindHandleClose {
			continue
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			continue // a replay has read it
		}
		switch b := rec.Body.(type) {
		case *record.Received:
			a.closeIntent(b.Intent, true)
		case *record.Undelivered:
			a.closeIntent(b.Intent, false)
		case *record.HandleClose:
			for _, id := range b.Intents {
				a.closeIntent(id, false)
			}
		}
	}
}

func (a *auditor) closeIntent(id record.ID, received bool) {
	in := a.open[id]
	if in == nil {
		return
	}
	a.holds(CheckIntent, 1)
	a.countItems(in.items, received)
	delete(a.open, id)
}

func (a *auditor) countItems(s itemsState, attested bool) {
	switch p := &a.report.Provisions; {
	case s == itemsOpened:
		p.Opened++
	case attested:
		p.Attested++
	case s == itemsErased:
		p.Erased++
	default:
		p.Unopened++
	}
}

// intents judges what is still open at the end. One whose handle has ended is
// closed with it; one whose deadline lies before the last batch, or whose recipient
// has left, is named: that is no breach of the log, but of a promise.
func (a *auditor) intents() {
	for id, in := range a.open {
		a.countItems(in.items, false)
		v, err := rules.Load[rules.Intent](a, rules.KeyIntent(id))
		if a.lost || err != nil || v == nil {
			a.unchecked(CheckIntent, 1)
			continue
		}
		h, err := rules.HandleState(a, v.Handle)
		left := a.gone(v.To)
		switch {
		case err == nil && h != nil && h.Closed != 0:
			a.holds(CheckIntent, 1)
		case left || v.DeadlineMs < a.report.LastMs:
			a.count.check(CheckIntent).Waiting++
			a.report.Overdue = append(a.report.Overdue, Overdue{ID: hex.EncodeToString(id[:]), Index: in.index,
				From: v.From, To: v.To, DeadlineMs: v.DeadlineMs, Left: left})
		default:
			a.count.check(CheckIntent).Waiting++
		}
	}
	slices.SortFunc(a.report.Overdue, func(x, y Overdue) int { return int(x.Index) - int(y.Index) })
}

// gone reports whether a party takes no part any more.
func (a *auditor) gone(id string) bool {
	p, err := rules.Load[rules.Party](a, rules.KeyParty(id))
	if err != nil || p == nil {
		return false
	}
	there, err := rules.Here(a, p)
	return err == nil && !there
}
