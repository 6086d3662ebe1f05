package custody

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// seenByCamera is a person of whom a-sha has collected a dataset, for seven days, and
// handed it over to b-sha, where registered items went before.
type seenByCamera struct {
	*world
	t     *testing.T
	a, b  *member
	seen  *Dataset
	given string // intent
}

func newSeen(t *testing.T) *seenByCamera {
	t.Helper()
	w := newWorld(t)
	s := &seenByCamera{world: w, t: t, a: w.members["a-sha"], b: w.members["b-sha"]}
	s.b.auto = true
	w.reopen(s.b)
	w.consent(w.standard(), "service")
	_, err := s.a.Provide(ctx, Call{}, provideRequest(refMarker))
	noErr(t, err)
	w.duties()
	s.seen, err = s.a.Collect(ctx, Call{}, Collection{Person: refMarker, Service: "a-portal", Purpose: "service", Retention: "P7D",
		Items: map[string]string{"name": "as it was seen"}})
	noErr(t, err)
	s.given = s.give()
	w.duties()
	return s
}

func (s *seenByCamera) request() ProvideRequest {
	r := provideRequest(refMarker)
	r.Items, r.Dataset = []string{"name"}, s.seen.ID
	return r
}

func (s *seenByCamera) give() string {
	s.t.Helper()
	done, err := s.a.Provide(ctx, Call{}, s.request())
	noErr(s.t, err)
	return done.Records[0].ID
}

// names returns the names that a member may read, of everybody.
func (s *seenByCamera) names(m *member) (out []string) {
	s.t.Helper()
	ids, err := m.vault.List("p/")
	noErr(s.t, err)
	refs := map[Ref]bool{}
	for _, id := range ids {
		ref, _, _ := personEntry(id)
		refs[ref] = true
	}
	for ref := range refs {
		d, err := m.Disclose(ctx, ref)
		noErr(s.t, err)
		for _, c := range d.Classes {
			for _, it := range c.Items {
				if it.Code == "name" {
					out = append(out, it.Value)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func (s *seenByCamera) at(t time.Time) { s.set(func() { s.c.NowMs = uint64(t.UnixMilli()) }) }

const asSeen = "as it was seen"

// A dataset goes out under a consent, and lives at the recipient no longer than here,
// to the second, whatever the terms allow. Nothing of it is handed on.
func TestProvideDataset(t *testing.T) {
	s := newSeen(t)
	if got := s.names(s.b); !slices.Equal(got, []string{asSeen, nameMarker}) {
		t.Fatalf("b-sha holds %q", got)
	}
	for name, c := range map[string]struct {
		change func(*ProvideRequest)
		want   record.Code
	}{
		"unknown":   {func(r *ProvideRequest) { r.Dataset = "00112233445566778899aabbccddeeff" }, CodeDatasetUnknown},
		"not in it": {func(r *ProvideRequest) { r.Items = []string{"name", "user-id"} }, CodeItemAbsent},
	} {
		r := s.request()
		c.change(&r)
		if _, err := s.a.Provide(ctx, Call{}, r); codeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.at(s.seen.Until.Add(-time.Second))
	s.duties()
	if got := s.names(s.b); !slices.Contains(got, asSeen) {
		t.Errorf("a second before its deadline b-sha holds %q", got)
	}
	s.at(s.seen.Until)
	if got := s.names(s.b); !slices.Equal(got, []string{nameMarker}) {
		t.Errorf("at its deadline b-sha shows %q", got)
	}
	s.duties()
	ids, err := s.b.vault.List("p/")
	noErr(t, err)
	if slices.ContainsFunc(ids, func(id string) bool { _, what, _ := personEntry(id); return datasetOf(what) != "" }) {
		t.Error("its key is still at b-sha")
	}
	_, err = s.a.Provide(ctx, Call{}, s.request())
	wantCode(t, err, record.CodeErased)
}

// A dataset that is erased on demand goes at its recipient, too: what it has, what
// waits for it, and what was on its way, whatever is down in between. What is registered
// stays, and the certificate names both.
func TestEraseProvidedDataset(t *testing.T) {
	for name, around := range map[string]func(s *seenByCamera){
		"all there":         func(*seenByCamera) {},
		"recipient down":    func(s *seenByCamera) { s.reopen(s.b) },
		"issuer restarts":   func(s *seenByCamera) { s.reopen(s.a) },
		"issuer comes back": func(s *seenByCamera) { s.replace(s.a, copiesOf(s.t, s.a)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSeen(t)
			down := errors.New("down")
			refuse := func(calls ...string) {
				s.set(func() {
					s.refuse = func(_, what string) error {
						if slices.Contains(calls, what) {
							return down
						}
						return nil
					}
				})
			}
			refuse(callDeliver)
			onItsWay := s.give()
			s.duties()
			refuse(callErase, callDeliver)
			view, _, err := s.a.EraseDataset(ctx, Call{Client: "app", Key: "away"}, s.seen.ID)
			noErr(t, err)
			if !slices.Equal(view.Pending, []string{"b-sha"}) {
				t.Fatalf("%+v", view)
			}
			around(s)
			if got := s.names(s.b); !slices.Contains(got, asSeen) {
				t.Fatalf("before it is told b-sha holds %q", got)
			}
			refuse()
			for range 2 {
				s.duties()
			}
			if view, err = s.a.Erasure(ctx, view.ID); err != nil || len(view.Pending) != 0 || len(view.Done) != 2 {
				t.Errorf("%+v, %v", view, err)
			}
			if got := s.names(s.b); !slices.Equal(got, []string{nameMarker}) {
				t.Errorf("b-sha holds %q", got)
			}
			in, err := rules.Load[rules.Intent](s.state(), rules.KeyIntent(mustID(t, onItsWay)))
			if err != nil || in != nil {
				t.Errorf("what was on its way is still open: %+v, %v", in, err)
			}
			if n := len(s.a.erasing.all()) + len(s.b.erasing.all()); n != 0 {
				t.Errorf("%d plans are left", n)
			}
		})
	}
}

// What waits at a recipient when its dataset is erased is not received any more.
func TestEraseDatasetBeforeItIsReceived(t *testing.T) {
	s := newSeen(t)
	s.b.auto = false
	s.reopen(s.b)
	waits := s.give()
	s.duties()
	if here, _ := s.b.waiting.has(mustID(t, waits)); !here {
		t.Fatal("nothing waits")
	}
	_, _, err := s.a.EraseDataset(ctx, Call{}, s.seen.ID)
	noErr(t, err)
	for range 2 {
		s.duties()
	}
	if _, err := s.b.Receive(ctx, Call{}, ReceiveRequest{Intent: waits, HowAcquired: "consent"}); codeOf(err) == "" {
		t.Errorf("received: %v", err)
	}
	if got := s.names(s.b); !slices.Equal(got, []string{nameMarker}) {
		t.Errorf("b-sha holds %q", got)
	}
}

// A recipient hands nothing on that it got out of a dataset.
func TestDatasetGoesNoFurther(t *testing.T) {
	s := newSeen(t)
	ids, err := s.b.vault.List("p/")
	noErr(t, err)
	i := slices.IndexFunc(ids, func(id string) bool { _, what, _ := personEntry(id); return datasetOf(what) != "" })
	ref, _, _ := personEntry(ids[i])
	q, release, err := s.b.use(ref)
	noErr(t, err)
	defer release()
	sheets, err := s.b.receivedSheets(q, "a-portal", "b-sha")
	noErr(t, err)
	for _, sh := range sheets {
		if value, _ := sh.value("name"); value == asSeen {
			t.Error("a recipient would hand a dataset on")
		}
	}
}

// A party of the same node that received a dataset loses it with it, and says so.
func TestEraseDatasetOfOwnParty(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	a.auto = true
	w.reopen(a)
	w.hosted["a-sha"] = []string{"a-ten"}
	w.must("a-sha", w.c.Party("a-ten"))
	terms, _ := w.c.Terms(w.c.Screen("a-portal", "1", record.Scope{Purpose: "service", Required: []string{"name"}, Recipients: []string{"a-ten"}}))
	w.must("a-sha", w.c.Service("a-portal"), terms)
	_, err := a.Register(ctx, Call{}, Registration{Person: refMarker, Service: "a-portal", Source: "self", Items: map[string]string{"name": nameMarker}})
	noErr(t, err)
	_, err = a.Consent(ctx, Call{}, ConsentRequest{Person: refMarker, Service: "a-portal", Version: "1", Items: []string{"name"}, Purposes: []string{"service"}})
	noErr(t, err)
	seen, err := a.Collect(ctx, Call{}, Collection{Person: refMarker, Service: "a-portal", Purpose: "service", Retention: "P7D",
		Items: map[string]string{"name": asSeen}})
	noErr(t, err)
	s := &seenByCamera{world: w, t: t, a: a, seen: seen}
	r := s.request()
	r.To = "a-ten"
	_, err = a.Provide(ctx, Call{}, r)
	noErr(t, err)
	w.duties()
	if got := s.names(a); !slices.Contains(got, asSeen) {
		t.Fatalf("a-ten holds %q", got)
	}
	view, _, err := a.EraseDataset(ctx, Call{}, seen.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || len(view.Done) != 2 || !slices.Equal(s.names(a), []string{nameMarker}) {
		t.Errorf("%+v, %q", view, s.names(a))
	}
}
