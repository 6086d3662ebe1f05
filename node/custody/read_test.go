package custody

import (
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// An app's read is a hand-over: intent before items, and the recipient's node
// receives without being asked.
func TestRead(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	r := provideRequest(ref)
	got, err := a.Read(ctx, r)
	noErr(t, err)
	if len(got.Items) != len(r.Items) || got.Items["name"] != nameMarker || got.Provision.Kind != "provision" {
		t.Fatalf("%+v", got.Provision)
	}
	w.duties()
	w.duties()
	wantHeld(t, b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if i := slices.IndexFunc(events, func(e Event) bool { return e.ID == got.Provision.ID }); i < 0 || events[i].State != "received" {
		t.Fatalf("%+v", events)
	}

	r.Items = []string{"income"}
	_, err = a.Read(ctx, r)
	wantCode(t, err, record.CodeItemNotConsented)
	events, _ = a.Events(ctx, ref)
	if last := events[len(events)-1]; last.Kind != "denial" || last.Code != record.CodeItemNotConsented {
		t.Errorf("the refusal is not recorded: %+v", last)
	}

	_, err = a.Withdraw(ctx, Call{}, WithdrawRequest{Person: ref, Service: "a-portal"})
	noErr(t, err)
	_, err = a.Read(ctx, provideRequest(ref))
	wantCode(t, err, record.CodeRevoked)
	now, err := a.ScopesNow(ctx, ref, "a-portal")
	noErr(t, err)
	if len(now) != 1 || now[0].On || now[0].Purpose != "service" {
		t.Errorf("%+v", now)
	}
	_, err = w.members["b-sha"].Read(ctx, provideRequest(ref))
	wantCode(t, err, record.CodeServiceOwner)
}

// Parcels of reads are received also by a node that was down meanwhile.
func TestReadIsReceivedAfterARestart(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	_, err := a.Read(ctx, provideRequest(ref))
	noErr(t, err)
	w.duties()
	w.reopen(b)
	w.duties()
	wantHeld(t, b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
}

func TestDecline(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	r := DeclineRequest{Person: ref, Service: "a-portal", Version: "1", Screen: make([]byte, 32)}
	c := Call{Client: "consent", Key: "no"}
	done, err := a.Decline(ctx, c, r)
	noErr(t, err)
	if len(done.Records) != 2 || done.Records[0].Kind != "handle.open" || done.Records[1].Kind != "denial" {
		t.Fatalf("%+v", done.Records)
	}
	again, err := a.Decline(ctx, c, r)
	noErr(t, err)
	if again.Records[1].ID != done.Records[1].ID {
		t.Error("recorded twice")
	}
	r.Later = true
	done, err = a.Decline(ctx, Call{}, r)
	noErr(t, err)
	if len(done.Records) != 1 {
		t.Errorf("the handle was opened again: %+v", done.Records)
	}
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	var codes []record.Code
	for _, e := range events {
		if e.Kind == "denial" {
			codes = append(codes, e.Code)
			if e.Opening["note"] == nil {
				t.Errorf("no note: %v", e.Opening)
			}
		}
	}
	if !slices.Equal(codes, []record.Code{record.CodeDeclined, record.CodeDeferred}) {
		t.Errorf("%v", codes)
	}
	w.consent(ref, "service") // a refusal closes nothing

	for name, bad := range map[string]DeclineRequest{
		"no screen": {Person: ref, Service: "a-portal", Version: "1"},
		"version":   {Person: ref, Service: "a-portal", Version: "9", Screen: make([]byte, 32)},
		"service":   {Person: ref, Service: "nowhere", Version: "1", Screen: make([]byte, 32)},
		"person":    {Person: "p99", Service: "a-portal", Version: "1", Screen: make([]byte, 32)},
	} {
		if _, err := a.Decline(ctx, Call{}, bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// What is chosen for one purpose is not handed over for another.
func TestChosenForEachPurpose(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	base := ConsentRequest{Person: ref, Service: "a-portal", Version: "1", Purposes: []string{"platform", "service"}, Screen: make([]byte, 32),
		Chosen: map[string][]string{"service": {"user-id", "name"}, "platform": {"income"}}}
	for name, c := range map[string]struct {
		change func(*ConsentRequest)
		code   record.Code
	}{
		"both":             {func(r *ConsentRequest) { r.Items = []string{"name"} }, CodeMalformed},
		"another purpose":  {func(r *ConsentRequest) { r.Chosen = map[string][]string{"ads": {"name"}} }, record.CodePurposeNotOnScreen},
		"another's item":   {func(r *ConsentRequest) { r.Chosen = map[string][]string{"service": {"user-id", "name", "income"}} }, record.CodeItemNotOnScreen},
		"required missing": {func(r *ConsentRequest) { r.Chosen = map[string][]string{"service": {}} }, record.CodeRequiredItemMissing},
		"half a hash":      {func(r *ConsentRequest) { r.Screen = make([]byte, 16) }, CodeMalformed},
	} {
		r := base
		c.change(&r)
		_, err := a.Consent(ctx, Call{}, r)
		if codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	_, err := a.Consent(ctx, Call{}, base)
	noErr(t, err)
	now, err := a.ScopesNow(ctx, ref, "a-portal")
	noErr(t, err)
	for _, s := range now {
		if want := base.Chosen[s.Purpose]; !s.On || !slices.Equal(s.Items, set(want)) {
			t.Errorf("%s: %v, want %v", s.Purpose, s.Items, want)
		}
	}
	events, err := a.Events(ctx, ref)
	noErr(t, err)
	if events[0].Opening["screen"] == nil {
		t.Errorf("the screen's hash is not in the sealed part: %v", events[0].Opening)
	}
}

func TestScreen(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	w.standard()
	s, err := a.Screen(ctx, "a-portal", "")
	noErr(t, err)
	if s.Version != "1" || s.Owner != "a-sha" || s.Screen == nil || len(s.Terms.Scopes) != len(s.Screen.Scopes) {
		t.Fatalf("%+v", s)
	}
	for service, version := range map[string]string{"a-portal": "9", "nowhere": ""} {
		if _, err := a.Screen(ctx, service, version); codeOf(err) == "" {
			t.Errorf("%s %s: %v", service, version, err)
		}
	}
}
