package receipt

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// maxPath is the longest inclusion path of a log.
const maxPath = 63

// inclusion is a tlog-proof@v1 text taken apart.
type inclusion struct {
	index uint64
	path  []merkle.Hash
	note  string
}

// formatProof returns the tlog-proof@v1 text.
func formatProof(p inclusion) string {
	path := make(tlog.RecordProof, len(p.path))
	for i, h := range p.path {
		path[i] = tlog.Hash(h)
	}
	return string(torchwood.FormatProof(int64(p.index), path, []byte(p.note)))
}

// parseProof reads a tlog-proof@v1 text without extra data, in the one spelling
// that formatProof has.
func parseProof(s string) (inclusion, error) {
	bad := errors.New("malformed tlog-proof@v1")
	head, note, ok := strings.Cut(s, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || len(lines) > 2+maxPath || lines[0] != "c2sp.org/tlog-proof@v1" {
		return inclusion{}, bad
	}
	digits, ok := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || index < 0 {
		return inclusion{}, bad
	}
	p := inclusion{index: uint64(index), note: note}
	for _, l := range lines[2:] {
		h, err := base64.StdEncoding.Strict().DecodeString(l)
		if err != nil || len(h) != merkle.HashSize {
			return inclusion{}, bad
		}
		p.path = append(p.path, merkle.Hash(h))
	}
	if formatProof(p) != s {
		return inclusion{}, fmt.Errorf("%w: another spelling", bad)
	}
	return p, nil
}

// final is a checkpoint that counts.
type final struct {
	*sign.OpenedNote
	note   string
	timeMs uint64 // k-th newest cosignature, Unix milliseconds
}

// openNote verifies a signed checkpoint under the first policy that it fits, in
// its one spelling.
func openNote(text string, policies []*sign.Policy) (*final, error) {
	origin, _, _ := strings.Cut(text, "\n")
	var reason error = ErrPolicy
	for _, p := range policies {
		if p.Origin != origin {
			continue
		}
		n, err := p.OpenExact([]byte(text))
		if err != nil {
			reason = fmt.Errorf("%w: %w", ErrNotFinal, err)
			continue
		}
		return &final{n, text, sign.KthNewest(n.Cosigned, p.K) * 1000}, nil
	}
	return nil, reason
}

// holds checks a leaf at the checkpoint.
func (f *final) holds(p inclusion, leaf []byte) error {
	if p.note != f.note {
		return errors.New("its checkpoint is not that of the record")
	}
	return merkle.VerifyInclusion(merkle.LeafHash(leaf), p.index, f.Size, p.path, merkle.Hash(f.Root))
}

// seal checks a seal at the checkpoint and returns it with its index.
func (f *final) seal(s *proven) (*record.Seal, uint64, error) {
	seal, err := record.ParseSeal(s.Leaf)
	if err != nil {
		return nil, 0, err
	}
	p, err := parseProof(s.Proof)
	if err != nil {
		return nil, 0, err
	}
	return seal, p.index, f.holds(p, s.Leaf)
}

// last checks the seal that is the checkpoint's last leaf.
func (f *final) last(s *proven) (*record.Seal, error) {
	seal, index, err := f.seal(s)
	if err == nil && index != f.Size-1 {
		err = fmt.Errorf("the seal is leaf %d, not the last of %d", index, f.Size)
	}
	return seal, err
}

// sourced reads a source at its checkpoint.
type sourced struct {
	Source
	checkpoint sign.Checkpoint
	note       []byte
}

// open reads the source's checkpoint without judging its signatures: who builds
// a file verifies it afterwards.
func open(src Source) (*sourced, error) {
	note, err := src.Note()
	if err != nil {
		return nil, fmt.Errorf("signed checkpoint: %w", err)
	}
	text, _, ok := bytes.Cut(note, []byte("\n\n"))
	c, err := torchwood.ParseCheckpoint(string(text) + "\n")
	if !ok || err != nil || c.N < 1 {
		return nil, fmt.Errorf("signed checkpoint: not a note, or of an empty log: %w", err)
	}
	return &sourced{src, sign.Checkpoint{Origin: c.Origin, Size: uint64(c.N), Root: [32]byte(c.Hash)}, note}, nil
}

// proven returns a leaf with its proof.
func (s *sourced) proven(index uint64) (*proven, error) {
	leaf, err := s.Leaf(index)
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w", index, err)
	}
	path, err := s.Path(index)
	if err != nil {
		return nil, fmt.Errorf("path of leaf %d: %w", index, err)
	}
	return &proven{leaf, formatProof(inclusion{index, path, string(s.note)})}, nil
}
