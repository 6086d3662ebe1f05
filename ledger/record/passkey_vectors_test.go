package record_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestPasskeyVectors: docs/spec/vectors/passkey.py, a second implementation, confirms
// consents in every way that there is, and in ways that there is not.
func TestPasskeyVectors(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/vectors/passkey.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Origin   string
		Evidence []struct {
			Name, Handle, Terms, Head, Nonce, Part string
			Scope                                  uint8
			Expiry                                 uint32
			Count                                  uint64

			Challenge, Site string
			Position, Of    uint64
			Code            record.Code
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Evidence) < 30 {
		t.Fatalf("%d vectors: %v", len(vectors.Evidence), err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	held, codes := 0, map[record.Code]int{}
	for _, v := range vectors.Evidence {
		c := &record.Consent{Handle: sign.PublicKey(unhex(v.Handle)), Terms: record.Digest(unhex(v.Terms)), Scope: v.Scope, Expiry: v.Expiry, Count: v.Count, Head: record.Digest(unhex(v.Head))}
		p, err := record.DecodePart(record.KindConsent, unhex(v.Part))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		got, err := c.CheckEvidence(vectors.Origin, seal.Nonce(unhex(v.Nonce)), p.(*record.ConsentPart))
		if v.Code == "" {
			held++
			if err != nil || got.Site != v.Site || hex.EncodeToString(got.Challenge[:]) != v.Challenge || got.Position != v.Position || got.Count != v.Of {
				t.Errorf("%s: %+v, %v", v.Name, got, err)
			}
			if _, err := c.CheckEvidence("other.example/log", seal.Nonce(unhex(v.Nonce)), p.(*record.ConsentPart)); err == nil {
				t.Errorf("%s: it counts in another log", v.Name)
			}
			continue
		}
		codes[v.Code]++
		var refused *record.Refusal
		if !errors.As(err, &refused) || refused.Code != v.Code {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Code)
		}
	}
	for _, code := range []record.Code{record.CodePasskeyForm, record.CodePasskeyChallenge, record.CodePasskeyOrigin, record.CodePasskeySignature} {
		if codes[code] == 0 {
			t.Errorf("no vector is refused with %s", code)
		}
	}
	if held < 10 {
		t.Errorf("%d vectors hold", held)
	}
}
