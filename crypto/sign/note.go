package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
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
// no plus sign (C2SP signed-note).
func ValidName(name string) bool {
	return name != "" && len(name) <= 128 && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsSpace) && !strings.Contains(name, "+")
}

// FormatNote returns the signed note: the checkpoint, the log's line, and the
// cosigners' lines in the order of their names.
func FormatNote(c Checkpoint, log Key, cosigs []Cosignature, keys map[string]PublicKey) ([]byte, error) {
	text := c.Text()
	logPub := log.Public()
	lines := []string{noteLine(c.Origin, keyID(c.Origin, append([]byte{algEd25519}, logPub[:]...)), ed25519.Sign(log.priv, []byte(text)))}
	sorted := append([]Cosignature(nil), cosigs...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Signer < sorted[j].Signer })
	for _, s := range sorted {
		k, ok := keys[s.Signer]
		if !ok {
			return nil, fmt.Errorf("no key named %q", s.Signer)
		}
		sig := binary.BigEndian.AppendUint64(nil, s.Time)
		lines = append(lines, noteLine(s.Signer, keyID(s.Signer, append([]byte{algCosignatureV1}, k[:]...)), append(sig, s.Sig[:]...)))
	}
	return []byte(text + "\n" + strings.Join(lines, "")), nil
}

func noteLine(name string, id uint32, sig []byte) string {
	return "— " + name + " " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, id), sig...)) + "\n"
}

// A Policy says whose signatures make a checkpoint of one log final (C2SP
// tlog-policy): the log's own line and k of the members.
type Policy struct {
	Origin  string
	Log     PublicKey
	Members []PolicyMember
	K       int // members whose cosignature is needed
}

// A PolicyMember is a member's cosigner key in a policy.
type PolicyMember struct {
	ID     string // member id, the name of its group
	Signer string // key name
	Key    PublicKey
}

// Quorum returns k = ⌊(n+f)/2⌋+1 with f = ⌊(n−1)/3⌋: any two sets of k members
// share more than f.
func Quorum(n int) int { return (n+(n-1)/3)/2 + 1 }

// Format returns the policy as a C2SP tlog-policy file: one log line, one group
// a member, the group "members" over those, and the quorum.
func (p Policy) Format() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s\n", LogVerifierKey(p.Origin, p.Log))
	for _, m := range p.Members {
		fmt.Fprintf(&b, "witness %s-key %s\ngroup %s any %s-key\n", m.ID, CosignerKey(m.Signer, m.Key), m.ID, m.ID)
	}
	fmt.Fprintf(&b, "group members %d", p.K)
	for _, m := range p.Members {
		b.WriteString(" " + m.ID)
	}
	b.WriteString("\nquorum members\n")
	return []byte(b.String())
}

// ErrPolicy says that a policy file is not one of ours.
var ErrPolicy = errors.New("not a policy of a consortium log")

// ParsePolicy reads a policy in the form that Format writes; comments and blank
// lines are allowed. It refuses a second log line, the same key under two
// names, and a quorum over anything but the members.
func ParsePolicy(text []byte) (*Policy, error) {
	p := &Policy{}
	witness, group, seen := map[string]PolicyMember{}, map[string]PolicyMember{}, map[PublicKey]string{}
	quorum := ""
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("%w: longer than 1 MiB", ErrPolicy)
	}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if err := p.parseLine(f, witness, group, seen, &quorum); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrPolicy, i+1, err)
		}
	}
	if p.Origin == "" || p.K == 0 || quorum != "members" {
		return nil, fmt.Errorf("%w: it needs one log line, a group named members, and the quorum over it", ErrPolicy)
	}
	return p, nil
}

func (p *Policy) parseLine(f []string, witness, group map[string]PolicyMember, seen map[PublicKey]string, quorum *string) error {
	switch {
	case f[0] == "log" && len(f) == 2 && p.Origin == "":
		name, key, err := parseVkey(f[1], algEd25519)
		if err != nil {
			return err
		}
		p.Origin, p.Log, seen[key] = name, key, name
	case f[0] == "witness" && len(f) >= 3:
		name, key, err := parseVkey(f[2], algCosignatureV1)
		if err != nil {
			return err
		}
		if other, ok := seen[key]; ok {
			return fmt.Errorf("the key of %q stands under %q too", name, other)
		}
		if _, ok := witness[f[1]]; ok {
			return fmt.Errorf("second witness named %q", f[1])
		}
		seen[key], witness[f[1]] = name, PolicyMember{Signer: name, Key: key}
	case f[0] == "group" && len(f) == 4 && f[2] == "any" && f[1] != "members":
		m, ok := witness[f[3]]
		if _, twice := group[f[1]]; !ok || twice {
			return fmt.Errorf("group %q names no witness or stands twice", f[1])
		}
		m.ID = f[1]
		delete(witness, f[3])
		group[f[1]] = m
	case f[0] == "group" && len(f) >= 4 && f[1] == "members" && p.K == 0:
		for _, id := range f[3:] {
			m, ok := group[id]
			if !ok {
				return fmt.Errorf("no group named %q, or it stands twice", id)
			}
			delete(group, id)
			p.Members = append(p.Members, m)
		}
		if _, err := fmt.Sscanf(f[2], "%d", &p.K); err != nil || fmt.Sprint(p.K) != f[2] || p.K < 1 || p.K > len(p.Members) {
			return fmt.Errorf("threshold %q of %d members", f[2], len(p.Members))
		}
	case f[0] == "quorum" && len(f) == 2 && *quorum == "":
		*quorum = f[1]
	default:
		return fmt.Errorf("unexpected line that begins with %q", f[0])
	}
	return nil
}

func parseVkey(s string, alg byte) (string, PublicKey, error) {
	name, rest, _ := strings.Cut(s, "+")
	id, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	if err != nil || !ValidName(name) || len(key) != 1+PublicKeySize || key[0] != alg {
		return "", PublicKey{}, fmt.Errorf("malformed key %q", s)
	}
	if fmt.Sprintf("%08x", keyID(name, key)) != id {
		return "", PublicKey{}, fmt.Errorf("key id of %q does not follow from the key", name)
	}
	return name, PublicKey(key[1:]), nil
}

// An OpenedNote is a verified checkpoint with the cosignatures that counted.
type OpenedNote struct {
	Checkpoint
	Cosigned []Cosignature
}

// Open verifies a signed checkpoint under the policy: the log's line and k
// members' lines. A line of a known key that does not verify breaks the note
// (C2SP signed-note). The work is torchwood's; this adds who signed, and when.
func (p *Policy) Open(signed []byte) (*OpenedNote, error) {
	tw, err := torchwood.ParsePolicy(p.Format())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	c, n, err := torchwood.VerifyCheckpoint(signed, tw)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Origin != p.Origin || c.Extension != "" || c.N < 0 {
		return nil, fmt.Errorf("checkpoint of %q with %d bytes of extension: not of this log", c.Origin, len(c.Extension))
	}
	open := &OpenedNote{Checkpoint: Checkpoint{c.Origin, uint64(c.N), [32]byte(c.Hash)}}
	for _, s := range n.Sigs {
		if raw, err := base64.StdEncoding.DecodeString(s.Base64); err == nil && len(raw) == 4+8+SignatureSize {
			open.Cosigned = append(open.Cosigned, Cosignature{s.Name, binary.BigEndian.Uint64(raw[4:]), Signature(raw[12:])})
		}
	}
	return open, nil
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

