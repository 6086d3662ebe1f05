package custody

import (
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// serial is a consortium in which hand-overs go on.
type serial struct {
	*world
	t    *testing.T
	a, b *member
}

func newSerial(t *testing.T) *serial {
	w := newWorld(t)
	w.consent(w.standard(), "service")
	return &serial{w, t, w.members["a-sha"], w.members["b-sha"]}
}

// give hands over and has it received, and returns the hand-over and its day's own
// deadline.
func (s *serial) give(continues string) (string, time.Time) {
	s.t.Helper()
	r := provideRequest(refMarker)
	r.Continues = continues
	done, err := s.a.Provide(ctx, Call{Client: "app"}, r)
	noErr(s.t, err)
	s.duties()
	_, err = s.b.Receive(ctx, Call{Client: "app"}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "同意"})
	noErr(s.t, err)
	s.duties()
	return done.Records[0].ID, timeOf(ownDeadline(done.Records[0].TimeMs))
}

func (s *serial) to(at time.Time) {
	s.set(func() { s.c.NowMs = uint64(at.UnixMilli()) })
}

// readable counts the hand-overs that a member's auditor may read.
func (s *serial) readable(m *member, kind record.Kind) (n int) {
	s.t.Helper()
	for o, err := range m.Openings(ctx, "auditor", 0, s.state().Size) {
		noErr(s.t, err)
		if o.Kind == kind {
			n++
		}
	}
	return n
}

func (s *serial) wantReadable(when string, n int) {
	s.t.Helper()
	if a, b := s.readable(s.a, record.KindProvision), s.readable(s.b, record.KindReceived); a != n || b != n {
		s.t.Fatalf("%s: %d records are readable at the provider and %d at the recipient, want %d", when, a, b, n)
	}
}

// months are the entries of record identities at a member.
func (s *serial) months(m *member) int {
	s.t.Helper()
	s.duties()
	ids, err := m.vault.List("p/")
	noErr(s.t, err)
	return len(slices.DeleteFunc(ids, func(id string) bool { _, what, _ := personEntry(id); return what[:2] != "r/" }))
}

// TestBulkRecord: the records of hand-overs that go on are kept until three years
// after the last of them, at both sides, and nothing else of their months is.
func TestBulkRecord(t *testing.T) {
	s := newSerial(t)
	alone, aloneEnds := s.give("")
	first, _ := s.give("")
	s.pass(40 * 24 * time.Hour)
	second, _ := s.give(first)
	s.pass(40 * 24 * time.Hour)
	_, ends := s.give(second) // continues the series of the first
	if s.reopen(s.a); alone == first {
		t.Fatal("one id")
	}
	s.reopen(s.b)
	if _, known := s.b.bulk.firstReceived(mustID(t, first)); !known {
		t.Error("with which record the recipient received the first of the series is looked for again at each that comes")
	}
	dates, err := s.a.Dates(ctx, refMarker)
	noErr(t, err)
	if len(dates.Records) != 3 || !dates.Records[0].Until.Equal(ends) || !dates.Records[1].Until.Equal(ends) {
		t.Fatalf("%+v, want the first two months until %v", dates.Records, ends)
	}
	last := dates.Records[2].Until // of the last month, which no series prolongs
	if !last.After(ends) {
		t.Fatalf("%v and %v", last, ends)
	}
	s.to(aloneEnds.Add(-time.Second))
	s.wantReadable("a second before the first deadline", 4)
	s.to(aloneEnds)
	s.wantReadable("what is by itself has had its time", 3)
	s.to(ends.Add(-time.Second))
	s.wantReadable("a second before the series ends", 3)
	if a, b := s.months(s.a), s.months(s.b); a != 3 || b != 3 {
		t.Fatalf("%d and %d months are left a second before", a, b)
	}
	s.to(ends)
	s.wantReadable("the series has ended", 0)
	if a, b := s.months(s.a), s.months(s.b); a != 1 || b != 1 {
		t.Fatalf("%d and %d months are left, want the last", a, b)
	}
	s.to(last)
	if a, b := s.months(s.a), s.months(s.b); a != 0 || b != 0 {
		t.Fatalf("%d and %d months are left", a, b)
	}
	s.duties()
	for _, m := range []*member{s.a, s.b} {
		noErr(t, m.blobs.Scan(blobPrefix(kindSeries), func([]byte, []byte) error { t.Error("a series is left"); return nil }))
	}
}

// A hand-over that the ledger refused prolongs nothing, also after a restart.
func TestBulkRecordRefused(t *testing.T) {
	s := newSerial(t)
	first, ends := s.give("")
	before, err := s.a.Dates(ctx, refMarker)
	noErr(t, err)
	s.pass(40 * 24 * time.Hour)
	s.set(func() {
		s.posted = func(r outbox.Request) error {
			if r.Records[0].Kind == record.KindProvision {
				return record.Refuse(record.CodeRevoked, "")
			}
			return nil
		}
	})
	r := provideRequest(refMarker)
	r.Continues = first
	_, err = s.a.Provide(ctx, Call{}, r)
	wantCode(t, err, record.CodeRevoked)
	s.reopen(s.a)
	after, err := s.a.Dates(ctx, refMarker)
	noErr(t, err)
	if !after.Records[0].Until.Equal(before.Records[0].Until) {
		t.Fatalf("%+v, then %+v", before.Records, after.Records)
	}
	s.to(ends)
	s.wantReadable("its own deadline", 0)
}

// A person's erasure says until when the bulk record is kept.
func TestBulkRecordOnCertificate(t *testing.T) {
	s := newSerial(t)
	first, _ := s.give("")
	s.pass(40 * 24 * time.Hour)
	_, ends := s.give(first)
	s.to(ends.AddDate(0, 0, -1)) // the second month's last deadline is later: it counts on its own
	view, _, err := s.a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	s.duties()
	want := dayText(record.DayOf(uint64(ends.UnixMilli()) - 1))
	if len(view.RecordsUntil) != 2 || view.RecordsUntil[0] != want {
		t.Fatalf("%v, want the first month until %s", view.RecordsUntil, want)
	}
	s.to(ends.Add(-time.Second))
	s.wantReadable("erased, and kept by law", 2)
	s.to(ends)
	s.wantReadable("the series has ended", 0)
}

// Only a hand-over of the same person to the same recipient is gone on with.
func TestContinuesNothing(t *testing.T) {
	s := newSerial(t)
	first, ends := s.give("")
	_, err := s.a.Register(ctx, Call{}, Registration{Person: "another", Service: "a-portal", Source: "self", Items: map[string]string{"name": "x", "user-id": "y"}})
	noErr(t, err)
	s.consent("another", "service")
	for what, change := range map[string]func(*ProvideRequest){
		"no id":      func(r *ProvideRequest) { r.Continues = "first" },
		"unknown":    func(r *ProvideRequest) { r.Continues = "00112233445566778899aabbccddeeff" },
		"of another": func(r *ProvideRequest) { r.Person = "another" },
		"no hand-over": func(r *ProvideRequest) {
			consents, err := s.a.Events(ctx, refMarker)
			noErr(t, err)
			r.Continues = consents[0].ID
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := provideRequest(refMarker)
			r.Continues = first
			change(&r)
			_, err := s.a.Provide(ctx, Call{}, r)
			wantCode(t, err, CodeSeriesUnknown)
		})
	}
	s.to(ends)
	r := provideRequest(refMarker)
	r.Continues = first
	_, err = s.a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeSeriesUnknown)
}
