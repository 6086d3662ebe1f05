package custody

import (
	"errors"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// TestDatasetWidenedByAnotherHolder: b-sha and c-sha hold a dataset of one person, and
// c-sha has from b-sha what b-sha got of that person besides. In the erasure of the
// dataset b-sha lies to c-sha: it is about the person. Of another person it is not
// believed. Behind the issuer's word it is not believed at all. Before it, it takes what
// b-sha could have had erased in its own name, and no more.
func TestDatasetWidenedByAnotherHolder(t *testing.T) {
	for name, first := range map[string]bool{"behind the issuer's word": false, "before it": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			race := newRace(t, w, 2)
			victim, other := race.people[0], race.people[1]
			a, c := w.members["a-sha"], w.members["c-sha"]
			key, otherKey := w.passedOn(victim), towards(victim, "a-card")
			for _, r := range []ProvideRequest{other.give("c-sha"), cardOf(victim)} { // of which b-sha knows nothing
				_, err := a.Provide(ctx, Call{}, r)
				noErr(t, err)
			}
			seen, err := a.Collect(ctx, Call{}, Collection{Person: victim.ref, Service: "a-portal", Purpose: "service", Retention: "P7D",
				Items: map[string]string{"name": asSeen}})
			noErr(t, err)
			for _, to := range []string{"b-sha", "c-sha"} {
				r := victim.give(to)
				r.Items, r.Dataset = []string{"name"}, seen.ID
				_, err = a.Provide(ctx, Call{}, r)
				noErr(t, err)
			}
			w.duties()
			s := &seenByCamera{world: w, t: t, a: a, b: c, seen: seen}
			name := func(p *raced, service string) string { return p.marker + service }
			all := []string{name(victim, "a-portal"), name(victim, "a-card"), name(other, "a-portal"), asSeen}
			if got := s.names(c); !slices.Equal(got, set(all)) {
				t.Fatalf("c-sha holds %q", got)
			}
			down := errors.New("down")
			w.set(func() {
				w.refuse = func(string, string) error { return down }
				w.posted = func(r outbox.Request) error {
					if r.Issuer == "c-sha" { // so that it is not done yet
						return down
					}
					return nil
				}
			})
			view, _, err := a.EraseDataset(ctx, Call{}, seen.ID)
			noErr(t, err)
			tell := func(who string, dataset []byte, key sign.PublicKey) error {
				_, err := c.serveErase(ctx, w.state(), who, &eraseRequest{Erasure: mustID(t, view.ID), Handles: []sign.PublicKey{key}, Size: w.state().Size, Dataset: dataset})
				return err
			}
			for _, k := range []sign.PublicKey{towards(other, "a-portal"), otherKey} {
				wantCode(t, tell("b-sha", nil, k), record.CodeNotAuthorised)
			}
			want := []string{name(victim, "a-card"), name(other, "a-portal")}
			if !first {
				id := mustID(t, seen.ID)
				noErr(t, tell("a-sha", id[:], key))
				want = append(want, name(victim, "a-portal"))
			}
			noErr(t, tell("b-sha", nil, key))
			c.goOn(ctx, mustID(t, view.ID)) // as it does on its own in a moment
			w.set(func() { w.refuse, w.posted = nil, nil })
			w.duties()
			w.duties()
			if got := s.names(c); !slices.Equal(got, set(want)) {
				t.Errorf("c-sha holds %q, want %q", got, want)
			}
			if v, err := a.Erasure(ctx, view.ID); err != nil || len(v.Pending) != 0 {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

// passedOn hands somebody's items over from a-sha to b-sha and on to c-sha, and returns
// the handle.
func (w *world) passedOn(p *raced) sign.PublicKey {
	w.t.Helper()
	_, err := w.members["a-sha"].Provide(ctx, Call{}, p.give("b-sha"))
	noErr(w.t, err)
	w.duties()
	key := towards(p, "a-portal")
	at, ok, err := w.members["b-sha"].personOf(key)
	if err != nil || !ok {
		w.t.Fatalf("b-sha has not received anything: %v", err)
	}
	onward := p.give("c-sha")
	onward.Person = at.Ref
	_, err = w.members["b-sha"].Provide(ctx, Call{}, onward)
	noErr(w.t, err)
	w.duties()
	return key
}

// towards returns somebody's open handle towards a service.
func towards(p *raced, service string) sign.PublicKey {
	i := slices.IndexFunc(p.handles, func(k HandleOf) bool { return k.For == service && k.Open })
	return p.handles[i].Key
}

func cardOf(p *raced) ProvideRequest {
	r := p.give("c-sha")
	r.Service = "a-card"
	return r
}
