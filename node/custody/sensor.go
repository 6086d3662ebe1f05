package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// ReadingLeaf is a leaf of a commitment tree: a sensor's reading at a time, behind
// a commitment. The reading and its nonce stay with the member.
type ReadingLeaf struct {
	Sensor     string        `cbor:"1,keyasint"`
	TimeMs     uint64        `cbor:"2,keyasint"`
	Commitment record.Digest `cbor:"3,keyasint"`
}

// ReadingPart is behind the commitment. A value is its JSON spelling.
type ReadingPart struct {
	Sensor string         `cbor:"1,keyasint"`
	TimeMs uint64         `cbor:"2,keyasint"`
	Values []ReadingValue `cbor:"3,keyasint"` // ascending by name
}

// ReadingValue is one value of a reading.
type ReadingValue struct {
	Name string `cbor:"1,keyasint"`
	JSON string `cbor:"2,keyasint"`
}

// CommittedReadings says where readings stand in a commitment tree. Size and root
// are those of the final advance that covers them; of readings that are committed
// and not final, size is that of the tree after them, and there is no root.
type CommittedReadings struct {
	*Done
	Tree    uint64   `json:"tree"`
	Indexes []uint64 `json:"indexes"` // in the tree, in the order of the readings
	Size    uint64   `json:"size"`
	Root    string   `json:"root"` // hex
}

// ReadingProof proves that a reading was committed: the opening gives the
// commitment in the leaf, the path leads from the leaf to the root, and the
// tree.advance record, which is final, has size and root.
type ReadingProof struct {
	Tree    uint64
	Index   uint64
	Leaf    []byte
	Opening *record.Opening // nil where the reading is gone
	Path    []merkle.Hash
	Size    uint64
	Root    merkle.Hash
	Advance record.ID
	LogAt   uint64 // leaf index of the advance in the log
}

// Bounds of readings.
const (
	maxReadings      = 2048
	maxReadingValues = 64
	maxReadingBytes  = 16 << 10
)

// Trees are the consortium's commitment trees (*forest.Forest).
type Trees interface {
	Queue(ctx context.Context, issuer string, tree uint64, leaves []law.Leaf) ([]law.Outcome, error)
	Settle(ctx context.Context, tree, size uint64) (*forest.Anchor, error)
	Anchor(tree uint64) (*forest.Anchor, error)
	AppliedLeaf(tree, index uint64) (*forest.Stored, error)
	Inclusion(tree, index, size uint64) ([]merkle.Hash, error)
}

type readingBlob struct {
	Class  [16]byte `cbor:"1,keyasint"`
	About  [16]byte `cbor:"2,keyasint"`
	Sealed []byte   `cbor:"3,keyasint"`
}

// readingsMemo is what became of readings under an Idempotency-Key.
type readingsMemo struct {
	Tree   uint64          `cbor:"1,keyasint"`
	Leaves [][]byte        `cbor:"2,keyasint"`
	Said   *readingsAnswer `cbor:"3,keyasint,omitempty"` // the final answer
}

type readingsAnswer struct {
	Indexes []uint64      `cbor:"1,keyasint"`
	Size    uint64        `cbor:"2,keyasint"`
	Root    record.Digest `cbor:"3,keyasint"`
	Record  record.ID     `cbor:"4,keyasint"`
	At      uint64        `cbor:"5,keyasint"`
	Height  uint64        `cbor:"6,keyasint"`
	TimeMs  uint64        `cbor:"7,keyasint"`
}

// CommitReadings commits readings of sensors that the acting party operates, all
// at one site. They are in the Raft log when it returns and, unless the call wants
// less, behind a final advance of the site's tree.
func (d *Desk) CommitReadings(ctx context.Context, c Call, readings []Reading) (*CommittedReadings, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	party, err := d.actor(c, "")
	if err != nil {
		return nil, err
	}
	if len(readings) == 0 || len(readings) > maxReadings {
		return nil, malformed("readings", "%d readings, 1 to %d", len(readings), maxReadings)
	}
	body := d.bodyOf("readings", jsonOf(readings))
	if c.Key != "" {
		defer d.lock("readings/" + party + "/" + c.Client + "/" + c.Key)()
		if m, err := d.readingsAgain(c, party, body); m != nil || err != nil {
			if err != nil {
				return nil, err
			}
			return d.commitLeaves(ctx, c, party, body, m)
		}
	}
	parts, at := make([]*ReadingPart, len(readings)), site{party: party}
	for i := range readings {
		p, name, err := d.checkReading(st, party, &readings[i])
		if err != nil {
			return nil, err
		}
		if i > 0 && name != at.name {
			return nil, record.Refuse(record.CodeReadingSites, "%q and %q", at.name, name)
		}
		parts[i], at.name = p, name
	}
	m := new(readingsMemo)
	if m.Tree, err = d.treeOf(ctx, at); err != nil {
		return nil, err
	}
	if err := d.keepReadings(c, party, body, parts, m); err != nil {
		return nil, err
	}
	return d.commitLeaves(ctx, c, party, body, m)
}

// readingsAgain returns the memo of a key that was used before.
func (d *Desk) readingsAgain(c Call, party string, body [32]byte) (*readingsMemo, error) {
	m, err := loadBlob[memo](d, d.memoKey(c, party, ""))
	switch {
	case err != nil || m == nil:
		return nil, err
	case m.Readings == nil || !hmac.Equal(m.Body[:], body[:]):
		return nil, outbox.ErrKeyReused
	}
	return m.Readings, nil
}

// checkReading holds a reading against its sensor's registration, and returns the
// sensor's site.
func (d *Desk) checkReading(st *store.State, party string, r *Reading) (p *ReadingPart, at string, err error) {
	if !record.ValidID(r.Sensor) || len(r.Values) > maxReadingValues || r.TimeMs > record.MaxTimeMs {
		return nil, "", malformed("readings", "a reading")
	}
	s, err := rules.Load[rules.Sensor](st, rules.KeySensor(r.Sensor))
	switch {
	case err != nil:
		return nil, "", err
	case s == nil:
		return nil, "", record.Refuse(record.CodeSensorNotApproved, "%s", r.Sensor)
	case s.Retired != 0:
		return nil, "", record.Refuse(record.CodeSensorRetired, "%s", r.Sensor)
	case s.Operator != party:
		return nil, "", record.Refuse(record.CodeNotAuthorised, "sensor %s", r.Sensor)
	case len(r.Values) == 0:
		return nil, "", record.Refuse(record.CodeReadingOutOfSchema, "no value")
	}
	p = &ReadingPart{Sensor: r.Sensor, TimeMs: r.TimeMs}
	if p.TimeMs == 0 {
		p.TimeMs = d.nowMs()
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		if !slices.Contains(s.Readings, name) {
			return nil, "", record.Refuse(record.CodeReadingOutOfSchema, "%s", r.Sensor)
		}
		text, err := scalar(r.Values[name])
		if err != nil {
			return nil, "", err
		}
		p.Values = append(p.Values, ReadingValue{Name: name, JSON: text})
		size += len(text)
	}
	if size > maxReadingBytes {
		return nil, "", malformed("readings", "a reading of %d bytes, at most %d", size, maxReadingBytes)
	}
	return p, s.Site, nil
}

// scalar writes a value as JSON. Lists and objects are no values.
func scalar(v any) (string, error) {
	switch v.(type) {
	case map[string]any, []any, nil:
		return "", record.Refuse(record.CodeReadingOutOfSchema, "a value is no number, text or truth value")
	}
	b, err := json.Marshal(v)
	if err != nil || len(b) == 0 || strings.ContainsRune("[{n", rune(b[0])) {
		return "", record.Refuse(record.CodeReadingOutOfSchema, "a value is no number, text or truth value")
	}
	return string(b), nil
}

// keepReadings seals readings and makes them durable, with the leaves that commit
// to them and the memo.
func (d *Desk) keepReadings(c Call, party string, body [32]byte, parts []*ReadingPart, m *readingsMemo) error {
	var kvs []store.KV
	for _, p := range parts {
		period, err := d.keepReading(p)
		if err != nil {
			return err
		}
		class, err := d.sensorClass(p.Sensor, period)
		if err != nil {
			return err
		}
		open, commitment := commit(p)
		plain := canon.Must(&open)
		about := newID()
		sealed, err := d.sealFor(class.id, sealedReading, about, plain)
		clear(plain)
		if err != nil {
			return err
		}
		leaf := canon.Must(&ReadingLeaf{Sensor: p.Sensor, TimeMs: p.TimeMs, Commitment: commitment})
		hash := merkle.LeafHash(leaf)
		m.Leaves = append(m.Leaves, leaf)
		kvs = append(kvs, store.KV{Key: treeKey(party, "r/%x", hash), Value: canon.Must(&readingBlob{class.id, about, sealed})},
			store.KV{Key: treeKey(party, "u/%x", hash), Value: leaf})
	}
	if c.Key != "" {
		kvs = append(kvs, d.readingsKV(c, party, body, m))
	}
	return d.Blobs.PutMany(kvs)
}

func (d *Desk) readingsKV(c Call, party string, body [32]byte, m *readingsMemo) store.KV {
	return store.KV{Key: d.memoKey(c, party, ""), Value: canon.Must(&memo{Body: body, Readings: m}), TTL: memoFor}
}

// commitLeaves sees leaves into the tree, and waits for an advance.
func (d *Desk) commitLeaves(ctx context.Context, c Call, party string, body [32]byte, m *readingsMemo) (*CommittedReadings, error) {
	if m.Said != nil {
		return m.answer(c), nil
	}
	out, err := d.queueLeaves(ctx, party, m.Tree, m.Leaves)
	if err != nil {
		return nil, treeError(c, err)
	}
	said := &readingsAnswer{}
	for _, o := range out {
		said.Indexes, said.Size = append(said.Indexes, o.Index), max(said.Size, o.Index+1)
	}
	m.Said = said
	if c.Committed {
		return m.answer(c), nil
	}
	a, err := d.Trees.Settle(ctx, m.Tree, said.Size)
	if err != nil {
		return nil, treeError(c, err)
	}
	said.Size, said.Root, said.Record, said.At, said.Height, said.TimeMs = a.Size, record.Digest(a.Root), a.Record, a.LogIndex, a.Height, a.TimeMs
	if c.Key != "" {
		if err := d.Blobs.PutMany([]store.KV{d.readingsKV(c, party, body, m)}); err != nil {
			return nil, err
		}
	}
	return m.answer(c), nil
}

func (m *readingsMemo) answer(c Call) *CommittedReadings {
	a := m.Said
	out := &CommittedReadings{Done: &Done{Key: c.Key, Final: a.Height != 0, Records: []Posted{}}, Tree: m.Tree, Indexes: a.Indexes, Size: a.Size}
	if a.Height != 0 {
		out.Root = hex.EncodeToString(a.Root[:])
		out.Records = append(out.Records, Posted{ID: hex.EncodeToString(a.Record[:]), Kind: record.KindTreeAdvance.String(),
			Index: a.At, Height: a.Height, TimeMs: a.TimeMs})
	}
	return out
}

// queueLeaves commits leaves. Those that are perhaps not committed stay kept.
func (d *Desk) queueLeaves(ctx context.Context, party string, tree uint64, leaves [][]byte) ([]law.Outcome, error) {
	list, keys := make([]law.Leaf, len(leaves)), make([][]byte, len(leaves))
	for i, l := range leaves {
		list[i].Value = l
		keys[i] = treeKey(party, "u/%x", merkle.LeafHash(l))
	}
	out, err := d.Trees.Queue(ctx, party, tree, list)
	var refusal *record.Refusal
	if err != nil && !errors.As(err, &refusal) {
		d.uncommitted.Store(true)
		return nil, err
	}
	return out, errors.Join(err, d.Blobs.Delete(keys...))
}

// treeError says in the words of the way into the ledger what became of leaves.
func treeError(c Call, err error) error {
	switch {
	case errors.Is(err, forest.ErrBusy):
		return outbox.ErrBusy
	case errors.Is(err, forest.ErrUnknown):
		return &outbox.UnknownError{Key: c.Key, Cause: err}
	case errors.Is(err, forest.ErrClosed):
		return outbox.ErrClosed
	case errors.Is(err, forest.ErrNoKey):
		return outbox.ErrNoKey
	}
	return err
}

// ProveReading proves one reading of the tree of a site of the acting party by the
// last final advance. The empty site is that of sensors that were approved without.
func (d *Desk) ProveReading(_ context.Context, c Call, siteName string, index uint64) (*ReadingProof, error) {
	if _, err := d.state(); err != nil {
		return nil, err
	}
	party, err := d.actor(c, "")
	if err != nil {
		return nil, err
	}
	b, err := loadBlob[treeBlob](d, site{party, siteName}.key())
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, record.Refuse(record.CodeTreeUnknown, "no such reading")
	}
	stored, err := d.Trees.AppliedLeaf(b.ID, index)
	if errors.Is(err, forest.ErrBeyond) {
		return nil, record.Refuse(record.CodeTreeUnknown, "no such reading")
	}
	if err != nil {
		return nil, err
	}
	a, err := d.Trees.Anchor(b.ID)
	if err != nil {
		return nil, err
	}
	if a == nil || index >= a.Size {
		return nil, record.Refuse(CodeNotFinal, "the reading is not final yet")
	}
	p := &ReadingProof{Tree: b.ID, Index: index, Leaf: stored.Value, Size: a.Size, Root: a.Root, Advance: a.Record, LogAt: a.LogIndex}
	if p.Path, err = d.Trees.Inclusion(b.ID, index, a.Size); err != nil {
		return nil, err
	}
	p.Opening, err = d.openReading(party, stored.Value)
	return p, err
}

// openReading opens what is behind a leaf; nil where the reading is gone.
func (d *Desk) openReading(party string, stored []byte) (*record.Opening, error) {
	var leaf ReadingLeaf
	if err := canon.Unmarshal(stored, &leaf); err != nil {
		return nil, errors.New("a reading is not the one that was committed")
	}
	r, err := loadBlob[readingBlob](d, treeKey(party, "r/%x", merkle.LeafHash(stored)))
	if err != nil || r == nil {
		return nil, err
	}
	if past, err := d.pastReading(r.Class, &leaf); err != nil || past {
		return nil, err
	}
	plain, err := d.openFrom(r.Class, sealedReading, r.About, r.Sealed)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	o := new(record.Opening)
	if err := canon.Unmarshal(plain, o); err != nil {
		return nil, err
	}
	if !seal.CheckOpening(leaf.Commitment, o.Nonce, o.Part) {
		return nil, errors.New("a reading is not the one that was committed")
	}
	return o, nil
}
