package web_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// evidenceCases are the published files of evidence, and bytes of each changed:
// what the page must say of those is what ledger/receipt says.
func evidenceCases(t testing.TB, policy string) (out []jsCase) {
	p, err := sign.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"header", "checkpoint", "checkpoint-sizes", "fork", "advance", "advance-extra"} {
		file := vector(t, "evidence-"+name+".json")
		out = append(out, jsCase{Name: name, File: file, Policy: policy, Result: "match"})
		for i := 0; i < len(file); i += len(file)/40 | 1 {
			bad := bytes.Clone(file)
			if bad[i] = 'A'; file[i] == 'A' {
				bad[i] = 'Q'
			}
			one := jsCase{Name: "evidence-" + name + ", byte " + itoa(uint64(i)), File: bad, Policy: policy, Result: "differ"}
			_, err := receipt.Verify(bad, p)
			var part *receipt.Error
			if !errors.As(err, &part) {
				t.Fatalf("%s verifies in Go: %v", one.Name, err)
			}
			switch one.Code = part.Code(); {
			case part.Format == "file":
				one.Result, one.Code = "unread", ""
			case errors.Is(err, receipt.ErrPolicy):
				one.Result = "nopolicy"
			}
			out = append(out, one)
		}
	}
	out = append(out, jsCase{Name: "derivation", File: vector(t, "evidence-derivation.json"), Policy: policy, Result: "unread", Step: "form", Code: "evidence.kind"},
		jsCase{Name: "evidence of another log", File: vector(t, "evidence-fork.json"), Policy: newPolicy(t, "other.example/log"), Result: "nopolicy", Step: "conflict"})
	return out
}

// chainCases are receipts from before and after keys were replaced, under the
// first policy and the chain.
func chainCases(t testing.TB) (out []jsCase) {
	chain, first, last := vector(t, "policy-chain.json"), string(vector(t, "policy-chain.first")), string(vector(t, "policy-chain.last"))
	for _, name := range []string{"old", "new"} {
		out = append(out, jsCase{Name: "chain, " + name, File: vector(t, "policy-chain-"+name+".akashi.json"), Policy: first, Chain: chain, Last: last, Result: "match"})
	}
	out = append(out, jsCase{Name: "chain, members", File: vector(t, "policy-chain-members.akashi.json"), Policy: string(vector(t, "policy-chain-members.first")),
		Chain: vector(t, "policy-chain-members.json"), Last: string(vector(t, "policy-chain-members.last")), Result: "unread"}) // a tick's receipt is for auditors
	file := vector(t, "policy-chain-new.akashi.json")
	bad := bytes.Clone(chain)
	at := bytes.LastIndex(bad, []byte(`"proof"`)) + 200
	bad[at] ^= 1
	empty, err := receipt.BuildChain(nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, jsCase{Name: "a changed chain", File: file, Policy: first, Chain: bad, Result: "threw"},
		jsCase{Name: "a chain from nowhere", File: file, Policy: last, Chain: chain, Result: "threw"},
		jsCase{Name: "an empty chain", File: file, Policy: last, Chain: empty, Result: "match"},
		jsCase{Name: "no chain", File: file, Policy: first, Chain: empty, Result: "differ", Step: "signed", Code: "receipt.proof"})
}
