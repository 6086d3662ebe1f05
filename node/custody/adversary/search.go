package adversary

import (
	"bytes"
	"encoding/hex"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"golang.org/x/crypto/chacha20"
)

// search is one pass over what there is.
type search struct {
	*Adversary
	loot  *Loot
	queue []ref
	tried map[[32]byte]bool  // keys of refs
	tails map[string][]place // where in raw bytes a blob's id ends
	pages [][]byte

	entries []entry // of an owner's vault, from its custodians
}

type entry struct{ id, value []byte }

// ref names a blob and opens it.
type ref struct {
	id   [16]byte
	key  [32]byte
	hash [32]byte
}

type place struct{ raw, at int }

const (
	headBytes = 1 + chacha20.NonceSizeX
	refBytes  = 96
	tailChars = 24
	maxBlob   = 512 << 10
)

// decrypt opens what begins at b, which may go on behind its end: nobody checks.
func decrypt(key *[32]byte, b []byte, most int) []byte {
	if len(b) <= headBytes || b[0] != 1 {
		return nil
	}
	c, err := chacha20.NewUnauthenticatedCipher(key[:], b[1:headBytes])
	if err != nil {
		panic(err) // sizes are constants
	}
	c.SetCounter(1) // block 0 makes the key of the tag
	out := make([]byte, min(most, len(b)-headBytes))
	c.XORKeyStream(out, b[headBytes:headBytes+len(out)])
	return out
}

// kinds of plaintext, by how they begin.
func isPage(b []byte) bool {
	return len(b) > 8 && b[0] == 0 && b[1] == 0 && b[2] < 64 && b[4] < 2 && (b[4] > 0 || b[5] > 0)
}
func isRoot(b []byte) bool {
	return len(b) >= 64 && bytes.Equal(b[32:39], make([]byte, 7))
}
func isRefs(b []byte) bool { return len(b) >= 32 && bytes.Equal(b[:4], make([]byte, 4)) }

// root tries a root key on everything.
func (s *search) root(key [32]byte) {
	for _, v := range s.values {
		s.tryRoot(&key, v.value)
	}
	for _, b := range s.raw {
		for at := 0; ; at++ {
			i := bytes.IndexByte(b[at:], 1)
			if i < 0 {
				break
			}
			at += i
			s.tryRoot(&key, b[at:])
		}
	}
}

func (s *search) tryRoot(key *[32]byte, b []byte) {
	begin := decrypt(key, b, 64)
	if !isPage(begin) && !isRoot(begin) {
		return
	}
	plain := decrypt(key, b, maxBlob)
	if isRoot(begin) {
		s.follow(plain, 40) // the carried page and the middle blocks
	}
	s.take(plain)
}

// follow queues what stands where refs do.
func (s *search) follow(plain []byte, begin int) {
	for at := begin; at+refBytes <= len(plain); at += refBytes {
		r := ref{id: [16]byte(plain[at+8:]), key: [32]byte(plain[at+24:]), hash: [32]byte(plain[at+56:])}
		if r.key == ([32]byte{}) || s.tried[r.key] || !isRefs(plain[at:]) {
			continue
		}
		s.tried[r.key] = true
		s.queue = append(s.queue, r)
	}
}

func (s *search) take(plain []byte) {
	if s.loot.add(plain) {
		s.pages = append(s.pages, plain)
	}
}

// refs opens what the refs name, and what that names.
func (s *search) refs() {
	for ; len(s.queue) > 0; s.queue = s.queue[1:] {
		r := s.queue[0]
		if v, ok := s.values[r.hash]; ok {
			s.tryRef(&r.key, v.value)
		}
		for _, p := range s.tails[hex.EncodeToString(r.id[:])[32-tailChars:]] {
			b := s.Adversary.raw[p.raw]
			for at := p.at; at < min(p.at+48, len(b)); at++ {
				if b[at] == 1 {
					s.tryRef(&r.key, b[at:])
				}
			}
		}
	}
}

func (s *search) tryRef(key *[32]byte, b []byte) {
	begin := decrypt(key, b, 64)
	if !isPage(begin) && !isRefs(begin) {
		return
	}
	plain := decrypt(key, b, maxBlob)
	if isRefs(begin) {
		s.follow(plain, 0)
	}
	s.take(plain)
}

// indexRaw finds where ids of blobs may end in raw bytes: the ends of long runs of
// hexadecimal.
func (s *search) indexRaw() {
	for n, b := range s.raw {
		run := 0
		for i, c := range b {
			if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
				run++
				continue
			}
			if run >= tailChars {
				tail := string(b[i-tailChars : i])
				s.tails[tail] = append(s.tails[tail], place{n, i})
			}
			run = 0
		}
	}
}

// sealed opens what the identities of the vault open.
func (s *search) sealed() {
	for _, page := range s.pages {
		eachEntry(page, func(_, value []byte) { s.identity(value) })
	}
	for _, e := range s.entries {
		s.identity(e.value)
	}
}

// identity tries what may be the identity of a class.
func (s *search) identity(value []byte) {
	const identityBytes = 95
	if len(value) != identityBytes+16 {
		return
	}
	identity, err := seal.ParseIdentity(value[:identityBytes])
	if err == nil && s.loot.add(append([]byte("class "), value...)) {
		s.class(identity, value[identityBytes:])
	}
}

// class opens everything that names a class.
func (s *search) class(identity seal.Identity, id []byte) {
	text := []byte(hex.EncodeToString(id))
	var keys [][32]byte
	for _, v := range s.values {
		if !bytes.HasSuffix(v.key, text) || !bytes.HasPrefix(v.value, []byte("age-encryption.org/v1\n")) {
			continue
		}
		plain, err := seal.Open(v.value, identity)
		if err == nil && len(plain) >= 32 {
			keys = append(keys, [32]byte(plain[len(plain)-32:]))
		}
	}
	for _, v := range s.values {
		if !bytes.Contains(v.key, text) && !bytes.Contains(v.value, id) {
			continue
		}
		for _, key := range keys {
			for at := range min(len(v.value), 256) {
				if plain := decrypt(&key, v.value[at:], maxBlob); len(plain) > 0 && bytes.Equal(plain[:1], []byte{0}) {
					s.loot.add(plain)
				}
			}
		}
	}
}
