package rules_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// BenchmarkApply judges batches of 90 % provisions and 10 % consents, over a
// register of 20,000 handles: many small submissions, and one large.
func BenchmarkApply(b *testing.B) {
	c := ledgertest.New(b, ledgertest.Options{})
	terms := c.Offer("a-sha", "portal")
	const people = 20_000
	for i := 0; i < people; i += 500 {
		var recs []*record.Record
		for j := range 500 {
			recs = append(recs, c.Grant(c.Person(fmt.Sprint("p", i+j)).Handle("portal", 0), terms, 0))
		}
		c.Must("a-sha", recs...)
	}
	record1 := func(i int) *record.Record {
		if i%10 == 0 {
			return c.Grant(c.Person(fmt.Sprint("new", i)).Handle("portal", 0), terms, 0)
		}
		return c.Provision(c.Person(fmt.Sprint("p", i*37%people)).Handle("portal", 0).Public(), 1, 0, "b-sha")
	}
	var small []record.Submitted
	for i := range 400 {
		small = append(small, c.Submit("a-sha", record1(i)))
	}
	var large []*record.Record
	for i := range 512 {
		large = append(large, record1(i))
	}
	for _, v := range []struct {
		name    string
		entry   []byte
		records int
	}{
		{"400x1", canon.Must(c.Entry(small...)), 400},
		{"1x512", canon.Must(c.Entry(c.Submit("a-sha", large...))), 512},
	} {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := rules.Apply(c, c.Prev(), v.entry)
				if err != nil || r.Void != nil || len(r.Leaves) != v.records {
					b.Fatal(err, r.Void, len(r.Leaves))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N*v.records), "µs/record")
			b.ReportMetric(float64(len(v.entry)), "entry-bytes")
		})
	}
}
