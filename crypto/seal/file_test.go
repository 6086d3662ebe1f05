package seal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

func newIdentity(t testing.TB) Identity {
	t.Helper()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sealed(t testing.TB, plaintext []byte, to ...Recipient) []byte {
	t.Helper()
	file, err := Seal(plaintext, to...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryRecipientOpens(t *testing.T) {
	a, b, stranger := newIdentity(t), newIdentity(t), newIdentity(t)
	file := sealed(t, []byte("hello"), a.Recipient(), b.Recipient())
	for _, id := range []Identity{a, b} {
		if got, err := Open(file, id); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := Open(file, stranger); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("stranger: %v", err)
	}
	if _, err := Open(file, Identity{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("empty identity: %v", err)
	}
}

// Our files are age files: the library alone reads ours, and we read its.
func TestPlainAge(t *testing.T) {
	id := newIdentity(t)
	r, err := age.Decrypt(bytes.NewReader(sealed(t, []byte("hello"), id.Recipient())), id.key.get())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	var file bytes.Buffer
	w, _ := age.Encrypt(&file, id.key.get().Recipient())
	io.WriteString(w, "hello")
	w.Close()
	if got, err := Open(file.Bytes(), id); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDamagedFile(t *testing.T) {
	id := newIdentity(t)
	file := sealed(t, []byte("hello"), id.Recipient())
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if got, err := Open(changed, id); err == nil || got != nil {
			t.Fatalf("byte %d changed: %q", i, got)
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotRecipient) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := Open(file[:i], id); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	if _, err := Open(append(file, 0), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("longer: %v", err)
	}
}

func TestClassicRecipientsAreRefused(t *testing.T) {
	id := newIdentity(t)
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	// Hidden labels let the library mix what it would otherwise refuse.
	var file bytes.Buffer
	w, err := age.Encrypt(&file, unlabelled{id.key.get().Recipient()}, classic.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "hello")
	w.Close()
	if _, err := Open(file.Bytes(), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("mixed file: %v", err)
	}
	if _, err := ParseRecipient(classic.Recipient().String()); !errors.Is(err, ErrRecipient) {
		t.Errorf("X25519 recipient: %v", err)
	}
}

type unlabelled struct{ r *age.HybridRecipient }

func (u unlabelled) Wrap(key []byte) ([]*age.Stanza, error) { return u.r.Wrap(key) }

func TestFileBounds(t *testing.T) {
	id := newIdentity(t)
	to := id.Recipient()
	if _, err := Seal(make([]byte, MaxPlaintextBytes+1), to); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	many := make([]Recipient, MaxRecipients)
	for i := range many {
		many[i] = to
	}
	largest := sealed(t, make([]byte, MaxPlaintextBytes), many...)
	if got, err := Open(largest, id); err != nil || len(got) != MaxPlaintextBytes {
		t.Errorf("largest of %d bytes: %d, %v", len(largest), len(got), err)
	}
	for name, to := range map[string][]Recipient{"none": nil, "empty": {{}}, "17": append(many, to)} {
		if _, err := Seal(nil, to...); !errors.Is(err, ErrRecipients) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(make([]byte, maxFileBytes+1), id); !errors.Is(err, ErrTooLarge) {
		t.Errorf("open too large: %v", err)
	}
	stanza := stanzaPrefix + strings.Repeat("A", 1494) + "\n" + strings.Repeat("A", 43) + "\n"
	flood := []byte(ageVersionLine + strings.Repeat(stanza, 2000) + "--- x\n")
	if _, err := Open(flood, id); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2000 stanzas: %v", err)
	}
}

func TestDataKey(t *testing.T) {
	id, standby := newIdentity(t), newIdentity(t)
	key := NewDataKey()
	file, err := key.Wrap(id.Recipient(), standby.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	about := AAD{"m", "k", 1, [16]byte{}}
	item, err := SealItem(key, about, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, holder := range []Identity{id, standby} {
		got, err := UnwrapDataKey(file, holder)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := OpenItem(got, about, item); err != nil || string(body) != "body" {
			t.Errorf("%q, %v", body, err)
		}
	}
	other := sealed(t, []byte("another use of a file with thirty-two bytes"), id.Recipient())
	if _, err := UnwrapDataKey(other, id); !errors.Is(err, ErrDamaged) {
		t.Errorf("file of another kind: %v", err)
	}
	if _, err := (DataKey{}).Wrap(id.Recipient()); !errors.Is(err, ErrNoKey) {
		t.Errorf("empty key: %v", err)
	}
}

func TestParcel(t *testing.T) {
	once, err := NewOneTime()
	if err != nil {
		t.Fatal(err)
	}
	header := ParcelHeader{[16]byte{1}, "member-0", "member-1"}
	file, err := SealParcel(header, []byte("items"), once.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if body, err := OpenParcel(file, header, once); err != nil || string(body) != "items" {
		t.Errorf("%q, %v", body, err)
	}
	for name, other := range map[string]ParcelHeader{
		"intent":    {[16]byte{2}, "member-0", "member-1"},
		"sender":    {[16]byte{1}, "member-2", "member-1"},
		"recipient": {[16]byte{1}, "member-0", "member-2"},
		"swapped":   {[16]byte{1}, "member-1", "member-0"},
	} {
		if _, err := OpenParcel(file, other, once); !errors.Is(err, ErrDamaged) {
			t.Errorf("other %s: %v", name, err)
		}
	}
	if _, err := OpenParcel(sealed(t, nil, once.Recipient()), header, once); !errors.Is(err, ErrDamaged) {
		t.Errorf("file of another kind: %v", err)
	}
	if _, err := SealParcel(ParcelHeader{Sender: "m"}, nil, once.Recipient()); !errors.Is(err, ErrName) {
		t.Errorf("no recipient name: %v", err)
	}
	if _, err := SealParcel(header, make([]byte, maxParcelBody+1), once.Recipient()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := SealParcel(header, make([]byte, maxParcelBody), once.Recipient()); err != nil {
		t.Errorf("largest: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	id := newIdentity(f)
	f.Add(sealed(f, []byte("hello"), id.Recipient()))
	f.Add([]byte(ageVersionLine + stanzaPrefix + "\n---"))
	f.Fuzz(func(t *testing.T, b []byte) {
		Open(b, id)
		UnwrapDataKey(b, id)
		OpenParcel(b, ParcelHeader{Sender: "a", Recipient: "b"}, OneTime{identity: id})
	})
}

func BenchmarkWrapDataKey(b *testing.B) {
	id, key := newIdentity(b), NewDataKey()
	to := id.Recipient()
	for b.Loop() {
		key.Wrap(to)
	}
}

func BenchmarkUnwrapDataKey(b *testing.B) {
	id := newIdentity(b)
	file, _ := NewDataKey().Wrap(id.Recipient())
	b.ReportMetric(float64(len(file)), "file-bytes")
	for b.Loop() {
		UnwrapDataKey(file, id)
	}
}
