package receipt_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

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

// randomHistory makes a person's records at random, beside those of others.
func randomHistory(t testing.TB, rng *rand.Rand) *person {
	p := newPerson(ledgertest.New(t, ledgertest.Options{Seed: fmt.Sprint(rng.Uint64())}), "hana")
	c := p.c
	terms := map[string]record.Digest{"a-portal": c.Offer("a-sha", "a-portal"), "b-app": c.Offer("b-sha", "b-app"), "c-card": c.Offer("c-sha", "c-card")}
	owner := map[string]string{"a-portal": "a-sha", "b-app": "b-sha", "c-card": "c-sha"}
	gen := map[string]uint64{}
	taro := c.Person("taro")
	for range 25 {
		service := []string{"a-portal", "b-app"}[rng.IntN(2)] // nothing ever towards c-card
		key, own := p.secret.Handle(service, gen[service]), owner[service]
		switch rng.IntN(9) {
		case 0, 1:
			p.do(own, c.Grant(key, terms[service], 0))
		case 2:
			p.do("pf", c.Revoke(key, terms[service], 0))
		case 3, 4:
			p.do(own, c.Provision(key.Public(), 1, 0, []string{"b-sha", "c-sha"}[rng.IntN(2)]))
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

// TestCompleteIffNothingIsMissing: for random histories the proof verifies as
// it is, and no longer when a record is withheld, replaced, moved or repeated,
// or when a handle, a service or a generation is left out.
func TestCompleteIffNothingIsMissing(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		p := randomHistory(t, rng)
		b := p.complete(t)
		if got := open(t, b).file(t); string(got) != string(b) {
			t.Fatalf("the test renders another spelling:\n%s\n%s", got, b)
		}
		for _, v := range []func() (*receipt.Verdict, error){
			func() (*receipt.Verdict, error) { return receipt.Verify(b, p.c.Policy()) },
			func() (*receipt.Verdict, error) { return receipt.VerifyComplete(b, p.secret, p.c.Policy()) },
		} {
			got, err := v()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			p.compare(t, got)
		}
		for name, change := range changes {
			for i := range open(t, b).handles {
				x := open(t, b)
				id := x.handles[i]["for"].(string)
				if !change(x, i, rng) {
					continue
				}
				_, err := receipt.Verify(x.file(t), p.c.Policy())
				if err == nil {
					t.Fatalf("seed %d: %s at handle %d of %s verifies", seed, name, i, id)
				}
				if c := code(t, err); c != "completeness.handles" && c != "completeness.register" {
					t.Errorf("seed %d: %s blames %s: %v", seed, name, c, err)
				} else if !strings.Contains(err.Error(), " of "+id) && c == "completeness.handles" && name != "swap handles" && name != "drop handle" {
					t.Errorf("seed %d: %s at %s: %v", seed, name, id, err)
				}
			}
		}
	}
}

// changes to a complete proof at handle i; false where there is nothing to do.
var changes = map[string]func(x *bundle, i int, rng *rand.Rand) bool{
	"withhold one": func(x *bundle, i int, rng *rand.Rand) bool {
		e := x.events(i)
		if len(e) == 0 {
			return false
		}
		at := rng.IntN(len(e))
		x.handles[i]["events"] = slices.Delete(slices.Clone(e), at, at+1)
		return true
	},
	"withhold the newest": func(x *bundle, i int, _ *rand.Rand) bool {
		e := x.events(i)
		if len(e) > 0 {
			x.handles[i]["events"] = e[:len(e)-1]
		}
		return len(e) > 0
	},
	"reorder": func(x *bundle, i int, rng *rand.Rand) bool {
		e := slices.Clone(x.events(i))
		if len(e) < 2 {
			return false
		}
		at := rng.IntN(len(e) - 1)
		e[at], e[at+1] = e[at+1], e[at]
		x.handles[i]["events"] = e
		return true
	},
	"duplicate": func(x *bundle, i int, rng *rand.Rand) bool {
		e := slices.Clone(x.events(i))
		if len(e) == 0 {
			return false
		}
		at := rng.IntN(len(e))
		x.handles[i]["events"] = slices.Insert(e, at, e[at])
		return true
	},
	"replace": func(x *bundle, i int, rng *rand.Rand) bool {
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
	"drop handle": func(x *bundle, i int, _ *rand.Rand) bool {
		x.handles = slices.Delete(x.handles, i, i+1)
		return true
	},
	"drop service": func(x *bundle, i int, _ *rand.Rand) bool {
		id := x.handles[i]["for"]
		x.handles = slices.DeleteFunc(x.handles, func(h map[string]any) bool { return h["for"] == id })
		return true
	},
	"swap handles": func(x *bundle, i int, _ *rand.Rand) bool {
		if i == 0 {
			return false
		}
		x.handles[i-1], x.handles[i] = x.handles[i], x.handles[i-1]
		return true
	},
	"say absent": func(x *bundle, i int, _ *rand.Rand) bool {
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
	want := 0
	for _, service := range []string{"a-portal", "b-app", "c-card", "a-sha", "b-sha", "c-sha", "pf"} {
		for gen := range uint64(30) {
			leaves := p.events[p.secret.Handle(service, gen).Public()]
			if len(leaves) == 0 {
				continue
			}
			want++
			i := slices.IndexFunc(v.Complete, func(c receipt.Complete) bool { return c.For == service && c.Generation == gen })
			if i < 0 || v.Complete[i].Events != uint64(len(leaves)) {
				t.Errorf("%s generation %d: %d events, verdict %+v", service, gen, len(leaves), v.Complete)
			}
		}
	}
	if want != len(v.Complete) {
		t.Errorf("%d handles, verdict %+v", want, v.Complete)
	}
}

// Someone else's absent handles verify as given, but not with the secret.
func TestCompletenessNeedsTheSecret(t *testing.T) {
	p := randomHistory(t, rand.New(rand.NewPCG(7, 7)))
	stranger := newPerson(p.c, "nobody")
	b := stranger.complete(t)
	v, err := receipt.Verify(b, p.c.Policy())
	if err != nil || len(v.Complete) != 0 || !strings.Contains(fmt.Sprint(v.NotChecked), "handles as given") {
		t.Errorf("as given: %+v, %v", v, err)
	}
	_, err = receipt.VerifyComplete(b, p.secret, p.c.Policy())
	if code(t, err) != "completeness.handles" || !strings.Contains(err.Error(), "a-portal") {
		t.Errorf("with another secret: %v", err)
	}
}

func TestMangleCompleteness(t *testing.T) {
	p := randomHistory(t, rand.New(rand.NewPCG(3, 3)))
	b := p.complete(t)
	mangleEveryByte(t, "completeness", b, func(m []byte) error { // as given, an absent handle can be any
		_, err := receipt.VerifyComplete(m, p.secret, p.c.Policy())
		return err
	})
}

// erasure is a consortium with an erasure that one of two holders attested.
type erasure struct {
	*person
	rec  *record.Record
	atts []*record.Record
}

func newErasure(t testing.TB) *erasure {
	p := newPerson(ledgertest.New(t, ledgertest.Options{Seed: "erasure"}), "hana")
	terms := p.c.Offer("a-sha", "a-portal")
	p.do("a-sha", p.c.Grant(p.secret.Handle("a-portal", 0), terms, 0))
	e := &erasure{person: p, rec: p.c.Erasure([]record.KeyNumber{p.c.Number(), p.c.Number()}, "a-sha", "b-sha", "pf")}
	p.c.Must("a-sha", e.rec)
	e.attest("b-sha", p.c.Number())
	return e
}

func (e *erasure) attest(holder string, more ...record.KeyNumber) {
	e.c.Pass(3600_000)
	a := e.c.Attestation(e.rec.ID, more...)
	e.c.Must(holder, a)
	e.atts = append(e.atts, a)
}

func (e *erasure) certificate(t testing.TB) []byte {
	t.Helper()
	index, _ := e.c.Find(e.rec.ID)
	var at []uint64
	for _, a := range e.atts {
		i, _ := e.c.Find(a.ID)
		at = append(at, i)
	}
	b, err := receipt.BuildErasure(newest(e.c), index, at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErasureCertificate(t *testing.T) {
	e := newErasure(t)
	v, err := receipt.Verify(e.certificate(t), e.c.Policy())
	if err != nil {
		t.Fatal(err)
	}
	x := v.Erasure
	if x.Numbers != 3 || len(x.Done) != 1 || x.Done[0].Holder != "b-sha" || x.Done[0].Class != "file-slot" || x.Done[0].TimeMs == 0 ||
		len(x.Pending) != 2 || x.Pending[0].Holder != "a-sha" || x.Pending[1].Name.Ja != "pf社" {
		t.Errorf("%+v", x)
	}
	ja := strings.Join(v.Human.Ja, "\n")
	for _, want := range []string{"消去した：b-sha社", "まだ答えていない：a-sha社", "まだ答えていない：pf社", "証明できないこと"} {
		if !strings.Contains(ja, want) {
			t.Errorf("no %q in\n%s", want, ja)
		}
	}
	e.attest("pf")
	e.attest("a-sha")
	if v, err = receipt.Verify(e.certificate(t), e.c.Policy()); err != nil || len(v.Erasure.Pending) != 0 ||
		!strings.Contains(strings.Join(v.Human.Ja, "\n"), "すべての保管者が消去しました") {
		t.Errorf("all attested: %+v, %v", v.Erasure, err)
	}
	index, _ := e.c.Find(e.rec.ID)
	one, _ := e.c.Find(e.atts[0].ID)
	two, _ := e.c.Find(e.atts[1].ID)
	for _, at := range [][]uint64{{one, two}, {two, one}, nil} {
		if _, err := receipt.BuildErasure(newest(e.c), index, at); err == nil {
			t.Errorf("attestations %v were taken for all", at)
		}
	}
}

func TestMangleErasure(t *testing.T) {
	e := newErasure(t)
	b := e.certificate(t)
	mangleEveryByte(t, "erasure", b, func(m []byte) error {
		_, err := receipt.Verify(m, e.c.Policy())
		return err
	})
}
