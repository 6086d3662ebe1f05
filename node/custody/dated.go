package custody

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A dated class dies at a deadline that its name says, so that the vault alone
// knows it, whatever else is lost:
//
//	d/SERVICE/PERIOD/DEADLINE/RANDOM  one dataset: content, until DEADLINE (Unix milliseconds)
//	c/SERVICE@HOLDER/PERIOD/DEADLINE  content that HOLDER received (received.go), until DEADLINE;
//	                                  with /NUMBER of a dataset (dataset_give.go)
//	s/SENSOR/DAY/PERIOD/DEADLINE      readings of a day (sensor_keep.go), until DEADLINE
//	r/2026-12                         records of a month, until the month's last legal deadline,
//	                                  or that of a bulk record (bulk.go) with records in it
//
// Two times decide. Reading is refused from the deadline on by this node's clock
// or the ledger's, whichever is later. Destruction begins at the deadline by the
// ledger's time alone (ledgerMs), for which k members stand: a clock of this
// machine that runs ahead destroys nothing early.
//
// The class id of a dataset is the number of its identity, so that it is found by
// either.
//
// A hold moves a deadline to its own end (hold.go). Nothing else does: what is
// collected again is another dataset.

// datedName names the class of a new dataset.
func datedName(service, period string, deadlineMs uint64) string {
	id := newID()
	return "d/" + service + "/" + period + "/" + strconv.FormatUint(deadlineMs, 10) + "/" + hex.EncodeToString(id[:8])
}

// deadlineOf reads the deadline out of a class's name; 0 where it has none.
func deadlineOf(name string) uint64 {
	kind, rest, _ := strings.Cut(name, "/")
	switch kind {
	case "d":
		if parts := strings.Split(rest, "/"); len(parts) == 4 {
			ms, _ := strconv.ParseUint(parts[2], 10, 63)
			return ms
		}
	case "c":
		if parts := strings.Split(rest, "/"); len(parts) == 3 || len(parts) == 4 {
			ms, _ := strconv.ParseUint(parts[2], 10, 63)
			return ms
		}
	case "s":
		if parts := strings.Split(rest, "/"); len(parts) == 4 {
			ms, _ := strconv.ParseUint(parts[3], 10, 63)
			return ms
		}
	case "r":
		if _, err := time.Parse("2006-01", rest); err == nil {
			return record.DayEndMs(monthEnds(rest))
		}
	}
	return 0
}

// datedParts returns the service and the period of a dataset's class, or of one of
// what was received.
func datedParts(name string) (service, period string) {
	parts := strings.Split(name, "/")
	switch {
	case len(parts) == 5 && parts[0] == "d":
		return parts[1], parts[2]
	case (len(parts) == 4 || len(parts) == 5) && parts[0] == "c":
		service, _, _ = strings.Cut(parts[1], "@")
		return service, parts[2]
	}
	return "", ""
}

func isDataset(name string) bool { return strings.HasPrefix(name, "d/") }

func isRecords(name string) bool { return strings.HasPrefix(name, "r/") }

// deadlineMs is when a class dies unless it is held; 0 where only on demand.
func (c *class) deadlineMs() uint64 { return deadlineOf(c.name) }

// untilMs is until when a class is kept unless it is held: its deadline, or that of
// the last bulk record with records in it. Where that cannot be read it counts as
// none: nothing is read longer than is known. What is said or published comes from
// keepUntil, with its error.
func (d *Desk) untilMs(c *class) uint64 {
	ms, err := d.keepUntil(c)
	if err != nil {
		return c.deadlineMs()
	}
	return ms
}

// dueMs is when a class dies: when it is kept no longer, or at the end of the last
// hold on it.
func (d *Desk) dueMs(c *class) uint64 { return d.holds.until(c.number, d.untilMs(c)) }

// ledgerMs is the ledger's time: that of the newest final batch, or until when the
// newest final checkpoint is fresh.
func (d *Desk) ledgerMs() uint64 {
	ms := d.FreshAt() * 1000
	if st := d.State(); st != nil {
		ms = max(ms, st.TimeMs)
	}
	return ms
}

// readingMs is the time by which reading is refused: the stricter of two clocks.
func (d *Desk) readingMs() uint64 { return max(d.nowMs(), d.ledgerMs()) }

// keepFor returns how long items that are collected now are kept: as asked, and
// never longer than any of them may be. An item may be kept as long as the
// consortium's parameter retention-ITEM says, or else as long as the service's terms
// in force say.
func (d *Desk) keepFor(st *store.State, s *rules.Service, items []string, asked string) (word string, untilMs uint64, err error) {
	now := d.nowMs()
	terms, err := d.termsRetention(st, s, now)
	if err != nil {
		return "", 0, err
	}
	word, untilMs, err = d.longest(st, terms, items, now)
	if err != nil {
		return "", 0, err
	}
	if asked != "" {
		end, err := periodEnd(asked, now)
		if err != nil {
			return "", 0, err
		}
		if untilMs != 0 && end > untilMs {
			return "", 0, record.Refuse(CodeRetentionLong, "%s where %s is the longest", asked, word)
		}
		word, untilMs = asked, end
	}
	if untilMs == 0 {
		return "", 0, record.Refuse(CodeMalformed, "neither terms nor a parameter nor the request says how long")
	}
	return word, untilMs, nil
}

// longest returns how long items may be kept at most, each as long as its parameter
// or else the terms say; 0 where nothing says it.
func (d *Desk) longest(st *store.State, terms string, items []string, nowMs uint64) (word string, untilMs uint64, err error) {
	for _, item := range items {
		limit := terms
		if v, err := rules.Load[rules.Value](st, rules.KeyParameter("retention-"+item)); err != nil {
			return "", 0, err
		} else if v != nil {
			limit = v.V
		}
		if limit == "" {
			continue
		}
		end, err := periodEnd(limit, nowMs)
		if err != nil {
			return "", 0, err
		}
		if untilMs == 0 || end < untilMs {
			word, untilMs = limit, end
		}
	}
	return word, untilMs, nil
}

func periodEnd(word string, fromMs uint64) (uint64, error) {
	p, err := record.ParsePeriod(word)
	if err != nil {
		return 0, record.Refuse(CodeMalformed, "a period that is none")
	}
	return p.EndMs(fromMs), nil
}

// termsRetention is what the newest terms in force say about storage, "" for
// nothing.
func (d *Desk) termsRetention(st *store.State, s *rules.Service, nowMs uint64) (string, error) {
	for i := len(s.Terms) - 1; i >= 0; i-- {
		if s.Terms[i].EffectiveMs > nowMs {
			continue
		}
		screen, _, err := d.screen(st, s.Terms[i].Hash)
		if err != nil {
			return "", err
		}
		return screen.Retention, nil
	}
	return "", nil
}
