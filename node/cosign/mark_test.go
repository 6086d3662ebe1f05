package cosign

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
)

const origin = "test.example/log"

func TestMarkSurvivesOpening(t *testing.T) {
	dir, key := t.TempDir(), sign.NewKey()
	m, err := openMark(dir, []sign.Key{key}, origin, true, key)
	if err != nil {
		t.Fatal(err)
	}
	for h := uint64(1); h <= 5; h++ {
		if err := m.write(Mark{Height: h, Size: 10 * h, Time: 1000 + h}, key); err != nil {
			t.Fatal(err)
		}
		again, err := openMark(dir, []sign.Key{key}, origin, false, key)
		if err != nil {
			t.Fatal(err)
		}
		if again.mark.Height != h || again.mark.Size != 10*h {
			t.Fatalf("after mark %d: read %+v", h, again.mark)
		}
		again.f.Close()
	}
}

func TestMarkMustNotBeLost(t *testing.T) {
	if _, err := openMark(t.TempDir(), []sign.Key{sign.NewKey()}, origin, false, sign.NewKey()); !errors.Is(err, ErrMarkLost) {
		t.Errorf("missing file: %v", err)
	}
	dir, key := t.TempDir(), sign.NewKey()
	if _, err := openMark(dir, []sign.Key{key}, origin, true, key); err != nil {
		t.Fatal(err)
	}
	if _, err := openMark(dir, []sign.Key{sign.NewKey()}, origin, false, sign.NewKey()); !errors.Is(err, ErrMarkLost) {
		t.Errorf("mark of another key: %v", err)
	}
	if _, err := openMark(dir, []sign.Key{key}, "other", false, key); !errors.Is(err, ErrMarkLost) {
		t.Errorf("mark of another log: %v", err)
	}
	path := filepath.Join(dir, "cosigned.mark")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openMark(dir, []sign.Key{key}, origin, true, key); !errors.Is(err, ErrMarkLost) {
		t.Errorf("emptied file: %v", err)
	}
}

// TestMarkHalfMade: a crash while the first mark is made leaves a file under
// another name, at any length; the next start makes the mark.
func TestMarkHalfMade(t *testing.T) {
	for _, half := range [][]byte{nil, make([]byte, 100), make([]byte, 2*slotBytes)} {
		dir, key := t.TempDir(), sign.NewKey()
		path := filepath.Join(dir, "cosigned.mark")
		if err := os.WriteFile(path+".new", half, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openMark(dir, []sign.Key{key}, origin, false, key); !errors.Is(err, ErrMarkLost) {
			t.Errorf("half of %d bytes taken for a mark: %v", len(half), err)
		}
		m, err := openMark(dir, []sign.Key{key}, origin, true, key)
		if err != nil {
			t.Fatalf("half of %d bytes: %v", len(half), err)
		}
		if err := m.write(Mark{Height: 3, Size: 30}, key); err != nil {
			t.Fatal(err)
		}
		m.f.Close()
		if again, err := openMark(dir, []sign.Key{key}, origin, false, key); err != nil || again.mark.Height != 3 {
			t.Errorf("the mark written under the final name: %v", err)
		}
		if _, err := os.Lstat(path + ".new"); !os.IsNotExist(err) {
			t.Errorf("the half file is still there: %v", err)
		}
	}
}

// TestMarkTornWrite cuts and garbles the slot that is being written at every
// length: the mark before it, or the one written, is what a start reads.
func TestMarkTornWrite(t *testing.T) {
	dir, key := t.TempDir(), sign.NewKey()
	m, err := openMark(dir, []sign.Key{key}, origin, true, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cosigned.mark")
	for h := uint64(1); h <= 3; h++ {
		if err := m.write(Mark{Height: h, Size: h}, key); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.write(Mark{Height: 4, Size: 4}, key); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= slotBytes; cut++ {
		torn := append([]byte(nil), before...)
		slot := int(m.mark.Count%2) * slotBytes
		copy(torn[slot:slot+cut], after[slot:slot+cut])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openMark(dir, []sign.Key{key}, origin, false, key)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got.mark.Height != 3 && got.mark.Height != 4 {
			t.Fatalf("cut at %d: height %d", cut, got.mark.Height)
		}
		got.f.Close()
	}
}

// TestMarkEveryBitFlip: a changed slot is never read as another mark.
func TestMarkEveryBitFlip(t *testing.T) {
	dir, key := t.TempDir(), sign.NewKey()
	m, err := openMark(dir, []sign.Key{key}, origin, true, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.write(Mark{Height: 7, Size: 70}, key); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cosigned.mark")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slot := int(m.mark.Count%2) * slotBytes
	for i := range slotBytes {
		bad := append([]byte(nil), good...)
		bad[slot+i] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openMark(dir, []sign.Key{key}, origin, false, key)
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if h := got.mark.Height; h != 7 && h != 0 {
			t.Fatalf("byte %d: read height %d", i, h)
		}
		got.f.Close()
	}
}

func TestMarkStopsAfterFailedWrite(t *testing.T) {
	key := sign.NewKey()
	m, err := openMark(t.TempDir(), []sign.Key{key}, origin, true, key)
	if err != nil {
		t.Fatal(err)
	}
	m.f.Close()
	if err := m.write(Mark{Height: 1}, key); err == nil {
		t.Fatal("a write to a closed file succeeded")
	}
	if m.broken == nil {
		t.Fatal("the file would be written again")
	}
}
