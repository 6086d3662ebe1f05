package custody

import (
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// newSevenDays is a serial under terms that keep what is handed over for seven days.
func newSevenDays(t *testing.T) *serial {
	w := newWorldOf(t, ledgertest.Options{})
	screen := w.c.Screen("a-portal", "1")
	screen.Retention = "P7D"
	terms, _ := w.c.Terms(screen)
	w.must("a-sha", w.c.Service("a-portal"), terms)
	_, err := w.members["a-sha"].Register(ctx, Call{}, Registration{Person: refMarker, Service: "a-portal", Source: "self",
		Items: map[string]string{"name": nameMarker, "user-id": idMarker}})
	noErr(t, err)
	w.consent(refMarker, "service")
	return &serial{w, t, w.members["a-sha"], w.members["b-sha"]}
}

// contents are the deadlines of what the recipient received, and its only person.
func (s *serial) contents() (until []time.Time, ref Ref) {
	s.t.Helper()
	ids, err := s.b.vault.List("p/")
	noErr(s.t, err)
	for _, id := range ids {
		ref, _, _ = personEntry(id)
	}
	dates, err := s.b.Dates(ctx, ref)
	noErr(s.t, err)
	for _, c := range dates.Content {
		if c.Service != "a-portal" || c.Holder != "b-sha" || c.Retention != "P7D" || c.Dataset != "" || c.Until == nil {
			s.t.Fatalf("%+v", c)
		}
		until = append(until, *c.Until)
	}
	return until, ref
}

// held counts the contents that the recipient shows to the person.
func (s *serial) held(ref Ref) int {
	s.t.Helper()
	d, err := s.b.Disclose(ctx, ref)
	noErr(s.t, err)
	return len(d.Classes)
}

// TestReceivedUntil: what was received is gone when the terms' time is over, to the
// second, at a recipient that restarts or is down then, and the ledger says so.
func TestReceivedUntil(t *testing.T) {
	for name, c := range map[string]struct {
		around func(s *serial, due time.Time)
		late   time.Duration
	}{
		"running": {func(s *serial, due time.Time) { s.to(due) }, 0},
		"restarted a second before": {func(s *serial, due time.Time) {
			s.reopen(s.b)
			s.to(due)
		}, 0},
		"down for a month": {func(s *serial, due time.Time) {
			s.close(s.b)
			s.to(due.Add(30 * 24 * time.Hour))
			s.open(s.b)
		}, 30 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSevenDays(t)
			began := s.now()
			s.give("")
			until, ref := s.contents()
			if len(until) != 1 || until[0].Sub(began) < 7*24*time.Hour-time.Second || until[0].Sub(s.now()) > 7*24*time.Hour {
				t.Fatalf("received at %v until %v", began, until)
			}
			due := until[0]
			s.to(due.Add(-time.Second))
			s.duties()
			wantHeld(t, s.b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
			c.around(s, due)
			if n := s.held(ref); n != 0 {
				t.Fatalf("%d contents are shown at the deadline", n)
			}
			s.duties()
			s.wantRetired(ref, due.Add(c.late))
		})
	}
}

// wantRetired checks that nothing of what was received is left, and that the ledger
// says since when.
func (s *serial) wantRetired(ref Ref, at time.Time) {
	s.t.Helper()
	ids, err := s.b.vault.List("p/" + string(ref) + "/c/")
	noErr(s.t, err)
	if len(ids) != 0 {
		s.t.Fatalf("%d keys are left", len(ids))
	}
	e := (&shop{world: s.world, t: s.t}).lastErasure()
	if e.Cause != "retention" || len(e.Numbers) != 1 || len(e.Holders) != 1 || e.Holders[0] != "b-sha" {
		s.t.Fatalf("%+v", e)
	}
	tomb, err := rules.Load[rules.Tombstone](s.state(), rules.KeyTombstone(e.Numbers[0]))
	noErr(s.t, err)
	done, err := rules.Load[rules.Erasure](s.state(), rules.KeyErasure(tomb.Erasure))
	noErr(s.t, err)
	if len(done.Pending) != 0 || !timeOf(done.TimeMs).Truncate(time.Second).Equal(at) {
		s.t.Fatalf("%+v, want it at %v", done, at)
	}
}

// Each hand-over has its own deadline; what is received again later does not keep
// what came before. Records of both are kept.
func TestReceivedAgain(t *testing.T) {
	s := newSevenDays(t)
	s.give("")
	s.pass(3 * 24 * time.Hour)
	s.give("")
	until, ref := s.contents()
	if len(until) != 2 || until[1].Sub(until[0]) < 3*24*time.Hour {
		t.Fatalf("%v", until)
	}
	s.to(until[0])
	s.duties()
	if left, _ := s.contents(); len(left) != 1 || !left[0].Equal(until[1]) || s.held(ref) != 1 {
		t.Fatalf("%v are left of %v", left, until)
	}
	s.to(until[1])
	s.duties()
	if left, _ := s.contents(); len(left) != 0 {
		t.Fatalf("%v are left", left)
	}
	s.wantReadable("content is gone, records are kept", 2)
	s.give("") // known again
	if left, again := s.contents(); len(left) != 1 || again != ref {
		t.Fatalf("%v, %s and %s", left, again, ref)
	}
}

// Whatever came in goes with the person's erasure at the provider, whichever deadline
// it has; and where some of it is due meanwhile, both end.
func TestReceivedAndErased(t *testing.T) {
	s := newSevenDays(t)
	s.give("")
	s.pass(3 * 24 * time.Hour)
	s.give("")
	until, ref := s.contents()
	s.to(until[0])
	view, _, err := s.a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	s.duties()
	if ids, _ := s.b.vault.List("p/" + string(ref) + "/c/"); len(ids) != 0 {
		t.Fatalf("%v are left", ids)
	}
	if view, err = s.a.Erasure(ctx, view.ID); err != nil || len(view.Pending) != 0 {
		t.Fatalf("%+v, %v", view, err)
	}
}

// Data that comes every few hours has no identity for each time; none lives longer
// than it may, or much shorter.
func TestReceivedOften(t *testing.T) {
	s := newSevenDays(t)
	var until []time.Time
	for range maxReceived + 20 {
		s.give("")
		last := s.now().Add(7 * 24 * time.Hour)
		all, _ := s.contents()
		newest := all[len(all)-1]
		if newest.After(last) || last.Sub(newest) > 7*24*time.Hour/maxReceived {
			t.Fatalf("received at %v until %v", s.now(), newest)
		}
		until = all
		s.pass(2 * time.Hour)
	}
	if len(until) > maxReceived+10 {
		t.Fatalf("%d contents", len(until))
	}
}

// What a person stopped holds for what comes in later, too.
func TestStopsOutliveContent(t *testing.T) {
	s := newSevenDays(t)
	s.give("")
	_, ref := s.contents()
	_, err := s.b.SetStop(ctx, ref, StopKinds[0], true, StopByPerson)
	noErr(t, err)
	s.pass(3 * 24 * time.Hour)
	s.give("")
	until, _ := s.contents()
	s.to(until[0])
	s.duties()
	q, release, err := s.b.use(ref)
	noErr(t, err)
	defer release()
	views, err := s.b.stopsOf(q)
	noErr(t, err)
	if !views[0].Stopped {
		t.Fatalf("%+v", views)
	}
}

// Nothing but a consent's own terms counts: those that came later say something else.
func TestReceivedUnderItsTerms(t *testing.T) {
	s := newSevenDays(t)
	screen := s.c.Screen("a-portal", "2")
	screen.Retention = "P1D"
	terms, _ := s.c.Terms(screen)
	s.must("a-sha", terms)
	s.give("")
	if until, _ := s.contents(); len(until) != 1 {
		t.Fatalf("%v", until)
	}
	ids, err := s.b.vault.List("p/")
	noErr(t, err)
	if !strings.Contains(strings.Join(ids, " "), "/c/a-portal@b-sha/P7D/") {
		t.Fatalf("%v", ids)
	}
}
