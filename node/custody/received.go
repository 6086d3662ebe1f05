package custody

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// What a member received it keeps as long as the person was told: as the terms of the
// consent say under which it was handed over (under an opt-out filing those in force),
// or for an item the parameter retention-ITEM. It lies under a content class of that
// deadline, whoever is the recipient:
//
//	c/SERVICE@HOLDER                  received, where nothing says how long
//	c/SERVICE@HOLDER/PERIOD/DEADLINE  received, until DEADLINE (Unix milliseconds)
//
// An erasure of the person names all identities in one record, so that somebody of
// whom data comes every day cannot have one for each of a year's deadlines. From
// maxReceived classes on, what comes in joins one that ends a little earlier, by at
// most a 32nd of its period, so that there are never many more; nothing lives longer
// than it may.

// maxReceived is how many classes with deadlines one holder has of a person and a
// service before what comes in joins an earlier one.
const maxReceived = 32

// receivedUntil names the class of what is received now.
func (d *Desk) receivedUntil(st *store.State, ref Ref, h *rules.Handle, rec *record.Record, a *announced) (string, error) {
	_, to, err := handsOver(rec)
	if err != nil {
		return "", err
	}
	base := receivedName(h.For, to)
	terms, err := d.toldRetention(st, h, rec)
	if err != nil {
		return "", err
	}
	now := d.nowMs()
	period, until, err := d.longest(st, terms, a.items, now)
	if err != nil || until == 0 && a.part.Dataset == nil {
		return base, err
	}
	until -= until % 1000 // the ledger's time is in seconds: not one later
	names, all, err := d.people.contentNames(ref, base+"/")
	if err != nil {
		return "", err
	}
	if a.part.Dataset != nil {
		name, err := receivedDataset(base, a.part.Dataset, period, until)
		if err == nil && all >= maxDatasets && !slices.Contains(names, name) {
			err = record.Refuse(CodeDatasetsFull, "%d contents", all)
		}
		return name, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return datasetOf(name) != "" })
	if len(names) >= maxReceived || all >= maxDatasets {
		if joined := latestBefore(names, until, (until-now)/maxReceived); joined != "" {
			return joined, nil
		}
	}
	if all >= maxDatasets {
		return "", record.Refuse(CodeDatasetsFull, "%d contents", all)
	}
	return base + "/" + period + "/" + strconv.FormatUint(until, 10), nil
}

// latestBefore returns the name with the latest deadline that is not after a time and
// less than a while before it, "" for none.
func latestBefore(names []string, untilMs, whileMs uint64) (latest string) {
	for _, name := range names {
		if end := deadlineOf(name); end <= untilMs && untilMs-end < whileMs && end > deadlineOf(latest) {
			latest = name
		}
	}
	return latest
}

// toldRetention is what the person was told about a hand-over: by the terms of the
// consent, else by those in force. "": nothing.
func (d *Desk) toldRetention(st *store.State, h *rules.Handle, rec *record.Record) (string, error) {
	s, err := rules.Load[rules.Service](st, rules.KeyService(h.For))
	if err != nil || s == nil { // a handle towards a party
		return "", err
	}
	p, is := rec.Body.(*record.Provision)
	if !is {
		return d.termsRetention(st, s, d.nowMs())
	}
	hash, err := termsOf(s, p.Terms)
	if err != nil {
		return "", err
	}
	screen, _, err := d.screen(st, hash)
	if err != nil {
		return "", err
	}
	return screen.Retention, nil
}

// contentNames returns the names of a person's classes with a prefix, and how many
// with deadlines there are of any.
func (p *people) contentNames(ref Ref, prefix string) (names []string, dated int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, err := p.person(ref)
	if err != nil || q == nil {
		return nil, 0, err
	}
	for name := range q.classes {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		if !isRecords(name) && deadlineOf(name) != 0 {
			dated++
		}
	}
	return names, dated, nil
}

// sheetsFor returns where values are looked for: what the party holds under the
// service, its own first and then what it received, newest first; then under its
// other services.
func (d *Desk) sheetsFor(st *store.State, h *handOver) ([]*sheet, error) {
	if h.dataset != nil {
		s, err := d.readSheet(h.dataset)
		return []*sheet{s}, err
	}
	var out []*sheet
	first := "c/" + h.service.ID
	if h.from == h.service.Owner {
		own, err := d.readSheet(d.classOf(h.person, first))
		if err != nil {
			return nil, err
		}
		out = append(out, own)
	}
	received, err := d.receivedSheets(h.person, h.service.ID, h.from)
	if err != nil {
		return nil, err
	}
	out = append(out, received...)
	for _, c := range d.classesOf(h.person, "c/") {
		s, err := rules.Load[rules.Service](st, rules.KeyService(c.name[2:]))
		if err != nil {
			return nil, err
		}
		if c.name == first || s == nil || s.Owner != h.from {
			continue
		}
		sh, err := d.readSheet(c)
		if err != nil {
			return nil, err
		}
		out = append(out, sh)
	}
	return out, nil
}

// receivedSheets returns what a holder received of a person under a service and may
// still read and hand on, newest first.
func (d *Desk) receivedSheets(q *person, service, holder string) ([]*sheet, error) {
	var out []*sheet
	err := d.eachSheet(q, receivedName(service, holder), func(c *class, s *sheet) error {
		if isReceived(c, service, holder) && datasetOf(c.name) == "" {
			out = append(out, s)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b *sheet) int { return cmp.Compare(b.newestMs(), a.newestMs()) })
	return out, err
}

// receivedBy returns the classes of what a holder received of a person under a
// service.
func (d *Desk) receivedBy(q *person, service, holder string) []*class {
	all := d.classesOf(q, receivedName(service, holder))
	return slices.DeleteFunc(all, func(c *class) bool { return !isReceived(c, service, holder) })
}

func isReceived(c *class, service, holder string) bool {
	s, h := c.of()
	return s == service && h == holder && !isDataset(c.name)
}

func (s *sheet) newestMs() (ms uint64) {
	for _, it := range s.Items {
		ms = max(ms, it.SinceMs)
	}
	return ms
}

// eachSheet calls fn with what may still be read of a person's classes whose name has
// a prefix, by name.
func (d *Desk) eachSheet(q *person, prefix string, fn func(*class, *sheet) error) error {
	for _, c := range d.classesOf(q, prefix) {
		s, err := d.readSheet(c)
		if code := codeOf(err); code == CodeRetention || code == record.CodeErased || errors.Is(err, errGone) {
			continue
		}
		if err == nil {
			err = fn(c, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// carryStops keeps what a person stopped with content that has come in since, too.
func (d *Desk) carryStops(q *person) error {
	views, err := d.stopsOf(q)
	if err != nil || !slices.ContainsFunc(views, func(v StopView) bool { return v.SinceMs != 0 }) {
		return err
	}
	return d.keepStops(q, views)
}
