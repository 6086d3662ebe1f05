package record

import (
	"slices"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// SensorApprove registers a sensor: only a party of the category that the
// parameter "sensor-approver" names may approve.
type SensorApprove struct {
	Sensor   string   `cbor:"1,keyasint"`
	Operator string   `cbor:"2,keyasint"` // who may commit its readings
	Type     string   `cbor:"3,keyasint"`
	Readings []string `cbor:"4,keyasint"` // names of values, ascending
	Personal bool     `cbor:"5,keyasint,omitempty"`
	// Site is where it stands: the operator has one commitment tree for each of
	// its sites. Absent: the operator's only one.
	Site string `cbor:"6,keyasint,omitempty"`
}

func (s *SensorApprove) check() error {
	if err := checkID("sensor", s.Sensor); err != nil {
		return err
	}
	if err := checkID("operator", s.Operator); err != nil {
		return err
	}
	if err := checkID("type", s.Type); err != nil {
		return err
	}
	if s.Site != "" {
		if err := checkID("site", s.Site); err != nil {
			return err
		}
	}
	return checkIDs("readings", s.Readings, 64)
}

// SensorRetire ends a sensor, by its operator or an approver.
type SensorRetire struct {
	Sensor string `cbor:"1,keyasint"`
}

func (s *SensorRetire) check() error { return checkID("sensor", s.Sensor) }

// Types of commitment trees.
const (
	TreeSensor     = "sensor"
	TreeLog        = "log"
	TreePreordered = "preordered" // who writes gives each leaf its index
)

// AnyWriter, as a tree's only writer, lets every party of the consortium commit.
const AnyWriter = "*"

// Tree makes a commitment tree of the issuer; it is named by 63 bits of this
// record's leaf hash.
type Tree struct {
	Name        string   `cbor:"1,keyasint"`
	Type        string   `cbor:"2,keyasint"`           // TreeSensor, TreeLog, TreePreordered
	Writers     []string `cbor:"3,keyasint,omitempty"` // who may commit beside the issuer: parties, ascending, or AnyWriter
	IntervalMs  uint32   `cbor:"4,keyasint,omitempty"` // between advances; 0: as the type has it
	Display     string   `cbor:"5,keyasint,omitempty"` // names for people; public
	Description string   `cbor:"6,keyasint,omitempty"`
}

func (t *Tree) check() error {
	switch t.Type {
	case TreeSensor, TreeLog, TreePreordered:
	default:
		return refuse(CodeRecordMalformed, "tree type %q", t.Type)
	}
	if t.IntervalMs > MaxTreeInterval || len(t.Display) > MaxNameBytes || len(t.Description) > MaxNameBytes ||
		!utf8.ValidString(t.Display) || !utf8.ValidString(t.Description) {
		return refuse(CodeRecordMalformed, "interval, display name or description of a tree")
	}
	if err := checkID("tree", t.Name); err != nil || slices.Equal(t.Writers, []string{AnyWriter}) {
		return err
	}
	return checkIDs("writers", t.Writers, MaxWriters)
}

// emptyTree is the RFC 6962 root of no leaves.
var emptyTree = Digest(merkle.EmptyRoot())

// TreeAdvance anchors a commitment tree: its size and root now. Nodes and
// auditors check it against the tree's leaves. One of size 0 opens a tree before
// its first leaf.
type TreeAdvance struct {
	Tree  uint64 `cbor:"1,keyasint"`
	Size  uint64 `cbor:"2,keyasint"`
	Root  Digest `cbor:"3,keyasint"`
	Extra []byte `cbor:"4,keyasint,omitempty"` // RFC 6962 root over the leaves' extra data; absent where none has any
}

func (t *TreeAdvance) check() error {
	if t.Tree == 0 || t.Size == 0 && t.Root != emptyTree || len(t.Extra) != 0 && len(t.Extra) != len(Digest{}) {
		return refuse(CodeRecordMalformed, "tree, size or extra root")
	}
	return nil
}

// IsTreeAdvance reports whether a leaf begins as a tree.advance does.
func IsTreeAdvance(leaf []byte) bool {
	// map header, 1: 1, 2: 24
	return len(leaf) > 6 && leaf[0]>>5 == 5 && leaf[1] == 1 && leaf[2] == Version && leaf[3] == 2 && leaf[4] == 0x18 && leaf[5] == byte(KindTreeAdvance)
}
