package rest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/node/custody"
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

// TestEveryWriteNamesItsKey: also where nothing enters the ledger, so that a caller
// can always ask again.
func TestEveryWriteNamesItsKey(t *testing.T) {
	m := newMember(t)
	for path, body := range map[string]any{
		"/v1/people":  custody.Registration{Person: "p01", Service: "s", Items: map[string]string{}, Source: "self"},
		"/v1/records": RecordsForm{[][]byte{{0}}},
	} {
		if d := must[struct {
			Key     string `json:"idempotencyKey"`
			Final   bool   `json:"final"`
			Records []any  `json:"records"`
		}](m, token.App, "POST", path, body); len(d.Key) < 16 {
			t.Errorf("%s: key %q", path, d.Key)
		}
		if d := must[map[string]any](m, token.App, "POST", path, body, "Idempotency-Key", "mine"); d["idempotencyKey"] != "mine" {
			t.Errorf("%s: key %v", path, d["idempotencyKey"])
		}
	}
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
