// Package evidence keeps what proves that members signed what contradicts
// itself: files of the form akashi-evidence/v1 (docs/spec/evidence.md), beside
// the mark of what this member cosigned.
//
// # Invariants
//
//   - Only what verifies under the consortium's policies is kept.
//   - A file is synced before Keep returns, and never written again or removed.
//     A crash in between leaves a temporary file, which the next start removes.
//   - One contradiction is kept once, and files are bounded in number for each
//     kind and signer and in all: a liar can sign for ever.
//
// The package neither looks for contradictions nor decides what follows from
// one: package cosign stops a node.
package evidence

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// Bounds of what is kept.
const (
	maxEach = 16  // files of one kind against the same signers
	maxAll  = 256 // files
)

const (
	suffix    = ".json"
	temporary = ".new"
)

// Dir is the folder's name in a member's data directory.
const Dir = "evidence"

// An Item is one file that is kept.
type Item struct {
	ID        string // of what it shows: hex
	Kind      string
	Signers   []string // whom it names
	Found     time.Time
	SizeBytes int64
}

// Store is the evidence that one member keeps. Its methods may be called
// concurrently.
type Store struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	items []Item
	known map[string]bool // by ID
	full  bool            // said once
}

// Open reads what is kept in a member's data directory.
func Open(home string, log *slog.Logger) (*Store, error) {
	s := &Store{dir: filepath.Join(home, Dir), log: log, known: map[string]bool{}}
	items, err := List(home)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		s.add(it)
	}
	old, err := filepath.Glob(filepath.Join(s.dir, "*"+temporary))
	if err != nil {
		return nil, err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// List returns what is kept in a member's data directory, whether or not its
// node runs, oldest first. What is no evidence is passed over.
func List(home string) ([]Item, error) {
	dir := filepath.Join(home, Dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var items []Item
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && validID(id) {
			it, err := read(dir, id)
			if err != nil {
				return nil, err
			}
			if it != nil {
				items = append(items, *it)
			}
		}
	}
	slices.SortFunc(items, func(a, b Item) int {
		if c := a.Found.Compare(b.Found); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return items, nil
}

// read returns what a file says of itself, nil where it is not evidence.
func read(dir, id string) (*Item, error) {
	path := filepath.Join(dir, id+suffix)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > receipt.MaxBundleBytes {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f struct {
		Format  string   `json:"format"`
		Kind    string   `json:"kind"`
		Signers []string `json:"signers"`
	}
	if json.Unmarshal(b, &f) != nil || f.Format != receipt.FormatEvidence {
		return nil, nil
	}
	return &Item{ID: id, Kind: f.Kind, Signers: f.Signers, Found: info.ModTime(), SizeBytes: info.Size()}, nil
}

// idBytes of a claim name a file.
const idBytes = 16

func validID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == idBytes && strings.ToLower(id) == id
}

func (s *Store) add(it Item) {
	s.items = append(s.items, it)
	s.known[it.ID] = true
}

// Keep verifies a file and makes it durable. It reports whether the file is new:
// what is kept already, or beyond the bounds, is not.
func (s *Store) Keep(file []byte, policies ...*sign.Policy) (isNew bool, err error) {
	v, err := receipt.Verify(file, policies...)
	if err != nil {
		return false, fmt.Errorf("keep evidence: %w", err)
	}
	if v.Evidence == nil {
		return false, fmt.Errorf("keep evidence: a file of the format %s", v.Format)
	}
	it := Item{ID: hex.EncodeToString(v.Evidence.Claim[:idBytes]), Kind: v.Kind, Signers: v.Evidence.Signers,
		Found: time.Now(), SizeBytes: int64(len(file))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[it.ID] || !s.room(it) {
		return false, nil
	}
	if err := s.write(it.ID, file); err != nil {
		return false, fmt.Errorf("keep evidence: %w", err)
	}
	s.add(it)
	s.log.Error("evidence against members is kept", "kind", it.Kind, "signers", it.Signers, "id", it.ID, "folder", s.dir)
	return true, nil
}

func (s *Store) room(it Item) bool {
	same := 0
	for _, o := range s.items {
		if o.Kind == it.Kind && slices.Equal(o.Signers, it.Signers) {
			same++
		}
	}
	if len(s.items) < maxAll && same < maxEach {
		return true
	}
	if !s.full {
		s.log.Warn("more evidence than is kept", "files", len(s.items))
		s.full = true
	}
	return false
}

// write makes a file that is there in whole or not at all, and replaces none.
func (s *Store) write(id string, file []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, id+temporary)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(file)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(tmp, filepath.Join(s.dir, id+suffix))
	}
	if err = errors.Join(err, os.Remove(tmp)); err != nil {
		return err
	}
	for _, d := range []string{s.dir, filepath.Dir(s.dir)} { // the folder may be new
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Dir returns the folder.
func (s *Store) Dir() string { return s.dir }

// Items returns what is kept, oldest first.
func (s *Store) Items() []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.items)
}

// File returns a file's bytes, and whether it is kept.
func (s *Store) File(id string) ([]byte, bool, error) {
	s.mu.Lock()
	known := s.known[id]
	s.mu.Unlock()
	if !known {
		return nil, false, nil
	}
	b, err := os.ReadFile(filepath.Join(s.dir, id+suffix))
	return b, err == nil, err
}
