package rest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/danielgtaylor/huma/v2"
)

// FuzzQuickList: what the quick reader takes, the strict decoder takes too, and
// reads the same.
func FuzzQuickList(f *testing.F) {
	for _, s := range []string{`{"records":["AA==","AQ=="]}`, ` { "records" : [ "" ] } `, `{"records":[]}`, `{"records":["AA=="],"x":1}`, `{"records":["AB=="]}`,
		`{"records":["A\nA=="]}`, `{"records":["AA==",]}`, `{"records":[,"AA=="]}`, `{"records":["AA=="]}}`, `{"records":["AA=="`, `{"records":["AA==" "AA=="]}`} {
		f.Add([]byte(s))
	}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schema := schemaOf(registry, RecordsForm{})
	f.Fuzz(func(t *testing.T, b []byte) {
		quick, ok := quickList(b)
		if !ok || len(quick) == 0 || len(quick) > 1000 {
			return
		}
		var slow RecordsForm
		if err := decodeJSON(b, registry, schema, &slow); err != nil {
			t.Fatalf("%q: the quick reader takes it, the strict one does not: %v", b, err)
		}
		if len(quick) != len(slow.Records) {
			t.Fatalf("%q: %d and %d records", b, len(quick), len(slow.Records))
		}
		for i := range quick {
			if !bytes.Equal(quick[i], slow.Records[i]) {
				t.Fatalf("%q: record %d differs", b, i)
			}
		}
	})
}

func BenchmarkReadRecords(b *testing.B) {
	c := ledgertest.New(b, ledgertest.Options{})
	leaves := make([][]byte, 512)
	for i := range leaves {
		r := c.Tick()
		r.Issuer = "a-sha"
		leaves[i] = c.Leaf(r)
	}
	body, err := json.Marshal(RecordsForm{leaves})
	if err != nil {
		b.Fatal(err)
	}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schema := schemaOf(registry, RecordsForm{})
	b.Run("quick", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := quickList(body); !ok {
				b.Fatal("not taken")
			}
		}
	})
	b.Run("strict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var f RecordsForm
			if err := decodeJSON(body, registry, schema, &f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
