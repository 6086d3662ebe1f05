package web_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

const vectors = "../../docs/spec/vectors"

// jsCase is one file and what assets/verify.js must say of it.
type jsCase struct {
	Name   string `json:"name"`
	File   []byte `json:"file"`
	Policy string `json:"policy"`
	Chain  []byte `json:"chain,omitempty"` // policy chain that leads on from the policy
	Last   string `json:"last,omitempty"`  // policy to which it leads
	Result string `json:"result"`
	Step   string `json:"step,omitempty"`
	Code   string `json:"code,omitempty"`
	Status string `json:"status,omitempty"`
	Secret []byte `json:"secret,omitempty"` // of the person: their handles?
	About  string `json:"about,omitempty"`  // service or party that the refusal names
	Events uint64 `json:"events,omitempty"` // under all handles
}

type jsSignature struct {
	Name    string `json:"name"`
	Key     []byte `json:"key"`
	Message []byte `json:"message"`
	Sig     []byte `json:"sig"`
	OK      bool   `json:"ok"`
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// jsCases are the published vectors, each mangled one, a receipt of every kind
// that a person has, and files that are no receipts. What is expected comes
// from ledger/receipt or from the vectors, never from the module.
func jsCases(t testing.TB) []jsCase {
	file, policy := vector(t, "receipt-consent.akashi.json"), string(vector(t, "receipt-consent.policy"))
	out := []jsCase{{Name: "vector", File: file, Policy: policy, Result: "match", Status: "revoked"}}
	var list []struct {
		Offset   int
		Is, Code string
	}
	if err := json.Unmarshal(vector(t, "receipt-mangled.json"), &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		bad := bytes.Clone(file)
		bad[m.Offset] = m.Is[0]
		out = append(out, jsCase{Name: "byte " + itoa(uint64(m.Offset)), File: bad, Policy: policy, Result: "differ", Code: m.Code})
	}
	replaced := func(name, old, by, result, step, code string) {
		bad := strings.ReplaceAll(string(file), old, by)
		if bad == string(file) {
			t.Fatalf("%s: nothing was replaced", name)
		}
		out = append(out, jsCase{Name: name, File: []byte(bad), Policy: policy, Result: result, Step: step, Code: code})
	}
	replaced("null for an empty path", `"path": []`, `"path": null`, "differ", "form", "receipt.submission")
	replaced("a second key", "  \"kind\": \"consent\",\n", "  \"kind\": \"consent\",\n  \"kind\": \"consent\",\n", "differ", "form", "")
	replaced("an unknown field", "  \"kind\": \"consent\",\n", "  \"kind\": \"consent\",\n  \"more\": 1,\n", "differ", "form", "receipt.file")
	replaced("other indentation", "\n  ", "\n ", "differ", "form", "")
	replaced("a name", "b-sha社", "c-sha社", "differ", "state", "receipt.human")
	replaced("English words", "Until: no end", "Until: tomorrow", "differ", "state", "receipt.human")
	replaced("payload", "dpv:ConsentGiven", "dpv:ConsentRevoked", "differ", "state", "receipt.payload")
	replaced("kind", `"kind": "consent"`, `"kind": "stop"`, "differ", "form", "receipt.kind")
	replaced("another format", "akashi-receipt/v1", "akashi-erasure/v1", "differ", "form", "")
	replaced("an unknown format", "akashi-receipt/v1", "somebody-else/v1", "unread", "form", "")
	unsigned := regexp.MustCompile(`— vector\.example/log/c-sha [^\\]+\\n`).ReplaceAll(file, nil)
	out = append(out, jsCase{Name: "below k", File: unsigned, Policy: policy, Result: "notfinal", Step: "signed", Code: "receipt.proof"},
		jsCase{Name: "other log", File: file, Policy: newPolicy(t, "other.example/log"), Result: "nopolicy", Step: "signed"},
		jsCase{Name: "same name, other keys", File: file, Policy: newPolicy(t, "vector.example/log"), Result: "differ", Step: "signed", Code: "receipt.proof"},
		jsCase{Name: "empty", Policy: policy, Result: "unread", Step: "form"}, jsCase{Name: "picture", File: []byte("\x89PNG\r\n"), Policy: policy, Result: "unread"},
		jsCase{Name: "no object", File: []byte("[]\n"), Policy: policy, Result: "unread"})
	out = append(append(out, bundleCases(t, policy)...), epochCases(t)...)
	out = append(append(append(out, evidenceCases(t, policy)...), chainCases(t)...), passkeyCases(t)...)
	return append(append(out, witnessCases(t, file, policy)...), storyCases(t)...)
}

// witnessCases put a witness that the policy requires under the checkpoints of a
// receipt.
func witnessCases(t testing.TB, file []byte, policy string) []jsCase {
	p, err := sign.ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.KeyFromSeed(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	p.Witnesses, p.WitnessK = []sign.PolicyWitness{{Signer: "witness.example/w", Key: key.Public()}}, 1
	note := regexp.MustCompile(`vector\.example/log\\n(\d+)\\n([A-Za-z0-9+/=]{44})\\n\\n(— [^\\]+\\n)+`)
	lines := func(change byte) []byte {
		return note.ReplaceAllFunc(file, func(n []byte) []byte {
			m := note.FindSubmatch(n)
			size, err := strconv.ParseUint(string(m[1]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			root, err := base64.StdEncoding.DecodeString(string(m[2]))
			if err != nil {
				t.Fatal(err)
			}
			cs := key.Cosign("witness.example/w", sign.Checkpoint{Origin: p.Origin, Size: size, Root: [32]byte(root)}, 1_800_000_000)
			cs.Sig[9] ^= change
			return append(bytes.Clone(n), strings.ReplaceAll(sign.NoteLine(cs, key.Public()), "\n", `\n`)...)
		})
	}
	required := string(p.Format())
	return []jsCase{
		{Name: "witness", File: lines(0), Policy: required, Result: "match", Status: "revoked"},
		{Name: "witness missing", File: file, Policy: required, Result: "notfinal", Step: "signed", Code: "receipt.proof"},
		{Name: "witness wrong", File: lines(1), Policy: required, Result: "differ", Step: "signed", Code: "receipt.proof"},
		{Name: "witness of nobody", File: lines(0), Policy: policy, Result: "differ", Step: "signed", Code: "receipt.proof"},
	}
}

// TestWitnessCases: what the page must say of them is what ledger/receipt says.
func TestWitnessCases(t *testing.T) {
	for _, c := range witnessCases(t, vector(t, "receipt-consent.akashi.json"), string(vector(t, "receipt-consent.policy"))) {
		p, err := sign.ParsePolicy([]byte(c.Policy))
		if err != nil {
			t.Fatal(err)
		}
		_, err = receipt.Verify(c.File, p)
		if (err == nil) != (c.Result == "match") {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// bundleCases are the published handle and completeness proofs and certificate,
// and each change of one.
func bundleCases(t testing.TB, policy string) []jsCase {
	secret, err := hex.DecodeString(strings.TrimSpace(string(vector(t, "completeness.secret"))))
	if err != nil {
		t.Fatal(err)
	}
	var out []jsCase
	for name, events := range map[string]uint64{"completeness": 8, "completeness-empty": 0, "handle": 2, "handle-state": 2, "handle-absent": 0, "erasure": 0, "erasure-kept": 0} {
		out = append(out, jsCase{Name: name, File: vector(t, name+".akashi.json"), Policy: policy, Result: "match", Events: events})
	}
	out = append(out, jsCase{Name: "with the secret", File: vector(t, "completeness.akashi.json"), Policy: policy, Result: "match", Secret: secret, Events: 8})
	var list []struct {
		Name, File, Secret, Insert, Code, For string
		At, Remove                            int
	}
	if err := json.Unmarshal(vector(t, "changed.json"), &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		b := vector(t, c.File)
		one := jsCase{Name: c.File + ": " + c.Name, File: slices.Concat(b[:c.At], []byte(c.Insert), b[c.At+c.Remove:]), Policy: policy, Result: "differ", Code: c.Code, About: c.For}
		if c.Secret != "" {
			if one.Secret, err = hex.DecodeString(c.Secret); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, one)
	}
	return out
}

// newPolicy is a policy for a log with keys of nobody.
func newPolicy(t testing.TB, origin string) string {
	key := func(seed byte) sign.PublicKey {
		k, err := sign.KeyFromSeed(bytes.Repeat([]byte{seed}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return k.Public()
	}
	return string(sign.Policy{Origin: origin, Log: key(1), K: 1, Members: []sign.PolicyMember{{ID: "a-sha", Signer: origin + "/a-sha", Key: key(2)}}}.Format())
}

// epochCases are one record's receipts from before and after a member's keys were
// replaced, under the policies of both epochs.
func epochCases(t testing.TB) []jsCase {
	c := ledgertest.New(t, ledgertest.Options{Origin: "epoch.example/log"})
	terms := c.Offer("a-sha", "a-portal")
	grant := c.Grant(c.Person("hana").Handle("a-portal", 0), terms, 0)
	c.Must("a-sha", grant)
	index, _ := c.Find(grant.ID)
	receiptOf := func(key *uint64) []byte {
		b, err := receipt.Build(newest(c), index, receipt.Options{KeyIndex: key, Status: true})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var policies []string
	epoch := func(number, first uint64, closing sign.RangeEnd) {
		h := c.Heights[first]
		p := c.PolicyAt(first).Sign()
		p.Range = &sign.Range{Epoch: number, First: sign.RangeEnd{Height: first, Size: h.Size, Root: h.Root}, Closing: closing}
		policies = append(policies, string(p.FormatRange()))
	}
	old := receiptOf(nil)
	c.Must("pf", c.Rotate("a-sha", []string{record.RoleCosigner, record.RoleRecord}, "b-sha", "c-sha", "pf"))
	epoch(0, 0, sign.RangeEnd{Height: c.Last().Height, Size: c.Last().Size, Root: c.Last().Root})
	c.Must("a-sha", c.Tick())
	epoch(1, c.Last().Height, sign.RangeEnd{})
	genesis := uint64(0)
	renewed := receiptOf(&genesis)
	all := strings.Join(policies, "\f")
	mixed, err := receipt.WithStatus(old, newest(c))
	if err != nil {
		t.Fatal(err)
	}
	return []jsCase{
		{Name: "old, its own policy", File: old, Policy: policies[0], Result: "match", Status: "active"},
		{Name: "old, the next policy", File: old, Policy: policies[1], Result: "nopolicy"},
		{Name: "old, both", File: old, Policy: all, Result: "match", Status: "active"},
		{Name: "renewed, the first policy", File: renewed, Policy: policies[0], Result: "nopolicy"},
		{Name: "renewed, its own policy", File: renewed, Policy: policies[1], Result: "match", Status: "active"},
		{Name: "old with a status of now, both", File: mixed, Policy: all, Result: "match", Status: "active"},
		{Name: "a range cut in half", File: old, Policy: strings.Replace(policies[0], "# closing", "# open", 1), Result: "threw"},
	}
}

// storyCases have a receipt of each kind, with and without openings, and after
// a key change.
func storyCases(t testing.TB) []jsCase {
	s := newStory(t)
	c := s.c
	h := c.Person("taro").Handle("coupon", 0)
	hash := (&record.Terms{Screen: s.screens["coupon"]}).Hash()
	post := func(issuer string, r *record.Record) *record.Record { c.Must(issuer, r); return r }
	taro2 := c.Person("taro").Handle("coupon", 1)
	recs := map[string]*record.Record{"consent": post("aoba", c.Grant(h, hash, 0, uint32(record.DayOf(c.NowMs))+200))}
	recs["provision"] = post("aoba", c.Provision(h.Public(), 1, 0, "kitahi", "name"))
	recs["received"] = post("kitahi", c.Received(recs["provision"]))
	p := post("aoba", c.Provision(h.Public(), 1, 0, "kitahi"))
	recs["undelivered"] = post("kitahi", c.Undelivered(p))
	recs["denial"] = post("kitahi", c.Denial(h.Public(), record.CodeRevoked))
	post("aoba", c.Filing("f-1", c.NowMs, "name", "user-id"))
	recs["optout"] = post("aoba", c.OptOut(h.Public(), "f-1", "kitahi"))
	recs["exception"] = post("aoba", c.Exception(h.Public(), c.Member("aoba").Approver))
	recs["old key"] = post("kotori", c.Denial(h.Public(), record.CodeExpired))
	voters := []string{"aoba", "kitahi", "kotori"}
	changed := post("kotori", c.Rotate("kotori", []string{record.RoleRecord}, voters...))
	recs["new key"] = post("kotori", c.Denial(h.Public(), record.CodeExpired))
	post("kotori", c.Rotate("kotori", []string{record.RoleRecord}, voters...))
	recs["revocation"] = post("minato", c.Revoke(h, hash, 0))
	recs["stop"] = post("aoba", c.Stop(h.Public(), hash, 0))
	recs["stop all"] = post("aoba", c.StopAll(h.Public()))
	recs["move"] = post("aoba", c.HandleMove(h, taro2))
	recs["close"] = post("aoba", c.HandleClose(taro2.Public()))
	recs["open"] = post("kotori", c.HandleOpen(c.Person("jiro").Handle("medicine", 0).Public(), "medicine"))
	recs["erasure"] = post("aoba", c.Erasure([]record.KeyNumber{c.Number(), c.Number()}, "aoba"))
	recs["attestation"] = post("aoba", c.Attestation(recs["erasure"].ID))
	changedAt, _ := c.Find(changed.ID)

	var out []jsCase
	for name, rec := range recs {
		index, _ := c.Find(rec.ID)
		for _, open := range []bool{true, false} {
			o := receipt.Options{Status: true}
			if opening, ok := c.Openings[rec.ID]; ok && rec.Commitment != nil && open {
				o.Opening = &receipt.Opening{Nonce: opening.Nonce[:], Part: opening.Part}
			}
			if opening, ok := c.Items[rec.ID]; ok && open {
				o.Items = &receipt.Opening{Nonce: opening.Nonce[:], Part: opening.Part}
			}
			switch name {
			case "old key":
				o.KeyIndex = new(uint64)
			case "new key":
				o.KeyIndex = &changedAt
			case "received", "undelivered", "erasure", "attestation":
				o.Status = false
			}
			b, err := receipt.Build(newest(c), index, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v, err := receipt.Verify(b, c.Policy())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			one := jsCase{Name: name, File: b, Policy: string(c.Policy().Format()), Result: "match"}
			if v.Status != nil {
				one.Status = v.Status.State
			}
			if !open {
				one.Name += ", sealed"
			}
			out = append(out, one)
		}
	}
	return out
}

// jsSignatures are signatures on which verifiers differ, judged by Go's.
func jsSignatures(t testing.TB) []jsSignature {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	pub := priv.Public().(ed25519.PublicKey)
	message := []byte("akashi")
	good := ed25519.Sign(priv, message)
	out := []jsSignature{{Name: "good", Key: pub, Message: message, Sig: good}, {Name: "other message", Key: pub, Message: []byte("akasha"), Sig: good}}
	for i := range 64 {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		out = append(out, jsSignature{Name: "bit of byte " + itoa(uint64(i)), Key: pub, Message: message, Sig: bad})
	}
	// S + L: the same number to those who do not look.
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	long, carry := bytes.Clone(good), 0
	for i := range 32 {
		carry += int(long[32+i]) + int(order[i])
		long[32+i], carry = byte(carry), carry>>8
	}
	out = append(out, jsSignature{Name: "S plus the order", Key: pub, Message: message, Sig: long})
	out = append(out, jsSignature{Name: "no point", Key: bytes.Repeat([]byte{2}, 32), Message: message, Sig: good}, jsSignature{Name: "short key", Key: pub[:31], Message: message, Sig: good},
		jsSignature{Name: "short signature", Key: pub, Message: message, Sig: good[:63]})
	for i := range out {
		s := &out[i]
		s.OK = len(s.Key) == ed25519.PublicKeySize && ed25519.Verify(s.Key, s.Message, s.Sig)
	}
	return out
}

// The module in node, where there is one: quick, but the test that counts runs
// it in a browser (TestVerifierInBrowser).
func TestVerifierInNode(t *testing.T) {
	input, err := json.Marshal(map[string]any{"cases": jsCases(t), "signatures": jsSignatures(t)})
	if err != nil {
		t.Fatal(err)
	}
	inNode(t, string(input), `import fs from "node:fs";
import * as verify from "./verify.js";
import * as ed from "./ed25519.js";
import * as chain from "./chain.js";
import { run } from "./cases.mjs";
const { cases, signatures } = JSON.parse(fs.readFileSync("input.json", "utf8"));
for (const f of await run(verify, ed, chain, cases, signatures)) console.log(f);
`)
}

// inNode runs a module beside the assets and the harnesses, with input.json. What
// it prints went wrong.
func inNode(t *testing.T, input, main string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		machine.Lacks(t, "node is not installed; the same cases run in Chromium")
	}
	version, err := exec.Command(node, "-p", "process.versions.node.split('.')[0]").Output()
	if major, _ := strconv.Atoi(strings.TrimSpace(string(version))); err != nil || major < 20 {
		machine.Lacks(t, "node %s is older than 20; the same cases run in Chromium", bytes.TrimSpace(version))
	}
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := filepath.Glob("assets/*.js")
	if err != nil {
		t.Fatal(err)
	}
	harnesses, err := filepath.Glob("testdata/*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(modules, harnesses...) {
		b, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Base(m), b)
	}
	write("package.json", []byte(`{"type":"module"}`))
	write("input.json", []byte(input))
	write("main.mjs", []byte(main))
	cmd := exec.Command(node, "main.mjs")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
