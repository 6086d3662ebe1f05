package rules_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"pgregory.net/rapid"
)

// A twin judges consents and hand-overs as the design's words say, by looking
// through everything that ever happened. It keeps no state but the story, and
// knows nothing of how package rules does it.
type twin struct {
	now    time.Time // of the batch at hand
	batch  int
	events []twinEvent // accepted ones, in order
}

type twinEvent struct {
	what   string // grant, revoke, stop, stop-all, provide, receive, undelivered, join, leave, close
	who    int    // person
	scope  int
	until  time.Time // grant: the first instant after its last day; zero: no end
	party  string    // provide: to; join, leave
	intent record.ID
	batch  int
	leaf   record.Digest
}

// The words of the test's screen: scope 0 names shop and b-sha, scope 1 the
// category retail, which the parties shop and cafe carry.
func (tw *twin) onTheList(scope int, party string, consentBatch int) bool {
	named := scope == 0 && (party == "shop" || party == "b-sha") || scope == 1 && (party == "shop" || party == "cafe")
	return named && tw.here(party) && tw.joined(party) < consentBatch
}

// joined returns the batch in which the party last joined; founders in batch 0.
func (tw *twin) joined(party string) int {
	for _, e := range slices.Backward(tw.events) {
		if e.what == "join" && e.party == party {
			return e.batch
		}
	}
	return 0
}

func (tw *twin) here(party string) bool {
	for _, e := range slices.Backward(tw.events) {
		if e.party == party && (e.what == "join" || e.what == "leave") {
			return e.what == "join"
		}
	}
	return party != "shop" && party != "cafe" // the members are there from the start
}

// consentEvents are what a grant is numbered by: consents, revocations, stops.
func (tw *twin) consentEvents(who int) (count uint64, head record.Digest) {
	for _, e := range tw.events {
		if e.who == who && slices.Contains([]string{"grant", "revoke", "stop", "stop-all"}, e.what) {
			count++
			head = sha256.Sum256(append(head[:], e.leaf[:]...))
		}
	}
	return count, head
}

func (tw *twin) closed(who int) bool {
	return slices.ContainsFunc(tw.events, func(e twinEvent) bool { return e.who == who && e.what == "close" })
}

func (tw *twin) exists(who int) bool {
	return slices.ContainsFunc(tw.events, func(e twinEvent) bool { return e.who == who && e.what == "grant" })
}

// last returns the last word on a scope: the grant, or the event that ended it.
// (Of two ends the first is the one that ended it.)
func (tw *twin) last(who, scope int) (grant, end *twinEvent) {
	for i := range tw.events {
		e := &tw.events[i]
		if e.who != who {
			continue
		}
		switch {
		case e.what == "grant" && e.scope == scope:
			grant, end = e, nil
		case grant != nil && end == nil && (e.what == "stop-all" || (e.what == "revoke" || e.what == "stop") && e.scope == scope):
			end = e
		}
	}
	return grant, end
}

func (tw *twin) allowed(who, scope int) record.Code {
	switch grant, end := tw.last(who, scope); {
	case grant == nil:
		return "no-consent"
	case end != nil:
		return "revoked"
	case !grant.until.IsZero() && !tw.now.Before(grant.until):
		return "expired"
	}
	return ""
}

// judge says what becomes of an event; stale says that its grant was signed
// over another count.
func (tw *twin) judge(e twinEvent, by string, stale bool) record.Code {
	switch e.what {
	case "grant":
		switch {
		case !e.until.IsZero() && !tw.now.Before(e.until):
			return "terms.expiry"
		case tw.closed(e.who):
			return "handle.closed"
		case stale:
			return "grant.stale"
		}
	case "revoke":
		if !tw.exists(e.who) {
			return "no-consent"
		}
		if tw.closed(e.who) {
			return "handle.closed"
		}
		if code := tw.allowed(e.who, e.scope); code == "revoked" {
			return "already-revoked"
		} else if code != "" {
			return code
		}
	case "stop", "stop-all":
		if !tw.exists(e.who) {
			return "handle.unknown"
		}
	case "close":
		if !tw.exists(e.who) {
			return "handle.unknown"
		}
		if tw.closed(e.who) {
			return "handle.closed"
		}
	case "provide":
		if !tw.here(e.party) {
			return "member-not-active"
		}
		if tw.exists(e.who) && tw.closed(e.who) {
			return "handle.closed"
		}
		if code := tw.allowed(e.who, e.scope); code != "" {
			return code
		}
		grant, _ := tw.last(e.who, e.scope)
		if by != "a-sha" && !tw.onTheList(e.scope, by, grant.batch) {
			return "service.owner"
		}
		if !tw.onTheList(e.scope, e.party, grant.batch) {
			return "recipient-not-listed"
		}
	case "receive", "undelivered":
		given := slices.IndexFunc(tw.events, func(o twinEvent) bool { return o.what == "provide" && o.intent == e.intent })
		done := slices.ContainsFunc(tw.events, func(o twinEvent) bool {
			return (o.what == "receive" || o.what == "undelivered") && o.intent == e.intent
		})
		if given < 0 || done || tw.events[given].party != by {
			return "receive-without-provision"
		}
		if tw.closed(tw.events[given].who) {
			return "handle.closed"
		}
	case "join":
		if tw.here(e.party) {
			return "party.exists"
		}
	case "leave":
		if !tw.here(e.party) {
			return "party.unknown"
		}
	}
	return ""
}

// A draw makes random records and asks the twin about each.
type draw struct {
	*rapid.T
	c       *ledgertest.Consortium
	tw      *twin
	terms   record.Digest
	people  []sign.Key
	intents []*record.Record
	olds    []oldGrant
}

type oldGrant struct {
	event twinEvent
	rec   *record.Record
}

func newDraw(t *testing.T, rt *rapid.T) *draw {
	c := ledgertest.New(t, ledgertest.Options{})
	r, terms := c.Terms(c.Screen("portal", "1",
		record.Scope{Purpose: "service", Required: []string{"user-id"}, Recipients: []string{"b-sha", "shop"}},
		record.Scope{Purpose: "platform", Required: []string{"user-id"}, Categories: []string{"retail"}}))
	c.Must("a-sha", c.Service("portal"), r)
	d := &draw{T: rt, c: c, tw: &twin{}, terms: terms}
	for i := range 3 {
		d.people = append(d.people, c.Person(fmt.Sprint("p", i)).Handle("portal", 0))
	}
	for _, id := range []string{"shop", "cafe"} { // keys are those of ledgertest's parties
		c.Keys[id] = c.Key("sign/" + id)
	}
	return d
}

// record draws one record, its issuer, and what the twin expects of it.
func (d *draw) record() (rec *record.Record, issuer string, e twinEvent, want record.Code) {
	c, tw := d.c, d.tw
	e = twinEvent{who: rapid.IntRange(0, len(d.people)-1).Draw(d.T, "person"), scope: rapid.IntRange(0, 1).Draw(d.T, "scope"), batch: tw.batch}
	e.what = rapid.SampledFrom([]string{"grant", "grant", "revoke", "revoke", "stop", "stop-all", "provide", "provide", "provide",
		"provide", "receive", "receive", "undelivered", "join", "leave", "close", "old-grant"}).Draw(d.T, "what")
	h := d.people[e.who]
	issuer = rapid.SampledFrom([]string{"b-sha", "pf"}).Draw(d.T, "member")
	stale := false
	switch e.what {
	case "grant":
		issuer = "a-sha"
		count, head := tw.consentEvents(e.who)
		stale = rapid.IntRange(0, 9).Draw(d.T, "stale") == 0
		if stale {
			count++
		}
		var day uint32
		if days := rapid.IntRange(-1, 6).Draw(d.T, "days"); days < 5 {
			midnight := time.Date(tw.now.Year(), tw.now.Month(), tw.now.Day()+days+1, 0, 0, 0, 0, record.JST)
			e.until, day = midnight, uint32(midnight.Add(-time.Hour).Add(9*time.Hour).Unix()/86400)
		}
		rec = c.GrantAt(count, head, h, d.terms, uint8(e.scope), day)
		d.olds = append(d.olds, oldGrant{e, rec})
	case "old-grant":
		issuer = "a-sha"
		if len(d.olds) == 0 {
			return d.record()
		}
		old := rapid.SampledFrom(d.olds).Draw(d.T, "old")
		e, rec = old.event, old.rec
		e.batch = tw.batch
		count, head := tw.consentEvents(e.who)
		g := rec.Body.(*record.Consent)
		stale = g.Count != count || g.Head != head
	case "revoke":
		rec = c.Revoke(h, d.terms, uint8(e.scope))
	case "stop":
		rec = c.Stop(h.Public(), d.terms, uint8(e.scope))
	case "stop-all":
		rec = c.StopAll(h.Public())
	case "close":
		issuer = "a-sha"
		if rapid.IntRange(0, 4).Draw(d.T, "really") > 0 {
			return d.record()
		}
		rec = c.HandleClose(h.Public())
	case "provide":
		issuer = rapid.SampledFrom([]string{"a-sha", "a-sha", "b-sha"}).Draw(d.T, "from")
		e.party = rapid.SampledFrom([]string{"shop", "cafe", "c-sha", "pf"}).Draw(d.T, "to")
		rec = c.Provision(h.Public(), 1, uint8(e.scope), e.party)
		rec.Issuer, e.intent = issuer, rec.ID
		d.intents = append(d.intents, rec)
	case "receive", "undelivered":
		if len(d.intents) == 0 {
			return d.record()
		}
		in := rapid.SampledFrom(d.intents).Draw(d.T, "intent")
		e.intent = in.ID
		issuer = in.Body.(*record.Provision).To
		if rapid.IntRange(0, 5).Draw(d.T, "another") == 0 || !tw.here(issuer) || tw.joined(issuer) == tw.batch {
			issuer = "c-sha"
		}
		if e.what == "receive" {
			rec = c.Received(in)
		} else {
			rec = c.Undelivered(in)
		}
	case "join", "leave":
		issuer = "pf"
		e.party = rapid.SampledFrom([]string{"shop", "cafe"}).Draw(d.T, "party")
		rec = c.Leave(e.party)
		if e.what == "join" {
			rec = c.Party(e.party, "retail")
		}
	}
	if e.what == "receive" || e.what == "undelivered" || e.what == "join" || e.what == "leave" {
		e.who = -1
	}
	return rec, issuer, e, tw.judge(e, issuer, stale)
}

// batch draws one batch, applies it, and compares every outcome.
func (d *draw) batch(t *testing.T) {
	c, tw := d.c, d.tw
	c.Pass(rapid.SampledFrom([]uint64{1, 1, 1000, 3600_000, 9 * 3600_000, 86400_000}).Draw(d.T, "pass"))
	if rapid.IntRange(0, 5).Draw(d.T, "midnight") == 0 { // exactly, or a millisecond before
		c.NowMs = record.DayEndMs(record.DayOf(c.NowMs)) - uint64(rapid.IntRange(0, 1).Draw(d.T, "before"))
	}
	c.NowMs = max(c.NowMs, c.Head().TimeMs+1)
	tw.now, tw.batch = time.UnixMilli(int64(c.NowMs)).In(record.JST), int(c.Head().Height)+1
	var subs []record.Submitted
	var want []record.Code
	var story []string
	for range rapid.IntRange(1, 5).Draw(d.T, "records") {
		rec, issuer, e, code := d.record()
		if rec.Issuer != "" && rec.Issuer != issuer {
			t.Fatalf("%s by %s, record of %s", e.what, issuer, rec.Issuer)
		}
		sub := c.Submit(issuer, rec)
		if code == "" {
			e.leaf = leafHash(sub.Leaves[0])
			tw.events = append(tw.events, e)
		}
		subs, want = append(subs, sub), append(want, code)
		story = append(story, fmt.Sprintf("%s of %d, scope %d, %s by %s", e.what, e.who, e.scope, e.party, issuer))
	}
	r := c.Batch(subs...)
	for i, o := range r.Outcomes {
		if got := ledgertest.Codes(o)[0]; got != want[i] {
			d.Fatalf("%s: %q, the twin says %q", story[i], got, want[i])
		}
	}
}

// TestTwin compares the rules with the twin over random histories.
func TestTwin(t *testing.T) {
	codes := map[record.Code]int{}
	rapid.Check(t, func(rt *rapid.T) {
		d := newDraw(t, rt)
		for range rapid.IntRange(1, 40).Draw(rt, "batches") {
			d.batch(t)
		}
		for height := range d.c.Heights {
			_, seal := d.c.Batched(uint64(height))
			for _, r := range seal.Refusals {
				codes[r.Code]++
			}
		}
		for i, h := range d.people {
			count, head := d.tw.consentEvents(i)
			if s := d.c.State(h.Public()); s != nil && (s.Consents != count || s.ConsentHead != head) {
				rt.Fatalf("person %d: count %d and head %x, the twin says %d and %x", i, s.Consents, s.ConsentHead, count, head)
			}
		}
	})
	t.Log(codes)
}
