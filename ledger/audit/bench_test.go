package audit_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// BenchmarkRun audits 50,000 records, 90 % hand-overs, in submissions of 400.
func BenchmarkRun(b *testing.B) {
	const records, people, each = 50_000, 5_000, 400
	c := ledgertest.New(b, ledgertest.Options{})
	terms := c.Offer("a-sha", "a-portal")
	made := 0
	post := func(n int, next func(i int) *record.Record) {
		for done := 0; done < n; done += each {
			var recs []*record.Record
			for i := done; i < min(done+each, n); i++ {
				recs = append(recs, next(i))
			}
			c.Must("a-sha", recs...)
			made += len(recs)
			c.Pass(100)
		}
	}
	post(people, func(i int) *record.Record {
		h := c.Person(fmt.Sprint(i)).Handle("a-portal", 0)
		return c.GrantAt(0, record.Digest{}, h, terms, 0)
	})
	post(records-people, func(i int) *record.Record {
		h := c.Person(fmt.Sprint(i%people)).Handle("a-portal", 0)
		return c.Provision(h.Public(), 1, 0, "b-sha")
	})
	src := logOf(c)
	hashes := make([]merkle.Hash, len(src.leaves))
	for i, l := range src.leaves {
		hashes[i] = merkle.LeafHash(l)
	}
	o := &openings{c, nil}
	for name, run1 := range map[string]func() *audit.Report{
		"plain":    func() *audit.Report { return run(b, c, src, audit.Options{}) },
		"tiles":    func() *audit.Report { return run(b, c, &tiled{src, hashes}, audit.Options{}) },
		"openings": func() *audit.Report { return run(b, c, src, audit.Options{Openings: o}) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if r := run1(); !r.OK {
					b.Fatal(r.Text(false))
				}
			}
			b.ReportMetric(float64(made*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
