package custody

import (
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// A request is durable, has the law's clock, is answered once, and goes with the
// content that it is about.
func TestRights(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	filed := time.UnixMilli(int64(w.c.NowMs)).In(record.JST)
	r := RightRequest{Person: ref, Kind: RightCorrection, Service: "a-portal", Items: []string{"name"}, Note: nameMarker + "の「髙」です"}
	v, err := a.FileRight(ctx, Call{Client: "page", Key: "k"}, r)
	noErr(t, err)
	if v.State != RightOpen || v.Overdue || v.Note != r.Note || v.Service != "a-portal" || v.Due != filed.AddDate(0, 0, 14).Format(time.DateOnly) {
		t.Errorf("filed %+v on %v", v, filed)
	}
	again, err := a.FileRight(ctx, Call{Client: "page", Key: "k"}, r)
	noErr(t, err)
	if again.ID != v.ID {
		t.Errorf("repeated: %s, then %s", v.ID, again.ID)
	}
	w.pass(time.Hour)
	second, err := a.FileRight(ctx, Call{}, RightRequest{Person: ref, Kind: RightDisclosure, Service: "a-portal"})
	noErr(t, err)
	for name, bad := range map[string]RightRequest{
		"kind": {Person: ref, Kind: "other", Service: "a-portal"}, "note": {Person: ref, Kind: RightRecords, Service: "a-portal", Note: "\xff"},
		"long": {Person: ref, Kind: RightRecords, Service: "a-portal", Note: strings.Repeat("a", maxTextBytes+1)},
	} {
		if _, err := a.FileRight(ctx, Call{}, bad); codeOf(err) != CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = a.FileRight(ctx, Call{}, RightRequest{Person: ref, Kind: RightRecords, Service: "b-portal"})
	wantCode(t, err, record.CodeServiceUnknown)
	w.reopen(a)
	w.pass(15 * 24 * time.Hour)
	mine, err := a.Rights(ctx, ref)
	noErr(t, err)
	if len(mine) != 2 || mine[0].ID != second.ID || mine[1].ID != v.ID || !mine[1].Overdue || mine[1].Note != r.Note {
		t.Fatalf("after a restart: %+v", mine)
	}
	_, err = a.AnswerRight(ctx, v.ID, RightAnswer{State: RightRefused, Text: " "})
	wantCode(t, err, CodeRightReason)
	for _, state := range []string{RightDone, RightPartly} {
		_, err = a.AnswerRight(ctx, v.ID, RightAnswer{State: state, Text: "直しました", Identity: " "})
		wantCode(t, err, record.CodeIdentityNotVerified)
	}
	_, err = a.AnswerRight(ctx, v.ID, RightAnswer{State: RightDone, Identity: "\xff"})
	wantCode(t, err, CodeMalformed)
	_, err = a.AnswerRight(ctx, strings.Repeat("0", 32), RightAnswer{State: RightDone, Identity: "窓口"})
	wantCode(t, err, CodeRightUnknown)
	for range 2 {
		done, err := a.AnswerRight(ctx, v.ID, RightAnswer{State: RightDone, Text: "直しました", Identity: "窓口"})
		noErr(t, err)
		if done.State != RightDone || done.Identity != "窓口" || done.Overdue || done.AnsweredMs == 0 {
			t.Errorf("answered: %+v", done)
		}
	}
	_, err = a.AnswerRight(ctx, v.ID, RightAnswer{State: RightPartly, Text: "別の答え", Identity: "窓口"})
	wantCode(t, err, CodeRightAnswered)
	open, err := a.AllRights(ctx, true)
	noErr(t, err)
	if len(open) != 1 || open[0].ID != second.ID || open[0].Person != ref {
		t.Errorf("open: %+v", open)
	}
	if _, err := w.members["b-sha"].Rights(ctx, ref); codeOf(err) != CodePersonUnknown {
		t.Errorf("another member: %v", err)
	}
	_, _, err = a.Erase(ctx, Call{Client: "app", Key: "erase"}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	if all, err := a.AllRights(ctx, false); err != nil || len(all) != 0 {
		t.Errorf("after the erasure: %+v, %v", all, err)
	}
	w.close(a)
	if files := find(t, w.dir, nameMarker); len(files) > 0 {
		t.Errorf("the person's words are in clear in %q", files)
	}
}

// The three stops are independent, hold at once, and the signal counts only where
// the person said nothing.
func TestStops(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	views, err := a.SignalStop(ctx, ref)
	noErr(t, err)
	if !views[0].Stopped || !views[1].Stopped || views[2].Stopped || views[0].By != StopBySignal {
		t.Fatalf("the signal: %+v", views)
	}
	views, err = a.SetStop(ctx, ref, StopMarketing, false, StopByPerson)
	noErr(t, err)
	if views[0].Stopped || !views[1].Stopped {
		t.Fatalf("the person's word: %+v", views)
	}
	w.pass(time.Minute)
	if views, err = a.SignalStop(ctx, ref); err != nil || views[0].Stopped {
		t.Fatalf("the signal over the person's word: %+v, %v", views, err)
	}
	_, err = a.SetStop(ctx, ref, "other", true, StopByPerson)
	wantCode(t, err, CodeMalformed)
	w.reopen(a)
	if views, err = a.Stops(ctx, ref); err != nil || views[0].By != StopByPerson || !views[1].Stopped || views[2].SinceMs != 0 {
		t.Errorf("after a restart: %+v, %v", views, err)
	}
	for purpose, kind := range map[string]string{"ads": StopMarketing, "advertising-own": StopMarketing, "adsense": "", "mail": StopMail, "newsletter-weekly": StopMail, "service": ""} {
		for _, k := range StopKinds {
			if isFor(k, purpose) != (k == kind) {
				t.Errorf("%s is for %s: %v", purpose, k, isFor(k, purpose))
			}
		}
	}
}

// What the person stopped is refused although it was filed, and the denial is
// recorded.
func TestStopsRefuse(t *testing.T) {
	w := newWorld(t)
	ref, r := w.filed()
	a := w.members["a-sha"]
	_, err := a.SetStop(ctx, ref, StopGroup, true, StopByPerson)
	noErr(t, err)
	_, err = a.ProvideOptOut(ctx, Call{Client: "app", Key: "no"}, r)
	wantCode(t, err, record.CodeOptedOut)
	h, err := a.History(ctx, ref, HistoryQuery{Limit: 1})
	noErr(t, err)
	if len(h.Events) != 1 || h.Events[0].Kind != "denial" || h.Events[0].Code != record.CodeOptedOut {
		t.Errorf("history %+v", h.Events)
	}
	_, err = a.SetStop(ctx, ref, StopGroup, false, StopByDesk)
	noErr(t, err)
	_, err = a.ProvideOptOut(ctx, Call{Client: "app", Key: "yes"}, r)
	noErr(t, err)
}
