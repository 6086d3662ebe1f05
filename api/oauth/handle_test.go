package oauth

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// TestUserHandle: the handle that an authenticator keeps is random, the same for all of
// a person's passkeys, and another after an erasure; who has passkeys from a version that
// made it from the reference keeps that one.
func TestUserHandle(t *testing.T) {
	blobs, err := store.OpenBlobs(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	s := &Server{Options: Options{Key: [32]byte{1}, Blobs: blobs, Now: time.Now, Member: "a-sha"}}
	s.storage = &storage{blobs: blobs, key: s.Key, now: time.Now}
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	drawn := func(person string) []byte {
		t.Helper()
		p, err := s.registering(person)
		no(err)
		if p.Person != person {
			t.Errorf("passkeys of %q", p.Person)
		}
		return p.WebAuthnID()
	}
	add := func(person string) error {
		return s.changePasskeys(person, func(p *passkeys) error {
			p.Keys = append(p.Keys, passkey{Made: time.Now()})
			return nil
		})
	}
	if err := add("p01"); !errors.Is(err, errCeremony) {
		t.Errorf("a passkey without a handle: %v", err)
	}
	first := drawn("p01")
	if len(first) != handleBytes || !bytes.Equal(first, drawn("p01")) || bytes.Equal(first, drawn("p02")) || bytes.Contains(first, s.personMAC("p01")) {
		t.Errorf("handle %x", first)
	}
	no(add("p01"))
	no(add("p01"))
	if p, err := s.passkeysOf(first); err != nil || p.Person != "p01" || len(p.Keys) != 2 {
		t.Errorf("by the handle: %+v, %v", p, err)
	}
	if _, err := s.passkeysOf(s.personMAC("p01")); !errors.Is(err, goidc.ErrNotFound) {
		t.Errorf("by what follows from the reference: %v", err)
	}
	no(s.forgetPasskeys("p01"))
	if _, err := s.passkeysFor("p01"); !errors.Is(err, goidc.ErrNotFound) {
		t.Errorf("after an erasure: %v", err)
	}
	if _, err := s.passkeysOf(first); !errors.Is(err, goidc.ErrNotFound) {
		t.Errorf("by the handle, after an erasure: %v", err)
	}
	if bytes.Equal(drawn("p01"), first) {
		t.Error("the next of the reference has the handle of the person before")
	}

	old := s.personMAC("p03") // as an earlier version kept them
	b, err := s.storage.sealed(&passkeys{Person: "p03", Keys: []passkey{{Made: time.Now()}}})
	no(err)
	no(blobs.PutMany([]store.KV{{Key: []byte("O/u/" + hex.EncodeToString(old)), Value: b}}))
	if h := drawn("p03"); !bytes.Equal(h, old) {
		t.Errorf("passkeys that there are got the handle %x", h)
	}
	no(add("p03"))
	if p, err := s.passkeysFor("p03"); err != nil || len(p.Keys) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	no(s.forgetPasskeys("p03"))
	if bytes.Equal(drawn("p03"), old) {
		t.Error("after an erasure the handle follows from the reference again")
	}
	no(blobs.Scan([]byte("O/"), func(key, value []byte) error {
		if bytes.Contains(key, []byte("p0")) || bytes.Contains(value, []byte("p0")) {
			t.Errorf("%q tells of a person", key)
		}
		return nil
	}))
}
