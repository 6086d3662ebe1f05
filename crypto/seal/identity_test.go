package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestIdentityRoundTrip(t *testing.T) {
	id := newIdentity(t)
	b := id.Marshal()
	got, err := ParseIdentity(b)
	if err != nil || got.Number != id.Number || got.Recipient().String() != id.Recipient().String() {
		t.Fatalf("%v", err)
	}
	if len(b) != identityBytes || !bytes.Equal(got.Marshal(), b) {
		t.Errorf("%d bytes marshalled, or differently the second time", len(b))
	}
	if newIdentity(t).Number == id.Number {
		t.Error("two identities with one number")
	}
	to, err := ParseRecipient(id.Recipient().String())
	if err != nil || to.String() != id.Recipient().String() {
		t.Errorf("recipient: %v", err)
	}
	if (Identity{}).Marshal() != nil || (Recipient{}).String() != "" {
		t.Error("zero values have bytes")
	}
}

func TestIdentityHasOneSpelling(t *testing.T) {
	id := newIdentity(t)
	once, err := NewOneTime()
	if err != nil {
		t.Fatal(err)
	}
	good := id.Marshal()
	for i := range good {
		if i >= 2 && i < identityHeadBytes {
			continue // every number is a number
		}
		b := bytes.Clone(good)
		b[i] ^= 0x20 // changes the case of letters, too
		if _, err := ParseIdentity(b); !errors.Is(err, ErrIdentity) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	lower := append(bytes.Clone(good[:identityHeadBytes]), bytes.ToLower(good[identityHeadBytes:])...)
	for name, b := range map[string][]byte{
		"lower case": lower, "cut": good[:len(good)-1], "longer": append(good, 0), "one-time": once.Marshal(), "empty": nil,
	} {
		if _, err := ParseIdentity(b); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseOneTime(good); !errors.Is(err, ErrIdentity) {
		t.Errorf("person's identity as a one-time one: %v", err)
	}
	if got, err := ParseOneTime(once.Marshal()); err != nil || got.Number() != once.Number() {
		t.Errorf("one-time: %v", err)
	}
	text := id.Recipient().String()
	for _, bad := range []string{"", strings.ToUpper(text), text + "x", text[:len(text)-1], strings.Repeat("a", 5000)} {
		if _, err := ParseRecipient(bad); !errors.Is(err, ErrRecipient) {
			t.Errorf("recipient of %d bytes: %v", len(bad), err)
		}
	}
}

// A careless caller prints, logs and encodes secrets in every way it can,
// directly and inside structs of its own.
func TestSecretsRedactThemselves(t *testing.T) {
	id, key, nonce := newIdentity(t), NewDataKey(), NewNonce()
	once, err := NewOneTime()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	type holder struct {
		id   Identity
		key  DataKey
		once OneTime
		Open struct{ Nonce Nonce }
	}
	held := holder{id: id, key: key, once: once}
	held.Open.Nonce = nonce
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		for _, value := range []any{id, &id, key, &key, once, nonce, &nonce, held, &held, []Nonce{nonce}, map[string]DataKey{"k": key}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("secrets", "id", id, "key", key, "once", once, "nonce", nonce, "held", held)
	}
	for _, value := range []any{id, key, once} {
		if b, err := json.Marshal(value); !errors.Is(err, ErrSecret) {
			t.Errorf("JSON of a secret: %s, %v", b, err)
		}
	}
	if len(seed(id)) != 32 {
		t.Fatalf("seed of %d bytes", len(seed(id)))
	}
	printed := strings.ToLower(out.String())
	for name, secret := range map[string][]byte{
		"identity": []byte(id.key.get().String())[20:40], "identity's seed": seed(id)[:8],
		"one-time": []byte(once.identity.key.get().String())[20:40], "one-time's seed": seed(once.identity)[:8],
		"data key": key.key.get().secret[:8], "nonce": nonce[:8],
	} {
		for _, spelling := range []string{
			string(secret), fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint(secret), "[]"),
			strings.Trim(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte"), "{}"),
		} {
			if strings.Contains(printed, strings.ToLower(spelling)) {
				t.Errorf("%s was printed as %q", name, spelling)
			}
		}
	}
	if !strings.Contains(printed, redactedText) {
		t.Error("nothing was redacted: the test looks in the wrong place")
	}
}

// seed decodes the data part of age's text form (BIP 173).
func seed(id Identity) (b []byte) {
	text := strings.ToLower(id.key.get().String())
	acc, n := 0, 0
	for _, c := range text[19 : len(text)-6] {
		acc, n = acc<<5|strings.IndexRune("qpzry9x8gf2tvdw0s3jn54khce6mua7l", c), n+5
		if n >= 8 {
			n -= 8
			b, acc = append(b, byte(acc>>n)), acc&(1<<n-1)
		}
	}
	return b
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(newIdentity(f).Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := ParseIdentity(b); err == nil && !bytes.Equal(id.Marshal(), b) {
			t.Fatal("a second spelling was accepted")
		}
	})
}

func BenchmarkNewIdentity(b *testing.B) {
	for b.Loop() {
		if _, err := NewIdentity(); err != nil {
			b.Fatal(err)
		}
	}
}
