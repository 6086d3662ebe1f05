package cosign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// The mark file: two slots of 512 bytes, written in turn in place. A slot is
// the length (uint16) and CRC-32C (uint32) of a canonical mark, then the mark.
// The newer slot that checks is the mark. A write that is torn by a crash
// damages the older slot only, so the mark is never lowered and never lost.
const slotBytes = 512

// Mark is the last end that this member ever cosigned.
type Mark struct {
	Height uint64         `cbor:"1,keyasint"`
	Size   uint64         `cbor:"2,keyasint"`
	Root   record.Digest  `cbor:"3,keyasint"`
	Time   uint64         `cbor:"4,keyasint"` // Unix seconds of the cosignature
	Count  uint64         `cbor:"5,keyasint"` // of writes
	Sig    sign.Signature `cbor:"6,keyasint"` // over the rest, by the cosigner key of the end's policy epoch
}

// ErrMarkLost says that the mark file is missing or unreadable though the
// member has cosigned before. The member must get a new cosigner key: with the
// old one it could sign a fork.
var ErrMarkLost = errors.New("the mark of the last cosigned checkpoint is lost")

var crcTable = crc32.MakeTable(crc32.Castagnoli)

type markFile struct {
	f      *os.File
	keys   []sign.Key // the member's cosigner keys at the opening: any of them signed what it holds
	origin string
	mark   Mark
	broken error // after a failed write or sync nothing more is written
}

func (m Mark) signed() []byte {
	m.Sig = sign.Signature{}
	return canon.Must(&m)
}

// openMark opens the mark file in dir. Where mayCreate is false it must exist; a
// new one is signed with key. The keys are all that the member ever cosigned
// with, so that the mark holds on both sides of a key's replacement.
func openMark(dir string, keys []sign.Key, origin string, mayCreate bool, key sign.Key) (*markFile, error) {
	path := filepath.Join(dir, "cosigned.mark")
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if !mayCreate {
			return nil, fmt.Errorf("%s: %w", path, ErrMarkLost)
		}
		return createMark(path, keys, origin, key)
	}
	if err != nil {
		return nil, err
	}
	m := &markFile{f: f, keys: keys, origin: origin}
	found := false
	for slot := range int64(2) {
		mk, ok := m.read(slot)
		if ok && (!found || mk.Count > m.mark.Count) {
			m.mark, found = mk, true
		}
	}
	if !found {
		f.Close()
		return nil, fmt.Errorf("%s: neither slot checks: %w", path, ErrMarkLost)
	}
	return m, nil
}

// createMark makes the file under another name first: a crash leaves no file, or
// one whose mark checks.
func createMark(path string, keys []sign.Key, origin string, key sign.Key) (*markFile, error) {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	m := &markFile{f: f, keys: keys, origin: origin}
	if err := m.create(path, key); err != nil {
		f.Close()
		return nil, fmt.Errorf("make the cosigned mark: %w", err)
	}
	return m, nil
}

func (m *markFile) create(path string, key sign.Key) error {
	if _, err := m.f.Write(make([]byte, 2*slotBytes)); err != nil {
		return err
	}
	if err := m.write(Mark{}, key); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (m *markFile) read(slot int64) (Mark, bool) {
	var mk Mark
	buf := make([]byte, slotBytes)
	if n, _ := m.f.ReadAt(buf, slot*slotBytes); n < slotBytes {
		return mk, false
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n == 0 || 6+n > slotBytes || crc32.Checksum(buf[6:6+n], crcTable) != binary.BigEndian.Uint32(buf[2:]) {
		return mk, false
	}
	if canon.Unmarshal(buf[6:6+n], &mk) != nil {
		return mk, false
	}
	for _, k := range m.keys {
		if sign.Verify(k.Public(), sign.DomainMark, m.origin, mk.signed(), mk.Sig) == nil {
			return mk, true
		}
	}
	return mk, false
}

// write makes a mark durable. After a failure the file is not touched again.
func (m *markFile) write(mk Mark, key sign.Key) error {
	if m.broken != nil {
		return m.broken
	}
	mk.Count = m.mark.Count + 1
	mk.Sig = key.Sign(sign.DomainMark, m.origin, mk.signed())
	b := canon.Must(&mk)
	buf := make([]byte, slotBytes)
	binary.BigEndian.PutUint16(buf, uint16(len(b)))
	binary.BigEndian.PutUint32(buf[2:], crc32.Checksum(b, crcTable))
	copy(buf[6:], b)
	if _, err := m.f.WriteAt(buf, int64(mk.Count%2)*slotBytes); err != nil {
		m.broken = fmt.Errorf("write the cosigned mark: %w", err)
		return m.broken
	}
	if err := m.f.Sync(); err != nil {
		m.broken = fmt.Errorf("sync the cosigned mark: %w", err)
		return m.broken
	}
	m.mark = mk
	return nil
}
