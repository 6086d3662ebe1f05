// Package adversary is somebody with copies of a member's disk, made at any times,
// and the slot of the vault as it was at one time. It reads whatever that gives. It
// is for tests of erasure, and writes nothing.
//
// It knows the formats of crypto/vault and crypto/seal, written down here a second
// time and without their checks: it asks for no tag, no associated data, no checksum
// and no generation. It takes every root key that it finds anywhere and tries it on
// every value of every copy, and on every byte of raw files and devices that might
// begin one; a key found in a block on what that block names; an identity on every
// wrapped key of its class, and a data key on whatever names the class.
//
// What it finds nothing of may still be on the disk: it is as good as its formats.
// So a test must show beside it that the same search succeeds with an older slot.
package adversary

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// Adversary is what has been copied so far.
type Adversary struct {
	values map[[32]byte]stored // of databases, each once
	raw    [][]byte
	keys   map[[32]byte]bool // custody keys, or what looks like one
}

type stored struct{ key, value []byte }

// New returns an adversary who has nothing.
func New() *Adversary {
	return &Adversary{values: map[[32]byte]stored{}, keys: map[[32]byte]bool{}}
}

// Values returns how many different values it has.
func (a *Adversary) Values() int { return len(a.values) }

// Value takes one value of a database.
func (a *Adversary) Value(key, value []byte) {
	sum := sha256.Sum256(value)
	if _, ok := a.values[sum]; !ok {
		a.values[sum] = stored{bytes.Clone(key), bytes.Clone(value)}
	}
}

// Database takes every version of every value of a copy of a Badger, deleted and
// overwritten ones too. It opens the copy for writing, as Badger does after a crash.
func (a *Adversary) Database(dir string) error {
	opts := badger.DefaultOptions(dir).WithLogger(nil).WithMemTableSize(28 << 20).WithNumCompactors(0).
		WithValueThreshold(1 << 20).WithCompression(0).WithNumLevelZeroTables(100).WithNumLevelZeroTablesStall(200)
	db, err := badger.Open(opts)
	if err != nil {
		return fmt.Errorf("open the copy of a database: %w", err)
	}
	defer db.Close()
	return db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := it.Item().Value(func(value []byte) error { a.Value(it.Item().Key(), value); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Raw takes the bytes of a file or device.
func (a *Adversary) Raw(b []byte) {
	a.raw = append(a.raw, b)
	a.custodyKeys(b)
}

// RawFiles takes the bytes of every regular file below a directory.
func (a *Adversary) RawFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			a.Raw(b)
		}
		return err
	})
}

// RawImage takes the bytes of the file behind a device, but for holes in it.
func (a *Adversary) RawImage(path string) error {
	const seekData, seekHole = 3, 4 // lseek(2)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for end := int64(0); ; {
		begin, err := f.Seek(end, seekData)
		if errors.Is(err, syscall.ENXIO) { // nothing but a hole is left
			return nil
		}
		if err == nil {
			end, err = f.Seek(begin, seekHole)
		}
		if err != nil {
			return fmt.Errorf("look for data in the image: %w", err)
		}
		b := make([]byte, end-begin)
		if _, err := f.ReadAt(b, begin); err != nil {
			return err
		}
		a.Raw(b)
	}
}

// Loot is what could be read.
type Loot struct {
	plain [][]byte
	seen  map[[32]byte]bool
	roots int
}

// Roots returns how many root keys there were to try.
func (l *Loot) Roots() int { return l.roots }

// Has reports whether b is in anything that could be read.
func (l *Loot) Has(b []byte) bool {
	for _, p := range l.plain {
		if bytes.Contains(p, b) {
			return true
		}
	}
	return false
}

func (l *Loot) add(plain []byte) (fresh bool) {
	sum := sha256.Sum256(plain)
	if l.seen[sum] {
		return false
	}
	l.seen[sum] = true
	l.plain = append(l.plain, plain)
	return true
}

// Open reads what there is with the slots of a slot file, and with those that lie
// about in what was copied. Without any, slots is nil.
func (a *Adversary) Open(slots []byte) *Loot {
	l := &Loot{seen: map[[32]byte]bool{}}
	s := &search{Adversary: a, loot: l, tried: map[[32]byte]bool{}, tails: map[string][]place{}}
	s.indexRaw()
	for _, root := range a.rootKeys(slots) {
		l.roots++
		s.root(root)
	}
	s.refs()
	s.copies()
	s.sealed()
	for _, v := range a.values {
		l.add(v.value)
	}
	for _, b := range a.raw {
		l.plain = append(l.plain, b)
	}
	return l
}

// rootKeys returns the root key of every slot record, whole or not, that is found.
func (a *Adversary) rootKeys(slots []byte) (keys [][32]byte) {
	found := map[[32]byte]bool{}
	note := func(b []byte) {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], []byte(slotMagic))
			if i < 0 || at+i+64 > len(b) {
				return
			}
			at += i
			key := [32]byte(b[at+32:])
			if key != ([32]byte{}) && !found[key] {
				found[key] = true
				keys = append(keys, key)
			}
		}
	}
	note(slots)
	for _, v := range a.values {
		note(v.value)
	}
	for _, b := range a.raw {
		note(b)
	}
	return keys
}

const slotMagic = "AKVAULT"

// A page is what buckets, carried pages and deltas hold: it calls fn for each entry
// of b for as long as it looks like one.
func eachEntry(b []byte, fn func(id, value []byte)) {
	if len(b) < 4 {
		return
	}
	count, rest := binary.BigEndian.Uint32(b), b[4:]
	for ; count > 0; count-- {
		var field [2][]byte
		for i := range field {
			if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
				return
			}
			n := int(binary.BigEndian.Uint16(rest))
			field[i], rest = rest[2:2+n], rest[2+n:]
		}
		fn(field[0], field[1])
	}
}
