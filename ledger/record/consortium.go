package record

import "github.com/akashi-ledger/akashi/crypto/sign"

// Regimes of law under which a party stands (APPI chapters 4 and 5, the
// Telecommunications Business Act, or none of these: not in Japan).
var regimes = map[string]bool{"ch4": true, "ch5": true, "telecom": true, "foreign": true}

// MemberInfo is what the founders say of one member.
type MemberInfo struct {
	ID         string         `cbor:"1,keyasint"`
	Name       Text           `cbor:"2,keyasint"`
	Regime     string         `cbor:"3,keyasint"`
	Country    string         `cbor:"4,keyasint"`           // ISO 3166-1 alpha-2
	Categories []string       `cbor:"5,keyasint,omitempty"` // ascending
	Key        sign.PublicKey `cbor:"6,keyasint"`           // signs submissions and headers
	Cosigner   string         `cbor:"7,keyasint"`           // name of the cosigner key
	CosignKey  sign.PublicKey `cbor:"8,keyasint"`
	Peer       sign.PublicKey `cbor:"9,keyasint"`  // identity on the network
	Approver   sign.PublicKey `cbor:"10,keyasint"` // second approver of exceptions
	Addr       string         `cbor:"11,keyasint"` // host:port of the network at founding
}

func (m *MemberInfo) check() error {
	if err := checkID("member", m.ID); err != nil {
		return err
	}
	if err := checkText("member's name", m.Name, MaxNameBytes); err != nil {
		return err
	}
	if !regimes[m.Regime] || len(m.Country) != 2 || len(m.Addr) > MaxNameBytes || !sign.ValidName(m.Cosigner) {
		return refuse(CodeRecordMalformed, "member %s: regime, country, address or cosigner name", m.ID)
	}
	if m.Key == m.CosignKey || m.Key == m.Approver || m.CosignKey == m.Approver || m.Peer == m.CosignKey {
		return refuse(CodeRecordMalformed, "member %s: one key in two roles", m.ID)
	}
	if sign.ReservedGroup(m.ID) { // words of a policy file
		return refuse(CodeRecordMalformed, "no member can be named %q", m.ID)
	}
	for _, k := range []sign.PublicKey{m.Key, m.CosignKey, m.Approver, m.Peer} {
		if err := checkKey("a key of "+m.ID, k); err != nil {
			return err
		}
	}
	return checkIDs("categories", m.Categories, 16)
}

// Attribute is one item code of the consortium's vocabulary.
type Attribute struct {
	Code        string   `cbor:"1,keyasint"`
	Class       string   `cbor:"2,keyasint"`           // normal, sensitive, biometric, location
	Granularity string   `cbor:"3,keyasint,omitempty"` // finest allowed level
	Brackets    []string `cbor:"4,keyasint,omitempty"` // the only allowed values
	Label       Text     `cbor:"5,keyasint"`
}

// Purpose is one purpose code of the consortium's vocabulary.
type Purpose struct {
	Code  string `cbor:"1,keyasint"`
	Label Text   `cbor:"2,keyasint"`
}

// Founding is what the founders agree on; all of it is public.
type Founding struct {
	Origin     string         `cbor:"1,keyasint"` // the log's name
	CreatedMs  uint64         `cbor:"2,keyasint"` // Unix milliseconds
	LogKey     sign.PublicKey `cbor:"3,keyasint"`
	Members    []MemberInfo   `cbor:"4,keyasint"` // ascending by id
	Attributes []Attribute    `cbor:"5,keyasint,omitempty"`
	Purposes   []Purpose      `cbor:"6,keyasint,omitempty"`
	Levels     []string       `cbor:"7,keyasint,omitempty"`  // granularities, coarse to fine
	Parameters []Parameter    `cbor:"8,keyasint,omitempty"`  // ascending by name
	StoryTime  bool           `cbor:"9,keyasint,omitempty"`  // the clock is a story's, not the world's
	Witnesses  []Witness      `cbor:"10,keyasint,omitempty"` // ascending by name
	WitnessK   int            `cbor:"11,keyasint,omitempty"` // how many of the required ones must cosign
}

// Parameter is a named value that members may change by vote.
type Parameter struct {
	Name  string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint"`
}

// Genesis is the founding with the signature of every founder, in the order of
// the members (domain "genesis" over the canonical founding).
type Genesis struct {
	Founding   Founding         `cbor:"1,keyasint"`
	Signatures []sign.Signature `cbor:"2,keyasint"`
}

func (g *Genesis) check() error {
	f := &g.Founding
	if !sign.ValidName(f.Origin) || f.CreatedMs == 0 || f.CreatedMs > MaxTimeMs {
		return refuse(CodeRecordMalformed, "origin or time of founding")
	}
	if len(f.Members) == 0 || len(f.Members) > MaxMembers || len(g.Signatures) != len(f.Members) {
		return refuse(CodeRecordMalformed, "%d members, %d signatures", len(f.Members), len(g.Signatures))
	}
	keys, names := map[sign.PublicKey]bool{f.LogKey: true}, map[string]bool{f.Origin: true}
	for i := range f.Members {
		m := &f.Members[i]
		if err := m.check(); err != nil {
			return err
		}
		if i > 0 && f.Members[i-1].ID >= m.ID {
			return refuse(CodeRecordMalformed, "members are not in ascending order")
		}
		if names[m.Cosigner] {
			return refuse(CodeRecordMalformed, "member %s: the cosigner's name stands twice", m.ID)
		}
		names[m.Cosigner] = true
		for _, k := range []sign.PublicKey{m.Key, m.CosignKey, m.Approver} {
			if keys[k] {
				return refuse(CodeRecordMalformed, "member %s: a key that stands under another name", m.ID)
			}
			keys[k] = true
		}
	}
	if err := f.checkWitnesses(keys, names); err != nil {
		return err
	}
	return f.checkVocabulary()
}

func (f *Founding) checkVocabulary() error {
	if len(f.Attributes) > 1024 || len(f.Purposes) > 1024 || len(f.Levels) > 64 || len(f.Parameters) > 256 {
		return refuse(CodeRecordMalformed, "vocabulary too large")
	}
	seen := map[string]bool{}
	for _, a := range f.Attributes {
		if !ValidID(a.Code) || seen[a.Code] || len(a.Brackets) > 256 || len(a.Class) > MaxIDBytes || len(a.Granularity) > MaxIDBytes {
			return refuse(CodeRecordMalformed, "attribute %q", a.Code)
		}
		seen[a.Code] = true
	}
	for i, p := range f.Purposes {
		if !ValidID(p.Code) || i > 0 && f.Purposes[i-1].Code >= p.Code {
			return refuse(CodeRecordMalformed, "purpose %q", p.Code)
		}
	}
	return checkParameters(f.Parameters)
}

func checkParameters(ps []Parameter) error {
	if len(ps) > 256 {
		return refuse(CodeRecordMalformed, "%d parameters", len(ps))
	}
	for i, p := range ps {
		if !ValidID(p.Name) || len(p.Value) > MaxNameBytes || i > 0 && ps[i-1].Name >= p.Name {
			return refuse(CodeRecordMalformed, "parameter %q", p.Name)
		}
	}
	return nil
}

// Party is an organisation without a node. Its host member's node keeps its
// signing key. Leave ends it; the other fields then repeat what stands.
type Party struct {
	ID         string         `cbor:"1,keyasint"`
	Name       Text           `cbor:"2,keyasint"`
	Regime     string         `cbor:"3,keyasint"`
	Country    string         `cbor:"4,keyasint"`
	Categories []string       `cbor:"5,keyasint,omitempty"`
	Key        sign.PublicKey `cbor:"6,keyasint"`
	Leave      bool           `cbor:"7,keyasint,omitempty"`
}

func (p *Party) check() error {
	if err := checkID("party", p.ID); err != nil {
		return err
	}
	if !regimes[p.Regime] || len(p.Country) != 2 {
		return refuse(CodeRecordMalformed, "party %s: regime or country", p.ID)
	}
	if err := checkText("party's name", p.Name, MaxNameBytes); err != nil {
		return err
	}
	if err := checkKey("the party's key", p.Key); err != nil {
		return err
	}
	return checkIDs("categories", p.Categories, 16)
}

// KeyChange replaces the issuer's signing key; the submission is signed by the
// old key, the new key signs the id of the record (domain "governance").
type KeyChange struct {
	Key   sign.PublicKey `cbor:"1,keyasint"`
	Proof sign.Signature `cbor:"2,keyasint"`
}

func (k *KeyChange) check() error { return checkKey("the next key", k.Key) }

// Vote decides parameters. Each vote signs Ballot (domain "governance"); more
// than half of the members must agree.
type Vote struct {
	Topic string       `cbor:"1,keyasint"`
	Sets  []Parameter  `cbor:"2,keyasint,omitempty"`
	Votes []MemberVote `cbor:"3,keyasint"`
}

func (v *Vote) check() error {
	if err := checkID("topic", v.Topic); err != nil {
		return err
	}
	if err := checkParameters(v.Sets); err != nil {
		return err
	}
	return checkVotes(v.Votes)
}

// Ballot is what a member signs to agree with a vote: its record's id, topic
// and what it sets.
type Ballot struct {
	ID    ID          `cbor:"1,keyasint"`
	Topic string      `cbor:"2,keyasint"`
	Sets  []Parameter `cbor:"3,keyasint,omitempty"`
}

// Tick says that time has passed: a node submits it where a deadline or an
// unknown outcome must become definite in an idle log.
type Tick struct{}

func (*Tick) check() error { return nil }

// MaxTimeMs is the latest time of the formats: the year 9999.
const MaxTimeMs = 253402300799999
