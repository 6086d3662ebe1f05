package receipt

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// TestFormats holds the small formats against the vectors of a second
// implementation (docs/spec/vectors/formats.py). The page's modules are held
// against the same ones.
func TestFormats(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/vectors/formats.json")
	if err != nil {
		t.Fatal(err)
	}
	var f formats
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	policy, err := sign.ParsePolicy([]byte(f.Policy))
	if err != nil {
		t.Fatal(err)
	}
	f.testCBOR(t)
	f.testHandles(t)
	f.testCommitments(t)
	f.testPolicies(t)
	f.testCheckpoints(t, policy)
	f.testProofs(t, policy)
}

type formats struct {
	CBOR    []struct{ Name, CBOR, Code string }
	Handles []struct {
		Secret, For, Handle string
		Generation          uint64
	}
	Commitments []struct {
		Name, Nonce, Part, Commitment string
		OK                            bool
	}
	Policies []struct {
		Name, Policy string
		OK           bool
	}
	Policy      string
	Checkpoints []struct {
		Name, Note, Result string
		FreshMs            uint64
	}
	Proofs []struct {
		Name, Leaf, Proof string
		OK                bool
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *formats) testCBOR(t *testing.T) {
	for _, c := range f.CBOR {
		var v any
		err := canon.Unmarshal(unhex(t, c.CBOR), &v)
		var e *canon.Error
		if (err == nil) != (c.Code == "") || errors.As(err, &e) && e.Code != c.Code {
			t.Errorf("cbor, %s: %v, want %q", c.Name, err, c.Code)
		}
	}
}

func (f *formats) testHandles(t *testing.T) {
	for _, c := range f.Handles {
		key := sign.Secret(unhex(t, c.Secret)).Handle(c.For, c.Generation)
		if got := key.Public(); hex.EncodeToString(got[:]) != c.Handle {
			t.Errorf("handle of %s, generation %d: %x", c.For, c.Generation, got)
		}
	}
}

func (f *formats) testCommitments(t *testing.T) {
	for _, c := range f.Commitments {
		if seal.CheckOpening([32]byte(unhex(t, c.Commitment)), seal.Nonce(unhex(t, c.Nonce)), unhex(t, c.Part)) != c.OK {
			t.Errorf("commitment, %s: want %v", c.Name, c.OK)
		}
	}
}

func (f *formats) testPolicies(t *testing.T) {
	for _, c := range f.Policies {
		p, err := sign.ParsePolicy([]byte(c.Policy))
		if (err == nil) != c.OK {
			t.Errorf("policy, %s: %v", c.Name, err)
		}
		if err == nil && string(p.Format()) != f.Policy {
			t.Errorf("policy, %s: formatted as %s", c.Name, p.Format())
		}
	}
}

func (f *formats) testCheckpoints(t *testing.T, policy *sign.Policy) {
	for _, c := range f.Checkpoints {
		at, err := openNote(c.Note, []*sign.Policy{policy})
		if (err == nil) != (c.Result == "final") {
			t.Errorf("checkpoint, %s: %v, want %s", c.Name, err, c.Result)
		}
		if err == nil && at.timeMs != c.FreshMs {
			t.Errorf("checkpoint, %s: fresh at %d, want %d", c.Name, at.timeMs, c.FreshMs)
		}
	}
}

func (f *formats) testProofs(t *testing.T, policy *sign.Policy) {
	tw, err := torchwood.ParsePolicy([]byte(f.Policy))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Proofs {
		leaf := unhex(t, c.Leaf)
		ours := func() error {
			p, err := parseProof(c.Proof)
			if err != nil {
				return err
			}
			at, err := openNote(p.note, []*sign.Policy{policy})
			if err != nil {
				return err
			}
			return at.holds(p, leaf)
		}
		if err := ours(); (err == nil) != c.OK {
			t.Errorf("proof, %s: %v", c.Name, err)
		}
		if c.Name == "leading zero" {
			continue // torchwood v0.9.0 takes it, which tlog-proof@v1 does not
		}
		if err := torchwood.VerifyProof(tw, tlog.RecordHash(leaf), []byte(c.Proof)); (err == nil) != c.OK {
			t.Errorf("proof, %s, by torchwood: %v", c.Name, err)
		}
	}
}
