package escrow

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
)

// KeyFile is the name of the custody key in a data directory: 64 hexadecimal
// digits and a newline, mode 0600. It opens nothing without a custodian's vault, so
// it may be in backups.
const KeyFile = "custody.key"

// Number is the number of an identity, or of a person, by whose tombstone a copy
// dies; zeros for what no erasure destroys.
type Number = seal.Number

// Label is all that a keeper knows of a copy.
type Label struct {
	Number Number   `cbor:"1,keyasint"`
	Copy   [16]byte `cbor:"2,keyasint"`
}

// labelBytes is the size of a label in a list: number, then copy.
const labelBytes = 32

func (l Label) bytes() [labelBytes]byte {
	return [labelBytes]byte(append(l.Number[:], l.Copy[:]...))
}

func labelOf(b [labelBytes]byte) Label {
	return Label{Number: Number(b[:16]), Copy: [16]byte(b[16:])}
}

// ownerPrefix begins the vault entries of an owner's copies. No id of a member has
// a dot. What begins with "p/NAME/" lies together in a vault, so that a number is
// found without an index.
func ownerPrefix(owner string) string { return "p/" + owner + "." }

func numberPrefix(owner string, n Number) string {
	return ownerPrefix(owner) + hex.EncodeToString(n[:]) + "/"
}

func entryOf(owner string, l Label) string {
	return numberPrefix(owner, l.Number) + hex.EncodeToString(l.Copy[:])
}

// labelAt is the inverse of entryOf.
func labelAt(id string) (owner string, l Label, ok bool) {
	rest, ok := strings.CutPrefix(id, "p/")
	if !ok {
		return "", l, false
	}
	owner, rest, ok = strings.Cut(rest, ".")
	number, copied, also := strings.Cut(rest, "/")
	if !ok || !also || len(number) != 32 || len(copied) != 32 {
		return "", l, false
	}
	_, err1 := hex.Decode(l.Number[:], []byte(number))
	_, err2 := hex.Decode(l.Copy[:], []byte(copied))
	return owner, l, err1 == nil && err2 == nil
}

// A Key is a member's custody key.
type Key struct {
	owner  string
	secret [32]byte
	item   seal.DataKey
}

// LoadKey reads the custody key of a data directory, or makes one where there is
// none.
func LoadKey(dir, owner string) (*Key, error) {
	path := filepath.Join(dir, KeyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path, owner)
	}
	if err != nil {
		return nil, err
	}
	defer clear(b)
	secret := make([]byte, hex.DecodedLen(len(strings.TrimSpace(string(b)))))
	if _, err := hex.Decode(secret, []byte(strings.TrimSpace(string(b)))); err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("%s is not a custody key", path)
	}
	return NewKey(owner, [32]byte(secret))
}

// makeKey makes the file under another name first, so that a crash leaves none or
// a whole one.
func makeKey(path, owner string) (*Key, error) {
	var secret [32]byte
	rand.Read(secret[:])
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(f, hex.EncodeToString(secret[:])+"\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return nil, fmt.Errorf("make the custody key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, err
	}
	return NewKey(owner, secret)
}

// NewKey returns the custody key with a secret.
func NewKey(owner string, secret [32]byte) (*Key, error) {
	k := &Key{owner: owner, secret: secret}
	var err error
	k.item, err = seal.DataKeyOf(k.derive("seal", ""))
	return k, err
}

// String keeps the secret out of whatever is printed.
func (k *Key) String() string { return "[redacted]" }

// GoString is String.
func (k *Key) GoString() string { return "[redacted]" }

func (k *Key) derive(what, id string) []byte {
	m := hmac.New(sha256.New, k.secret[:])
	io.WriteString(m, "akashi/escrow/"+what+"/v1\n"+id)
	return m.Sum(nil)
}

// name returns the copy id of a vault entry.
func (k *Key) name(id string) [16]byte { return [16]byte(k.derive("copy", id)) }

// secretEntry is what a copy holds.
type secretEntry struct {
	ID    []byte `cbor:"1,keyasint"` // may be any bytes
	Value []byte `cbor:"2,keyasint"`
}

// about binds a copy to its number too: a keeper cannot pass a copy that is to be
// destroyed off under another.
func (k *Key) about(l Label) seal.AAD {
	return seal.AAD{Member: k.owner, Kind: "key copy " + hex.EncodeToString(l.Number[:]), Version: 1, Record: l.Copy}
}

// seal closes a vault entry for a keeper.
func (k *Key) seal(l Label, id string, value []byte) ([]byte, error) {
	plain := canon.Must(&secretEntry{ID: []byte(id), Value: value})
	defer clear(plain)
	return seal.SealItem(k.item, k.about(l), plain)
}

// errForeign says that a copy is not one of ours.
var errForeign = errors.New("a copy that is not of this member's keys")

// open is the inverse of seal.
func (k *Key) open(l Label, sealed []byte) (*secretEntry, error) {
	plain, err := seal.OpenItem(k.item, k.about(l), sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	e := new(secretEntry)
	if err := canon.Unmarshal(plain, e); err != nil || k.name(string(e.ID)) != l.Copy {
		return nil, errForeign
	}
	return e, nil
}
