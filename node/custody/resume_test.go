package custody

import (
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// What was turned off is turned on again as it was, once; what was never agreed
// to is not.
func TestResume(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	r := ResumeRequest{Person: ref, Service: "a-portal", Purpose: "service", Button: "オフ", Language: "ja"}
	_, err := a.Resume(ctx, Call{Client: "page", Key: "early"}, r)
	wantCode(t, err, record.CodeNoConsent)
	w.consent(ref, "service")
	_, err = a.Withdraw(ctx, Call{Client: "page", Key: "off"}, WithdrawRequest{Person: ref, Service: "a-portal", Purposes: []string{"service"}})
	noErr(t, err)
	views, err := a.Consents(ctx, ref)
	noErr(t, err)
	if len(views) != 1 || !views[0].Again || views[0].On {
		t.Fatalf("off: %+v", views)
	}
	items := views[0].Items
	first, err := a.Resume(ctx, Call{Client: "page", Key: "on"}, r)
	noErr(t, err)
	again, err := a.Resume(ctx, Call{Client: "page", Key: "on"}, r)
	noErr(t, err)
	if len(first.Records) != 1 || first.Records[0] != again.Records[0] {
		t.Errorf("%+v, repeated %+v", first, again)
	}
	if views, err = a.Consents(ctx, ref); err != nil || !views[0].On || views[0].Again || !slices.Equal(views[0].Items, items) || views[0].Index != first.Records[0].Index {
		t.Errorf("on again: %+v, %v", views, err)
	}
	if _, err := w.members["b-sha"].Resume(ctx, Call{Client: "page", Key: "b"}, r); codeOf(err) != CodePersonUnknown {
		t.Errorf("another member: %v", err)
	}
	live, err := a.Live(ctx, "a-portal")
	noErr(t, err)
	if len(live) != 1 || live[0].Version != "1" || live[0].Screen == nil {
		t.Errorf("terms in force: %+v", live)
	}
	_, err = a.Live(ctx, "none")
	wantCode(t, err, record.CodeServiceUnknown)
}

// A consent that a guardian took part in is not given again by one tap, and a
// closed handle's consents are over.
func TestNotResumable(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	w.standard()
	_, err := a.Register(ctx, Call{}, Registration{Person: "child", Service: "a-portal", Items: map[string]string{"user-id": "u-2"}, Source: "self", Guardian: refMarker})
	noErr(t, err)
	_, err = a.Consent(ctx, Call{}, ConsentRequest{Person: "child", Service: "a-portal", Version: "1", Items: []string{"name", "user-id"}, Purposes: []string{"service"}, Guardian: refMarker})
	noErr(t, err)
	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: "child", Service: "a-portal"})
	noErr(t, err)
	views, err := a.Consents(ctx, "child")
	noErr(t, err)
	if len(views) != 1 || views[0].Again {
		t.Errorf("a child's: %+v", views)
	}
	_, err = a.Resume(ctx, Call{}, ResumeRequest{Person: "child", Service: "a-portal", Purpose: "service"})
	wantCode(t, err, record.CodeNoConsent)
}
