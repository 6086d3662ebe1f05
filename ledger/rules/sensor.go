package rules

import (
	"encoding/binary"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// approver reports whether a party may approve sensors (002-01).
func (b *batch) approver(issuer string) (bool, error) {
	category, err := b.parameter("sensor-approver")
	if err != nil {
		return false, err
	}
	p, err := peek[Party](b.tx, KeyParty(issuer), record.CodeSubmissionIssuer)
	if err != nil {
		return false, err
	}
	return slices.Contains(p.Categories, category), nil
}

func (b *batch) sensorApprove(issuer string, s *record.SensorApprove) error {
	ok, err := b.approver(issuer)
	if err != nil {
		return err
	}
	if !ok {
		return record.Refuse(record.CodeNotAuthorised, "%s does not approve sensors", issuer)
	}
	if _, err := need[Party](b.tx, KeyParty(s.Operator), record.CodePartyUnknown); err != nil {
		return err
	}
	old, err := load[Sensor](b.tx, KeySensor(s.Sensor))
	switch {
	case err != nil:
		return err
	case old != nil && old.Retired != 0:
		return record.Refuse(record.CodeSensorRetired, "%s", s.Sensor)
	case old != nil:
		return record.Refuse(record.CodeDuplicate, "sensor %s", s.Sensor)
	}
	b.save(KeySensor(s.Sensor), &Sensor{ID: s.Sensor, Operator: s.Operator, Approver: issuer, Type: s.Type,
		Readings: s.Readings, Personal: s.Personal, Site: s.Site})
	return nil
}

func (b *batch) sensorRetire(issuer string, r *record.SensorRetire) error {
	s, err := need[Sensor](b.tx, KeySensor(r.Sensor), record.CodeSensorUnknown)
	if err != nil {
		return err
	}
	if issuer != s.Operator && issuer != s.Approver {
		return record.Refuse(record.CodeNotAuthorised, "sensor %s", s.ID)
	}
	if s.Retired != 0 {
		return record.Refuse(record.CodeSensorRetired, "%s", s.ID)
	}
	s.Retired = b.header.TimeMs
	b.save(KeySensor(s.ID), s)
	return nil
}

// TreeID returns the id of a commitment tree: the low 63 bits of the first 8
// bytes of its creating record's leaf hash.
func TreeID(leaf record.Digest) uint64 { return binary.BigEndian.Uint64(leaf[:8]) &^ (1 << 63) }

func (b *batch) tree(rec *record.Record, t *record.Tree, leaf record.Digest) error {
	id := TreeID(leaf)
	if old, err := b.get(KeyTree(id)); err != nil {
		return err
	} else if old != nil || id == 0 {
		return record.Refuse(record.CodeDuplicate, "tree %d", id)
	}
	b.save(KeyTree(id), &Tree{ID: id, Owner: rec.Issuer, Name: t.Name, Type: t.Type,
		Writers: t.Writers, IntervalMs: t.IntervalMs, Record: rec.ID})
	return nil
}

// treeAdvance anchors a tree. That the root is that of the tree's leaves is
// checked by nodes and auditors, who have them; a false one is evidence.
func (b *batch) treeAdvance(issuer string, a *record.TreeAdvance) error {
	t, err := need[Tree](b.tx, KeyTree(a.Tree), record.CodeTreeUnknown)
	if err != nil {
		return err
	}
	if t.Owner != issuer {
		return record.Refuse(record.CodeNotAuthorised, "the tree belongs to %s", t.Owner)
	}
	if open := t.Root == (record.Digest{}); a.Size < t.Size || a.Size == t.Size && !open {
		return record.Refuse(record.CodeTreeAdvance, "size %d after %d", a.Size, t.Size)
	}
	t.Size, t.Root, t.Extra = a.Size, a.Root, a.Extra
	b.save(KeyTree(t.ID), t)
	return nil
}
