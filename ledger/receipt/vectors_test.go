package receipt_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/torchwood"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectors = "../../docs/spec/vectors"

// mangled is one changed byte of receipt-consent.akashi.json and the code with
// which it is refused.
type mangled struct {
	Offset int    `json:"offset"`
	Was    string `json:"was"`
	Is     string `json:"is"`
	Code   string `json:"code"`
}

func writeVectors(t *testing.T) {
	s := newStory(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"})
	o := options(s.c, s.recs["consent"])
	o.Screen, o.Status = canon.Must(s.c.Screen("a-portal", "1")), true
	b, _ := built(t, newest(s.c), s.recs["consent"], o)
	var list []mangled
	for i := 0; i < len(b); i += 211 {
		field, value := fieldAt(b, i)
		if !value {
			continue
		}
		list = append(list, mangled{i, string(b[i : i+1]), string(changed(b[i], 0)), "receipt." + field})
	}
	out, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"receipt-consent.akashi.json": b, "receipt-consent.policy": s.c.Policy().Format(),
		"receipt-mangled.json": append(out, '\n')} {
		if err := os.WriteFile(filepath.Join(vectors, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The vectors verify here, their proofs with torchwood alone, and each mangled
// one is refused for the part that was changed.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	b, policyText := vector(t, "receipt-consent.akashi.json"), vector(t, "receipt-consent.policy")
	policy, err := sign.ParsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	v, err := receipt.Verify(b, policy)
	if err != nil || v.Kind != "consent" || v.Status.State != receipt.StatusRevoked {
		t.Fatalf("%+v, %v", v, err)
	}
	tw, err := torchwood.ParsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	independently(t, tw, fields(t, b))

	var list []mangled
	if err := json.Unmarshal(vector(t, "receipt-mangled.json"), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 50 {
		t.Errorf("%d mangled vectors", len(list))
	}
	for _, m := range list {
		bad := bytes.Clone(b)
		if m.Offset >= len(bad) || len(m.Is) == 0 || string(bad[m.Offset]) != m.Was && bad[m.Offset] < 0x80 {
			t.Fatalf("vector at %d does not fit", m.Offset)
		}
		bad[m.Offset] = m.Is[0]
		_, err := receipt.Verify(bad, policy)
		if got := code(t, err); got != m.Code {
			t.Errorf("byte %d: %s (%v), want %s", m.Offset, got, err, m.Code)
		}
	}
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
