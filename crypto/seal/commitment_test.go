package seal

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

func TestCommitmentVectors(t *testing.T) {
	for _, v := range readVectors(t).Commitments {
		nonce, part := Nonce(unhex(t, v.Nonce)), unhex(t, v.Part)
		want := [32]byte(unhex(t, v.Commitment))
		if Commit(nonce, part) != want || !CheckOpening(want, nonce, part) {
			t.Errorf("part %x: %x, want %x", part, Commit(nonce, part), want)
		}
		nonce[0] ^= 1
		if CheckOpening(want, nonce, part) || CheckOpening(want, NewNonce(), part) {
			t.Error("opened with another nonce")
		}
	}
}

// An attacker who knows everything but the nonce tries every number of a small
// numbering plan, plainly and with nonces that might have been used by mistake.
// With the nonce the same search succeeds, so it is the nonce that protects.
func TestDictionaryNeedsTheNonce(t *testing.T) {
	const plan = 20000
	phone := func(i int) []byte { return fmt.Appendf(nil, "000-%04d-%04d", i/10000, i%10000) }
	nonce, secret := NewNonce(), 12345
	commitment := Commit(nonce, phone(secret))

	search := func(try func(part []byte) [32]byte) (found int) {
		for i := range plan {
			if try(phone(i)) == commitment {
				return i
			}
		}
		return -1
	}
	guesses := map[string]func([]byte) [32]byte{
		"plain hash":          func(p []byte) [32]byte { return sha256.Sum256(p) },
		"zero nonce":          func(p []byte) [32]byte { return Commit(Nonce{}, p) },
		"nonce from the part": func(p []byte) [32]byte { return Commit(sha256.Sum256(p), p) },
		"a fresh nonce":       func(p []byte) [32]byte { return Commit(NewNonce(), p) },
		"another record's":    func(p []byte) [32]byte { return Commit(Nonce(commitment), p) },
	}
	for name, try := range guesses {
		if i := search(try); i >= 0 {
			t.Errorf("%s: found number %d", name, i)
		}
	}
	if i := search(func(p []byte) [32]byte { return Commit(nonce, p) }); i != secret {
		t.Errorf("control with the nonce: found %d, want %d", i, secret)
	}
}

func BenchmarkCommit500(b *testing.B) {
	nonce, part := NewNonce(), make([]byte, 500)
	for b.Loop() {
		Commit(nonce, part)
	}
}
