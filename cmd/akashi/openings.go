package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// openingsDir is what members disclosed to an auditor: answers of /v1/openings,
// one opening a line, in files of any name (audit.Openings). They are held in
// memory.
type openingsDir map[record.ID]audit.Opened

// Open implements audit.Openings.
func (o openingsDir) Open(id record.ID) (audit.Opened, error) { return o[id], nil }

// maxOpeningLine is the longest line of a file in bytes.
const maxOpeningLine = 1 << 20

func readOpenings(dir string) (openingsDir, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, wrongUse(fmt.Errorf("openings: %w", err))
	}
	all := openingsDir{}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		if err := all.read(filepath.Join(dir, f.Name())); err != nil {
			return nil, wrongUse(fmt.Errorf("openings %s: %w", f.Name(), err))
		}
	}
	return all, nil
}

func (o openingsDir) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	ended := false
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxOpeningLine)
	for n := 1; lines.Scan(); n++ {
		if ended {
			return fmt.Errorf("line %d comes after the end", n)
		}
		var line struct {
			rest.OpeningLine
			End bool `json:"end"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if ended = line.End; ended {
			continue
		}
		id, err := hex.DecodeString(line.ID)
		if err != nil || len(id) != len(record.ID{}) {
			return fmt.Errorf("line %d: malformed id", n)
		}
		part, err := opening(line.Part)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		items, err := opening(line.Items)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		o[record.ID(id)] = audit.Opened{Part: part, Items: items}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !ended {
		return errors.New("it has no last line: the answer was cut off")
	}
	return nil
}

func opening(v *rest.OpeningView) (*record.Opening, error) {
	if v == nil {
		return nil, nil
	}
	if len(v.Nonce) != len(seal.Nonce{}) {
		return nil, fmt.Errorf("a nonce of %d bytes", len(v.Nonce))
	}
	return &record.Opening{Nonce: [32]byte(v.Nonce), Part: v.Part}, nil
}
