package sign

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/torchwood"
)

// FormatCosigned returns a checkpoint with cosignatures of the policy's members
// alone, in the order of their names, as a C2SP signed note without the log's
// line: what they said, whether or not it ever became final.
func (p *Policy) FormatCosigned(c Checkpoint, cosigs []Cosignature) ([]byte, error) {
	sorted := slices.Clone(cosigs)
	slices.SortFunc(sorted, func(a, b Cosignature) int { return strings.Compare(a.Signer, b.Signer) })
	note := []byte(c.Text() + "\n")
	for _, s := range sorted {
		m := p.signer(s.Signer)
		if m == nil {
			return nil, fmt.Errorf("no key named %q", s.Signer)
		}
		sig := append(binary.BigEndian.AppendUint64(nil, s.Time), s.Sig[:]...)
		note = append(note, noteLine(s.Signer, keyID(s.Signer, append([]byte{algCosignatureV1}, m.Key[:]...)), sig)...)
	}
	return note, nil
}

// OpenCosigned verifies what FormatCosigned writes, in its one spelling: at
// least one cosignature, none twice, and every one of them good.
func (p *Policy) OpenCosigned(note []byte) (*OpenedNote, error) {
	text, lines, ok := bytes.Cut(note, []byte("\n\n"))
	c, err := torchwood.ParseCheckpoint(string(text) + "\n")
	if !ok || err != nil || c.N < 0 {
		return nil, errors.New("checkpoint: not a note")
	}
	if c.Origin != p.Origin {
		return nil, fmt.Errorf("checkpoint of %q: not of this log", c.Origin)
	}
	open := &OpenedNote{Checkpoint: Checkpoint{c.Origin, uint64(c.N), [32]byte(c.Hash)}}
	for line := range strings.Lines(string(lines)) {
		s, err := p.cosignature(line, open.Checkpoint)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
		if n := len(open.Cosigned); n > 0 && open.Cosigned[n-1].Signer >= s.Signer {
			return nil, errors.New("checkpoint: a line stands twice, or out of order")
		}
		open.Cosigned = append(open.Cosigned, *s)
	}
	if len(open.Cosigned) == 0 {
		return nil, errors.New("checkpoint: nobody cosigned it")
	}
	again, err := p.FormatCosigned(open.Checkpoint, open.Cosigned)
	if err != nil || !bytes.Equal(again, note) {
		return nil, errors.New("checkpoint: not the one spelling of this note")
	}
	return open, nil
}

// cosignature reads and verifies one line of a note.
func (p *Policy) cosignature(line string, c Checkpoint) (*Cosignature, error) {
	name, sig64, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "— "), " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(sig64)
	m := p.signer(name)
	if err != nil || m == nil || len(raw) != 4+8+SignatureSize {
		return nil, fmt.Errorf("malformed line, or one of an unknown key: %q", name)
	}
	s := &Cosignature{name, binary.BigEndian.Uint64(raw[4:]), Signature(raw[12:])}
	if err := s.Verify(m.Key, c); err != nil {
		return nil, fmt.Errorf("cosignature of %s: %w", m.ID, err)
	}
	return s, nil
}

// signer returns the member whose key has a name, nil where none has.
func (p *Policy) signer(name string) *PolicyMember {
	for i := range p.Members {
		if p.Members[i].Signer == name {
			return &p.Members[i]
		}
	}
	return nil
}
