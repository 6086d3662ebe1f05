package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestVerifyNamesThePart changes single bytes of a good receipt; each must be
// refused with the part that the shared vectors name.
func TestVerifyNamesThePart(t *testing.T) {
	const vectors = "../../docs/spec/vectors/"
	good, err := os.ReadFile(vectors + "receipt-consent.akashi.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(vectors + "receipt-mangled.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Offset int    `json:"offset"`
		Is     string `json:"is"`
		Code   string `json:"code"`
	}
	if err := json.Unmarshal(b, &cases); err != nil || len(cases) == 0 {
		t.Fatal(len(cases), err)
	}
	bad := filepath.Join(t.TempDir(), "bad.akashi.json")
	tried := 0
	for _, c := range cases {
		if len(c.Is) != 1 { // the vectors write other bytes as text only roughly
			continue
		}
		tried++
		mangled := bytes.Clone(good)
		mangled[c.Offset] = c.Is[0]
		if err := os.WriteFile(bad, mangled, 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"verify", bad, "--json", "--policy", vectors + "receipt-consent.policy"}, strings.NewReader(""), &out, &errs)
		var f *failure
		if !errors.As(err, &f) || f.code != exitUnmet {
			t.Fatalf("byte %d: %v, want exit %d", c.Offset, err, exitUnmet)
		}
		var v fileVerdict
		if err := json.Unmarshal(out.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.OK || v.Code != c.Code {
			t.Errorf("byte %d: code %q, want %q", c.Offset, v.Code, c.Code)
		}
	}
	if tried < 5 {
		t.Fatalf("only %d vectors could be tried", tried)
	}
}

// TestVerifyEvidence confirms the published evidence, and names the signer.
func TestVerifyEvidence(t *testing.T) {
	const vectors = "../../docs/spec/vectors/"
	for name, want := range map[string]string{"header": "signed by a-sha", "checkpoint": "signed by b-sha", "fork": "this alone names nobody"} {
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"verify", vectors + "evidence-" + name + ".json", "--policy", vectors + "receipt-consent.policy"}, strings.NewReader(""), &out, &errs)
		if err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, without %q:\n%s", name, err, want, out.String())
		}
	}
}

// TestVerifyNamesTheService leaves out, reorders and withholds records and whole
// services of the published proofs: the refusal names the part and, of one handle
// among many, the service or party.
func TestVerifyNamesTheService(t *testing.T) {
	const vectors = "../../docs/spec/vectors/"
	read := func(name string) []byte {
		b, err := os.ReadFile(vectors + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var list []struct {
		Name, File, Secret, Insert, Code, For string
		At, Remove                            int
	}
	if err := json.Unmarshal(read("changed.json"), &list); err != nil {
		t.Fatal(err)
	}
	bad, named := filepath.Join(t.TempDir(), "bad.akashi.json"), 0
	for _, c := range list {
		b := read(c.File)
		if err := os.WriteFile(bad, slices.Concat(b[:c.At], []byte(c.Insert), b[c.At+c.Remove:]), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", bad, "--json", "--policy", vectors + "receipt-consent.policy"}
		if c.Secret != "" {
			args = append(args, "--secret", vectors+"completeness.secret")
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), args, strings.NewReader(""), &out, &errs)
		var f *failure
		var v fileVerdict
		if !errors.As(err, &f) || f.code != exitUnmet || json.Unmarshal(out.Bytes(), &v) != nil || v.OK || v.Code != c.Code || v.For != c.For {
			t.Errorf("%s, %s: %v, %q of %q, want %q of %q", c.File, c.Name, err, v.Code, v.For, c.Code, c.For)
		}
		if c.For != "" {
			named++
		}
	}
	if named < 50 {
		t.Errorf("%d refusals name a service", named)
	}
}

// TestVerifyListsCopies: who kept copies stands beside the holders, whatever became of
// the copies.
func TestVerifyListsCopies(t *testing.T) {
	copies := func(custodian string, ms uint64, lost string) receipt.CopyState {
		return receipt.CopyState{MemberName: record.Text{Ja: "あおば"}, HolderState: receipt.HolderState{Name: record.Text{Ja: custodian}, TimeMs: ms}, Lost: lost}
	}
	x := &receipt.Erased{ID: "e", Cause: "request", Issuer: "aoba", Numbers: 1, Done: []receipt.HolderState{{Name: record.Text{Ja: "あおば"}, TimeMs: 1}},
		Copies: []receipt.CopyState{copies("みなと", 1_800_000_000_000, ""), copies("やま", 0, ""), copies("かわ", 0, record.LostStolen), copies("うみ", 0, record.LostDestroyed)}}
	var out bytes.Buffer
	showErasure(newScreen(&out), x, false)
	for who, said := range map[string]string{"みなと": "2027-01-15 17:00:00 JST", "やま": "not answered yet", "かわ": "copies stolen", "うみ": "not attested"} {
		if !slices.ContainsFunc(strings.Split(out.String(), "\n"), func(line string) bool {
			return strings.Contains(line, who+"（あおばの鍵の写し）") && strings.Contains(line, said)
		}) {
			t.Errorf("%s is not said to be %q:\n%s", who, said, &out)
		}
	}
}
