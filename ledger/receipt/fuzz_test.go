package receipt_test

import (
	"bytes"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// FuzzVerify: nothing panics, every refusal has a code, and of a receipt that
// verifies no other spelling does.
func FuzzVerify(f *testing.F) {
	good := vector(f, "receipt-consent.akashi.json")
	policy, err := sign.ParsePolicy(vector(f, "receipt-consent.policy"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	s := newErasure(f)
	complete, certificate := s.complete(f), s.certificate(f)
	f.Add(complete)
	f.Add(certificate)
	p, key := oneHandle(f, ledgertest.Options{Seed: "erasure"})
	one, state := p.handle(f, key, p.options().Events), p.handle(f, key, nil)
	f.Add(one)
	f.Add(state)
	own := s.c.Policy()
	known := [][]byte{good, complete, certificate, one, state}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := receipt.Verify(b, policy, own)
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

func BenchmarkVerify(b *testing.B) {
	file := vector(b, "receipt-consent.akashi.json")
	policy, err := sign.ParsePolicy(vector(b, "receipt-consent.policy"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := receipt.Verify(file, policy); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	s := newStory(b, ledgertest.Options{})
	src, o := newest(s.c), options(s.c, s.recs["consent"])
	o.Status = true
	index, _ := s.c.Find(s.recs["consent"].ID)
	for b.Loop() {
		if _, err := receipt.Build(src, index, o); err != nil {
			b.Fatal(err)
		}
	}
}
