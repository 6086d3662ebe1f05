package receipt_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// changed is a published file with one place changed, and how it is refused.
type changedFile struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Secret string `json:"secret,omitempty"` // in hex: checked with it
	At     int    `json:"at"`               // byte offset
	Remove int    `json:"remove"`           // bytes from there
	Insert string `json:"insert"`           // in their place
	Code   string `json:"code"`
	For    string `json:"for,omitempty"` // service or party that the refusal names
}

// splice describes how to come from a file to a changed one.
func splice(from, to []byte) (at, remove int, insert string) {
	at = 0
	for at < min(len(from), len(to)) && from[at] == to[at] {
		at++
	}
	end := 0
	for end < min(len(from), len(to))-at && from[len(from)-1-end] == to[len(to)-1-end] {
		end++
	}
	for at > 0 && at < len(from) && from[at]&0xc0 == 0x80 { // whole characters, so that insert is text
		at--
	}
	for end > 0 && from[len(from)-end]&0xc0 == 0x80 {
		end--
	}
	return at, len(from) - at - end, string(to[at : len(to)-end])
}

func (c *changedFile) apply(b []byte) []byte {
	return slices.Concat(b[:c.At], []byte(c.Insert), b[c.At+c.Remove:])
}

// vectorPeople are two people of one consortium: hana with handles towards two
// services, one of them moved, and a party; nobody with none.
func vectorPeople(t *testing.T) (hana, nobody *person) {
	p := newPerson(ledgertest.New(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"}), "hana")
	portal, app := p.c.Offer("a-sha", "a-portal"), p.c.Offer("b-sha", "b-app")
	p.c.Offer("c-sha", "c-card")
	old, own, second := p.secret.Handle("a-portal", 0), p.secret.Handle("a-portal", 1), p.secret.Handle("b-app", 0)
	p.do("a-sha", p.c.Grant(old, portal, 0))
	p.do("b-sha", p.c.Grant(second, app, 1, uint32(record.DayOf(p.c.NowMs))+30))
	p.c.Pass(86400_000)
	p.do("a-sha", p.c.Provision(old.Public(), 1, 0, "b-sha"))
	p.do("a-sha", p.c.HandleMove(old, own))
	p.do("pf", p.c.Revoke(own, portal, 0))
	p.do("a-sha", p.c.Provision(second.Public(), 1, 1, "b-sha"))
	party := p.secret.Handle("c-sha", 0)
	p.do("c-sha", p.c.HandleOpen(party.Public(), "c-sha"))
	return p, newPerson(p.c, "nobody")
}

func writeBundles(t *testing.T) {
	hana, nobody := vectorPeople(t)
	key := hana.secret.Handle("b-app", 0).Public()
	e := newErasureIn(ledgertest.New(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"}))
	kept := newKept(ledgertest.New(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"}))
	files := map[string][]byte{
		"completeness.akashi.json":       hana.complete(t),
		"completeness-empty.akashi.json": nobody.complete(t),
		"handle.akashi.json":             hana.handle(t, hana.secret.Handle("a-portal", 1).Public(), hana.options().Events),
		"handle-state.akashi.json":       hana.handle(t, key, nil),
		"handle-absent.akashi.json":      hana.handle(t, nobody.secret.Handle("b-app", 0).Public(), nil),
		"erasure.akashi.json":            e.certificate(t),
		"erasure-kept.akashi.json":       kept.certificate(t),
	}
	list := []changedFile{}
	secret := hex.EncodeToString(hana.secret[:])
	add := func(name, file string, to []byte, secret string) {
		c := changedFile{Name: name, File: file, Secret: secret}
		c.At, c.Remove, c.Insert = splice(files[file], to)
		var refusal *receipt.Error
		if err := c.verify(files[file], hana.c.Policy()); !errors.As(err, &refusal) {
			t.Fatalf("%s: %v", name, err)
		}
		c.Code, c.For = refusal.Code(), refusal.For
		list = append(list, c)
	}
	const all = "completeness.akashi.json"
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		for i := range open(t, files[all]).handles {
			if x := open(t, files[all]); changes[name](x, i, seeded(1)) {
				add(name+" of "+open(t, files[all]).handles[i]["for"].(string), all, x.file(t), secret)
			}
		}
	}
	add("another person's handles", "completeness-empty.akashi.json", files["completeness-empty.akashi.json"], secret)
	one := files["handle.akashi.json"]
	events := fields(t, one)["events"].([]any)
	quoted := func(i int) string { return `    "` + events[i].(string) + `"` }
	for name, by := range map[string]string{"withhold the first": quoted(1), "withhold the newest": quoted(0), "reorder": quoted(1) + ",\n" + quoted(0), "repeat": quoted(0) + ",\n" + quoted(0) + ",\n" + quoted(1)} {
		add("one handle: "+name, "handle.akashi.json", bytes.Replace(one, []byte(quoted(0)+",\n"+quoted(1)), []byte(by), 1), "")
	}
	for _, r := range [][3]string{{all, "本人が撤回しました", "有効です"}, {"handle.akashi.json", "本人が撤回しました", "有効です"}, {"erasure.akashi.json", "まだ答えていない", "消去した"},
		{"erasure-kept.akashi.json", "2030-04-30 の終わり", "2029-04-30 の終わり"}, {"erasure-kept.akashi.json", "例外：盗まれた", "例外：失われた"},
		{"handle-absent.akashi.json", "一件もありません", "百件あります"}, {"erasure.akashi.json", "\"attestations\": [", "\"attestation\": ["}, {all, "completeness/v1", "completeness/v2"}} {
		add("words: "+r[2], r[0], bytes.Replace(files[r[0]], []byte(r[1]), []byte(r[2]), 1), "")
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		with := ""
		if name == all {
			with = secret
		}
		for i := 0; i < len(files[name]); i += max(397, len(files[name])/40) {
			b := files[name]
			if _, value := fieldAt(b, i); !value || b[i] >= 0x80 || name == "completeness-empty.akashi.json" {
				continue
			}
			m := bytes.Clone(b)
			m[i] = changed(b[i], 0)
			if _, err := receipt.Verify(m, hana.c.Policy()); errors.Is(err, receipt.ErrPolicy) { // the log's name: a policy is missing, no part is wrong
				continue
			}
			add("one byte", name, m, with)
		}
	}
	files["completeness.secret"] = []byte(secret + "\n")
	files["changed.json"] = listing(t, list)
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(vectors, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// listing writes one entry a line.
func listing[T any](t *testing.T, list []T) []byte {
	var b strings.Builder
	b.WriteString("[\n")
	for i, x := range list {
		line := &bytes.Buffer{}
		e := json.NewEncoder(line)
		e.SetEscapeHTML(false)
		if err := e.Encode(x); err != nil {
			t.Fatal(err)
		}
		b.WriteString(" " + strings.TrimSpace(line.String()))
		if i < len(list)-1 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("]\n")
	return []byte(b.String())
}

// verify applies the change and verifies what comes of it.
func (c *changedFile) verify(file []byte, p *sign.Policy) error {
	if c.Secret == "" {
		_, err := receipt.Verify(c.apply(file), p)
		return err
	}
	raw, err := hex.DecodeString(c.Secret)
	if err != nil || len(raw) != sign.SecretSize {
		return err
	}
	_, err = receipt.VerifyComplete(c.apply(file), sign.Secret(raw), p)
	return err
}

// TestBundleVectors: the published handle and completeness proofs and the
// certificate verify, and each change of one is refused as it says.
func TestBundleVectors(t *testing.T) {
	if *update {
		writeBundles(t)
	}
	policy, err := sign.ParsePolicy(vector(t, "receipt-consent.policy"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(vector(t, "completeness.secret"))))
	if err != nil {
		t.Fatal(err)
	}
	for name, events := range map[string]uint64{"completeness": 8, "completeness-empty": 0, "handle": 2, "handle-state": 2, "handle-absent": 0, "erasure": 0, "erasure-kept": 0} {
		v, err := receipt.Verify(vector(t, name+".akashi.json"), policy)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, h := range v.Handles {
			events -= h.Events
		}
		if events != 0 || v.FinalMs == 0 {
			t.Errorf("%s: %+v", name, v.Handles)
		}
	}
	if v, err := receipt.VerifyComplete(vector(t, "completeness.akashi.json"), sign.Secret(raw), policy); err != nil || !v.OwnHandles {
		t.Errorf("with the secret: %v", err)
	}
	var list []changedFile
	if err := json.Unmarshal(vector(t, "changed.json"), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 100 {
		t.Errorf("%d changed files", len(list))
	}
	for _, c := range list {
		var refusal *receipt.Error
		if err := c.verify(vector(t, c.File), policy); !errors.As(err, &refusal) || refusal.Code() != c.Code || refusal.For != c.For {
			t.Errorf("%s, %s: %v, want %s of %q", c.File, c.Name, err, c.Code, c.For)
		}
	}
}
