package custody

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// A recipient that has not heard of an erasure passes the data on meanwhile: the
// certificate lists the third holder, and nothing is left there.
func TestErasePassedOn(t *testing.T) {
	w := newWorld(t)
	race := newRace(t, w, 1)
	a, b, c := w.members["a-sha"], w.members["b-sha"], w.members["c-sha"]
	victim := race.people[0]
	_, err := a.Provide(ctx, Call{}, victim.give("b-sha"))
	noErr(t, err)
	w.duties()
	i := slices.IndexFunc(victim.handles, func(k HandleOf) bool { return k.For == "a-portal" && k.Open })
	at, ok, err := b.personOf(victim.handles[i].Key)
	if err != nil || !ok {
		t.Fatalf("b-sha has not received anything: %v", err)
	}

	w.set(func() {
		w.refuse = func(to, what string) error {
			if to == "b-sha" && what == callErase {
				return errors.New("cut off")
			}
			return nil
		}
	})
	var once sync.Once
	var view *ErasureView
	w.set(func() {
		w.posted = func(r outbox.Request) error {
			if r.Issuer == "b-sha" && r.Records[0].Kind == record.KindProvision { // its checks have passed
				once.Do(func() { view, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: victim.ref, Cause: "request"}) })
			}
			return nil
		}
	})
	onward := victim.give("c-sha")
	onward.Person = at.Ref
	_, err2 := b.Provide(ctx, Call{}, onward)
	noErr(t, errors.Join(err, err2))
	w.duties()
	if v, _ := a.Erasure(ctx, view.ID); c.People(ctx) != 1 || slices.Contains(v.Pending, "c-sha") || !slices.Contains(v.Pending, "b-sha") {
		t.Fatalf("%d people at c-sha, %+v: the race did not happen", c.People(ctx), v)
	}
	w.reopen(c)
	w.set(func() { w.refuse = nil })
	w.duties()
	view, err = a.Erasure(ctx, view.ID)
	noErr(t, err)
	if len(view.Pending) != 0 || len(view.Done) != 3 || a.People(ctx)+b.People(ctx)+c.People(ctx) != 0 {
		t.Errorf("%+v; %d, %d, %d people", view, a.People(ctx), b.People(ctx), c.People(ctx))
	}
	race.check()
}

// TestEraseRaces lets erasures race hand-overs, onward ones, deliveries, changes of
// items, copies of whole stores, members that are unreachable and restarts. In the
// end no copy of any time opens to an erased value with the slots as they are, every
// holder has attested, and nobody else has lost anything. Long under AKASHI_SIM=long.
func TestEraseRaces(t *testing.T) {
	rounds := 4
	if os.Getenv("AKASHI_SIM") == "long" {
		rounds = 300
	}
	for i := range rounds {
		seed := uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			race := newRace(t, newWorld(t), 3)
			race.run(rand.New(rand.NewPCG(seed, 1)))
			race.check()
		})
	}
}

// races is people at a-sha; the last of them is not erased.
type races struct {
	*testing.T
	w      *world
	people []*raced

	mu     sync.Mutex
	copies map[string][]map[string][]byte // of each member's blobs, as a backup has them
}

type raced struct {
	ref     Ref
	marker  string // in every value
	mu      sync.Mutex
	handles []HandleOf
	erased  []string // erasures
	whole   bool
}

func (p *raced) give(to string) ProvideRequest {
	return ProvideRequest{Person: p.ref, Service: "a-portal", To: to, Items: []string{"name", "user-id"}, Purpose: "service"}
}

func newRace(t *testing.T, w *world, people int) *races {
	r := &races{T: t, w: w, copies: map[string][]map[string][]byte{}}
	for _, m := range w.members {
		m.auto = true
		w.reopen(m)
	}
	for _, service := range []string{"a-portal", "a-card"} {
		terms, _ := w.c.Terms(w.c.Screen(service, "1", record.Scope{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"name"},
			Recipients: []string{"b-sha", "c-sha"}}))
		w.must("a-sha", w.c.Service(service), terms)
	}
	for i := range people {
		p := &raced{ref: Ref(fmt.Sprintf("p-%d", i)), marker: fmt.Sprintf("マーカー第%d号", i)}
		r.people = append(r.people, p)
		for _, service := range []string{"a-portal", "a-card"} {
			_, err := w.members["a-sha"].Register(ctx, Call{}, Registration{Person: p.ref, Service: service, Source: "self",
				Items: map[string]string{"name": p.marker + service, "user-id": p.marker + "u"}})
			noErr(t, err)
			_, err = w.members["a-sha"].Consent(ctx, Call{}, ConsentRequest{Person: p.ref, Service: service, Version: "1",
				Items: []string{"name", "user-id"}, Purposes: []string{"service"}})
			noErr(t, err)
		}
		p.handles = r.handlesOf(p)
	}
	return r
}

// run is the race: an erasure of every person but the last beside everything else,
// then a restart of everybody, until all has come to rest.
func (r *races) run(rng *rand.Rand) {
	r.T.Helper()
	r.w.set(func() { r.w.refuse = r.unreliable(rng.Uint64()) })
	var wg sync.WaitGroup
	for i, p := range r.people {
		for range 3 {
			seed := rng.Uint64()
			wg.Go(func() { r.use(p, rand.New(rand.NewPCG(seed, 2))) })
		}
		if i == len(r.people)-1 {
			continue
		}
		pause, service := time.Duration(rng.IntN(40))*time.Millisecond, []string{"", "a-portal"}[rng.IntN(2)]
		wg.Go(func() {
			time.Sleep(pause) // what it falls on is drawn; nothing waits for it
			r.erase(p, service)
		})
	}
	wg.Go(func() {
		for range 20 {
			for _, m := range r.w.members {
				m.Tick(ctx)
			}
			r.backUp()
		}
	})
	wg.Wait()
	for _, m := range r.w.members {
		r.w.reopen(m)
	}
	r.w.set(func() { r.w.refuse = nil })
	for i, p := range r.people[:len(r.people)-1] {
		if i == 0 || !p.whole {
			r.erase(p, "")
		}
	}
	r.backUp()
}

// unreliable fails about one call in four, on the way there or back.
func (r *races) unreliable(seed uint64) func(string, string) error {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 3))
	return func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(4) == 0 {
			return errors.New("unreachable")
		}
		return nil
	}
}

// use does what members do for a person. It is refused once they are gone.
func (r *races) use(p *raced, rng *rand.Rand) {
	a, b := r.w.members["a-sha"], r.w.members["b-sha"]
	for range 12 {
		switch rng.IntN(5) {
		case 0:
			a.Provide(ctx, Call{}, p.give("b-sha"))
		case 1:
			a.Provide(ctx, Call{}, p.give("c-sha"))
		case 2:
			a.PutItems(ctx, Call{}, p.ref, "a-portal", map[string]string{"name": p.marker + "again"})
		case 3:
			a.Export(ctx, p.ref, "age1")
		case 4:
			for _, k := range r.handlesOf(p) {
				if at, ok, err := b.personOf(k.Key); err == nil && ok {
					onward := p.give("c-sha")
					onward.Person = at.Ref
					b.Provide(ctx, Call{}, onward)
				}
			}
		}
	}
}

func (r *races) handlesOf(p *raced) []HandleOf {
	handles, err := r.w.members["a-sha"].Handles(ctx, p.ref)
	if err != nil {
		return nil
	}
	return handles
}

func (r *races) erase(p *raced, service string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, _, err := r.w.members["a-sha"].Erase(ctx, Call{Client: "race", Key: string(p.ref) + "/" + service}, EraseRequest{Person: p.ref, Cause: "request", Service: service})
	if err != nil {
		if code := codeOf(err); code != record.CodeErased && code != CodePersonLeaving && code != CodePersonUnknown {
			r.Errorf("erase: %v", err)
		}
		return
	}
	p.erased, p.whole = append(p.erased, v.ID), p.whole || service == ""
}

// backUp copies every member's blobs.
func (r *races) backUp() {
	for id, m := range r.w.members {
		blobs := dump(r.T, m)
		r.mu.Lock()
		r.copies[id] = append(r.copies[id], blobs)
		r.mu.Unlock()
	}
}

// settle passes time until every erasure has ended everywhere.
func (r *races) settle() {
	r.T.Helper()
	left := 0
	for range 12 {
		r.w.duties()
		r.w.pass(31 * time.Minute)
		left = 0
		for _, m := range r.w.members {
			m.wg.Wait() // what was spawned
			left += len(m.erasing.all())
		}
		if left == 0 {
			r.w.duties()
			return
		}
	}
	r.Errorf("%d erasures do not come to their end\n%s", left, r.w.log.Bytes())
}

// check looks for what must not be there, and for what must.
func (r *races) check() {
	r.T.Helper()
	r.settle()
	for i, p := range r.people {
		for _, id := range p.erased {
			v, err := r.w.members["a-sha"].Erasure(ctx, id)
			if err != nil || len(v.Pending) > 0 {
				r.Errorf("person %d: %+v, %v", i, v, err)
			}
		}
		if p.whole {
			r.nothingOpen(p)
		}
	}
	for id, m := range r.w.members {
		all := dump(r.T, m)
		for _, old := range r.copies[id] {
			all = merge(all, old)
		}
		loot := plunder(r.T, all, slotOf(r.T, m))
		for i, p := range r.people {
			if p.whole && strings.Contains(loot, p.marker) {
				r.Errorf("person %d: %s and its copies give a value after the erasure", i, id)
			} else if !p.whole && id == "a-sha" && len(r.copies) > 0 && !strings.Contains(loot, p.marker) {
				r.Errorf("person %d is not erased, and cannot be read", i)
			}
		}
		if n := len(m.erasing.all()); n > 0 {
			r.Errorf("%s: %d erasures are under way", id, n)
		}
	}
	r.othersKeep()
}

// othersKeep wants everything of the person who was not erased to be readable, here
// and where it went.
func (r *races) othersKeep() {
	r.T.Helper()
	p := r.people[len(r.people)-1]
	if p.whole || len(p.erased) > 0 || len(r.copies) == 0 {
		return
	}
	dis, err := r.w.members["a-sha"].Disclose(ctx, p.ref)
	noErr(r.T, err)
	if len(dis.Classes) != 2 || len(dis.Classes[0].Items) != 2 || len(dis.Classes[1].Items) != 2 {
		r.Errorf("%+v", dis)
	}
	given := 0
	for _, id := range []string{"b-sha", "c-sha"} {
		m := r.w.members[id]
		for _, k := range p.handles {
			at, ok, err := m.personOf(k.Key)
			noErr(r.T, err)
			if !ok {
				continue
			}
			dis, err := m.Disclose(ctx, at.Ref)
			noErr(r.T, err)
			given += len(dis.Classes)
		}
	}
	if given == 0 {
		r.Log("nothing of the other person was handed over in this round")
	}
}

// nothingOpen wants the handles of who was erased to be closed, with nothing open
// under them in the register.
func (r *races) nothingOpen(p *raced) {
	r.T.Helper()
	st := r.w.state()
	for _, k := range p.handles {
		h, err := rules.HandleState(st, k.Key)
		noErr(r.T, err)
		if h == nil {
			continue
		}
		open, err := openUnder(ctx, st, k.Key, h)
		if err != nil || h.Closed == 0 || len(open) > 0 {
			r.Errorf("handle for %s: %+v, %d hand-overs open, %v", k.For, h, len(open), err)
		}
	}
}
