package sign

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// four is a consortium of four with its log key, cosigner keys and policy.
type four struct {
	log     Key
	cosign  []Key
	policy  Policy
	keys    map[string]PublicKey
	current Checkpoint
}

func newFour(t testing.TB) *four {
	f := &four{log: key(t, "log"), keys: map[string]PublicKey{}, current: Checkpoint{Origin: "log.example/証", Size: 1 << 40, Root: [32]byte{1, 2, 3}}}
	f.policy = Policy{Origin: f.current.Origin, Log: f.log.Public(), K: Quorum(4)}
	for _, id := range []string{"a-sha", "b-sha", "c-sha", "pf"} {
		k := key(t, id)
		name := id + ".example/cosigner"
		f.cosign, f.keys[name] = append(f.cosign, k), k.Public()
		f.policy.Members = append(f.policy.Members, PolicyMember{ID: id, Signer: name, Key: k.Public()})
	}
	return f
}

// cosigs returns the cosignatures of some members, each a second apart.
func (f *four) cosigs(members ...int) []Cosignature {
	var out []Cosignature
	for _, i := range members {
		out = append(out, f.cosign[i].Cosign(f.policy.Members[i].Signer, f.current, 1_800_000_000+uint64(i)))
	}
	return out
}

func (f *four) note(t testing.TB, members ...int) []byte {
	t.Helper()
	n, err := FormatNote(f.current, f.log, f.cosigs(members...), f.keys)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNoteOpensHereAndInTorchwood(t *testing.T) {
	f := newFour(t)
	tw, err := torchwood.ParsePolicy(f.policy.Format())
	if err != nil {
		t.Fatal(err)
	}
	for _, members := range [][]int{{0, 1, 2}, {3, 1, 0}, {0, 1, 2, 3}} {
		n := f.note(t, members...)
		c, _, err := torchwood.VerifyCheckpoint(n, tw)
		if err != nil || c.Origin != f.current.Origin || c.N != 1<<40 || c.Hash != f.current.Root {
			t.Fatalf("torchwood: %+v %v", c, err)
		}
		for name, open := range map[string]func([]byte) (*OpenedNote, error){"Open": f.policy.Open, "OpenExact": f.policy.OpenExact} {
			o, err := open(n)
			if err != nil || o.Checkpoint != f.current {
				t.Fatalf("%s: %+v %v", name, o, err)
			}
			slices.Sort(members)
			if !slices.Equal(o.Cosigned, f.cosigs(members...)) {
				t.Errorf("%s: cosigned by %+v", name, o.Cosigned)
			}
		}
	}
	for _, members := range [][]int{{}, {0}, {0, 3}} {
		if _, err := f.policy.Open(f.note(t, members...)); err == nil {
			t.Errorf("%d cosignatures opened", len(members))
		}
	}
}

// TestCosignatureVerifiesInTorchwood: the line's bytes are C2SP's.
func TestCosignatureVerifiesInTorchwood(t *testing.T) {
	f := newFour(t)
	s := f.cosigs(2)[0]
	v, err := torchwood.NewCosignatureVerifier(CosignerKey(s.Signer, f.cosign[2].Public()))
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte{0, 0, 0, 0, 0x6b, 0x49, 0xd2, 0x02} // 1,800,000,002
	if !v.Verify([]byte(f.current.Text()), append(raw, s.Sig[:]...)) {
		t.Error("torchwood refuses our cosignature")
	}
	if err := s.Verify(f.cosign[2].Public(), f.current); err != nil {
		t.Error(err)
	}
	other := f.current
	other.Size++
	late := s
	late.Time++
	if s.Verify(f.cosign[2].Public(), other) == nil || late.Verify(f.cosign[2].Public(), f.current) == nil || s.Verify(f.log.Public(), f.current) == nil {
		t.Error("a cosignature verifies for another checkpoint, time or key")
	}
	if _, err := note.NewVerifier(LogVerifierKey(f.current.Origin, f.log.Public())); err != nil {
		t.Errorf("x/mod/sumdb/note: %v", err)
	}
}

// TestOpenExactRefusesEveryChangedByte changes each byte of a note.
func TestOpenExactRefusesEveryChangedByte(t *testing.T) {
	f := newFour(t)
	n := f.note(t, 0, 1, 2)
	tail := len(n) - 40 // signature, padding and newline: all values
	for i := range n {
		for _, x := range flips(i >= tail || i%17 == 0, testing.Short()) {
			bad := bytes.Clone(n)
			bad[i] ^= x
			if _, err := f.policy.OpenExact(bad); err == nil {
				t.Fatalf("byte %d of %q changed to %q opens", i, n, bad[i])
			}
		}
	}
}

func flips(all, short bool) []byte {
	if !all || short {
		return []byte{1, 2, 0x20, 0x80}
	}
	var out []byte
	for x := 1; x < 256; x++ {
		out = append(out, byte(x))
	}
	return out
}

// TestOpenExactAndOpenDiffer: what C2SP signed-note lets pass, and we do not.
func TestOpenExactAndOpenDiffer(t *testing.T) {
	f := newFour(t)
	n := string(f.note(t, 0, 1, 2))
	lines := strings.SplitAfter(n, "\n") // three of text, blank, log, three cosigners, ""
	join := func(i ...int) string {
		var b strings.Builder
		for _, j := range i {
			b.WriteString(lines[j])
		}
		return b.String()
	}
	unknown := noteLine("stranger", 7, make([]byte, 76))
	// The last line ends in "==": other values of its last digit mean the same bytes.
	at := strings.LastIndex(n, "==") - 1
	digit := alphabet[strings.IndexByte(alphabet, n[at])|1]
	for name, bad := range map[string]string{
		"unknown line":       n + unknown,
		"unknown line first": join(0, 1, 2, 3) + unknown + join(4, 5, 6, 7),
		"repeated line":      n + lines[5],
		"log line last":      join(0, 1, 2, 3, 5, 6, 7, 4),
		"other order":        join(0, 1, 2, 3, 4, 6, 5, 7),
		"trailing bits":      n[:at] + string(digit) + n[at+1:],
	} {
		if _, err := f.policy.Open([]byte(bad)); err != nil {
			t.Errorf("%s: Open: %v", name, err)
		}
		if _, err := f.policy.OpenExact([]byte(bad)); err == nil {
			t.Errorf("%s: OpenExact accepts", name)
		}
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func TestOpenRefuses(t *testing.T) {
	f := newFour(t)
	ext := f.current
	extText := ext.Text() + "extension\n"
	extNote := extText + "\n" + noteLine(ext.Origin, keyID(ext.Origin, append([]byte{algEd25519}, f.policy.Log[:]...)), sign25519(f.log, extText))
	for i, m := range f.policy.Members {
		text := fmt.Sprintf("cosignature/v1\ntime 1\n%s", extText)
		sig := append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, sign25519(f.cosign[i], text)...)
		extNote += noteLine(m.Signer, keyID(m.Signer, append([]byte{algCosignatureV1}, m.Key[:]...)), sig)
	}
	other := f.current
	other.Origin = "other.example"
	otherNote, err := FormatNote(other, f.log, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := string(f.note(t, 0, 1, 2))
	for name, bad := range map[string]string{
		"empty":              "",
		"extension line":     extNote,
		"another log":        string(otherNote),
		"no log line":        strings.Join(slices.Delete(strings.SplitAfter(n, "\n"), 4, 5), ""),
		"no blank line":      strings.Replace(n, "\n\n", "\n", 1),
		"no last newline":    strings.TrimSuffix(n, "\n"),
		"carriage returns":   strings.ReplaceAll(n, "\n", "\r\n"),
		"size with a zero":   strings.Replace(n, "\n1099", "\n01099", 1),
		"bad known line too": n + noteLine(f.policy.Members[3].Signer, keyID(f.policy.Members[3].Signer, append([]byte{algCosignatureV1}, f.policy.Members[3].Key[:]...)), make([]byte, 72)),
	} {
		if _, err := f.policy.Open([]byte(bad)); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := FormatNote(f.current, f.log, []Cosignature{{Signer: "nobody"}}, f.keys); err == nil {
		t.Error("a line of a key without a name")
	}
}

func sign25519(k Key, msg string) []byte {
	sig, err := k.Private().Sign(nil, []byte(msg), crypto.Hash(0))
	if err != nil {
		panic(err)
	}
	return sig
}

func TestKthNewest(t *testing.T) {
	at := func(times ...uint64) []Cosignature {
		var out []Cosignature
		for _, x := range times {
			out = append(out, Cosignature{Time: x})
		}
		return out
	}
	for _, c := range []struct {
		cosigs []Cosignature
		k      int
		want   uint64
	}{{nil, 1, 0}, {at(5), 0, 0}, {at(5), 1, 5}, {at(5, 9, 7), 1, 9}, {at(5, 9, 7), 3, 5}, {at(5, 9, 7), 4, 0}, {at(9, 9, 7), 2, 9}} {
		if got := KthNewest(c.cosigs, c.k); got != c.want {
			t.Errorf("k=%d of %v: %d, want %d", c.k, c.cosigs, got, c.want)
		}
	}
}

// FuzzOpen: what opens exactly also opens in torchwood, and is its own spelling.
func FuzzOpen(f *testing.F) {
	four := newFour(f)
	tw, err := torchwood.ParsePolicy(four.policy.Format())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(four.note(f, 0, 1, 2))
	f.Add(four.note(f, 0, 1, 2, 3))
	f.Add([]byte("log.example\n1\nAAAA\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		open, err := four.policy.OpenExact(signed)
		if _, lax := four.policy.Open(signed); err == nil && lax != nil {
			t.Fatalf("exact, but Open refuses: %v", lax)
		}
		if err != nil {
			return
		}
		if _, _, err := torchwood.VerifyCheckpoint(signed, tw); err != nil {
			t.Fatal(err)
		}
		again, err := FormatNote(open.Checkpoint, four.log, open.Cosigned, four.keys)
		if err != nil || !bytes.Equal(again, signed) {
			t.Fatalf("%q comes back as %q: %v", signed, again, err)
		}
	})
}

func TestErrPolicyIsSaid(t *testing.T) {
	if _, err := ParsePolicy(nil); !errors.Is(err, ErrPolicy) {
		t.Error(err)
	}
	var empty Policy
	if _, err := empty.Open(nil); err == nil {
		t.Error("a policy of nobody opens")
	}
}
