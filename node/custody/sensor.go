package custody

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
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

// CommittedReadings says where readings stand in a commitment tree.
type CommittedReadings struct {
	*Done
	Tree  uint64 `json:"tree"`
	First uint64 `json:"first"` // index in the tree of the first
	Size  uint64 `json:"size"`  // of the tree after the last
	Root  string `json:"root"`  // hex
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

// treeCache is the commitment trees of this node's parties, in memory.
type treeCache struct {
	mu    sync.Mutex
	trees map[string]*sensorTree
}

// sensorTree is one party's tree. Blobs below desk/t/PARTY/:
//
//	tree            treeBlob
//	l/INDEX         leaf, and the sealed opening of its reading
//	h/LEVEL/INDEX   full hash tile
//	a/SIZE          id of the advance to that size
//
// Order of effects: leaves, tiles and size in one write; then the advance. A crash
// between them leaves leaves that the next advance covers.
type sensorTree struct {
	mu    sync.Mutex
	d     *Desk
	party string
	id    uint64
	tree  *merkle.Tree
}

type treeBlob struct {
	ID   uint64 `cbor:"1,keyasint"`
	Size uint64 `cbor:"2,keyasint,omitempty"`
}

type readingBlob struct {
	Leaf   []byte   `cbor:"1,keyasint"`
	Class  [16]byte `cbor:"2,keyasint"`
	Sealed []byte   `cbor:"3,keyasint"`
}

func treeKey(party, format string, args ...any) []byte {
	return blobKeyOf(kindTree, party+"/"+fmt.Sprintf(format, args...))
}

// Tile implements merkle.TileReader.
func (t *sensorTree) Tile(id merkle.TileID) ([]byte, error) {
	b, found, err := t.d.Blobs.Get(treeKey(t.party, "h/%02x/%016x", id.Level, id.Index))
	if err == nil && !found {
		err = errors.New("a tile of a commitment tree is missing")
	}
	return b, err
}

func (t *sensorTree) reading(index uint64) (*readingBlob, error) {
	b, err := loadBlob[readingBlob](t.d, treeKey(t.party, "l/%016x", index))
	if err == nil && b == nil {
		err = errors.New("a leaf of a commitment tree is missing")
	}
	return b, err
}

// treeOf returns a party's tree, or makes it; t.mu is not held.
func (d *Desk) treeOf(ctx context.Context, party string) (*sensorTree, error) {
	d.trees.mu.Lock()
	if d.trees.trees == nil {
		d.trees.trees = map[string]*sensorTree{}
	}
	t := d.trees.trees[party]
	if t == nil {
		t = &sensorTree{d: d, party: party}
		d.trees.trees[party] = t
	}
	d.trees.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tree != nil {
		return t, nil
	}
	b, err := loadBlob[treeBlob](d, treeKey(party, "tree"))
	if err != nil {
		return nil, err
	}
	if b == nil {
		if b, err = d.makeTree(ctx, party); err != nil {
			return nil, err
		}
	}
	var tail []merkle.Hash
	for i := b.Size / merkle.TileWidth * merkle.TileWidth; i < b.Size; i++ {
		r, err := t.reading(i)
		if err != nil {
			return nil, err
		}
		tail = append(tail, merkle.LeafHash(r.Leaf))
	}
	if t.tree, err = merkle.Load(b.Size, t, tail); err != nil {
		return nil, err
	}
	t.id = b.ID
	return t, nil
}

// makeTree brings a party's tree into the ledger, once.
func (d *Desk) makeTree(ctx context.Context, party string) (*treeBlob, error) {
	rec := &record.Record{Kind: record.KindTree, ID: newID(), Issuer: party, Body: &record.Tree{Name: "sensors", Type: "sensor"}}
	_, res, err := d.postOwn(ctx, "tree/"+party, rec, false)
	if err != nil {
		return nil, err
	}
	b := &treeBlob{ID: rules.TreeID(res.Outcomes[0].LeafHash)}
	return b, d.Blobs.PutMany([]store.KV{{Key: treeKey(party, "tree"), Value: canon.Must(b)}})
}

// CommitReadings commits readings of sensors that the acting party operates. They
// are in the ledger, behind one root, when it returns.
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
		return nil, record.Refuse(CodeMalformed, "%d readings, 1 to %d", len(readings), maxReadings)
	}
	if c.Key != "" {
		body := d.bodyOf("readings", jsonOf(readings))
		if done, res, err := d.again(ctx, c, party, "", body); done != nil || err != nil {
			if err != nil {
				return nil, err
			}
			return d.readingsOf(done, res.Outcomes[0].ID, uint64(len(readings)))
		}
	}
	parts := make([]*ReadingPart, len(readings))
	for i := range readings {
		if parts[i], err = d.checkReading(st, party, &readings[i]); err != nil {
			return nil, err
		}
	}
	t, err := d.treeOf(ctx, party)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.tree.Size()
	if err := t.append(parts); err != nil {
		return nil, err
	}
	return t.advance(ctx, c, first, readings)
}

// readingsOf tells again where readings stand.
func (d *Desk) readingsOf(done *Done, advance record.ID, n uint64) (*CommittedReadings, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	rec, _, err := recordByID(st, advance)
	if err != nil || rec == nil {
		return nil, orElse(err, errNoState)
	}
	a, ok := rec.Body.(*record.TreeAdvance)
	if !ok {
		return nil, errOtherRecord
	}
	return &CommittedReadings{Done: done, Tree: a.Tree, First: a.Size - n, Size: a.Size, Root: hex.EncodeToString(a.Root[:])}, nil
}

// checkReading holds a reading against its sensor's registration.
func (d *Desk) checkReading(st *store.State, party string, r *Reading) (*ReadingPart, error) {
	if !record.ValidID(r.Sensor) || len(r.Values) > maxReadingValues || r.TimeMs > record.MaxTimeMs {
		return nil, record.Refuse(CodeMalformed, "a reading")
	}
	s, err := rules.Load[rules.Sensor](st, rules.KeySensor(r.Sensor))
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, record.Refuse(record.CodeSensorNotApproved, "%s", r.Sensor)
	case s.Retired != 0:
		return nil, record.Refuse(record.CodeSensorRetired, "%s", r.Sensor)
	case s.Operator != party:
		return nil, record.Refuse(record.CodeNotAuthorised, "sensor %s", r.Sensor)
	case len(r.Values) == 0:
		return nil, record.Refuse(record.CodeReadingOutOfSchema, "no value")
	}
	p := &ReadingPart{Sensor: r.Sensor, TimeMs: r.TimeMs}
	if p.TimeMs == 0 {
		p.TimeMs = d.nowMs()
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		if !slices.Contains(s.Readings, name) {
			return nil, record.Refuse(record.CodeReadingOutOfSchema, "%s", r.Sensor)
		}
		text, err := scalar(r.Values[name])
		if err != nil {
			return nil, err
		}
		p.Values = append(p.Values, ReadingValue{Name: name, JSON: text})
		size += len(text)
	}
	if size > maxReadingBytes {
		return nil, record.Refuse(CodeMalformed, "a reading of %d bytes, at most %d", size, maxReadingBytes)
	}
	return p, nil
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

// append makes leaves durable and takes them into the tree. t.mu is held.
func (t *sensorTree) append(parts []*ReadingPart) error {
	d, next := t.d, t.tree.Clone()
	var kvs []store.KV
	for _, p := range parts {
		c, err := d.sensorClass(p.Sensor)
		if err != nil {
			return err
		}
		open, commitment := commit(p)
		plain := canon.Must(&open)
		about := newID()
		sealed, err := d.sealFor(c.id, sealedReading, about, plain)
		clear(plain)
		if err != nil {
			return err
		}
		leaf := canon.Must(&ReadingLeaf{Sensor: p.Sensor, TimeMs: p.TimeMs, Commitment: commitment})
		kvs = append(kvs, store.KV{Key: treeKey(t.party, "l/%016x", next.Size()),
			Value: canon.Must(&readingBlob{Leaf: leaf, Class: c.id, Sealed: append(about[:], sealed...)})})
		for _, tile := range next.Append(merkle.LeafHash(leaf)) {
			kvs = append(kvs, store.KV{Key: treeKey(t.party, "h/%02x/%016x", tile.ID.Level, tile.ID.Index), Value: tile.Data})
		}
	}
	kvs = append(kvs, store.KV{Key: treeKey(t.party, "tree"), Value: canon.Must(&treeBlob{ID: t.id, Size: next.Size()})})
	if err := d.Blobs.PutMany(kvs); err != nil {
		return err
	}
	t.tree = next
	return nil
}

// advance anchors the tree as it is. t.mu is held.
func (t *sensorTree) advance(ctx context.Context, c Call, first uint64, readings []Reading) (*CommittedReadings, error) {
	size, root := t.tree.Size(), t.tree.Root()
	rec := &record.Record{Kind: record.KindTreeAdvance, ID: newID(), Issuer: t.party,
		Body: &record.TreeAdvance{Tree: t.id, Size: size, Root: record.Digest(root)}}
	done, _, err := t.d.post(ctx, c, posting{issuer: t.party, body: t.d.bodyOf("readings", jsonOf(readings)), records: []*record.Record{rec},
		keep: []store.KV{{Key: treeKey(t.party, "a/%016x", size), Value: rec.ID[:]}}})
	if err != nil {
		return nil, err
	}
	return &CommittedReadings{Done: done, Tree: t.id, First: first, Size: size, Root: root.String()}, nil
}

// sensorClass is what a sensor's readings of this month are sealed under.
func (d *Desk) sensorClass(sensor string) (*class, error) {
	at := "s/" + sensor + "/" + d.recordName()[2:]
	defer d.lock(at)()
	if c := d.transient(at); c != nil {
		return c, nil
	}
	_, entry, file, err := newClass(at, "", "")
	if err != nil {
		return nil, err
	}
	if err := d.Blobs.PutMany([]store.KV{file}); err != nil {
		return nil, err
	}
	if err := d.put(entry); err != nil {
		return nil, err
	}
	return d.transient(at), nil
}

// ProveReading proves one reading of a party's tree by the first final advance that
// covers it.
func (d *Desk) ProveReading(ctx context.Context, c Call, index uint64) (*ReadingProof, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	party, err := d.actor(c, "")
	if err != nil {
		return nil, err
	}
	b, err := loadBlob[treeBlob](d, treeKey(party, "tree"))
	if err != nil {
		return nil, err
	}
	if b == nil || index >= b.Size {
		return nil, record.Refuse(record.CodeTreeUnknown, "no such reading")
	}
	t, err := d.treeOf(ctx, party)
	if err != nil {
		return nil, err
	}
	p := &ReadingProof{Tree: t.id, Index: index}
	if err := t.covering(st, index, p); err != nil {
		return nil, err
	}
	r, err := t.reading(index)
	if err != nil {
		return nil, err
	}
	p.Leaf = r.Leaf
	t.mu.Lock()
	view := t.tree.View()
	t.mu.Unlock()
	if p.Path, err = view.InclusionProof(index, p.Size, t); err != nil {
		return nil, err
	}
	plain, err := d.openFrom(r.Class, sealedReading, [16]byte(r.Sealed[:16]), r.Sealed[16:])
	if errors.Is(err, errGone) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	p.Opening = new(record.Opening)
	if err := canon.Unmarshal(plain, p.Opening); err != nil {
		return nil, err
	}
	var leaf ReadingLeaf
	if err := canon.Unmarshal(r.Leaf, &leaf); err != nil || !seal.CheckOpening(leaf.Commitment, p.Opening.Nonce, p.Opening.Part) {
		return nil, errors.New("a reading is not the one that was committed")
	}
	return p, nil
}

// covering finds the first final advance beyond an index.
func (t *sensorTree) covering(st *store.State, index uint64, p *ReadingProof) error {
	found := errors.New("found")
	prefix := treeKey(t.party, "a/")
	err := t.d.Blobs.Scan(prefix, func(key, value []byte) error {
		var size uint64
		if _, err := fmt.Sscanf(string(key[len(prefix):]), "%016x", &size); err != nil || len(value) != 16 {
			return errors.New("an advance of a commitment tree is damaged")
		}
		if size <= index {
			return nil
		}
		rec, at, err := recordByID(st, record.ID(value))
		if err != nil || rec == nil {
			return err
		}
		a, ok := rec.Body.(*record.TreeAdvance)
		if !ok {
			return errOtherRecord
		}
		p.Size, p.Root, p.Advance, p.LogAt = a.Size, merkle.Hash(a.Root), rec.ID, at
		return found
	})
	if err == nil {
		return record.Refuse(CodeNotFinal, "the reading is not final yet")
	}
	if errors.Is(err, found) {
		return nil
	}
	return err
}
