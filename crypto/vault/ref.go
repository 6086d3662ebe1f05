package vault

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// ref names a blob of the tree and opens it: never print one. A ref of zeros
// stands for a blob without entries, which is not written.
type ref struct {
	generation uint64 // in which it was written
	id         [16]byte
	key        [32]byte
	hash       [32]byte // SHA-256 of the blob
	entries    uint32   // in it and below it
	bytes      uint32   // of these, encoded
}

const refBytes = 8 + 16 + 32 + 32 + 4 + 4

func (r *ref) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.generation)
	b = append(b, r.id[:]...)
	b = append(b, r.key[:]...)
	b = append(b, r.hash[:]...)
	b = binary.BigEndian.AppendUint32(b, r.entries)
	return binary.BigEndian.AppendUint32(b, r.bytes)
}

func decodeRef(b []byte) ref {
	return ref{
		generation: binary.BigEndian.Uint64(b),
		id:         [16]byte(b[8:]),
		key:        [32]byte(b[24:]),
		hash:       [32]byte(b[56:]),
		entries:    binary.BigEndian.Uint32(b[88:]),
		bytes:      binary.BigEndian.Uint32(b[92:]),
	}
}

// place is where in the tree of a vault a blob belongs.
type place struct {
	vault  [16]byte
	kind   string // "root", "middle", "bucket" or "carry"
	number int    // of a middle block or bucket, else 0
}

func (p place) key(r *ref) string {
	return fmt.Sprintf("%s%x", blobKey(p.vault, r.generation, p.kind), r.id)
}

func (p place) ad(r *ref) []byte {
	b := append([]byte("akashi/vault/"+p.kind+"/v2\n"), p.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, r.generation)
	b = append(b, r.id[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p.number))
}

// seal encrypts plaintext, a scratch that it gives back, under a fresh key and id.
func (p place) seal(generation uint64, plaintext []byte, entries, bytes int) (ref, Blob) {
	r := ref{generation: generation, entries: uint32(entries), bytes: uint32(bytes)}
	rand.Read(r.id[:])
	rand.Read(r.key[:])
	value := sealBlob(&r.key, p.ad(&r), plaintext)
	r.hash = sha256.Sum256(value)
	return r, Blob{Key: p.key(&r), Value: value}
}

// open returns the plaintext of the blob that r names, which the caller gives
// back. Errors: ErrBlock where it is not exactly that one; else I/O.
func (p place) open(blobs Blobs, r *ref) ([]byte, error) {
	value, err := p.read(blobs, r)
	if err != nil {
		return nil, err
	}
	plaintext, err := openBlob(&r.key, p.ad(r), value)
	if err != nil {
		return nil, p.damaged(err)
	}
	return plaintext, nil
}

// read returns the blob that r names, sealed. Errors: as open.
func (p place) read(blobs Blobs, r *ref) ([]byte, error) {
	value, err := blobs.Get(p.key(r))
	if errors.Is(err, ErrNoBlob) {
		return nil, p.damaged(err)
	}
	if err != nil {
		return nil, ioFault("get "+p.kind, err)
	}
	if sha256.Sum256(value) != r.hash {
		return nil, p.damaged(errors.New("hash differs"))
	}
	return value, nil
}

func (p place) damaged(why error) error { return because(ErrBlock, "%s %d: %w", p.kind, p.number, why) }

const (
	blobFormat    = 0x01
	blobHeadBytes = 1 + chacha20poly1305.NonceSizeX
	sealBytes     = blobHeadBytes + chacha20poly1305.Overhead
)

var errSeal = errors.New("not authentic")

// sealBlob encrypts plaintext, a scratch, and gives it back.
func sealBlob(key *[32]byte, ad, plaintext []byte) []byte {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	defer giveBack(plaintext)
	value := make([]byte, blobHeadBytes, sealBytes+len(plaintext))
	value[0] = blobFormat
	rand.Read(value[1:])
	return aead.Seal(value, value[1:blobHeadBytes], plaintext, ad)
}

// openBlob is the inverse of sealBlob; the caller gives the result back. Errors:
// errSeal.
func openBlob(key *[32]byte, ad, value []byte) ([]byte, error) {
	if len(value) < sealBytes || len(value) > MaxBlobBytes || value[0] != blobFormat {
		return nil, errSeal
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	out := scratch(len(value) - sealBytes)
	plaintext, err := aead.Open(out, value[1:blobHeadBytes], value[blobHeadBytes:], ad)
	if err != nil {
		giveBack(out)
		return nil, errSeal
	}
	return plaintext, nil
}
