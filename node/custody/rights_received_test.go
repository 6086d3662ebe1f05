package custody

import (
	"testing"
	"time"
)

// A request at a recipient outlives what was received, is taken in once whatever has
// come in since, and goes with the provider's erasure.
func TestRightsOutliveWhatWasReceived(t *testing.T) {
	s := newSevenDays(t)
	s.give("")
	_, ref := s.contents()
	r := RightRequest{Person: ref, Kind: RightDisclosure, Service: "a-portal"}
	file := func(key string) *RightView {
		v, err := s.b.FileRight(ctx, Call{Client: "app", Key: key}, r)
		noErr(t, err)
		return v
	}
	first := file("k1")
	s.pass(2 * 24 * time.Hour)
	s.give("")
	if again := file("k1"); again.ID != first.ID {
		t.Errorf("repeated: %s, then %s", first.ID, again.ID)
	}
	r.Kind = RightCorrection
	second := file("k2")
	s.pass(40 * 24 * time.Hour)
	for range 3 {
		s.duties()
	}
	for range 2 {
		all, err := s.b.Rights(ctx, ref)
		noErr(t, err)
		if len(all) != 2 || all[0].ID != second.ID || !all[0].Overdue || all[1].ID != first.ID {
			t.Fatalf("after the data is gone: %+v", all)
		}
		s.reopen(s.b)
	}
	if again := file("k2"); again.ID != second.ID {
		t.Errorf("repeated: %s, then %s", second.ID, again.ID)
	}
	_, _, err := s.a.Erase(ctx, Call{Client: "app", Key: "erase"}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	for range 3 {
		s.duties()
	}
	if all, err := s.b.AllRights(ctx, false); err != nil || len(all) != 0 {
		t.Errorf("after the erasure: %+v, %v", all, err)
	}
}

// A recipient that hands on takes what came last, whatever stands for how long.
func TestNewestReceivedFirst(t *testing.T) {
	s := newSevenDays(t)
	s.give("")
	_, ref := s.contents()
	q, release, err := s.b.use(ref)
	noErr(t, err)
	defer release()
	for _, c := range []struct{ class, value string }{
		{"c/a-portal@b-sha", "old"}, {"c/a-portal@b-sha/P7D/99999999999000", "newest"}, {"c/a-portal@b-sha/P7D/99999999998000", ""},
	} {
		s.pass(time.Hour)
		made, err := s.b.ensure(q, c.class)
		noErr(t, err)
		if c.value != "" {
			noErr(t, s.b.setItems(made[0], map[string]string{"name": c.value}, "a-sha", ""))
		}
	}
	service, err := s.b.service(s.state(), "a-portal")
	noErr(t, err)
	sheets, err := s.b.sheetsFor(s.state(), &handOver{from: "b-sha", service: service, person: q})
	noErr(t, err)
	var names []string
	for _, sh := range sheets {
		if v, ok := sh.value("name"); ok {
			names = append(names, v)
		}
	}
	if len(names) != 3 || names[0] != "newest" || names[1] != "old" || names[2] != nameMarker {
		t.Errorf("%q", names)
	}
}
