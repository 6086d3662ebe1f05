package adversary

import (
	"archive/tar"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"filippo.io/age"
)

// Backup takes a member's backup, and what is in it, with the identities that open it.
func (a *Adversary) Backup(file []byte, identities ...age.Identity) error {
	plain, err := age.Decrypt(bytes.NewReader(file), identities...)
	if err != nil {
		return fmt.Errorf("open a backup: %w", err)
	}
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if strings.HasPrefix(h.Name, "blobs/") {
			a.backupBlobs(b)
		} else {
			a.Raw(b)
		}
	}
}

// backupBlobs takes the pairs of {1: key, 2: value} that a file of blobs is full of.
func (a *Adversary) backupBlobs(b []byte) {
	for len(b) > 0 {
		key, rest, ok := field(b, 1)
		value, rest, also := field(rest, 2)
		if !ok || !also {
			b = b[1:]
			continue
		}
		a.Value(key, value)
		b = rest
	}
}

// field reads a byte string of CBOR behind its number in a map.
func field(b []byte, number byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != number || b[1]>>5 != 2 {
		return nil, b, false
	}
	size, b := uint64(b[1]&31), b[2:]
	if size >= 24 {
		n := 1 << (size - 24)
		if n > 8 || len(b) < n {
			return nil, b, false
		}
		var long [8]byte
		copy(long[8-n:], b)
		size, b = binary.BigEndian.Uint64(long[:]), b[n:]
	}
	if size > uint64(len(b)) {
		return nil, b, false
	}
	return b[:size], b[size:], true
}

// keyText is how a custody key stands in its file.
var keyText = regexp.MustCompile(`(?:^|[^0-9a-f])([0-9a-f]{64})\n`)

func (a *Adversary) custodyKeys(b []byte) {
	for _, m := range keyText.FindAllSubmatch(b, -1) {
		var key [32]byte
		hex.Decode(key[:], m[1])
		a.keys[key] = true
	}
}

// copyName is the name of a copy in a custodian's vault.
var copyName = regexp.MustCompile(`^p/[^./]+\.[0-9a-f]{32}/[0-9a-f]{32}$`)

// copies opens the copies in the vaults of custodians.
func (s *search) copies() {
	for secret := range s.keys {
		m := hmac.New(sha256.New, secret[:])
		io.WriteString(m, "akashi/escrow/seal/v1\n")
		key := [32]byte(m.Sum(nil))
		for _, page := range s.pages {
			eachEntry(page, func(id, sealed []byte) {
				if copyName.Match(id) {
					s.copyOf(decrypt(&key, sealed, maxBlob))
				}
			})
		}
	}
}

// copyOf takes {1: id, 2: value} behind the size of it: an entry of the owner's vault.
func (s *search) copyOf(plain []byte) {
	if len(plain) < 5 || plain[4] != 0xa2 {
		return
	}
	id, rest, ok := field(plain[5:], 1)
	value, _, also := field(rest, 2)
	if ok && also && s.loot.add(plain) {
		s.entries = append(s.entries, entry{id, value})
	}
}
