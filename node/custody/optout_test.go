package custody

import (
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// filed opens a filing at a-sha and the handle of its person, who gave no consent.
func (w *world) filed() (ref Ref, r OptOutRequest) {
	w.t.Helper()
	ref = w.standard()
	w.must("a-sha", w.c.Filing("f-1", w.c.NowMs, "name", "user-id"))
	_, err := w.members["a-sha"].Register(ctx, Call{Client: "app"}, Registration{Person: ref, Service: "a-portal", Source: "self", Open: true})
	noErr(w.t, err)
	return ref, OptOutRequest{Person: ref, Service: "a-portal", Filing: "f-1", To: "b-sha", Items: []string{"user-id"}, Purpose: "service"}
}

// The hand-over under a filing: intent, parcel, receiving record, and only then the
// data; the same call twice happens once.
func TestOptOut(t *testing.T) {
	w := newWorld(t)
	ref, r := w.filed()
	a, b := w.members["a-sha"], w.members["b-sha"]
	b.auto = true
	w.reopen(b)
	done, err := a.ProvideOptOut(ctx, Call{Client: "app", Key: "give"}, r)
	noErr(t, err)
	again, err := a.ProvideOptOut(ctx, Call{Client: "app", Key: "give"}, r)
	noErr(t, err)
	if again.Records[0] != done.Records[0] || done.Records[0].Kind != "provision.optout" {
		t.Fatalf("%+v, then %+v", done, again)
	}
	w.duties()
	wantHeld(t, b, "a-portal", map[string]string{"user-id": idMarker})
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if e := events[1]; e.Kind != "provision.optout" || e.State != "received" || e.To != "b-sha" || e.Purpose != "service" || len(e.Items) != 1 {
		t.Errorf("event %+v", e)
	}
	// What came this way goes away this way.
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	w.duties()
	if b.People(ctx) != 0 {
		t.Error("the recipient keeps who was erased")
	}
}

func TestOptOutRefusals(t *testing.T) {
	w := newWorld(t)
	ref, base := w.filed()
	a := w.members["a-sha"]
	w.must("a-sha", w.c.Filing("f-2", w.c.NowMs+86400_000, "user-id"))
	_, err := a.Register(ctx, Call{}, Registration{Person: "p-02", Service: "a-portal", Source: "self", Items: map[string]string{"user-id": "u2"}})
	noErr(t, err)
	for name, c := range map[string]struct {
		change func(*OptOutRequest)
		code   record.Code
	}{
		"not filed":     {func(r *OptOutRequest) { r.Filing = "f-9" }, record.CodeOptOutNotFiled},
		"no number":     {func(r *OptOutRequest) { r.Filing = "F 9" }, record.CodeOptOutNotFiled},
		"not in force":  {func(r *OptOutRequest) { r.Filing = "f-2" }, record.CodeOptOutNotFiled},
		"item":          {func(r *OptOutRequest) { r.Items = []string{"birth-year"} }, record.CodeOptOutItemNotFiled},
		"no item":       {func(r *OptOutRequest) { r.Items = nil }, record.CodeOptOutItemNotFiled},
		"sensitive":     {func(r *OptOutRequest) { r.Items = []string{"allergy"} }, record.CodeSensitive},
		"unknown item":  {func(r *OptOutRequest) { r.Items = []string{"shoe-size"} }, record.CodeItemUnknown},
		"purpose":       {func(r *OptOutRequest) { r.Purpose = "world-peace" }, record.CodePurposeNotOnScreen},
		"recipient":     {func(r *OptOutRequest) { r.To = "d-sha" }, record.CodeMemberNotActive},
		"self":          {func(r *OptOutRequest) { r.To = "a-sha" }, record.CodeNotAuthorised},
		"person":        {func(r *OptOutRequest) { r.Person = "p-99" }, CodePersonUnknown},
		"not opened":    {func(r *OptOutRequest) { r.Person = "p-02" }, record.CodeHandleUnknown},
		"other's":       {func(r *OptOutRequest) { r.Service = "nobodys" }, record.CodeServiceUnknown},
		"nothing there": {func(r *OptOutRequest) { r.Items, r.Filing = []string{"birth-year"}, "f-3" }, CodeItemAbsent},
	} {
		if name == "nothing there" {
			w.must("a-sha", w.c.Filing("f-3", w.c.NowMs, "birth-year"))
		}
		r := base
		c.change(&r)
		if _, err := a.ProvideOptOut(ctx, Call{}, r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	_, err = w.members["b-sha"].ProvideOptOut(ctx, Call{}, base)
	wantCode(t, err, record.CodeServiceOwner)
	w.set(func() { w.staleBy = 31 * time.Second })
	_, err = a.ProvideOptOut(ctx, Call{}, base)
	wantCode(t, err, CodeNotFinal)
	w.set(func() { w.staleBy = 0 })
	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal", Stop: true})
	noErr(t, err)
	_, err = a.ProvideOptOut(ctx, Call{}, base)
	wantCode(t, err, record.CodeOptedOut)
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if last := events[len(events)-1]; last.Kind != "denial" || last.Code != record.CodeOptedOut {
		t.Errorf("the last event is %s %s", last.Kind, last.Code)
	}
}

// A stop, or the end of the filing, between intent and parcel keeps the data here.
func TestStoppedBeforeTheParcel(t *testing.T) {
	for name, end := range map[string]func(*world, Ref){
		"stop": func(w *world, ref Ref) {
			_, err := w.members["a-sha"].Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal", Stop: true})
			noErr(w.t, err)
		},
		"filing": func(w *world, _ Ref) { w.must("a-sha", w.c.FilingEnd("f-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ref, r := w.filed()
			w.set(func() { w.refuse = func(string, string) error { return errors.New("cut off") } })
			done, err := w.members["a-sha"].ProvideOptOut(ctx, Call{}, r)
			noErr(t, err)
			w.duties()
			end(w, ref)
			w.set(func() { w.refuse = nil })
			w.duties()
			b := w.members["b-sha"]
			if n := len(b.waiting.all()); n != 0 {
				t.Fatalf("%d parcels came", n)
			}
			_, err = b.Undeliver(ctx, Call{}, done.Records[0].ID, record.CodeOptedOut)
			noErr(t, err)
		})
	}
}
