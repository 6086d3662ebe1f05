package receipt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// person is a consortium in which one person has handles, with the events of
// every handle as they happened.
type person struct {
	c      *ledgertest.Consortium
	secret sign.Secret
	events map[sign.PublicKey][][]byte
}

func newPerson(c *ledgertest.Consortium, name string) *person {
	return &person{c, c.Person(name), map[sign.PublicKey][][]byte{}}
}

// do posts records and notes the events of handles.
func (p *person) do(issuer string, recs ...*record.Record) *rules.Result {
	r := p.c.Batch(p.c.Submit(issuer, recs...))
	for _, e := range r.Events {
		p.events[e.Handle] = append(p.events[e.Handle], r.Leaves[e.Leaf])
	}
	return r
}

func (p *person) options() receipt.CompleteOptions {
	return receipt.CompleteOptions{
		Handle: func(id string, gen uint64) (sign.PublicKey, error) { return p.secret.Handle(id, gen).Public(), nil },
		Events: func(h sign.PublicKey, n uint64) ([][]byte, error) {
			if uint64(len(p.events[h])) != n {
				return nil, fmt.Errorf("%d events, want %d", len(p.events[h]), n)
			}
			return p.events[h], nil
		},
	}
}

func (p *person) complete(t testing.TB) []byte {
	t.Helper()
	b, err := receipt.BuildComplete(newest(p.c), p.options())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// draw returns one of n numbers from 0.
type draw func(n int) int

// seeded draws always the same numbers for a seed.
func seeded(seed uint64) draw { return rand.New(rand.NewPCG(seed, seed)).IntN }

// randomHistory makes a person's records at random, beside those of others.
func randomHistory(t testing.TB, draw draw) *person {
	p := newPerson(ledgertest.New(t, ledgertest.Options{Seed: fmt.Sprint(draw(1 << 20))}), "hana")
	c := p.c
	terms := map[string]record.Digest{"a-portal": c.Offer("a-sha", "a-portal"), "b-app": c.Offer("b-sha", "b-app"), "c-card": c.Offer("c-sha", "c-card")}
	owner := map[string]string{"a-portal": "a-sha", "b-app": "b-sha", "c-card": "c-sha"}
	gen := map[string]uint64{}
	taro := c.Person("taro")
	for range draw(18) {
		service := []string{"a-portal", "b-app"}[draw(2)] // nothing ever towards c-card
		key, own := p.secret.Handle(service, gen[service]), owner[service]
		switch draw(9) {
		case 0, 1:
			p.do(own, c.Grant(key, terms[service], 0))
		case 2:
			p.do("pf", c.Revoke(key, terms[service], 0))
		case 3, 4:
			p.do(own, c.Provision(key.Public(), 1, 0, []string{"b-sha", "c-sha"}[draw(2)]))
		case 5:
			p.do("c-sha", c.Stop(key.Public(), terms[service], 0))
		case 6:
			next := p.secret.Handle(service, gen[service]+1)
			if r := p.do(own, c.HandleMove(key, next)); len(r.Leaves) == 1 {
				gen[service]++
			}
		case 7:
			party := p.secret.Handle("c-sha", 0)
			p.do("c-sha", c.HandleOpen(party.Public(), "c-sha"))
		case 8:
			p.do(own, c.Grant(taro.Handle(service, 0), terms[service], 0))
		}
	}
	return p
}

// bundle is what the tests change in a completeness proof.
type bundle struct {
	m       map[string]any
	handles []map[string]any
}

func open(t *testing.T, b []byte) *bundle {
	x := &bundle{m: fields(t, b)}
	for _, h := range x.m["handles"].([]any) {
		x.handles = append(x.handles, h.(map[string]any))
	}
	return x
}

func (x *bundle) events(i int) []any {
	e, _ := x.handles[i]["events"].([]any)
	return e
}

// file renders a changed proof as the package does.
func (x *bundle) file(t *testing.T) []byte {
	t.Helper()
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	inner := func(v any) string {
		var s strings.Builder
		e := json.NewEncoder(&s)
		e.SetEscapeHTML(false)
		e.SetIndent("  ", "  ")
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(s.String())
	}
	h := x.m["human"].(map[string]any)
	state := x.m["state"].(map[string]any)
	put("{\n  \"format\": %s,\n", inner(x.m["format"]))
	put("  \"human\": %s,\n", inner(struct {
		Ja any `json:"ja"`
		En any `json:"en"`
	}{h["ja"], h["en"]}))
	put("  \"state\": %s,\n", inner(struct {
		Leaf  any `json:"leaf"`
		Proof any `json:"proof"`
	}{state["leaf"], state["proof"]}))
	type fact struct {
		Key   any `json:"key"`
		Proof any `json:"proof"`
	}
	var facts []fact
	for _, f := range x.m["register"].([]any) {
		f := f.(map[string]any)
		facts = append(facts, fact{f["key"], f["proof"]})
	}
	put("  \"register\": %s,\n", inner(facts))
	type handle struct {
		For        any   `json:"for"`
		Generation any   `json:"generation"`
		Handle     any   `json:"handle"`
		Proof      any   `json:"proof"`
		Events     []any `json:"events,omitempty"`
	}
	var hs []handle
	for i, h := range x.handles {
		hs = append(hs, handle{h["for"], h["generation"], h["handle"], h["proof"], x.events(i)})
	}
	put("  \"handles\": %s\n}\n", inner(hs))
	return []byte(b.String())
}

// TestCompleteIffNothingIsMissing: for random histories the proof verifies as it
// is, with what really happened in its verdict, and with random changes only
// where these leave it as it was.
func TestCompleteIffNothingIsMissing(t *testing.T) {
	names := slices.Sorted(maps.Keys(changes))
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") }
		p := randomHistory(t, draw)
		b := p.complete(t)
		x := open(t, b)
		if got := x.file(t); string(got) != string(b) {
			rt.Fatalf("the test renders another spelling:\n%s\n%s", got, b)
		}
		for range draw(3) {
			changes[names[draw(len(names))]](x, draw(len(x.handles)), draw)
		}
		changed := x.file(t)
		v, err := receipt.VerifyComplete(changed, p.secret, p.c.Policy())
		if same := string(changed) == string(b); same != (err == nil) {
			rt.Fatalf("the proof is as it was: %v; verifying: %v", same, err)
		}
		if err == nil {
			p.compare(t, v)
		}
	})
}

// TestIncompleteIsNamed: each way to leave something out is refused, with the
// service or party whose handle does not hold, with the secret and without.
func TestIncompleteIsNamed(t *testing.T) {
	for seed := range uint64(3) {
		p := randomHistory(t, seeded(seed))
		b := p.complete(t)
		for name, change := range changes {
			for i := range open(t, b).handles {
				x := open(t, b)
				id := x.handles[i]["for"].(string)
				if !change(x, i, seeded(seed)) {
					continue
				}
				_, err := receipt.Verify(x.file(t), p.c.Policy())
				var e *receipt.Error
				if !errors.As(err, &e) {
					t.Fatalf("seed %d: %s at handle %d of %s: %v", seed, name, i, id, err)
				}
				if e.Code() != "completeness.handles" && e.Code() != "completeness.register" {
					t.Errorf("seed %d: %s blames %s: %v", seed, name, e.Code(), err)
				}
				if moved := name == "swap handles" || name == "drop handle"; e.For != id && !moved || e.For == "" {
					t.Errorf("seed %d: %s at %s names %q: %v", seed, name, id, e.For, err)
				}
			}
		}
	}
}

// changes to a complete proof at handle i; false where there is nothing to do.
var changes = map[string]func(x *bundle, i int, draw draw) bool{
	"withhold one": func(x *bundle, i int, draw draw) bool {
		e := x.events(i)
		if len(e) == 0 {
			return false
		}
		at := draw(len(e))
		x.handles[i]["events"] = slices.Delete(slices.Clone(e), at, at+1)
		return true
	},
	"withhold the newest": func(x *bundle, i int, _ draw) bool {
		e := x.events(i)
		if len(e) > 0 {
			x.handles[i]["events"] = e[:len(e)-1]
		}
		return len(e) > 0
	},
	"reorder": func(x *bundle, i int, draw draw) bool {
		e := slices.Clone(x.events(i))
		if len(e) < 2 {
			return false
		}
		at := draw(len(e) - 1)
		e[at], e[at+1] = e[at+1], e[at]
		x.handles[i]["events"] = e
		return true
	},
	"duplicate": func(x *bundle, i int, draw draw) bool {
		e := slices.Clone(x.events(i))
		if len(e) == 0 {
			return false
		}
		at := draw(len(e))
		x.handles[i]["events"] = slices.Insert(e, at, e[at])
		return true
	},
	"replace": func(x *bundle, i int, draw draw) bool {
		for j := range x.handles {
			if e := x.events(i); j != i && len(e) > 0 && len(x.events(j)) > 0 {
				if x.events(j)[0] == e[len(e)-1] {
					continue // a move is an event of both
				}
				e = slices.Clone(e)
				e[len(e)-1] = x.events(j)[0]
				x.handles[i]["events"] = e
				return true
			}
		}
		return false
	},
	"drop handle": func(x *bundle, i int, _ draw) bool {
		x.handles = slices.Delete(x.handles, i, i+1)
		return true
	},
	"drop service": func(x *bundle, i int, _ draw) bool {
		id := x.handles[i]["for"]
		x.handles = slices.DeleteFunc(x.handles, func(h map[string]any) bool { return h["for"] == id })
		return true
	},
	"swap handles": func(x *bundle, i int, _ draw) bool {
		if i == 0 {
			return false
		}
		x.handles[i-1], x.handles[i] = x.handles[i], x.handles[i-1]
		return true
	},
	"say absent": func(x *bundle, i int, _ draw) bool {
		// the absent handle of another service, under this one's name
		for j := range x.handles {
			if len(x.events(i)) > 0 && len(x.events(j)) == 0 {
				h := map[string]any{"for": x.handles[i]["for"], "generation": x.handles[i]["generation"],
					"handle": x.handles[i]["handle"], "proof": x.handles[j]["proof"]}
				x.handles[i] = h
				return true
			}
		}
		return false
	},
}

// compare holds a verdict against what happened.
func (p *person) compare(t *testing.T, v *receipt.Verdict) {
	t.Helper()
	present := 0
	for _, h := range v.Handles {
		key := p.secret.Handle(h.For, h.Generation).Public()
		leaves := p.events[key]
		if h.Present != (len(leaves) > 0) || h.Events != uint64(len(leaves)) || len(h.Kinds) != len(leaves) || h.Name.Ja == "" {
			t.Errorf("%s generation %d: %d events, verdict %+v", h.For, h.Generation, len(leaves), h)
		}
		if h.Present {
			present++
		}
	}
	for _, service := range []string{"a-portal", "b-app", "c-card", "a-sha", "b-sha", "c-sha", "pf"} {
		for gen := range uint64(30) {
			if len(p.events[p.secret.Handle(service, gen).Public()]) > 0 {
				present--
			}
		}
		if !slices.ContainsFunc(v.Handles, func(h receipt.Standing) bool { return h.For == service && !h.Present }) {
			t.Errorf("nothing proves that %s has no further handle", service)
		}
	}
	if present != 0 {
		t.Errorf("%+d handles more than there are", present)
	}
}

// Someone else's absent handles verify as given, but not with the secret.
func TestCompletenessNeedsTheSecret(t *testing.T) {
	p := randomHistory(t, seeded(7))
	stranger := newPerson(p.c, "nobody")
	b := stranger.complete(t)
	v, err := receipt.Verify(b, p.c.Policy())
	if err != nil || !strings.Contains(fmt.Sprint(v.NotChecked), "handles as given") || v.OwnHandles {
		t.Fatalf("as given: %+v, %v", v, err)
	}
	stranger.compare(t, v)
	_, err = receipt.VerifyComplete(b, p.secret, p.c.Policy())
	if code(t, err) != "completeness.handles" || !strings.Contains(err.Error(), "a-portal") {
		t.Errorf("with another secret: %v", err)
	}
}

func TestMangleCompleteness(t *testing.T) {
	p := randomHistory(t, seeded(3))
	b := p.complete(t)
	mangleEveryByte(t, "completeness", b, func(m []byte) error { // as given, an absent handle can be any
		_, err := receipt.VerifyComplete(m, p.secret, p.c.Policy())
		return err
	})
}

// A person with no records at all has a proof of that, too.
func TestCompleteEmpty(t *testing.T) {
	p := randomHistory(t, seeded(5))
	nobody := newPerson(p.c, "nobody")
	v, err := receipt.VerifyComplete(nobody.complete(t), nobody.secret, p.c.Policy())
	if err != nil || !v.OwnHandles || strings.Contains(fmt.Sprint(v.NotChecked), "as given") {
		t.Fatalf("%+v, %v", v, err)
	}
	nobody.compare(t, v)
	if v.Human.Ja[0] != "これで全部です：記録は一件もありません" || v.FinalMs == 0 {
		t.Errorf("%q at %d", v.Human.Ja[0], v.FinalMs)
	}
}
