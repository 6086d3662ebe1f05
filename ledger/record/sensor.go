package record

// SensorApprove registers a sensor: only a party of the category that the
// parameter "sensor-approver" names may approve.
type SensorApprove struct {
	Sensor   string   `cbor:"1,keyasint"`
	Operator string   `cbor:"2,keyasint"` // who may commit its readings
	Type     string   `cbor:"3,keyasint"`
	Readings []string `cbor:"4,keyasint"` // names of values, ascending
	Personal bool     `cbor:"5,keyasint,omitempty"`
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
	return checkIDs("readings", s.Readings, 64)
}

// SensorRetire ends a sensor, by its operator or an approver.
type SensorRetire struct {
	Sensor string `cbor:"1,keyasint"`
}

func (s *SensorRetire) check() error { return checkID("sensor", s.Sensor) }

// Tree makes a commitment tree of the issuer; it is named by 63 bits of this
// record's leaf hash.
type Tree struct {
	Name string `cbor:"1,keyasint"`
	Type string `cbor:"2,keyasint"` // sensor, log
}

func (t *Tree) check() error {
	if t.Type != "sensor" && t.Type != "log" {
		return refuse(CodeRecordMalformed, "tree type %q", t.Type)
	}
	return checkID("tree", t.Name)
}

// TreeAdvance anchors a commitment tree: its size and root now. Nodes and
// auditors check it against the tree's leaves.
type TreeAdvance struct {
	Tree  uint64 `cbor:"1,keyasint"`
	Size  uint64 `cbor:"2,keyasint"`
	Root  Digest `cbor:"3,keyasint"`
	Extra []byte `cbor:"4,keyasint,omitempty"` // root over the leaves' extra data
}

func (t *TreeAdvance) check() error {
	if t.Tree == 0 || t.Size == 0 || len(t.Extra) != 0 && len(t.Extra) != len(Digest{}) {
		return refuse(CodeRecordMalformed, "tree, size or extra root")
	}
	return nil
}
