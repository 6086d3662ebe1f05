package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func key(t testing.TB, name string) Key {
	t.Helper()
	k, err := KeyFromSeed(bytes.Repeat([]byte(name), 32)[:32])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyFromSeedWantsThirtyTwoBytes(t *testing.T) {
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := KeyFromSeed(make([]byte, n)); err == nil {
			t.Errorf("seed of %d bytes accepted", n)
		}
	}
	k := NewKey()
	again, err := KeyFromSeed(k.Seed())
	if err != nil || again.Public() != k.Public() {
		t.Errorf("a key does not come back from its seed: %v", err)
	}
	if k.IsZero() || !(Key{}).IsZero() {
		t.Error("IsZero")
	}
}

// TestMessageVector was written down by hand.
func TestMessageVector(t *testing.T) {
	got := Message(DomainConsent, "log.example", []byte{0xa1, 1, 2})
	if want := "akashi/consent/v1\nlog.example\n\xa1\x01\x02"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDomainsKeepApart: a signature counts for one domain, log, payload and key.
func TestDomainsKeepApart(t *testing.T) {
	domains := []Domain{DomainSubmission, DomainHeader, DomainConsent, DomainMove, DomainGenesis, DomainGovernance,
		DomainMark, DomainAttest, DomainApproval, DomainUndeliver}
	k, other := key(t, "a"), key(t, "b")
	payload := []byte("payload")
	seen := map[Domain]bool{}
	for _, d := range domains {
		if seen[d] || strings.ContainsAny(string(d), "/\n") {
			t.Errorf("domain %q stands twice or cuts a message in another place", d)
		}
		seen[d] = true
		sig := k.Sign(d, "log", payload)
		for _, e := range domains {
			if err := Verify(k.Public(), e, "log", payload, sig); (err == nil) != (d == e) {
				t.Errorf("signed as %s, read as %s: %v", d, e, err)
			}
		}
		for what, err := range map[string]error{
			"origin":  Verify(k.Public(), d, "log2", payload, sig),
			"payload": Verify(k.Public(), d, "log", []byte("payloae"), sig),
			"key":     Verify(other.Public(), d, "log", payload, sig),
			"moved":   Verify(k.Public(), d, "log\npay", []byte("load"), sig),
		} {
			if err == nil {
				t.Errorf("%s: another %s verifies", d, what)
			}
		}
	}
}

// TestSecretsRedactThemselves prints keys in every usual way.
func TestSecretsRedactThemselves(t *testing.T) {
	k, s := key(t, "k"), NewSecret()
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("m", "key", k, "secret", s)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("m", "key", k, "secret", s)
	out := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s", k, k, k, k, s, s, s, s) + logged.String()
	for _, secret := range [][]byte{k.Seed(), k.Private(), s[:]} {
		for _, form := range []string{string(secret), hex.EncodeToString(secret), fmt.Sprint(secret), strings.Trim(fmt.Sprint(secret), "[]")} {
			if strings.Contains(out, form) {
				t.Fatalf("a secret is printed in %q", out)
			}
		}
	}
	if _, err := k.MarshalText(); err == nil {
		t.Error("a key became text")
	}
	if _, err := s.MarshalText(); err == nil {
		t.Error("a secret became text")
	}
}

// verdicts returns what single and batch verification say of one signature, the
// batch alone and among good ones.
func verdicts(k PublicKey, msg []byte, sig Signature) [3]bool {
	good, _ := KeyFromSeed(make([]byte, 32))
	var alone, among Batch
	alone.Add(k, DomainConsent, "o", msg, sig)
	for range 3 {
		among.Add(good.Public(), DomainConsent, "o", msg, good.Sign(DomainConsent, "o", msg))
	}
	i := among.Add(k, DomainConsent, "o", msg, sig)
	return [3]bool{Verify(k, DomainConsent, "o", msg, sig) == nil, alone.Verify()[0], among.Verify()[i]}
}

// TestOneRuleSet: where verifiers are known to differ, single and batch agree,
// with what ZIP-215 says.
func TestOneRuleSet(t *testing.T) {
	for a := range weak {
		for r := range weak {
			var sig Signature
			copy(sig[:], r[:]) // S = 0: 8·0·B = 8·R + 8·k·A for every message
			if got := verdicts(a, []byte("m"), sig); got != [3]bool{true, true, true} {
				t.Errorf("A %v R %v: %v", a, r, got)
			}
		}
	}
	k := key(t, "k")
	sig := k.Sign(DomainConsent, "o", []byte("m"))
	if got := verdicts(k.Public(), []byte("m"), sig); got != [3]bool{true, true, true} {
		t.Errorf("a good signature: %v", got)
	}
	if got := verdicts(k.Public(), []byte("m"), plusOrder(sig)); got != [3]bool{} {
		t.Errorf("S beyond the group's order: %v", got)
	}
	var off PublicKey // y = 2 is on no point of the curve
	off[0] = 2
	if got := verdicts(off, []byte("m"), sig); got != [3]bool{} {
		t.Errorf("a key off the curve: %v", got)
	}
}

// plusOrder adds the group's order to S: the same scalar in another spelling.
func plusOrder(sig Signature) Signature {
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i, o := range order {
		sum := int(sig[32+i]) + int(o) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	return sig
}

func TestWeakKeys(t *testing.T) {
	for k := range weak {
		if !k.Weak() {
			t.Errorf("%v", k)
		}
	}
	if len(weak) != 14 || key(t, "k").Public().Weak() {
		t.Error("an honest key is weak, or a weak one is missing")
	}
}

func TestBatchFindsTheBadOnes(t *testing.T) {
	var b Batch
	if got := b.Verify(); len(got) != 0 {
		t.Errorf("an empty batch: %v", got)
	}
	k := key(t, "k")
	for i := range 40 {
		msg := []byte{byte(i)}
		sig := k.Sign(DomainSubmission, "o", msg)
		sig[5] ^= byte(i % 7 / 6) // every seventh is bad
		if b.Add(k.Public(), DomainSubmission, "o", msg, sig) != i {
			t.Fatal("index")
		}
	}
	for i, ok := range b.Verify() {
		if ok != (i%7 != 6) {
			t.Errorf("signature %d: %v", i, ok)
		}
	}
}

// TestHandleVector: HKDF by hand (RFC 5869: extract with a zero salt, one block
// of expand), computed with Python's hmac.
func TestHandleVector(t *testing.T) {
	var s Secret
	for i := range s {
		s[i] = byte(i)
	}
	if got := hex.EncodeToString(s.Handle("a-portal", 0).Seed()); got != "d0b96d7e1fe934656ea6e10a08eaf25f23ffe59c740a48fe91acc405e3a4f065" {
		t.Errorf("generation 0: %s", got)
	}
	if got := hex.EncodeToString(s.Handle("a-portal", 258).Seed()); got != "081893086f61f2f3810bb68539cdc7974c40386e33691f3e4cee2128f290d910" {
		t.Errorf("generation 258: %s", got)
	}
}

func TestHandlesDiffer(t *testing.T) {
	seen := map[PublicKey]string{}
	for _, s := range []Secret{{1}, {2}} {
		for _, id := range []string{"a", "b", "ab", "a-b"} {
			for gen := range uint64(3) {
				h := s.Handle(id, gen)
				name := fmt.Sprint(s[0], id, gen)
				if other, ok := seen[h.Public()]; ok {
					t.Errorf("%s and %s have one handle", name, other)
				}
				seen[h.Public()] = name
				if s.Handle(id, gen).Public() != h.Public() {
					t.Errorf("%s changes", name)
				}
			}
		}
	}
}

func BenchmarkBatchVerify(b *testing.B) {
	k, msg := key(b, "k"), make([]byte, 200)
	for _, n := range []int{1, 64, 400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var batch Batch
			for i := range n {
				msg[0], msg[1] = byte(i), byte(i>>8)
				batch.Add(k.Public(), DomainSubmission, "o", msg, Signature(ed25519.Sign(k.Private(), Message(DomainSubmission, "o", msg))))
			}
			for b.Loop() {
				if !batch.Verify()[0] {
					b.Fatal("bad")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/sig")
		})
	}
}
