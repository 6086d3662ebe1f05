package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
)

func TestReadings(t *testing.T) {
	w := newWorld(t, "a-sha", "pf")
	a := w.members["a-sha"]
	reading := func(n int) []Reading { return []Reading{{Sensor: "gate-1", Values: map[string]any{"count": n}}} }
	_, err := a.CommitReadings(ctx, Call{}, reading(1))
	wantCode(t, err, record.CodeSensorNotApproved)
	w.must("pf", w.c.SensorApprove("gate-1", "a-sha"), w.c.SensorApprove("gate-2", "pf"))
	for name, c := range map[string]struct {
		reading Reading
		code    record.Code
	}{
		"not ours":  {Reading{Sensor: "gate-2", Values: map[string]any{"count": 1}}, record.CodeNotAuthorised},
		"schema":    {Reading{Sensor: "gate-1", Values: map[string]any{"face": 1}}, record.CodeReadingOutOfSchema},
		"object":    {Reading{Sensor: "gate-1", Values: map[string]any{"count": map[string]any{}}}, record.CodeReadingOutOfSchema},
		"typed map": {Reading{Sensor: "gate-1", Values: map[string]any{"count": map[string]int{"a": 1}}}, record.CodeReadingOutOfSchema},
		"nothing":   {Reading{Sensor: "gate-1"}, record.CodeReadingOutOfSchema},
		"bad id":    {Reading{Sensor: "Gate 1"}, CodeMalformed},
	} {
		if _, err := a.CommitReadings(ctx, Call{}, []Reading{c.reading}); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	got, err := a.CommitReadings(ctx, Call{Client: "mqtt", Key: "m1"}, reading(12))
	noErr(t, err)
	again, err := a.CommitReadings(ctx, Call{Client: "mqtt", Key: "m1"}, reading(12))
	noErr(t, err)
	if again.Size != 1 || again.Indexes[0] != 0 || again.Records[0] != got.Records[0] || again.Root != got.Root || !again.Final {
		t.Fatalf("%+v, then %+v", got, again)
	}
	if _, err := a.CommitReadings(ctx, Call{Client: "mqtt", Key: "m1"}, reading(13)); !errors.Is(err, outbox.ErrKeyReused) {
		t.Fatal(err)
	}
	var batch []Reading
	for i := range 300 { // beyond one tile
		batch = append(batch, reading(i)...)
	}
	_, err = a.CommitReadings(ctx, Call{}, batch)
	noErr(t, err)
	w.set(func() { w.posted = func(outbox.Request) error { return errors.New("no leader") } })
	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err = a.CommitReadings(soon, Call{}, reading(5)) // a leaf without an advance
	if !errors.Is(err, outbox.ErrUnknown) {
		t.Fatalf("committed without a ledger: %v", err)
	}
	_, err = a.ProveReading(ctx, Call{}, "", 301)
	wantCode(t, err, CodeNotFinal)
	w.set(func() { w.posted = nil })
	w.reopen(a)
	call := Call{Client: "mqtt", Key: "m2", Committed: true}
	last := []Reading{{Sensor: "gate-1", TimeMs: 1, Values: map[string]any{"count": "閉"}}}
	early, err := a.CommitReadings(ctx, call, last)
	noErr(t, err)
	if early.Final || early.Indexes[0] != 302 || early.Size != 303 || len(early.Records) != 0 {
		t.Fatalf("%+v", early)
	}
	call.Committed = false
	done, err := a.CommitReadings(ctx, call, last)
	noErr(t, err)
	if done.Indexes[0] != 302 || done.Size != 303 || !done.Final {
		t.Fatalf("%+v", done)
	}
	for _, index := range []uint64{0, 1, 255, 256, 300, 301, 302} {
		proveReading(t, w, a, index)
	}
	_, err = a.ProveReading(ctx, Call{}, "", 303)
	wantCode(t, err, record.CodeTreeUnknown)
	w.must("a-sha", w.c.SensorRetire("gate-1"))
	_, err = a.CommitReadings(ctx, Call{}, reading(1))
	wantCode(t, err, record.CodeSensorRetired)
}

// TestSites: sensors of a site have its tree; one that was approved without has the
// party's, as before there were sites. One call is for one site.
func TestSites(t *testing.T) {
	w := newWorld(t, "a-sha", "pf")
	a := w.members["a-sha"]
	at := func(sensor, site string) *record.Record {
		r := w.c.SensorApprove(sensor, "a-sha")
		r.Body.(*record.SensorApprove).Site = site
		return r
	}
	w.must("pf", at("gate-1", ""), at("gate-2", "north"), at("gate-3", "north"), at("gate-4", "sensors"))
	reading := func(sensors ...string) (out []Reading) {
		for _, s := range sensors {
			out = append(out, Reading{Sensor: s, TimeMs: 7, Values: map[string]any{"count": 1}})
		}
		return out
	}
	trees := map[uint64]string{}
	for _, c := range []struct {
		site    string
		sensors []string
	}{{"", []string{"gate-1"}}, {"north", []string{"gate-2", "gate-3", "gate-2"}}, {"sensors", []string{"gate-4"}}} {
		got, err := a.CommitReadings(ctx, Call{}, reading(c.sensors...))
		noErr(t, err)
		if was, ok := trees[got.Tree]; ok {
			t.Fatalf("the sites %q and %q have one tree", was, c.site)
		}
		trees[got.Tree] = c.site
		for i := range c.sensors {
			p, err := a.ProveReading(ctx, Call{}, c.site, uint64(i))
			noErr(t, err)
			noErr(t, merkle.VerifyInclusion(merkle.LeafHash(p.Leaf), p.Index, p.Size, p.Path, p.Root))
			if p.Tree != got.Tree {
				t.Fatalf("%q %d: %+v", c.site, i, p)
			}
		}
		tree, err := rules.Load[rules.Tree](w.state(), rules.KeyTree(got.Tree))
		noErr(t, err)
		if want := map[string]string{"": "sensors"}[c.site] + c.site; tree.Name != want || tree.Owner != "a-sha" {
			t.Errorf("the tree of %q is named %q", c.site, tree.Name)
		}
	}
	_, err := a.CommitReadings(ctx, Call{}, reading("gate-1", "gate-2"))
	wantCode(t, err, record.CodeReadingSites)
	_, err = a.ProveReading(ctx, Call{}, "south", 0)
	wantCode(t, err, record.CodeTreeUnknown)

	// What nobody led for goes to its site's tree later.
	w.set(func() { w.refuse = func(string, string) error { return forest.ErrNoLeader } })
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	late := reading("gate-3")
	late[0].TimeMs = 8
	if _, err := a.CommitReadings(soon, Call{}, late); !errors.Is(err, outbox.ErrUnknown) {
		t.Fatal(err)
	}
	w.reopen(a)
	w.set(func() { w.refuse = nil })
	w.comes(a, "north", 3)
}

// comes waits until a reading is provable.
func (w *world) comes(m *member, site string, index uint64) {
	w.t.Helper()
	for {
		m.Tick(ctx)
		if _, err := m.ProveReading(ctx, Call{}, site, index); err == nil {
			return
		} else if code := codeOf(err); code != record.CodeTreeUnknown && code != CodeNotFinal {
			w.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Readings that were sealed and did not reach Raft, because nobody led or the
// process ended, are committed later, each once.
func TestReadingsLeftBehind(t *testing.T) {
	w := newWorld(t, "a-sha", "pf")
	a := w.members["a-sha"]
	w.must("pf", w.c.SensorApprove("gate-1", "a-sha"))
	one := func(n int) []Reading { return []Reading{{Sensor: "gate-1", Values: map[string]any{"count": n}}} }
	_, err := a.CommitReadings(ctx, Call{}, one(0))
	noErr(t, err)
	w.set(func() { w.refuse = func(string, string) error { return forest.ErrNoLeader } })
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	call := Call{Client: "mqtt", Key: "m1"}
	if _, err = a.CommitReadings(soon, call, one(1)); !errors.Is(err, outbox.ErrUnknown) {
		t.Fatal(err)
	}
	w.reopen(a) // nothing in memory knows of it
	w.set(func() { w.refuse = nil })
	w.comes(a, "", 1)
	proveReading(t, w, a, 1)
	done, err := a.CommitReadings(ctx, call, one(1))
	noErr(t, err)
	if done.Indexes[0] != 1 || done.Size != 2 {
		t.Fatalf("doubled: %+v", done)
	}
}

// proveReading checks a proof the way an auditor would.
func proveReading(t *testing.T, w *world, m *member, index uint64) {
	t.Helper()
	p, err := m.ProveReading(ctx, Call{}, "", index)
	noErr(t, err)
	rec, _, err := recordByID(w.state(), p.Advance)
	noErr(t, err)
	a := rec.Body.(*record.TreeAdvance)
	if a.Size != p.Size || merkle.Hash(a.Root) != p.Root || a.Tree != p.Tree || rec.Issuer != "a-sha" {
		t.Fatalf("reading %d: another advance", index)
	}
	if tree, _ := rules.Load[rules.Tree](w.state(), rules.KeyTree(p.Tree)); tree == nil || tree.Type != "sensor" {
		t.Fatalf("tree %d is not in the register", p.Tree)
	}
	noErr(t, merkle.VerifyInclusion(merkle.LeafHash(p.Leaf), index, p.Size, p.Path, p.Root))
	var leaf ReadingLeaf
	noErr(t, canon.Unmarshal(p.Leaf, &leaf))
	var part ReadingPart
	noErr(t, canon.Unmarshal(p.Opening.Part, &part))
	if !seal.CheckOpening(leaf.Commitment, p.Opening.Nonce, p.Opening.Part) || part.Sensor != "gate-1" || part.TimeMs != leaf.TimeMs {
		t.Fatalf("reading %d: %+v", index, part)
	}
	if index == 302 && part.Values[0].JSON != `"閉"` {
		t.Fatalf("%+v", part)
	}
}

// A record that is applied and not final opens nothing: that waits for finality.
func TestReceiveCommitted(t *testing.T) {
	w, _, b, intent := handingOver(t)
	w.set(func() { w.behind = true })
	got, err := b.Receive(ctx, Call{Committed: true}, ReceiveRequest{Intent: intent, HowAcquired: "consent"})
	noErr(t, err)
	if got.Final {
		t.Fatal("final where nothing is")
	}
	w.duties()
	wantHeld(t, b, "a-portal", nil)
	w.reopen(b)
	w.duties()
	wantHeld(t, b, "a-portal", nil)
	w.set(func() { w.behind, w.final = false, w.ledger.State() })
	w.duties()
	wantHeld(t, b, "a-portal", map[string]string{"name": nameMarker, "user-id": idMarker})
}

// What a desk answers depends on who asks.
func TestHandleRights(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	consent := w.consent(ref, "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(ref))
	noErr(t, err)
	w.duties()
	intent, consentID := mustID(t, done.Records[0].ID), mustID(t, consent.Records[0].ID)
	handles, err := a.Handles(ctx, ref)
	noErr(t, err)
	w.must("c-sha", w.c.Erasure([]record.KeyNumber{{1}}, "b-sha", "c-sha"))
	var foreign record.ID
	noErr(t, w.state().Listed("erasure/", func(key string, _ []byte) error { copy(foreign[:], key[len("erasure/"):]); return nil }))
	for name, c := range map[string]struct {
		at   *member
		from string
		what string
		req  any
		code record.Code
	}{
		"stranger":                {a, "d-sha", callOpening, &openingRequest{consentID, "d-sha"}, record.CodeMemberNotActive},
		"unlisted":                {a, "c-sha", callOpening, &openingRequest{consentID, "c-sha"}, record.CodeNotAuthorised},
		"as another":              {a, "c-sha", callOpening, &openingRequest{consentID, "b-sha"}, record.CodeNotAuthorised},
		"not a consent":           {a, "b-sha", callOpening, &openingRequest{intent, "b-sha"}, record.CodeNotAuthorised},
		"listed":                  {a, "b-sha", callOpening, &openingRequest{consentID, "b-sha"}, ""},
		"onward of another":       {a, "c-sha", callOnward, &onwardRequest{intent, "c-sha", "c-sha"}, record.CodeNotAuthorised},
		"onward":                  {a, "b-sha", callOnward, &onwardRequest{intent, "c-sha", "b-sha"}, ""},
		"offer of another":        {b, "c-sha", callOffer, &offerRequest{intent}, record.CodeReceiveWithout},
		"offer to another":        {w.members["c-sha"], "a-sha", callOffer, &offerRequest{intent}, record.CodeReceiveWithout},
		"deliver of another":      {b, "c-sha", callDeliver, &deliverRequest{Intent: intent, Part: record.Opening{Part: []byte{}}, Items: record.Opening{Part: []byte{}}, Parcel: []byte{}}, record.CodeReceiveWithout},
		"deliver other openings":  {b, "a-sha", callDeliver, &deliverRequest{Intent: intent, Part: record.Opening{Part: []byte{}}, Items: record.Opening{Part: []byte{}}, Parcel: []byte{}}, record.CodeIntentItems},
		"erase without an entry":  {b, "a-sha", callErase, &eraseRequest{Erasure: intent}, record.CodeErasureUnknown},
		"erase by another":        {b, "a-sha", callErase, &eraseRequest{Erasure: foreign}, record.CodeNotAuthorised},
		"erase another's handles": {b, "c-sha", callErase, &eraseRequest{Erasure: foreign, Handles: []sign.PublicKey{handles[0].Key}}, record.CodeNotAuthorised},
		"no such call":            {b, "a-sha", "keys", &offerRequest{intent}, CodeMalformed},
	} {
		_, err := c.at.Handle(ctx, c.from, c.what, canon.Must(c.req))
		if codeOf(err) != c.code || c.code == "" && err != nil {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
	for _, what := range []string{callOpening, callOnward, callOffer, callDeliver, callErase} {
		for _, bad := range []string{"", "a0", "a10100", "a1014100", "bf01ff", "ff"} {
			req, _ := hex.DecodeString(bad)
			if _, err := a.Handle(ctx, "b-sha", what, req); codeOf(err) != CodeMalformed {
				t.Errorf("%s %s: %v", what, bad, err)
			}
		}
		if _, err := a.Handle(ctx, "b-sha", what, make([]byte, 1<<20)); codeOf(err) != CodeMalformed {
			t.Errorf("%s of a megabyte: %v", what, err)
		}
	}
	if b.People(ctx) != 0 || len(b.waiting.all()) != 1 {
		t.Error("something changed")
	}
}

// A parcel is not what its sender announced: the record stands, nothing is taken in.
func TestLyingParcel(t *testing.T) {
	w := newWorld(t, "a-sha", "b-sha")
	a, b := w.members["a-sha"], w.members["b-sha"]
	w.consent(w.standard(), "service")
	w.set(func() { w.refuse = func(string, string) error { return errors.New("cut off") } })
	req := provideRequest(refMarker)
	req.Items = []string{"user-id"}
	done, err := a.Provide(ctx, Call{}, req)
	noErr(t, err)
	w.duties()
	id := mustID(t, done.Records[0].ID)
	o, err := a.openRecord(id)
	noErr(t, err)
	answer, err := b.Handle(ctx, "a-sha", callOffer, canon.Must(&offerRequest{id}))
	noErr(t, err)
	var offer offerAnswer
	noErr(t, canon.Unmarshal(answer, &offer))
	to, err := seal.ParseRecipient(offer.Recipient)
	noErr(t, err)
	body := canon.Must(&parcel{Items: []parcelItem{{Code: "user-id", Value: "x"}, {Code: "name", Value: nameMarker}}})
	file, err := seal.SealParcel(seal.ParcelHeader{Intent: id, Sender: "a-sha", Recipient: "b-sha"}, body, to)
	noErr(t, err)
	for _, lie := range []deliverRequest{{Part: *o.Items, Items: *o.Items}, {Part: o.Part, Items: o.Part}} {
		lie.Intent, lie.Parcel = id, file
		_, err = b.Handle(ctx, "a-sha", callDeliver, canon.Must(&lie))
		wantCode(t, err, record.CodeIntentItems)
	}
	_, err = b.Handle(ctx, "a-sha", callDeliver, canon.Must(&deliverRequest{Intent: id, Part: o.Part, Items: *o.Items, Parcel: file}))
	noErr(t, err)
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
	noErr(t, err)
	wantHeld(t, b, "a-portal", nil)
}

// The data keys in memory are bounded and end with their class.
func TestKeyring(t *testing.T) {
	k := newKeyring(3)
	alive := func() bool { return true }
	run := func(seal.DataKey) error { return nil }
	for i := range byte(10) {
		noErr(t, k.add([16]byte{i}, seal.NewDataKey(), alive, run))
	}
	if len(k.keys) != 3 {
		t.Fatalf("%d keys", len(k.keys))
	}
	var kept seal.DataKey
	if held, _ := k.use([16]byte{9}, func(d seal.DataKey) error { kept = d; return nil }); !held {
		t.Fatal("the newest key was pushed out")
	}
	k.wipe([16]byte{9})
	if _, err := seal.SealItem(kept, seal.AAD{Member: "m", Kind: "k"}, nil); !errors.Is(err, seal.ErrNoKey) {
		t.Fatalf("a wiped key seals: %v", err)
	}
	if err := k.add([16]byte{11}, seal.NewDataKey(), func() bool { return false }, run); !errors.Is(err, errGone) {
		t.Fatalf("the key of an erased class came back: %v", err)
	}
}

var _ Poster = (*outbox.Outbox)(nil)
