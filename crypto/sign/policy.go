package sign

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Policy says whose signatures make a checkpoint of one log final (C2SP
// tlog-policy): the log's own line, k of the members, and where it has witnesses
// some of those.
//
// A witness that is required must check that k members cosigned before it
// cosigns. One that checks the log's own line alone can be fed a fork by whoever
// holds that one key, and then it refuses the consortium's log.
type Policy struct {
	Origin    string
	Log       PublicKey
	Members   []PolicyMember
	K         int // members whose cosignature is needed
	Witnesses []PolicyWitness
	WitnessK  int    // witnesses whose cosignature is needed, 0 where there are none
	Range     *Range // policy epoch in which it counts; nil: not said, any size
}

// A PolicyMember is a member's cosigner key in a policy.
type PolicyMember struct {
	ID     string // member id, the name of its group
	Signer string // key name
	Key    PublicKey
}

// A PolicyWitness is the key of an external witness (C2SP tlog-witness) in a
// policy.
type PolicyWitness struct {
	Signer string // key name
	Key    PublicKey
}

// Quorum returns k = ⌊(n+f)/2⌋+1 with f = ⌊(n−1)/3⌋: any two sets of k members
// share more than f.
func Quorum(n int) int { return (n+(n-1)/3)/2 + 1 }

// Format returns the policy as a C2SP tlog-policy file: one log line, one group
// a member, the group "members" over those, and the quorum; where witnesses are
// required, the group "witnesses" and the group "all" of both. The lines of keys
// are named with a dot, which no member id contains, so the names never meet.
func (p Policy) Format() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s\n", LogVerifierKey(p.Origin, p.Log))
	for _, m := range p.Members {
		fmt.Fprintf(&b, "witness %s.key %s\ngroup %s any %s.key\n", m.ID, CosignerKey(m.Signer, m.Key), m.ID, m.ID)
	}
	fmt.Fprintf(&b, "group members %d", p.K)
	for _, m := range p.Members {
		b.WriteString(" " + m.ID)
	}
	b.WriteString("\n")
	if len(p.Witnesses) == 0 {
		b.WriteString("quorum members\n")
		return []byte(b.String())
	}
	names := ""
	for i, w := range p.Witnesses {
		fmt.Fprintf(&b, "witness %d.witness %s\n", i+1, CosignerKey(w.Signer, w.Key))
		names += fmt.Sprintf(" %d.witness", i+1)
	}
	fmt.Fprintf(&b, "group witnesses %d%s\ngroup all all members witnesses\nquorum all\n", p.WitnessK, names)
	return []byte(b.String())
}

// ErrPolicy says that a policy file is not one of ours.
var ErrPolicy = errors.New("not a policy of a consortium log")

// ParsePolicy reads a policy in the form that Format writes; comments and blank
// lines are allowed. It refuses a second log line, a key or a key's name that
// stands twice, a witness or group that counts for nothing, and a quorum over
// anything but the members, or the members and the witnesses.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("%w: longer than 1 MiB", ErrPolicy)
	}
	p := policyParser{witness: map[string]PolicyMember{}, group: map[string]PolicyMember{},
		parts: map[string]bool{}, keys: map[PublicKey]bool{}, names: map[string]bool{}}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if err := p.line(f); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrPolicy, i+1, err)
		}
	}
	want := "members"
	if len(p.Witnesses) > 0 {
		want = "all"
	}
	if p.Origin == "" || p.K == 0 || p.quorum != want || p.both != (want == "all") {
		return nil, fmt.Errorf("%w: it needs one log line, a group named members, and the quorum over it (and over the witnesses, where it has some)", ErrPolicy)
	}
	if len(p.witness)+len(p.group) > 0 {
		return nil, fmt.Errorf("%w: %d witnesses and groups count for nothing", ErrPolicy, len(p.witness)+len(p.group))
	}
	var err error
	if p.Range, err = parseRange(string(text), p.Origin); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return &p.Policy, nil
}

// A policyParser is a policy on its way in, with what no later line has used.
type policyParser struct {
	Policy
	witness, group map[string]PolicyMember
	parts          map[string]bool // names of witnesses and groups
	keys           map[PublicKey]bool
	names          map[string]bool // of keys
	quorum         string
	both           bool // there is the group of members and witnesses
}

func (p *policyParser) line(f []string) error {
	switch {
	case f[0] == "log" && len(f) == 2 && p.Origin == "":
		var err error
		p.Origin, p.Log, err = p.key(f[1], algEd25519)
		return err
	case f[0] == "witness" && (len(f) == 3 || len(f) == 4): // the fourth is where to ask
		if p.parts[f[1]] {
			return fmt.Errorf("second part named %q", f[1])
		}
		p.parts[f[1]] = true
		name, key, err := p.key(f[2], algCosignatureV1)
		p.witness[f[1]] = PolicyMember{Signer: name, Key: key}
		return err
	case f[0] == "group" && len(f) == 4 && f[2] == "any" && validGroup(f[1]):
		m, ok := p.witness[f[3]]
		if !ok || p.parts[f[1]] {
			return fmt.Errorf("group %q names no witness, or stands twice", f[1])
		}
		m.ID, p.parts[f[1]] = f[1], true
		delete(p.witness, f[3])
		p.group[f[1]] = m
	case f[0] == "group" && len(f) >= 4 && f[1] == "members" && p.K == 0:
		return p.members(f[2], f[3:])
	case f[0] == "group" && len(f) >= 4 && f[1] == "witnesses" && p.WitnessK == 0:
		return p.witnesses(f[2], f[3:])
	case strings.Join(f, " ") == "group all all members witnesses" && p.K > 0 && p.WitnessK > 0 && !p.both:
		p.both = true
	case f[0] == "quorum" && len(f) == 2 && p.quorum == "":
		p.quorum = f[1]
	default:
		return fmt.Errorf("unexpected line that begins with %q", f[0])
	}
	return nil
}

func (p *policyParser) members(threshold string, ids []string) error {
	for _, id := range ids {
		m, ok := p.group[id]
		if !ok {
			return fmt.Errorf("no group named %q, or it stands twice", id)
		}
		delete(p.group, id)
		p.Members = append(p.Members, m)
	}
	var err error
	p.K, err = thresholdOf(threshold, len(ids))
	return err
}

func (p *policyParser) witnesses(threshold string, names []string) error {
	for _, name := range names {
		m, ok := p.witness[name]
		if !ok {
			return fmt.Errorf("no witness named %q, or it stands twice", name)
		}
		delete(p.witness, name)
		p.Witnesses = append(p.Witnesses, PolicyWitness{m.Signer, m.Key})
	}
	var err error
	p.WitnessK, err = thresholdOf(threshold, len(names))
	return err
}

func thresholdOf(s string, n int) (int, error) {
	k, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(k) != s || k < 1 || k > n {
		return 0, fmt.Errorf("threshold %q of %d", s, n)
	}
	return k, nil
}

// key reads a verifier key whose name and key are new to the policy.
func (p *policyParser) key(s string, alg byte) (string, PublicKey, error) {
	name, key, err := parseVkey(s, alg)
	if err == nil && (p.keys[key] || p.names[name]) {
		err = fmt.Errorf("the key of %q, or its name, stands twice", name)
	}
	p.keys[key], p.names[name] = true, true
	return name, key, err
}

// ReservedGroup reports whether a policy gives a group's name another meaning, so
// that no member may have it as its id.
func ReservedGroup(s string) bool {
	return s == "members" || s == "none" || s == "witnesses" || s == "all"
}

// validGroup reports whether s can name a member's group: its id, except the
// words that a policy gives another meaning.
func validGroup(s string) bool {
	const id = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return s != "" && !ReservedGroup(s) && strings.Trim(s, id) == ""
}

// ParseCosignerKey reads the C2SP verifier key line of a cosigner or witness.
func ParseCosignerKey(s string) (name string, k PublicKey, err error) {
	return parseVkey(s, algCosignatureV1)
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
