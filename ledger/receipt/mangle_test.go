package receipt_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// changed returns the byte that a mangler puts in place of b: another digit of
// base64 where b is one, so that the change reaches what the JSON means.
func changed(b byte, round int) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	if i := strings.IndexByte(digits, b); i >= 0 && round == 0 {
		return digits[(i+16)%64] // the low bits stay, so that padding stays canonical
	}
	return b ^ 1
}

// mangleStep: 1 takes 40 s; a file's bytes are much alike.
const mangleStep = 17

// mangleEveryByte changes one byte at a time. Every change must be refused, and
// one inside a field's value must be blamed on that field.
func mangleEveryByte(t *testing.T, format string, b []byte, verify func([]byte) error) {
	t.Helper()
	step, wrong := max(mangleStep, len(b)/1200|1), 0
	if testing.Short() {
		step = 101
	}
	for i := 0; i < len(b); i += step {
		for round := range 2 {
			m := bytes.Clone(b)
			m[i] = changed(b[i], round)
			err := verify(m)
			if err == nil {
				t.Fatalf("byte %d changed from %q to %q verifies: %q", i, b[i], m[i], b[max(0, i-40):min(len(b), i+40)])
			}
			want, value := fieldAt(b, i)
			got := code(t, err)
			if got == "erasure.proof" && want == "leaf" {
				continue // nothing else in the file shows which of the two was changed
			}
			if value && got != format+"."+want {
				if wrong++; wrong < 20 {
					t.Errorf("byte %d of %q: %q blames %s (%v)", i, want, b[max(0, i-30):min(len(b), i+10)], got, err)
				}
			}
		}
	}
	for _, m := range [][]byte{nil, b[:len(b)-1], b[:len(b)/2], append(bytes.Clone(b), '\n'), append(bytes.Clone(b), b...)} {
		if verify(m) == nil {
			t.Error("a file cut short or with something behind it verifies")
		}
	}
}

// fieldAt returns the top-level field that byte i lies in, and whether it lies
// in the field's value, before the comma that ends it.
func fieldAt(b []byte, i int) (field string, value bool) {
	start := bytes.LastIndex(b[:i], []byte("\n  \"")) + 1
	if start == 0 {
		return "file", false
	}
	name, _, _ := strings.Cut(string(b[start+3:]), `"`)
	end := bytes.Index(b[start:], []byte("\n  \""))
	if end < 0 {
		end = len(b) - start - 2 // the closing brace
	} else {
		end-- // the comma
	}
	if name == "storyTime" {
		return "story-time", false
	}
	return name, i >= start+3+len(name)+len(`": `) && i < start+end
}

func TestMangleEveryByte(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	policy := s.c.Policy()
	o := options(s.c, s.recs["consent"])
	o.Screen, o.Status = canon.Must(s.c.Screen("a-portal", "1")), true
	verify := func(b []byte) error { _, err := receipt.Verify(b, policy); return err }
	for _, tt := range []struct {
		name string
		o    receipt.Options
	}{{"consent", o}, {"provision", options(s.c, s.recs["provision"])}} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := built(t, newest(s.c), s.recs[tt.name], tt.o)
			mangleEveryByte(t, "receipt", b, verify)
		})
	}
}

// Fields and lines that do not belong there.
func TestStrictForm(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	good, _ := built(t, newest(s.c), s.recs["consent"], options(s.c, s.recs["consent"]))
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown field", "{\n", "{\n  \"extra\": 1,\n", "receipt.file"},
		{"repeated field", "  \"kind\"", "  \"kind\": \"consent\",\n  \"kind\"", "receipt.kind"},
		{"unknown inner field", "\"nonce\"", "\"more\": 1,\n    \"nonce\"", "receipt.opening"},
		{"other case", "  \"leaf\"", "  \"Leaf\"", "receipt.file"},
		{"null", "\"payload\": {", "\"items\": null,\n  \"payload\": {", "receipt.file"},
		{"newline in base64", "\"leaf\": \"", "\"leaf\": \"\\n", "receipt.leaf"},
		{"escape", "だれが", "\\u3060れが", "receipt.human"},
		{"space", "{\n", "{ \n", "receipt.file"},
		{"another format", "akashi-receipt/v1", "akashi-receipt/v2", "receipt.format"},
		{"another kind", "\"kind\": \"consent\"", "\"kind\": \"provision\"", "receipt.kind"},
		{"no format", "  \"format\": \"akashi-receipt/v1\",\n", "", "file.format"},
		{"format is null", "\"akashi-receipt/v1\"", "null", "file.format"},
		{"unknown signature line", "\\n\",\n  \"opening\"", "\\n— x AAAAAAA=\\n\",\n  \"opening\"", "receipt.proof"},
	} {
		b := bytes.Replace(good, []byte(tt.old), []byte(tt.new), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("%s: nothing replaced", tt.name)
		}
		_, err := receipt.Verify(b, s.c.Policy())
		if got := code(t, err); got != tt.want && tt.name != "null" || err == nil {
			t.Errorf("%s: %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
}

// What is no file of ours, and what is one with a little more or less at its
// end.
func TestWholeFile(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	good, _ := built(t, newest(s.c), s.recs["consent"], options(s.c, s.recs["consent"]))
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "file.format"},
		{"text", []byte("hello\n"), "file.format"},
		{"an empty object", []byte("{}\n"), "file.format"},
		{"a list", []byte("[]\n"), "file.format"},
		{"another JSON", []byte("{\n  \"format\": 1\n}\n"), "receipt.format"},
		{"newline behind it", append(bytes.Clone(good), '\n'), "receipt.file"},
		{"space behind it", append(bytes.Clone(good), ' '), "receipt.file"},
		{"newline missing", good[:len(good)-1], "receipt.file"},
		{"twice", append(bytes.Clone(good), good...), "receipt.file"},
	} {
		_, err := receipt.Verify(tt.b, s.c.Policy())
		if code(t, err) != tt.want {
			t.Errorf("%s: %q (%v), want %q", tt.name, code(t, err), err, tt.want)
		}
		if strings.Contains(tt.name, "newline") != strings.Contains(err.Error(), "as editors do") && !strings.Contains(tt.name, "space") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
