package rules

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// The register's keys. Ids cannot contain a slash, so keys of different kinds
// never meet.
const (
	KeyHead      = "head"
	KeyPolicy    = "policy"
	KeyDirectory = "directory"
)

// KeyPast names the policy of an epoch that is over.
func KeyPast(epoch uint64) string { return KeyPolicy + "/" + strconv.FormatUint(epoch, 10) }

// KeyRetired names a member's key that was replaced: it never comes back.
func KeyRetired(k sign.PublicKey) string { return "retired/" + string(k[:]) }

// KeyParty names the value of a member or party.
func KeyParty(id string) string { return "party/" + id }

// KeySeq names the sequence window of an issuer.
func KeySeq(id string) string { return "seq/" + id }

// KeyService names the value of a service.
func KeyService(id string) string { return "service/" + id }

// KeyTerms names the value of terms by hash.
func KeyTerms(hash record.Digest) string { return "terms/" + string(hash[:]) }

// KeyHandle names the value of a handle.
func KeyHandle(h sign.PublicKey) string { return "handle/" + string(h[:]) }

// KeyIntent names an open intent.
func KeyIntent(id record.ID) string { return "intent/" + string(id[:]) }

// KeyErasure names an erasure.
func KeyErasure(id record.ID) string { return "erasure/" + string(id[:]) }

// KeyCustody names the custodians of a member's keys.
func KeyCustody(member string) string { return "custody/" + member }

// KeyTombstone names the permanent mark of a destroyed identity.
func KeyTombstone(n record.KeyNumber) string { return "tomb/" + string(n[:]) }

// KeyFiling names an opt-out filing.
func KeyFiling(issuer, number string) string { return "filing/" + issuer + "/" + number }

// KeySensor names a sensor.
func KeySensor(id string) string { return "sensor/" + id }

// KeyTree names a commitment tree.
func KeyTree(id uint64) string { return "tree/" + string(binary.BigEndian.AppendUint64(nil, id)) }

// KeyAttribute names an item code of the vocabulary.
func KeyAttribute(code string) string { return "attribute/" + code }

// KeyPurpose names a purpose code of the vocabulary.
func KeyPurpose(code string) string { return "purpose/" + code }

// KeyParameter names a parameter.
func KeyParameter(name string) string { return "parameter/" + name }

// KeyVote names a vote that was carried out: it counts once.
func KeyVote(id record.ID) string { return "vote/" + string(id[:]) }

// KeyEnd names the end of a batch among the last 33.
func KeyEnd(height uint64) string {
	return "end/" + string(rune('A'+height%(record.CitedWindow+1)))
}

// Head is where the log stands.
type Head struct {
	Height      uint64        `cbor:"1,keyasint"`
	Header      record.Digest `cbor:"2,keyasint"` // hash of the last batch's header; of genesis: its leaf hash
	TimeMs      uint64        `cbor:"3,keyasint"`
	Epoch       uint64        `cbor:"4,keyasint"`
	PolicyEpoch uint64        `cbor:"5,keyasint"`
	Rules       uint16        `cbor:"6,keyasint"`
	RegisterV   uint16        `cbor:"7,keyasint"`
}

// Directory lists every service and party that ever was, ascending, so that a
// completeness proof can show that it leaves none out.
type Directory struct {
	Services []string `cbor:"1,keyasint,omitempty"`
	Parties  []string `cbor:"2,keyasint,omitempty"` // members too
}

// End is the log's size and root at the end of a batch.
type End struct {
	Height uint64        `cbor:"1,keyasint"`
	Size   uint64        `cbor:"2,keyasint"`
	Root   record.Digest `cbor:"3,keyasint"`
}

// Party is a member or a party.
type Party struct {
	ID         string         `cbor:"1,keyasint"`
	Member     bool           `cbor:"2,keyasint,omitempty"`
	Host       string         `cbor:"3,keyasint"` // the member whose node acts for it; itself for a member
	Key        sign.PublicKey `cbor:"4,keyasint"`
	Joined     uint64         `cbor:"5,keyasint"`           // height of the batch
	Left       uint64         `cbor:"6,keyasint,omitempty"` // height; 0: still here
	Categories []string       `cbor:"7,keyasint,omitempty"`
	Name       record.Text    `cbor:"8,keyasint"`
	Regime     string         `cbor:"9,keyasint"`
	Country    string         `cbor:"10,keyasint"`
	Approver   []byte         `cbor:"11,keyasint,omitempty"` // members: key of the second approver
	Peer       []byte         `cbor:"12,keyasint,omitempty"` // members that joined later: identity on the network; founders' is in the genesis
	Addr       string         `cbor:"13,keyasint,omitempty"` // likewise: host:port of the network at joining
}

// Active reports whether the party has not left. A party whose host has left is
// not here either: see Here.
func (p *Party) Active() bool { return p.Left == 0 }

// PresentAt reports whether the party was already here before the batch of a
// height and has been since. Who joins in one batch with a consent was not on
// the list that the person saw. (Founders joined at height 0, before any
// consent.)
func (p *Party) PresentAt(height uint64) bool { return p.Active() && p.Joined < height }

// Seq is the sequence window of an issuer: the highest number and, for the
// 4,096 numbers up to it, a bit each (bit i%8 of byte i/8 for number i mod
// 4096).
type Seq struct {
	High uint64 `cbor:"1,keyasint"`
	Bits []byte `cbor:"2,keyasint"`
}

// Service is a service with its versions of terms.
type Service struct {
	ID       string        `cbor:"1,keyasint"`
	Owner    string        `cbor:"2,keyasint"`
	Name     record.Text   `cbor:"3,keyasint"`
	Contact  record.Text   `cbor:"4,keyasint"`
	Clauses  []string      `cbor:"5,keyasint,omitempty"`
	Fields   []string      `cbor:"6,keyasint,omitempty"`
	SelfOnly bool          `cbor:"7,keyasint,omitempty"`
	Terms    []TermsOrigin `cbor:"8,keyasint,omitempty"` // number n is Terms[n-1]
}

// TermsOrigin is one version of a service's terms.
type TermsOrigin struct {
	Hash        record.Digest `cbor:"1,keyasint"`
	EffectiveMs uint64        `cbor:"2,keyasint"`
	Version     string        `cbor:"3,keyasint"`
}

// Terms is one version of terms as the rules need it.
type Terms struct {
	Service     string         `cbor:"1,keyasint"`
	Number      uint32         `cbor:"2,keyasint"`
	EffectiveMs uint64         `cbor:"3,keyasint"`
	Scopes      []record.Scope `cbor:"4,keyasint"`
	Height      uint64         `cbor:"5,keyasint"`
}

// How a scope came to its state.
const (
	ByConsent    = 1
	ByRevocation = 2
	ByStop       = 3
)

// Handle is the state of one subject towards one service.
type Handle struct {
	For         string        `cbor:"1,keyasint"` // service, or party where there is no service
	Opened      uint64        `cbor:"2,keyasint"`
	Events      uint64        `cbor:"3,keyasint"` // all events, for completeness
	EventHead   record.Digest `cbor:"4,keyasint"`
	Consents    uint64        `cbor:"5,keyasint"` // consents, revocations, stops and moves, against replay
	ConsentHead record.Digest `cbor:"6,keyasint"`
	Scopes      []ScopeState  `cbor:"7,keyasint,omitempty"` // ascending by terms and scope
	Closed      uint64        `cbor:"8,keyasint,omitempty"` // height
	Stopped     uint64        `cbor:"9,keyasint,omitempty"` // height of a stop of everything
	MovedTo     []byte        `cbor:"10,keyasint,omitempty"`
	MovedFrom   []byte        `cbor:"11,keyasint,omitempty"`
}

// ScopeState is the state of one scope of one version of terms.
type ScopeState struct {
	Terms  uint32 `cbor:"1,keyasint"` // number among the service's
	Scope  uint8  `cbor:"2,keyasint"`
	On     bool   `cbor:"3,keyasint"`
	Expiry uint32 `cbor:"4,keyasint,omitempty"` // last valid day in JST; 0: without end
	Height uint64 `cbor:"5,keyasint"`           // at which the consent was given: recipients are judged by it
	By     uint8  `cbor:"6,keyasint"`
}

// Expired reports whether the scope's last day is over at a time.
func (s *ScopeState) Expired(ms uint64) bool {
	return s.Expiry != 0 && ms >= record.DayEndMs(int64(s.Expiry))
}

// Intent is a hand-over that is not closed.
type Intent struct {
	Handle     sign.PublicKey `cbor:"1,keyasint"`
	From       string         `cbor:"2,keyasint"`
	To         string         `cbor:"3,keyasint"`
	DeadlineMs uint64         `cbor:"4,keyasint"`
	Items      record.Digest  `cbor:"5,keyasint"`
	TimeMs     uint64         `cbor:"6,keyasint"`
}

// Erasure is the progress of one erasure.
type Erasure struct {
	Issuer  string        `cbor:"1,keyasint"`
	TimeMs  uint64        `cbor:"2,keyasint"`
	Pending []string      `cbor:"3,keyasint,omitempty"`
	Done    []HolderErase `cbor:"4,keyasint,omitempty"`
	Copies  []CopyErase   `cbor:"5,keyasint,omitempty"` // of the holders' custodians, as they stood; ascending
}

// HolderErase is one holder's attestation.
type HolderErase struct {
	Holder     string `cbor:"1,keyasint"`
	TimeMs     uint64 `cbor:"2,keyasint"`
	Class      string `cbor:"3,keyasint"`
	Generation uint64 `cbor:"4,keyasint"`
}

// Vote is a vote that was carried out.
type Vote struct {
	Height uint64 `cbor:"1,keyasint"`
}

// Tombstone marks a destroyed identity for ever.
type Tombstone struct {
	Erasure record.ID `cbor:"1,keyasint"`
}

// Filing is an opt-out filing in force.
type Filing struct {
	FromMs uint64   `cbor:"1,keyasint"`
	Items  []string `cbor:"2,keyasint"`
}

// Sensor is a registered sensor.
type Sensor struct {
	ID       string   `cbor:"1,keyasint"`
	Operator string   `cbor:"2,keyasint"`
	Approver string   `cbor:"3,keyasint"`
	Type     string   `cbor:"4,keyasint"`
	Readings []string `cbor:"5,keyasint,omitempty"`
	Personal bool     `cbor:"6,keyasint,omitempty"`
	Retired  uint64   `cbor:"7,keyasint,omitempty"` // Unix milliseconds
	Site     string   `cbor:"8,keyasint,omitempty"`
}

// Tree is a commitment tree with its last anchor; Root is zero before the first.
type Tree struct {
	ID    uint64        `cbor:"1,keyasint"`
	Owner string        `cbor:"2,keyasint"`
	Name  string        `cbor:"3,keyasint"`
	Type  string        `cbor:"4,keyasint"`
	Size  uint64        `cbor:"5,keyasint"`
	Root  record.Digest `cbor:"6,keyasint"`
	Extra []byte        `cbor:"7,keyasint,omitempty"`

	Writers    []string  `cbor:"8,keyasint,omitempty"`
	IntervalMs uint32    `cbor:"9,keyasint,omitempty"`
	Record     record.ID `cbor:"10,keyasint"` // that made it
}

// MayWrite reports whether a party may commit leaves.
func (t *Tree) MayWrite(party string) bool {
	return party == t.Owner || slices.Contains(t.Writers, party) || slices.Contains(t.Writers, record.AnyWriter)
}

// Value wraps a string as a register value.
type Value struct {
	V string `cbor:"1,keyasint"`
}
