package custody

import (
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestBulkAfterMove: a series goes on under the handle to which the person's moved, at
// both sides.
func TestBulkAfterMove(t *testing.T) {
	s := newSerial(t)
	first, ends := s.give("")
	secret, _, err := s.a.readSecret(refMarker)
	noErr(t, err)
	s.must("a-sha", s.c.HandleMove(secret.Handle("a-portal", 0), secret.Handle("a-portal", 1)))
	s.pass(40 * 24 * time.Hour)
	_, later := s.give(first)
	if !later.After(ends) {
		t.Fatalf("%v, then %v", ends, later)
	}
	s.to(later.Add(-time.Second))
	s.wantReadable("a second before the series ends", 2)
	s.to(later)
	s.wantReadable("the series has ended", 0)
}

// TestInLine: nobody's hand-over goes on with another's, or with one to another.
func TestInLine(t *testing.T) {
	s := newSerial(t)
	first, _ := s.give("")
	id, err := parseID(first)
	noErr(t, err)
	st := s.state()
	rec, _, err := recordByID(st, id)
	noErr(t, err)
	k := rec.Body.(*record.Provision).Handle
	h, err := rules.HandleState(st, k)
	noErr(t, err)
	other := k
	other[0] ^= 1
	stranger := &rules.Handle{MovedFrom: other[:]}
	for name, c := range map[string]struct {
		from, to string
		h        *rules.Handle
		moved    bool
		want     bool
	}{
		"the same":          {"a-sha", "b-sha", h, false, true},
		"another provider":  {"c-sha", "b-sha", h, false, false},
		"another recipient": {"a-sha", "c-sha", h, false, false},
		"another person":    {"a-sha", "b-sha", nil, true, false},
		"moved":             {"a-sha", "b-sha", &rules.Handle{MovedFrom: k[:]}, true, true},
		"moved elsewhere":   {"a-sha", "b-sha", stranger, true, false},
	} {
		at := k
		if c.moved {
			at[1] ^= 1
		}
		under, is, err := inLine(st, rec, c.from, c.to, at, c.h)
		if noErr(t, err); is != c.want || is && under != k {
			t.Errorf("%s: %v", name, is)
		}
	}
}

// TestNoDateWithoutLedger: what cannot be told about a month is an error, not its own
// deadline.
func TestNoDateWithoutLedger(t *testing.T) {
	s := newSerial(t)
	first, _ := s.give("")
	s.give(first)
	q, release, err := s.a.use(refMarker)
	noErr(t, err)
	defer release()
	months := s.a.classesOf(q, "r/")
	_, err = s.a.lastDay(months[0])
	noErr(t, err)
	was := s.a.State
	defer func() { s.a.State = was }()
	s.a.State = func() *store.State { return nil }
	if day, err := s.a.lastDay(months[0]); err == nil {
		t.Errorf("kept until %s", day)
	}
	if days, err := s.a.keptUntil(q); err == nil {
		t.Errorf("kept until %s", days)
	}
}
