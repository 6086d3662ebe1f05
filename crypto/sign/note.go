package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/torchwood"
)

// Algorithm bytes of C2SP signed-note keys.
const (
	algEd25519       = 1 // the log's own signature
	algCosignatureV1 = 4 // C2SP tlog-cosignature, Ed25519
)

// A Checkpoint is a size and root of one log, the text that cosigners sign
// (C2SP tlog-checkpoint, without extension lines).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// Text returns the checkpoint's three lines.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// A Cosignature is one cosigner's timestamped word for a checkpoint.
type Cosignature struct {
	Signer string // key name
	Time   uint64 // Unix seconds at which the signer had finished deriving the log up to here
	Sig    Signature
}

func cosignMessage(c Checkpoint, unixSeconds uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", unixSeconds, c.Text())
}

// Cosign signs a checkpoint under a key name at a time in Unix seconds (C2SP
// tlog-cosignature). The time is the caller's, so that it is the time at which
// deriving ended and can be kept from going back.
func (k Key) Cosign(name string, c Checkpoint, unixSeconds uint64) Cosignature {
	return Cosignature{name, unixSeconds, Signature(ed25519.Sign(k.priv, cosignMessage(c, unixSeconds)))}
}

// Verify checks the cosignature with the strict rules of the notes' readers
// (crypto/ed25519), which accept a subset of ZIP-215.
func (s Cosignature) Verify(k PublicKey, c Checkpoint) error {
	if !ed25519.Verify(k[:], cosignMessage(c, s.Time), s.Sig[:]) {
		return ErrSignature
	}
	return nil
}

// AddTo queues the cosignature in a batch under ZIP-215 rules, as Apply needs.
func (s Cosignature) AddTo(b *Batch, k PublicKey, c Checkpoint) int {
	b.items = append(b.items, batchItem{k, cosignMessage(c, s.Time), s.Sig})
	return len(b.items) - 1
}

// CosignerKey returns the C2SP verifier key line of a cosigner.
func CosignerKey(name string, k PublicKey) string { return vkey(name, algCosignatureV1, k) }

// LogVerifierKey returns the C2SP verifier key line of the log's own key.
func LogVerifierKey(origin string, k PublicKey) string { return vkey(origin, algEd25519, k) }

func vkey(name string, alg byte, k PublicKey) string {
	key := append([]byte{alg}, k[:]...)
	return fmt.Sprintf("%s+%08x+%s", name, keyID(name, key), base64.StdEncoding.EncodeToString(key))
}

func keyID(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// ValidName reports whether name can name a key: not empty, UTF-8, no spaces,
// no plus sign (C2SP signed-note); no control characters, which break a note,
// and no number sign, which begins a comment in a policy.
func ValidName(name string) bool {
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' || r == '#' }
	return name != "" && len(name) <= 128 && utf8.ValidString(name) && !strings.ContainsFunc(name, bad)
}

// FormatNote returns the signed note: the checkpoint, the log's line, and the
// cosigners' lines in the order of their names.
func FormatNote(c Checkpoint, log Key, cosigs []Cosignature, keys map[string]PublicKey) ([]byte, error) {
	logSig := Signature(ed25519.Sign(log.priv, []byte(c.Text())))
	return encodeNote(c, log.Public(), logSig, cosigs, keys)
}

// encodeNote is the one spelling of a note that FormatNote writes.
func encodeNote(c Checkpoint, log PublicKey, logSig Signature, cosigs []Cosignature, keys map[string]PublicKey) ([]byte, error) {
	lines := []string{noteLine(c.Origin, keyID(c.Origin, append([]byte{algEd25519}, log[:]...)), logSig[:])}
	sorted := append([]Cosignature(nil), cosigs...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Signer < sorted[j].Signer })
	for _, s := range sorted {
		k, ok := keys[s.Signer]
		if !ok {
			return nil, fmt.Errorf("no key named %q", s.Signer)
		}
		lines = append(lines, NoteLine(s, k))
	}
	return []byte(c.Text() + "\n" + strings.Join(lines, "")), nil
}

// NoteLine returns the line of a cosignature in a signed note, with its newline.
func NoteLine(s Cosignature, k PublicKey) string {
	sig := append(binary.BigEndian.AppendUint64(nil, s.Time), s.Sig[:]...)
	return noteLine(s.Signer, keyID(s.Signer, append([]byte{algCosignatureV1}, k[:]...)), sig)
}

// ParseNoteLine reads the line of a cosignature of one signer and key, without
// its newline. It reports false for a line of anyone else; nothing is verified.
func ParseNoteLine(line, signer string, k PublicKey) (Cosignature, bool) {
	rest, ok := strings.CutPrefix(line, "— "+signer+" ")
	raw, err := base64.StdEncoding.DecodeString(rest)
	id := keyID(signer, append([]byte{algCosignatureV1}, k[:]...))
	if !ok || err != nil || len(raw) != 4+8+SignatureSize || binary.BigEndian.Uint32(raw) != id {
		return Cosignature{}, false
	}
	return Cosignature{signer, binary.BigEndian.Uint64(raw[4:]), Signature(raw[12:])}, true
}

func noteLine(name string, id uint32, sig []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, id), sig...)) + "\n"
}

// An OpenedNote is a verified checkpoint with the cosignatures that counted.
type OpenedNote struct {
	Checkpoint
	Cosigned  []Cosignature // of members
	Witnessed []Cosignature // of witnesses that the policy names
}

// Open verifies a signed checkpoint under the policy: the log's line, k members'
// lines and as many witnesses' as it wants, and that it lies in the policy's
// range, where it has one. A line of a known key that does not verify breaks the note;
// a line of an unknown key, and a repeated one, is passed over (C2SP
// signed-note). The work is torchwood's; this adds who signed, and when.
func (p *Policy) Open(signed []byte) (*OpenedNote, error) {
	open, _, err := p.open(signed)
	return open, err
}

// OpenExact is Open for a note that must be exactly as FormatNote writes it:
// lines of the policy's keys only, the log's first and then the cosigners' in
// the order of their names, in strict base64. No byte of it can be changed, so
// what was stored or sent is what was checked.
func (p *Policy) OpenExact(signed []byte) (*OpenedNote, error) {
	open, logSig, err := p.open(signed)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]PublicKey, len(p.Members)+len(p.Witnesses))
	for _, m := range p.Members {
		keys[m.Signer] = m.Key
	}
	for _, w := range p.Witnesses {
		keys[w.Signer] = w.Key
	}
	again, err := encodeNote(open.Checkpoint, p.Log, logSig, slices.Concat(open.Cosigned, open.Witnessed), keys)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if !bytes.Equal(again, signed) {
		return nil, errors.New("checkpoint: not the one spelling of this note")
	}
	return open, nil
}

func (p *Policy) open(signed []byte) (open *OpenedNote, logSig Signature, err error) {
	tw, err := torchwood.ParsePolicy(p.Format())
	if err != nil {
		return nil, logSig, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	c, n, err := torchwood.VerifyCheckpoint(signed, tw)
	if err != nil {
		return nil, logSig, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Origin != p.Origin || c.Extension != "" || c.N < 0 {
		return nil, logSig, fmt.Errorf("checkpoint of %q with %d bytes of extension: not of this log", c.Origin, len(c.Extension))
	}
	open = &OpenedNote{Checkpoint: Checkpoint{c.Origin, uint64(c.N), [32]byte(c.Hash)}}
	if p.Range != nil {
		if err := p.Range.Holds(open.Checkpoint); err != nil {
			return nil, logSig, fmt.Errorf("checkpoint: %w", err)
		}
	}
	for _, s := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		switch {
		case err == nil && len(raw) == 4+8+SignatureSize:
			cs := Cosignature{s.Name, binary.BigEndian.Uint64(raw[4:]), Signature(raw[12:])}
			if slices.ContainsFunc(p.Witnesses, func(w PolicyWitness) bool { return w.Signer == s.Name }) {
				open.Witnessed = append(open.Witnessed, cs)
			} else {
				open.Cosigned = append(open.Cosigned, cs)
			}
		case err == nil && len(raw) == 4+SignatureSize:
			logSig = Signature(raw[4:])
		}
	}
	return open, logSig, nil
}

// KthNewest returns the k-th newest time among cosignatures, in Unix seconds:
// the freshness of what they cover. It is 0 where there are fewer than k.
func KthNewest(cosigs []Cosignature, k int) uint64 {
	if k < 1 || len(cosigs) < k {
		return 0
	}
	times := make([]uint64, len(cosigs))
	for i, s := range cosigs {
		times[i] = s.Time
	}
	sort.Slice(times, func(i, j int) bool { return times[i] > times[j] })
	return times[k-1]
}
