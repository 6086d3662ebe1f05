package receipt_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// fork is a consortium's log that goes two ways after height 2.
type fork struct {
	o        ledgertest.Options
	c, other *ledgertest.Consortium
}

func newFork(t testing.TB, o ledgertest.Options) *fork {
	c := ledgertest.New(t, o)
	c.Must("pf", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	c.Offer("a-sha", "a-portal")
	f := &fork{o, c, c.Clone(t)}
	f.other.Offer("b-sha", "b-portal")
	f.other.Offer("b-sha", "b-shop")
	for range 3 {
		c.Must("c-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	}
	return f
}

// headers returns two headers that the leader signed for the next place.
func (f *fork) headers() (a, b *record.Header) {
	first := f.c.Entry(f.c.Submit("pf", f.c.Tick()))
	second := *first
	second.Header.TimeMs++
	f.c.Sign(&second)
	return &first.Header, &second.Header
}

// cosigned returns a checkpoint with the cosignatures of some members.
func cosigned(c *ledgertest.Consortium, cp sign.Checkpoint, members ...string) receipt.Cosigned {
	out := receipt.Cosigned{Checkpoint: cp}
	for _, m := range c.Policy().Members {
		if slices.Contains(members, m.ID) {
			out.Sigs = append(out.Sigs, c.Member(m.ID).Cosign.Cosign(m.Signer, cp, c.NowMs/1000))
		}
	}
	return out
}

// before reads a consortium's own tree.
func before(c *ledgertest.Consortium) receipt.Past {
	return func(size, later uint64) (merkle.Edge, []merkle.Hash, error) {
		view, tiles := c.View(c.Last().Height)
		edge, err := view.Edge(size, tiles)
		if err != nil {
			return edge, nil, err
		}
		path, err := view.ConsistencyProof(size, later, tiles)
		return edge, path, err
	}
}

func noPast(uint64, uint64) (merkle.Edge, []merkle.Hash, error) {
	return merkle.Edge{}, nil, errors.New("not asked for")
}

// otherRoot is a checkpoint of the same size that nobody derived.
func otherRoot(cp sign.Checkpoint) sign.Checkpoint {
	cp.Root[0] ^= 1
	return cp
}

// files returns one file of evidence of every shape.
func (f *fork) files(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	keep := func(name string, b []byte, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b
	}
	a, b := f.headers()
	file, err := receipt.BuildHeaders(newest(f.c), b, a)
	keep("header", file, err)
	cp, p := f.c.Checkpoint(3), f.c.Policy()
	file, err = receipt.BuildCheckpoints(p, cosigned(f.c, cp, "a-sha", "b-sha"), cosigned(f.c, otherRoot(cp), "b-sha", "c-sha"), noPast)
	keep("checkpoint", file, err)
	last := f.other.Checkpoint(f.other.Last().Height)
	file, err = receipt.BuildCheckpoints(p, cosigned(f.c, last, "c-sha", "pf"), cosigned(f.c, cp, "pf"), before(f.other))
	keep("checkpoint-sizes", file, err)
	file, err = receipt.BuildCheckpoints(p, cosigned(f.c, last, "c-sha", "pf"), cosigned(f.c, cp, "a-sha", "b-sha"), before(f.other))
	keep("fork", file, err)
	j := newJudged(t, f.o) // the same members
	keep("derivation", j.file(j.cosign(j.otherWrite(), j.leaves, "pf")), nil)
	for name, extra := range map[string]bool{"advance": false, "advance-extra": true} {
		file, err = receipt.BuildAdvances(newContradiction(t, f.o, extra).anchors(t, 0, 1))
		keep(name, file, err)
	}
	return out
}

func TestEvidence(t *testing.T) {
	f := newFork(t, ledgertest.Options{})
	files := f.files(t)
	for name, want := range map[string]receipt.Evidence{
		"header":           {Kind: receipt.EvidenceHeader, Signers: []string{"a-sha"}},
		"checkpoint":       {Kind: receipt.EvidenceCheckpoint, Signers: []string{"b-sha"}},
		"checkpoint-sizes": {Kind: receipt.EvidenceCheckpoint, Signers: []string{"pf"}},
		"fork":             {Kind: receipt.EvidenceFork, Signers: []string{}},
		"derivation":       {Kind: receipt.EvidenceDerivation, Signers: []string{"pf"}},
		"advance":          {Kind: receipt.EvidenceAdvance, Signers: []string{"c-sha"}},
		"advance-extra":    {Kind: receipt.EvidenceAdvance, Signers: []string{"c-sha"}},
	} {
		v, err := receipt.Verify(files[name], f.c.Policy())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, files[name])
		}
		if v.Kind != want.Kind || v.Evidence.Kind != want.Kind || !slices.Equal(v.Evidence.Signers, want.Signers) || v.Origin != f.c.Origin {
			t.Errorf("%s: %+v of %s, want %+v", name, *v.Evidence, v.Origin, want)
		}
		if _, err := receipt.Verify(files[name], ledgertest.New(t, ledgertest.Options{Seed: "another"}).Policy()); err == nil {
			t.Errorf("%s: confirmed under another consortium's keys", name)
		}
		if _, err := receipt.Verify(files[name], ledgertest.New(t, ledgertest.Options{Origin: "else.example/log"}).Policy()); !errors.Is(err, receipt.ErrPolicy) {
			t.Errorf("%s: another log's policy: %v", name, err)
		}
	}
}

func TestMangleEvidence(t *testing.T) {
	f := newFork(t, ledgertest.Options{})
	for name, b := range f.files(t) {
		t.Run(name, func(t *testing.T) {
			mangleEveryByte(t, "evidence", b, func(m []byte) error { _, err := receipt.Verify(m, f.c.Policy()); return err })
		})
	}
}

// What proves nothing is no evidence, however well it is signed.
func TestNoEvidence(t *testing.T) {
	f := newFork(t, ledgertest.Options{})
	c, p := f.c, f.c.Policy()
	refused := func(name string, b []byte, err error, want string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: build: %v", name, err)
		}
		if _, err := receipt.Verify(b, p); code(t, err) != want {
			t.Errorf("%s: %q (%v), want %q", name, code(t, err), err, want)
		}
	}
	build := func(a, b *record.Header) []byte {
		out, err := receipt.BuildHeaders(newest(c), a, b)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := f.headers()
	resigned := *a
	resigned.Sig = b.Sig
	refused("a header and itself under another signature", build(a, &resigned), nil, "evidence.headers")
	for name, change := range map[string]func(*record.Entry){
		"another term":   func(e *record.Entry) { e.Header.Term++ },
		"another epoch":  func(e *record.Entry) { e.Header.Epoch++ },
		"another batch":  func(e *record.Entry) { e.Header.Prev[0]++ },
		"another leader": func(e *record.Entry) { e.Header.Leader = "b-sha" },
	} {
		e := &record.Entry{Header: *a}
		change(e)
		c.Sign(e)
		refused(name, build(a, &e.Header), nil, "evidence.headers")
	}
	e := &record.Entry{Header: *b}
	e.Header.Sig = c.Keys["b-sha"].Sign(sign.DomainHeader, c.Origin, e.Header.Signed())
	refused("signed by somebody else", build(a, &e.Header), nil, "evidence.headers")

	first, last := c.Checkpoint(2), c.Checkpoint(c.Last().Height)
	file, err := receipt.BuildCheckpoints(p, cosigned(c, first, "pf"), cosigned(c, last, "pf"), before(c))
	refused("two ends of one log", file, err, "evidence.past")
	file, err = receipt.BuildCheckpoints(p, cosigned(c, last, "pf"), cosigned(c, last, "pf"), noPast)
	refused("one checkpoint twice", file, err, "evidence.checkpoints")
	file, err = receipt.BuildCheckpoints(p, cosigned(c, last, "pf"), cosigned(c, otherRoot(last), "a-sha"), noPast)
	refused("a fork as a member's lie", bytes.Replace(bytes.Replace(file, []byte(`"fork"`), []byte(`"checkpoint"`), 1),
		[]byte(`"signers": []`), []byte("\"signers\": [\n    \"pf\"\n  ]"), 1), err, "evidence.signers")
	refused("a fork that is called another kind", bytes.Replace(file, []byte(`"fork"`), []byte(`"checkpoint"`), 1), nil, "evidence.kind")
	refused("an unknown kind", bytes.Replace(file, []byte(`"fork"`), []byte(`"theft"`), 1), nil, "evidence.kind")
	good := f.files(t)["checkpoint-sizes"]
	at, end := bytes.Index(good, []byte(`  "past"`)), bytes.LastIndex(good, []byte("\n}"))
	cut := append(bytes.TrimRight(bytes.Clone(good[:at]), ",\n"), good[end:]...)
	refused("sizes differ and nothing shows it", cut, nil, "evidence.past")
}

// The vectors of evidence verify, and name who is named here.
func TestEvidenceVectors(t *testing.T) {
	if f := flag.Lookup("update"); f.Value.String() == "true" {
		fork := newFork(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"})
		for name, b := range fork.files(t) {
			if err := os.WriteFile(filepath.Join(vectors, "evidence-"+name+".json"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	policy, err := sign.ParsePolicy(vector(t, "receipt-consent.policy"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"header": "a-sha", "checkpoint": "b-sha", "checkpoint-sizes": "pf", "fork": "", "derivation": "pf", "advance": "c-sha", "advance-extra": "c-sha"} {
		v, err := receipt.Verify(vector(t, "evidence-"+name+".json"), policy)
		if err != nil || strings.Join(v.Evidence.Signers, " ") != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// FuzzVerifyEvidence: nothing panics, every refusal has a code, and only what
// was built verifies.
func FuzzVerifyEvidence(f *testing.F) {
	fork := newFork(f, ledgertest.Options{})
	policy, known := fork.c.Policy(), fork.files(f)
	for _, b := range known {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := receipt.Verify(b, policy)
		if err != nil {
			if code(t, err) == "" || v == nil {
				t.Fatalf("a refusal without code or verdict: %v", err)
			}
			return
		}
		for _, k := range known {
			if bytes.Equal(k, b) {
				return
			}
		}
		t.Fatalf("a file that nobody made verifies: %q", b)
	})
}
