package record_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// code returns the code of a refusal, "" for none.
func code(t testing.TB, err error) record.Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *record.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	return r.Code
}

func TestEveryKindComesBack(t *testing.T) {
	all := samples(t)
	for k := record.KindGenesis; ; k++ {
		named, ok := record.KindNamed(k.String())
		if !ok {
			break
		}
		if named != k {
			t.Errorf("%v and %v share a name", named, k)
		}
		if k == record.KindSeal {
			continue
		}
		r := all[k]
		if r == nil {
			t.Errorf("no sample of kind %v", k)
			continue
		}
		leaf, err := r.Leaf()
		if err != nil {
			t.Fatalf("%v: %v", k, err)
		}
		if len(leaf)%record.PadBytes != 0 || !bytes.Equal(leaf, raw(r)) {
			t.Errorf("%v: leaf of %d bytes is not the padded canonical encoding", k, len(leaf))
		}
		got, err := record.Parse(leaf)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%v: %+v comes back as %+v: %v", k, r, got, err)
		}
		if record.IsSeal(leaf) {
			t.Errorf("%v is taken for a seal", k)
		}
	}
}

// TestVectors: docs/spec/vectors/record.py is a second encoder.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/vectors/record.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Leaf, LeafHash, Part, Nonce, Statement string }
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) < 9 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range vectors {
		leaf := unhex(v.Leaf)
		r, err := record.Parse(leaf)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if again, err := r.Leaf(); err != nil || !bytes.Equal(again, leaf) {
			t.Errorf("%s: comes back as %x: %v", v.Name, again, err)
		}
		if got := merkle.LeafHash(leaf).String(); got != v.LeafHash {
			t.Errorf("%s: leaf hash %s, want %s", v.Name, got, v.LeafHash)
		}
		if !strings.HasPrefix(v.Name, r.Kind.String()) {
			t.Errorf("%s is read as %v", v.Name, r.Kind)
		}
		switch body := r.Body.(type) {
		case *record.Consent:
			if !bytes.Equal(body.Statement(*r.Commitment), unhex(v.Statement)) {
				t.Errorf("%s: statement %x", v.Name, body.Statement(*r.Commitment))
			}
			if !seal.CheckOpening(*r.Commitment, seal.Nonce(unhex(v.Nonce)), unhex(v.Part)) {
				t.Errorf("%s: the opening does not open", v.Name)
			}
			if _, err := record.DecodePart(r.Kind, unhex(v.Part)); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		case *record.Revocation:
			if !bytes.Equal(body.Statement(), unhex(v.Statement)) {
				t.Errorf("%s: statement %x", v.Name, body.Statement())
			}
		}
	}
}

// TestMangleEveryByte: a changed leaf is refused or says something else; two
// byte strings never mean one record.
func TestMangleEveryByte(t *testing.T) {
	for k, r := range samples(t) {
		leaf := raw(r)
		flips := []byte{1, 0x80, 0xff}
		if len(leaf) <= 256 && !testing.Short() {
			flips = nil
			for x := 1; x < 256; x++ {
				flips = append(flips, byte(x))
			}
		}
		for i := range leaf {
			for _, x := range flips {
				bad := bytes.Clone(leaf)
				bad[i] ^= x
				if got, err := record.Parse(bad); err == nil && reflect.DeepEqual(got, r) {
					t.Fatalf("%v: byte %d changed to %#x means the same", k, i, bad[i])
				}
			}
		}
	}
}

// TestPadding: content of every length around the classes.
func TestPadding(t *testing.T) {
	r, body := sample[*record.Service](t, record.KindService)
	seen := map[int]bool{}
	for n := 1; n <= record.MaxNameBytes; n++ {
		body.Name.Ja = strings.Repeat("x", n)
		leaf, err := r.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		seen[len(leaf)] = true
		content := len(bytes.TrimRight(leaf, "\x00"))
		if len(leaf)%128 != 0 || len(leaf)-content >= 128 {
			t.Fatalf("%d bytes of content in %d", content, len(leaf))
		}
		for what, bad := range map[string][]byte{
			"a class more": append(bytes.Clone(leaf), make([]byte, 128)...),
			"a byte more":  append(bytes.Clone(leaf), 0),
			"a byte less":  leaf[:len(leaf)-1],
		} {
			want := record.CodeRecordPadding
			if what == "a byte less" && content == len(leaf) {
				want = canon.CodeMalformed
			}
			if _, err := record.Parse(bad); code(t, err) != want {
				t.Errorf("%d bytes, %s: %v", content, what, err)
			}
		}
		if content < len(leaf) {
			leaf[len(leaf)-1] = 1
			if _, err := record.Parse(leaf); code(t, err) != record.CodeRecordPadding {
				t.Errorf("%d bytes, padding of 1: %v", content, err)
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("only %d classes", len(seen))
	}
}

func TestEnvelopeRefusals(t *testing.T) {
	r, _ := sample[*record.Tick](t, record.KindTick)
	env := func(change func(*record.Envelope)) []byte {
		e := record.Envelope{Version: record.Version, Kind: r.Kind, ID: r.ID, Issuer: r.Issuer, Body: canon.Must(r.Body)}
		change(&e)
		return pad(canon.Must(&e))
	}
	consent := samples(t)[record.KindConsent]
	consent.Commitment = nil
	withBody := func(b ...byte) []byte { return env(func(e *record.Envelope) { e.Body = b }) }
	deep := append(bytes.Repeat([]byte{0x81}, 40), 0)
	for name, c := range map[string]struct {
		leaf []byte
		want record.Code
	}{
		"empty":                 {nil, canon.CodeMalformed},
		"only padding":          {make([]byte, 128), canon.CodeMalformed},
		"malformed":             {pad([]byte{0xa1, 0x01, 0xff}), canon.CodeMalformed},
		"long integer":          {pad([]byte{0xa1, 0x01, 0x18, 0x01}), canon.CodeNotCanonical},
		"duplicate key":         {pad([]byte{0xa2, 1, 1, 1, 1}), canon.CodeDuplicateKey},
		"unknown key":           {pad([]byte{0xa1, 7, 1}), canon.CodeMalformed},
		"nested too deep":       {pad(append([]byte{0xa1, 5}, deep...)), canon.CodeDepth},
		"body nested too deep":  {withBody(deep...), canon.CodeDepth},
		"body of null":          {withBody(0xf6), canon.CodeNotCanonical},
		"body with unknown key": {withBody(0xa1, 1, 1), canon.CodeMalformed},
		"body is a list":        {withBody(0x80), canon.CodeMalformed},
		"oversize":              {make([]byte, record.MaxLeafBytes+1), record.CodeRecordOversize},
		"version 0":             {env(func(e *record.Envelope) { e.Version = 0 }), record.CodeRecordVersion},
		"version 2":             {env(func(e *record.Envelope) { e.Version = 2 }), record.CodeRecordVersion},
		"kind 0":                {env(func(e *record.Envelope) { e.Kind = 0 }), record.CodeRecordKind},
		"kind 999":              {env(func(e *record.Envelope) { e.Kind = 999 }), record.CodeRecordKind},
		"a seal":                {env(func(e *record.Envelope) { e.Kind = record.KindSeal }), record.CodeRecordKind},
		"no id":                 {env(func(e *record.Envelope) { e.ID = record.ID{} }), record.CodeRecordMalformed},
		"issuer":                {env(func(e *record.Envelope) { e.Issuer = "A" }), record.CodeRecordMalformed},
		"commitment on a tick":  {env(func(e *record.Envelope) { e.Commitment = make([]byte, 32) }), record.CodeRecordMalformed},
		"commitment too short":  {env(func(e *record.Envelope) { e.Commitment = make([]byte, 31) }), record.CodeRecordMalformed},
		"no commitment":         {raw(consent), record.CodeRecordMalformed},
	} {
		if _, err := record.Parse(c.leaf); code(t, err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for _, r := range []*record.Record{consent, {Kind: record.KindTick, ID: record.ID{1}, Issuer: "pf"}, {Kind: record.KindTick, Issuer: "pf", Body: &record.Tick{}}} {
		if _, err := r.Leaf(); code(t, err) != record.CodeRecordMalformed {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestValidIDAndCode(t *testing.T) {
	for _, s := range []string{"a", "0", "a-b", "a--b", strings.Repeat("x", 32)} {
		if !record.ValidID(s) {
			t.Errorf("%q", s)
		}
	}
	for _, s := range []string{"", "-a", "a-", "A", "a/b", "a.b", "a_b", "a b", "é", "a\x00", strings.Repeat("x", 33)} {
		if record.ValidID(s) {
			t.Errorf("%q", s)
		}
	}
	for _, s := range []record.Code{"", "A", "a b", "a/b", record.Code(strings.Repeat("x", 41))} {
		if record.ValidCode(s) {
			t.Errorf("%q", s)
		}
	}
	if !record.ValidCode("cbor.not-canonical") {
		t.Error("a code")
	}
}

// TestPartsComeBack: every kind with a sealed part reads back what it seals,
// and the others have none.
func TestPartsComeBack(t *testing.T) {
	for k, r := range samples(t) {
		part := record.PartOf(k)
		leaf := *r
		leaf.Commitment = nil
		_, without := leaf.Leaf()
		leaf.Commitment = &record.Digest{1}
		_, with := leaf.Leaf()
		switch {
		case part == nil && with == nil:
			t.Errorf("%v has a commitment and no part", k)
		case part != nil && with != nil:
			t.Errorf("%v: %v", k, with)
		case part == nil && without != nil:
			t.Errorf("%v: %v", k, without)
		}
		if part == nil {
			if _, err := record.DecodePart(k, []byte{0xa0}); code(t, err) != record.CodeRecordMalformed {
				t.Errorf("%v: %v", k, err)
			}
			continue
		}
		b := canon.Must(part)
		if got, err := record.DecodePart(k, b); err != nil || !bytes.Equal(canon.Must(got), b) {
			t.Errorf("%v: %v", k, err)
		}
	}
}

// FuzzParse: an accepted leaf is the only spelling of its record.
func FuzzParse(f *testing.F) {
	for _, r := range samples(f) {
		f.Add(raw(r))
	}
	f.Fuzz(func(t *testing.T, leaf []byte) {
		r, err := record.Parse(leaf)
		if err != nil {
			code(t, err)
			return
		}
		if again, err := r.Leaf(); err != nil || !bytes.Equal(again, leaf) {
			t.Fatalf("%x comes back as %x: %v", leaf, again, err)
		}
	})
}
