package custody

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestMonthOfRecords: the identity of a month's records dies with the month's last
// deadline, and that is recorded. A legal hold moves it, and content it does not
// touch.
func TestMonthOfRecords(t *testing.T) {
	w := newWorld(t, "a-sha", "b-sha")
	a := w.members["a-sha"]
	w.consent(w.standard(), "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(refMarker))
	noErr(t, err)
	w.duties()
	dates, err := a.Dates(ctx, refMarker)
	noErr(t, err)
	if len(dates.Records) != 1 || len(dates.Content) != 1 || dates.Content[0].Until != nil || dates.Content[0].Holder != "a-sha" {
		t.Fatalf("%+v", dates)
	}
	until := dates.Records[0].Until
	own := timeOf(record.DayEndMs(recordKeep.LastDay(record.DayOf(done.Records[0].TimeMs))))
	to := func(at time.Time) { w.set(func() { w.c.NowMs = uint64(at.UnixMilli()) }) }
	readable := func() bool {
		n := 0
		for o, err := range a.Openings(ctx, "auditor", 0, w.state().Size) {
			noErr(t, err)
			if o.Kind == record.KindProvision {
				n++
			}
		}
		return n > 0
	}
	to(own.Add(-time.Second))
	if !readable() {
		t.Fatal("not readable a second before its own deadline")
	}
	held := until.Add(24 * time.Hour)
	_, err = a.PlaceHold(ctx, Call{Client: "admin"}, HoldRequest{Person: refMarker, Kind: HoldLegal, Reason: "訴訟", Until: held})
	noErr(t, err)
	wantCode(t, a.holdNothing(HoldLegal, "2001-01"), CodeHoldNothing)
	to(own)
	if !readable() {
		t.Fatal("the hold does not move the record's own deadline")
	}
	to(held.Add(-time.Second))
	w.duties()
	if ids, _ := a.vault.List("p/" + refMarker + "/r/"); len(ids) != 1 || !readable() {
		t.Fatal("destroyed while it was held")
	}
	to(held)
	if readable() {
		t.Fatal("readable when the hold is over")
	}
	w.duties()
	if ids, _ := a.vault.List("p/" + refMarker + "/r/"); len(ids) != 0 {
		t.Fatal("the month's key is still there")
	}
	e := (&shop{world: w, t: t}).lastErasure()
	if e.Cause != "retention" || len(e.Numbers) != 1 {
		t.Fatalf("%+v", e)
	}
}

func (d *Desk) holdNothing(kind, month string) error {
	_, err := d.PlaceHold(context.Background(), Call{}, HoldRequest{Person: refMarker, Kind: kind, Months: []string{month}, Reason: "x",
		Until: d.Now().Add(time.Hour)})
	return err
}

func TestHold(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	other := s.still(thief)
	due := v.Until
	good := HoldRequest{Person: thief, Kind: HoldDisclosure, Datasets: []string{v.ID}, Reason: "開示の請求", Until: due.Add(time.Hour)}
	for name, c := range map[string]struct {
		change func(*HoldRequest)
		code   record.Code
	}{
		"no reason":       {func(r *HoldRequest) { r.Reason = "" }, record.CodeReasonMissing},
		"no end":          {func(r *HoldRequest) { r.Until = time.Time{} }, CodeMalformed},
		"end in the past": {func(r *HoldRequest) { r.Until = s.now() }, CodeMalformed},
		"too long":        {func(r *HoldRequest) { r.Until = s.now().Add(61 * 24 * time.Hour) }, CodeHoldLong},
		"no kind":         {func(r *HoldRequest) { r.Kind = "whim" }, CodeMalformed},
		"legal, content":  {func(r *HoldRequest) { r.Kind = HoldLegal }, CodeMalformed},
		"unknown dataset": {func(r *HoldRequest) { r.Datasets = []string{strings.Repeat("ab", 16)} }, CodeDatasetUnknown},
		"another's":       {func(r *HoldRequest) { r.Person = "p01" }, CodeHoldNothing},
		"unknown person":  {func(r *HoldRequest) { r.Person = "p99" }, CodePersonUnknown},
		"no such service": {func(r *HoldRequest) { r.Services = []string{"shop"} }, CodeHoldNothing},
	} {
		r := good
		c.change(&r)
		if _, err := s.PlaceHold(ctx, Call{Client: "admin"}, r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	call := Call{Client: "admin", Key: "hold-1"}
	hold, err := s.PlaceHold(ctx, call, good)
	noErr(t, err)
	same, err := s.PlaceHold(ctx, call, good)
	noErr(t, err)
	if same.ID != hold.ID || len(hold.Covers) != 1 || hold.Covers[0] != v.ID || !hold.Active {
		t.Fatalf("%+v, %+v", hold, same)
	}
	key, _ := s.keyOf("a-sha")
	noErr(t, sign.Verify(key.Public(), sign.DomainHold, s.c.Origin, hold.Statement, sign.Signature(hold.Signature)))

	s.atMs(uint64(due.UnixMilli()))
	s.duties()
	s.wantErased(other.ID, uint64(due.UnixMilli()))
	s.wantView(v.ID, "")
	dates, err := s.Dates(ctx, thief)
	noErr(t, err)
	if len(dates.Holds) != 1 || len(dates.Content) != 2 || !dates.Content[1].Until.Equal(due) || !dates.Content[1].HeldUntil.Equal(good.Until) {
		t.Fatalf("%+v", dates)
	}
	s.reopen(s.member)
	_, err = s.LiftHold(ctx, Call{Client: "admin"}, hold.ID, "")
	wantCode(t, err, record.CodeReasonMissing)
	_, err = s.LiftHold(ctx, Call{Client: "admin"}, strings.Repeat("0", 32), "x")
	wantCode(t, err, CodeHoldUnknown)
	s.pass(time.Minute)
	lifted := uint64(s.now().UnixMilli())
	view, err := s.LiftHold(ctx, Call{Client: "admin"}, hold.ID, "もう見せた")
	noErr(t, err)
	if view.Active || view.LiftReason != "もう見せた" || uint64(view.Until.UnixMilli()) != lifted {
		t.Fatalf("%+v", view)
	}
	noErr(t, sign.Verify(key.Public(), sign.DomainHold, s.c.Origin, view.LiftStatement, sign.Signature(view.LiftSignature)))
	s.wantView(v.ID, CodeRetention)
	s.atMs(lifted + 1000) // the ledger's time comes in seconds
	s.duties()
	s.wantErased(v.ID, lifted+1000)
	_, err = s.PlaceHold(ctx, Call{}, good) // nothing comes back
	wantCode(t, err, record.CodeErased)
}

// TestHoldEndsBefore: a hold that ends before the deadline leaves it alone; one that
// is asked for at the deadline comes too late.
func TestHoldEndsBefore(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	due := uint64(v.Until.UnixMilli())
	r := HoldRequest{Person: thief, Kind: HoldDisclosure, Reason: "開示の請求", Until: v.Until.Add(-time.Hour)}
	hold, err := s.PlaceHold(ctx, Call{}, r)
	noErr(t, err)
	if len(hold.Covers) != 2 { // the dataset, and what is registered
		t.Fatalf("%+v", hold)
	}
	_, _, err = s.Erase(ctx, Call{}, EraseRequest{Person: thief, Cause: "request"})
	wantCode(t, err, record.CodeOnHold)
	s.atMs(due - 3600_000)
	_, release, err := s.use(thief)
	noErr(t, err)
	release()
	s.atMs(due - 1000)
	s.duties()
	s.wantView(v.ID, "")
	s.atMs(due)
	r.Datasets, r.Until = []string{v.ID}, v.Until.Add(time.Hour)
	_, err = s.PlaceHold(ctx, Call{}, r)
	wantCode(t, err, CodeRetention)
	s.duties()
	s.wantErased(v.ID, due)
	_, _, err = s.Erase(ctx, Call{}, EraseRequest{Person: thief, Cause: "request"})
	noErr(t, err)
}

// TestDisclosureRequest: a request that is open holds what it is about; its answer
// ends that, and so does time.
func TestDisclosureRequest(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	due := uint64(v.Until.UnixMilli())
	call := Call{Client: "subject", Key: "rq1"}
	ask := RightRequest{Person: thief, Kind: RightDisclosure, Service: "cam"}
	rq, err := s.FileRight(ctx, call, ask)
	noErr(t, err)
	s.pass(time.Minute)
	_, err = s.FileRight(ctx, call, ask)
	noErr(t, err)
	held, err := s.Holds(ctx, thief)
	noErr(t, err)
	if len(held) != 1 || held[0].Request != rq.ID || len(held[0].Covers) != 2 || !held[0].Until.Equal(timeOf(ms("2027-02-16T00:00:00+09:00"))) {
		t.Fatalf("%+v of %+v", held, rq)
	}
	_, err = s.PlaceHold(ctx, Call{Client: "admin"}, HoldRequest{Person: thief, Kind: HoldDisclosure, Datasets: []string{v.ID}, Reason: "x",
		Request: rq.ID, Until: v.Until.Add(time.Hour)})
	noErr(t, err)
	s.reopen(s.member)
	s.atMs(due)
	s.duties()
	s.wantView(v.ID, "")
	_, err = s.AnswerRight(ctx, rq.ID, RightAnswer{State: RightRefused})
	wantCode(t, err, CodeRightReason)
	s.wantView(v.ID, "")
	_, err = s.AnswerRight(ctx, rq.ID, RightAnswer{State: RightDone})
	wantCode(t, err, record.CodeIdentityNotVerified)
	s.wantView(v.ID, "")
	_, err = s.AnswerRight(ctx, rq.ID, RightAnswer{State: RightDone, Identity: "窓口"})
	noErr(t, err)
	s.wantView(v.ID, CodeRetention)
	s.atMs(due + 1000)
	s.duties()
	s.wantErased(v.ID, due+1000)

	w := s.still("p01") // nobody answers
	rq, err = s.FileRight(ctx, Call{Client: "subject"}, RightRequest{Person: "p01", Kind: RightDisclosure, Service: "cam"})
	noErr(t, err)
	end := ms(rq.Due+"T00:00:00+09:00") + 24*3600_000
	s.atMs(end - 1000)
	s.duties()
	s.wantView(w.ID, "")
	s.atMs(end)
	s.wantView(w.ID, CodeRetention)
	s.duties()
	s.wantErased(w.ID, end)
}
