package custody

import (
	"bytes"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

var (
	asker    = Call{Client: "app/desk/"}
	approver = Call{Client: "manager/boss/"}
)

func exceptionRequest(ref Ref) ExceptionRequest {
	return ExceptionRequest{Person: ref, Service: "a-portal", To: "北警察署", Items: []string{"user-id"}, Purpose: "捜査", Date: "2027-04-02",
		Ground: "investigation", Statute: "刑事訴訟法218条", Request: "令状-1", Reason: "令状にもとづく", Necessity: "検討した", Requester: "巡査"}
}

// A disclosure on a legal ground: one asks, another approves, and the items come
// out when the record is final, to who asked.
func TestException(t *testing.T) {
	w := newWorld(t)
	ref, _ := w.filed()
	a := w.members["a-sha"]
	ask := asker
	ask.Key = "ask"
	v, err := a.AskException(ctx, ask, exceptionRequest(ref))
	noErr(t, err)
	if v.State != "asked" || v.AskedBy != asker.Client || v.TimeMs == 0 {
		t.Fatalf("%+v", v)
	}
	again, err := a.AskException(ctx, ask, exceptionRequest(ref))
	noErr(t, err)
	if again.ID != v.ID || !bytes.Equal(again.Statement, v.Statement) {
		t.Fatalf("%+v, then %+v", v, again)
	}
	other := exceptionRequest(ref)
	other.Reason = "another"
	if _, err = a.AskException(ctx, ask, other); err != outbox.ErrKeyReused {
		t.Errorf("another request under the key: %v", err)
	}
	list, err := a.Exceptions(ctx)
	noErr(t, err)
	if len(list) != 1 || list[0].ID != v.ID || list[0].Ground != "investigation" {
		t.Fatalf("%+v", list)
	}
	_, err = a.ExceptionItems(ctx, asker, v.ID)
	wantCode(t, err, CodeAskedOpen)
	_, err = a.ApproveException(ctx, asker, v.ID, nil)
	wantCode(t, err, record.CodeApprover)
	_, err = a.ApproveException(ctx, approver, v.ID, make([]byte, sign.SignatureSize))
	wantCode(t, err, record.CodeSignature)
	_, err = a.ApproveException(ctx, approver, v.ID, []byte("short"))
	wantCode(t, err, record.CodeSignature)
	w.reopen(a) // what was asked for outlives a restart
	done, err := a.ApproveException(ctx, approver, v.ID, nil)
	noErr(t, err)
	twice, err := a.ApproveException(ctx, approver, v.ID, nil)
	noErr(t, err)
	if done.Records[0] != twice.Records[0] || done.Records[0].ID != v.ID || done.Records[0].Kind != "provision.exception" {
		t.Fatalf("%+v, then %+v", done, twice)
	}
	_, err = a.ExceptionItems(ctx, approver, v.ID)
	wantCode(t, err, record.CodeNotAuthorised)
	items, err := a.ExceptionItems(ctx, asker, v.ID)
	noErr(t, err)
	if len(items) != 1 || items["user-id"] != idMarker {
		t.Fatalf("%d items", len(items))
	}
	if v, err = a.Exception(ctx, approver, v.ID); err != nil || v.State != "final" {
		t.Fatalf("%+v, %v", v, err)
	}
	n := 0
	noErr(t, a.Accesses(ctx, func(x Access) error {
		if n++; x.Who != asker.Client || x.From != done.Records[0].Index {
			t.Errorf("%+v", x)
		}
		return nil
	}))
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if e := events[len(events)-1]; n != 1 || e.Kind != "provision.exception" || e.Purpose != "捜査" {
		t.Errorf("%d accesses, event %+v", n, e)
	}
	for o, err := range a.Openings(ctx, "auditor", done.Records[0].Index, done.Records[0].Index+1) {
		noErr(t, err)
		part, err := record.DecodePart(record.KindException, o.Part.Part)
		noErr(t, err)
		if p := part.(*record.HandOverPart); p.CheckGround() != nil || p.Requester != "巡査" {
			t.Errorf("%+v", p)
		}
	}
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	_, err = a.ExceptionItems(ctx, asker, v.ID) // what was asked for went with the content
	wantCode(t, err, CodeAskedUnknown)
}

func TestExceptionRefusals(t *testing.T) {
	w := newWorld(t)
	ref, _ := w.filed()
	a := w.members["a-sha"]
	for name, c := range map[string]struct {
		change func(*ExceptionRequest)
		code   record.Code
	}{
		"ground":         {func(r *ExceptionRequest) { r.Ground = "curiosity" }, record.CodeLegalGround},
		"statute":        {func(r *ExceptionRequest) { r.Statute = "" }, record.CodeLegalGround},
		"paper":          {func(r *ExceptionRequest) { r.Request = "" }, record.CodeRequestMissing},
		"date":           {func(r *ExceptionRequest) { r.Date = "soon" }, record.CodeDisclosureFields},
		"recipient":      {func(r *ExceptionRequest) { r.To = "" }, record.CodeDisclosureFields},
		"information":    {func(r *ExceptionRequest) { r.Items = nil }, record.CodeDisclosureFields},
		"purpose":        {func(r *ExceptionRequest) { r.Purpose = "" }, record.CodeDisclosureFields},
		"reason":         {func(r *ExceptionRequest) { r.Reason = "" }, record.CodeDisclosureFields},
		"necessity":      {func(r *ExceptionRequest) { r.Necessity = "" }, record.CodeNecessity},
		"text":           {func(r *ExceptionRequest) { r.Reason = string(make([]byte, maxTextBytes+1)) }, CodeMalformed},
		"person":         {func(r *ExceptionRequest) { r.Person = "p-99" }, CodePersonUnknown},
		"item":           {func(r *ExceptionRequest) { r.Items = []string{"shoe-size"} }, record.CodeItemUnknown},
		"item not there": {func(r *ExceptionRequest) { r.Items = []string{"birth-year"} }, CodeItemAbsent},
		"service":        {func(r *ExceptionRequest) { r.Service = "nobodys" }, record.CodeServiceUnknown},
	} {
		r := exceptionRequest(ref)
		c.change(&r)
		if _, err := a.AskException(ctx, asker, r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	_, err := w.members["b-sha"].AskException(ctx, asker, exceptionRequest(ref))
	wantCode(t, err, record.CodeServiceOwner)
	for _, id := range []string{"", "xyz", "00112233445566778899aabbccddeeff"} {
		_, err = a.ApproveException(ctx, approver, id, nil)
		wantCode(t, err, CodeAskedUnknown)
	}
	w.set(func() { w.staleBy = 31 * time.Second })
	_, err = a.AskException(ctx, asker, exceptionRequest(ref))
	wantCode(t, err, CodeNotFinal)
	w.set(func() { w.staleBy = 0 })

	v, err := a.AskException(ctx, asker, exceptionRequest(ref))
	noErr(t, err)
	handles, err := a.Handles(ctx, ref)
	noErr(t, err)
	w.must("a-sha", w.c.HandleClose(handles[0].Key))
	_, err = a.ApproveException(ctx, approver, v.ID, nil)
	wantCode(t, err, record.CodeHandleClosed)
}

// Another record under the id of a disclosure hands nothing out.
func TestExceptionUnderATakenID(t *testing.T) {
	w := newWorld(t)
	ref, _ := w.filed()
	a := w.members["a-sha"]
	v, err := a.AskException(ctx, asker, exceptionRequest(ref))
	noErr(t, err)
	id, err := parseID(v.ID)
	noErr(t, err)
	tick := w.c.Tick()
	tick.ID = id
	w.must("b-sha", tick)
	if _, err = a.ExceptionItems(ctx, asker, v.ID); err == nil {
		t.Error("items under another record")
	}
}

// TestExceptionFromDataset: what was collected is disclosed while it may be read, and
// no longer.
func TestExceptionFromDataset(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	r := ExceptionRequest{Person: thief, Service: "cam", Dataset: v.ID, To: "警察署", Items: []string{"still"}, Purpose: "捜査", Date: "2027-02-01",
		Ground: "law", Statute: "刑事訴訟法218条", Request: "令状-7", Reason: "令状", Necessity: "検討した"}
	asked, err := s.AskException(ctx, Call{Client: "ma1"}, r)
	noErr(t, err)
	_, err = s.ApproveException(ctx, Call{Client: "ma2"}, asked.ID, nil)
	noErr(t, err)
	s.atMs(uint64(v.Until.UnixMilli()) - 1000)
	items, err := s.ExceptionItems(ctx, Call{Client: "ma1"}, asked.ID)
	noErr(t, err)
	if items["still"] != "still of p06" {
		t.Fatalf("%v", items)
	}
	other := r
	other.Person = "p01"
	_, err = s.AskException(ctx, Call{Client: "ma1"}, other)
	wantCode(t, err, CodeDatasetUnknown)
	s.atMs(uint64(v.Until.UnixMilli()))
	_, err = s.AskException(ctx, Call{Client: "ma1"}, r)
	wantCode(t, err, CodeRetention)
	if _, err = s.ExceptionItems(ctx, Call{Client: "ma1"}, asked.ID); err == nil {
		t.Fatal("disclosed at its deadline")
	}
}
