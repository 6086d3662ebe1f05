package custody

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// TestFaceRecognition is the story of the face recognition in shops, in virtual
// time: obligations 003-04, 003-06 and 003-22.
func TestFaceRecognition(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	st1 := s.still("p01")
	s.at("2027-02-01T09:00:30+09:00")
	st2 := s.still(thief)
	if got, want := uint64(st2.Until.UnixMilli()), ms("2027-02-08T09:00:30+09:00"); got != want || st2.Retention != "P7D" {
		t.Fatalf("until %v, %s", st2.Until, st2.Retention)
	}
	_, err := s.collect(Collection{Person: thief, Items: map[string]string{"still": "x"}, Purpose: "sales-analysis"})
	wantCode(t, err, record.CodePurposeNotAllowed)
	_, err = s.ReadDataset(ctx, Call{Client: "ma1"}, st1.ID, Reader{Purpose: "sales-analysis"})
	wantCode(t, err, record.CodePurposeNotAllowed)

	s.at("2027-02-05T15:01:00+09:00") // a person asks to see the picture: it is held, with an end
	hold, err := s.PlaceHold(ctx, Call{Client: "ma1"}, HoldRequest{Person: "p01", Kind: HoldDisclosure, Datasets: []string{st1.ID},
		Reason: "開示の請求", Request: "rq1", Until: time.UnixMilli(int64(ms("2027-02-15T00:00:00+09:00")))})
	noErr(t, err)

	s.at("2027-02-06T11:05:00+09:00")
	registration := Collection{Person: thief, From: st2.ID, Items: map[string]string{"face-template": "0101"}, Retention: "P180D", Reason: "万引きの疑い"}
	rg1, err := s.collect(registration)
	noErr(t, err)
	unreasoned := registration
	unreasoned.Reason = " "
	_, err = s.collect(unreasoned)
	wantCode(t, err, record.CodeReasonMissing)
	if !st2.Until.Equal(s.until(st2.ID)) {
		t.Fatal("a registration prolongs the still")
	}

	s.at("2027-02-08T09:00:29+09:00")
	s.duties()
	s.wantView(st2.ID, "")
	s.at("2027-02-08T09:00:30+09:00")
	s.wantView(st2.ID, CodeRetention)
	s.duties()
	s.wantErased(st2.ID, ms("2027-02-08T09:00:30+09:00"))
	_, _, err = s.EraseDataset(ctx, Call{}, st2.ID)
	wantCode(t, err, record.CodeErased)
	s.wantView(st1.ID, "")
	s.wantView(rg1.ID, "")

	s.at("2027-02-08T10:00:00+09:00") // st1 is past its seven days, and held
	_, _, err = s.EraseDataset(ctx, Call{}, st1.ID)
	wantCode(t, err, record.CodeOnHold)
	_, _, err = s.Erase(ctx, Call{}, EraseRequest{Person: "p01", Cause: "request"})
	wantCode(t, err, record.CodeOnHold)
	s.reopen(s.member)
	s.at("2027-02-14T23:59:59+09:00")
	s.duties()
	s.wantView(st1.ID, "")
	again := registration
	again.Person, again.From = "p01", st1.ID
	_, err = s.collect(again) // a hold is no ground to register
	wantCode(t, err, CodeRetention)
	s.at("2027-02-15T00:00:00+09:00")
	s.wantView(st1.ID, CodeRetention)
	s.duties()
	s.wantErased(st1.ID, ms("2027-02-15T00:00:00+09:00"))
	if holds, err := s.Holds(ctx, "p01"); err != nil || len(holds) != 0 {
		t.Fatalf("%d holds, %v: the hold %s goes with what it held", len(holds), err, hold.ID)
	}

	s.at("2027-08-05T11:04:59+09:00")
	s.duties()
	s.wantView(rg1.ID, "")
	s.at("2027-08-05T11:05:00+09:00")
	s.wantView(rg1.ID, CodeRetention)
	again = registration
	again.From = rg1.ID
	_, err = s.collect(again)
	wantCode(t, err, CodeRetention)
	s.duties()
	s.wantErased(rg1.ID, ms("2027-08-05T11:05:00+09:00"))
	_, err = s.collect(again)
	wantCode(t, err, record.CodeErased)
}

func (s *shop) until(id string) time.Time {
	s.t.Helper()
	k, err := s.dataset(id)
	noErr(s.t, err)
	return timeOf(k.deadlineMs())
}

// Registered again in time and with a new reason, there are two registrations,
// each with its own end.
func TestRegisteredAgain(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	first := s.still(thief)
	r := Collection{Person: thief, From: first.ID, Items: map[string]string{"face-template": "0101"}, Reason: "万引きの疑い"}
	rg1, err := s.collect(r)
	noErr(t, err)
	s.atMs(uint64(rg1.Until.UnixMilli()) - 1000)
	r.From, r.Reason = rg1.ID, "また来た"
	rg2, err := s.collect(r)
	noErr(t, err)
	if !rg1.Until.Equal(s.until(rg1.ID)) || rg2.Until.Sub(rg1.Until) != 180*24*time.Hour-time.Second {
		t.Fatalf("%v and %v", s.until(rg1.ID), rg2.Until)
	}
	s.atMs(uint64(rg1.Until.UnixMilli()))
	s.duties()
	s.wantErased(rg1.ID, uint64(rg1.Until.UnixMilli()))
	s.wantView(rg2.ID, "")
	v, err := s.ReadDataset(ctx, Call{}, rg2.ID, Reader{Purpose: "crime-prevention"})
	noErr(t, err)
	if v.From != rg1.ID || v.Reason != "また来た" || v.Items[0].Value != "0101" {
		t.Fatalf("%+v", v)
	}
}

func TestNoLongerThanAllowed(t *testing.T) {
	s := newShop(t)
	for what, c := range map[string]struct {
		items     []string
		retention string
		want      string
		code      record.Code
	}{
		"parameter":             {[]string{"face-template"}, "", "P180D", ""},
		"terms":                 {[]string{"seen-at"}, "", "P7D", ""},
		"the shortest":          {[]string{"face-template", "still"}, "", "P7D", ""},
		"asked for less":        {[]string{"still"}, "P1D", "P1D", ""},
		"longer than parameter": {[]string{"face-template"}, "P181D", "", CodeRetentionLong},
		"longer than terms":     {[]string{"seen-at"}, "P8D", "", CodeRetentionLong},
		"a month":               {[]string{"face-template"}, "P5M", "P5M", ""},
		"no period":             {[]string{"still"}, "7 days", "", CodeMalformed},
		"unknown item":          {[]string{"shoe-size"}, "", "", record.CodeItemUnknown},
		"nothing":               {nil, "", "", CodeMalformed},
	} {
		items := map[string]string{}
		for _, i := range c.items {
			items[i] = "x"
		}
		v, err := s.collect(Collection{Person: thief, Items: items, Retention: c.retention})
		if codeOf(err) != c.code || err == nil && v.Retention != c.want {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
	}
}

// TestRetentionWhileDown: a deadline that passed while the node was down, or at a
// restart, or in the middle of a pass.
func TestRetentionWhileDown(t *testing.T) {
	for name, c := range map[string]struct {
		around func(s *shop, due uint64) // from before the deadline until after
		late   uint64                    // ms
	}{
		"a restart one second before": {func(s *shop, due uint64) {
			s.atMs(due - 1000)
			s.reopen(s.member)
			s.duties()
			s.wantView(s.only(), "")
			s.atMs(due)
		}, 0},
		"a restart at the deadline": {func(s *shop, due uint64) {
			s.atMs(due)
			s.reopen(s.member)
			s.wantView(s.only(), CodeRetention)
		}, 0},
		"down for a month": {func(s *shop, due uint64) {
			s.atMs(due - 1000)
			s.close(s.member)
			s.atMs(due + 30*24*3600_000)
			s.open(s.member)
			s.wantView(s.only(), CodeRetention)
		}, 30 * 24 * 3600_000},
		"a crash after the plan": {func(s *shop, due uint64) {
			s.atMs(due)
			classes, err := s.takeDue(s.ledgerMs(), maxRetired)
			noErr(s.t, err)
			noErr(s.t, s.planRetirements(s.world.state(), classes))
			s.reopen(s.member)
			s.wantView(s.only(), CodeRetention)
			s.atMs(due + 5000)
		}, 5000},
		"a crash after the record": {func(s *shop, due uint64) {
			s.atMs(due)
			classes, err := s.takeDue(s.ledgerMs(), maxRetired)
			noErr(s.t, err)
			noErr(s.t, s.planRetirements(s.world.state(), classes))
			_, err = s.recordRetirement(ctx, s.retiring.all()[0].rec)
			noErr(s.t, err)
			s.reopen(s.member)
			s.wantView(s.only(), CodeRetention)
			s.atMs(due + 5000)
		}, 0},
		"a crash before the attestation": {func(s *shop, due uint64) {
			s.atMs(due)
			s.failing(record.KindAttestation, errors.New("no leader"))
			s.duties()
			s.wantView(s.only(), record.CodeErased)
			s.failing(0, nil)
			s.reopen(s.member)
			s.atMs(due + 5000)
		}, 0},
		"no leader for an hour": {func(s *shop, due uint64) {
			s.atMs(due)
			s.failing(record.KindErasure, errors.New("no leader"))
			s.duties()
			s.wantView(s.only(), CodeRetention)
			s.failing(0, nil)
			s.atMs(due + 3600_000)
		}, 3600_000},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.at("2027-02-01T09:00:00+09:00")
			v := s.still(thief)
			id, due := v.ID, uint64(v.Until.UnixMilli())
			c.around(s, due)
			s.duties()
			s.wantErased(id, due+c.late)
		})
	}
}

// only is the id of the only dataset that was collected.
func (s *shop) only() string {
	var id string
	q, release, err := s.use(thief)
	noErr(s.t, err)
	for _, c := range s.classesOf(q, "d/") {
		id = hex.EncodeToString(c.number[:])
	}
	release()
	if id == "" { // destroyed: the newest erasure names it
		e := s.lastErasure()
		id = hex.EncodeToString(e.Numbers[0][:])
	}
	return id
}

func (s *shop) lastErasure() (e *record.Erasure) {
	s.t.Helper()
	st := s.world.state()
	noErr(s.t, st.Range(0, st.Size, func(_ uint64, leaf []byte) error {
		if record.IsSeal(leaf) {
			return nil
		}
		rec, err := record.Parse(leaf)
		if err == nil && rec.Kind == record.KindErasure {
			e = rec.Body.(*record.Erasure)
		}
		return err
	}))
	return e
}

// failing makes submissions of a kind fail.
func (s *shop) failing(kind record.Kind, err error) {
	s.set(func() {
		s.posted = func(r outbox.Request) error {
			if kind != 0 && r.Records[0].Kind == kind {
				return err
			}
			return nil
		}
	})
}

// A clock that runs ahead refuses to read, and destroys nothing.
func TestRetentionByLedgerTime(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	due := uint64(v.Until.UnixMilli())
	s.set(func() { s.staleBy = time.Hour })
	s.atMs(due + 60_000)
	s.wantView(v.ID, CodeRetention)
	s.duties()
	if len(s.entries("p/"+string(thief)+"/d/")) != 1 || s.erasureOf(v.ID) != nil {
		t.Fatal("destroyed by this machine's clock alone")
	}
	s.atMs(due + 3600_000 - 1000)
	s.duties()
	if s.erasureOf(v.ID) != nil {
		t.Fatal("destroyed a second early")
	}
	s.atMs(due + 3600_000)
	s.duties()
	s.wantErased(v.ID, due+3600_000)
}

// TestRetentionInOneRotation: what is due together is destroyed in one rotation of
// the vault, with as many records as it takes.
func TestRetentionInOneRotation(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	const n = record.MaxNumbers + 10
	var refs []Ref
	for i := range 3 {
		refs = append(refs, Ref("crowd-"+string(rune('a'+i))))
		_, err := s.Register(ctx, Call{}, Registration{Person: refs[i], Service: "cam", Source: "other"})
		noErr(t, err)
	}
	var ids []string
	for i := range n {
		ids = append(ids, s.still(refs[i%len(refs)]).ID)
	}
	_, err := s.Desk.Collect(ctx, Call{}, Collection{Person: refs[0], Service: "cam", Purpose: "service", Items: map[string]string{"still": "x"}})
	noErr(t, err)
	before, err := s.vault.Shred()
	noErr(t, err)
	height := s.world.state().Height
	s.pass(7 * 24 * time.Hour)
	s.retireDue(ctx)
	after, err := s.vault.Shred()
	noErr(t, err)
	if after.Generation != before.Generation+1 {
		t.Fatalf("%d rotations", after.Generation-before.Generation)
	}
	if records := s.world.state().Height - height; records != 4 {
		t.Fatalf("%d batches, want two records and two attestations", records)
	}
	for _, id := range ids {
		if e := s.erasureOf(id); e == nil || len(e.Pending) != 0 {
			t.Fatalf("%+v", e)
		}
	}
	if left := s.entries("p/" + string(refs[1]) + "/d/"); len(left) != 0 {
		t.Fatalf("%d keys are left", len(left))
	}
	for range maxDatasets {
		s.still(refs[0])
	}
	_, err = s.collect(Collection{Person: refs[0], Items: map[string]string{"still": "x"}})
	wantCode(t, err, CodeDatasetsFull)
}

// A collection under one Idempotency-Key is one dataset, also after a restart.
func TestCollectOnce(t *testing.T) {
	s := newShop(t)
	call := Call{Client: "app", Key: "once"}
	r := Collection{Person: thief, Service: "cam", Purpose: "crime-prevention", Items: map[string]string{"still": "x"}}
	first, err := s.Collect(ctx, call, r)
	noErr(t, err)
	s.pass(time.Hour)
	s.reopen(s.member)
	second, err := s.Collect(ctx, call, r)
	noErr(t, err)
	if second.ID != first.ID || !second.Until.Equal(first.Until) {
		t.Fatalf("%+v and %+v", first, second)
	}
	r.Items["still"] = "y"
	if _, err := s.Collect(ctx, call, r); !errors.Is(err, outbox.ErrKeyReused) {
		t.Fatal(err)
	}
	again, _, err := s.EraseDataset(ctx, Call{Client: "app", Key: "gone"}, first.ID)
	noErr(t, err)
	view, _, err := s.EraseDataset(ctx, Call{Client: "app", Key: "gone"}, first.ID)
	noErr(t, err)
	if view.ID != again.ID || len(view.Pending) != 0 {
		t.Fatalf("%+v, %+v", view, again)
	}
	r.Items["still"] = "x"
	_, err = s.Collect(ctx, call, r)
	wantCode(t, err, record.CodeErased)
}

// The erasure of a person takes datasets along, and their ids say so for ever.
func TestEraseWithDatasets(t *testing.T) {
	s := newShop(t)
	v := s.still(thief)
	dis, err := s.Disclose(ctx, thief)
	noErr(t, err)
	if len(dis.Datasets) != 1 || dis.Datasets[0].ID != v.ID || dis.Datasets[0].Items[1].Value != "still of p06" {
		t.Fatalf("%+v", dis.Datasets)
	}
	view, _, err := s.Erase(ctx, Call{}, EraseRequest{Person: thief, Cause: "request"})
	noErr(t, err)
	s.duties()
	s.wantErased(v.ID, view.TimeMs)
	if e := s.lastErasure(); len(e.Numbers) != 4 || e.Cause != "request" { // service, dataset, handle, person
		t.Fatalf("%+v", e)
	}
	s.pass(8 * 24 * time.Hour)
	size := s.world.state().Size
	s.duties()
	if left := s.entries("p/" + string(thief)); len(left) != 0 {
		t.Fatalf("%v are left", left)
	}
	s.retireDue(ctx)
	if e := s.lastErasure(); e.Cause != "request" {
		t.Fatalf("%d records later: %+v", s.world.state().Size-size, e)
	}
}

// No plan, and nothing in clear, names a person.
func TestRetentionLeaksNothing(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v, err := s.collect(Collection{Person: thief, Items: map[string]string{"still": nameMarker}, Reason: phoneMarker})
	noErr(t, err)
	_, err = s.PlaceHold(ctx, Call{}, HoldRequest{Person: thief, Kind: HoldDisclosure, Reason: idMarker, Until: v.Until.Add(time.Second)})
	noErr(t, err)
	s.atMs(uint64(v.Until.UnixMilli()) + 1000)
	s.failing(record.KindErasure, errors.New("no leader"))
	s.duties()
	noErr(t, s.blobs.Scan([]byte(blobRoot), func(key, value []byte) error {
		for _, m := range markers {
			if strings.Contains(string(key)+string(value), m) {
				t.Errorf("%q is in the blob %s", m, key)
			}
		}
		return nil
	}))
	if strings.Contains(string(s.world.log.Bytes()), string(thief)) {
		t.Error("the log names a person")
	}
}

// An item whose period the members voted is not registered, where nothing would end it:
// not at first, and not later.
func TestRegisteredItemsHaveNoEnd(t *testing.T) {
	s := newShop(t)
	gate := s.c.Service("gate")
	gate.Body.(*record.Service).Fields = []string{"still"}
	s.must("a-sha", gate)
	_, err := s.Register(ctx, Call{}, Registration{Person: "p02", Service: "gate", Source: "other", Items: map[string]string{"still": "x"}})
	wantCode(t, err, CodeRetentionSet)
	wantCode(t, s.PutItems(ctx, Call{}, "p01", "cam", map[string]string{"face-template": "x"}), CodeRetentionSet)
	noErr(t, s.PutItems(ctx, Call{}, "p01", "cam", map[string]string{"seen-at": "x"}))
}
