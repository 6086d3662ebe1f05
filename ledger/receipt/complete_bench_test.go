package receipt_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// city is one person with 10 records among 10⁵ people with three handles each
// and 10⁶ leaves, in a consortium of 40 services and 4 members.
func city(t testing.TB) *person {
	p := newPerson(ledgertest.New(t, ledgertest.Options{Seed: "city"}), "hana")
	for i := range 40 {
		id := fmt.Sprintf("service-%d", i)
		terms := p.c.Offer("a-sha", id)
		if i >= 3 {
			continue
		}
		key := p.secret.Handle(id, 0)
		p.do("a-sha", p.c.Grant(key, terms, 0))
		for range 2 {
			p.do("a-sha", p.c.Provision(key.Public(), 1, 0, "b-sha"))
		}
	}
	p.c.Crowd(300_000, 1_000_000, "service-0")
	return p
}

func BenchmarkCompleteness(b *testing.B) {
	p := city(b)
	src, policy := newest(p.c), p.c.Policy()
	file, err := receipt.BuildComplete(src, p.options())
	if err != nil {
		b.Fatal(err)
	}
	one, err := receipt.BuildHandle(src, p.secret.Handle("service-0", 0).Public(), p.options().Events)
	if err != nil {
		b.Fatal(err)
	}
	for name, run := range map[string]func() ([]byte, error){
		"build":                  func() ([]byte, error) { return receipt.BuildComplete(src, p.options()) },
		"verify":                 func() ([]byte, error) { _, err := receipt.Verify(file, policy); return file, err },
		"verify with the secret": func() ([]byte, error) { _, err := receipt.VerifyComplete(file, p.secret, policy); return file, err },
		"verify one handle":      func() ([]byte, error) { _, err := receipt.Verify(one, policy); return one, err },
	} {
		b.Run(name, func(b *testing.B) {
			var made []byte
			for b.Loop() {
				if made, err = run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(made)), "bytes")
		})
	}
}
