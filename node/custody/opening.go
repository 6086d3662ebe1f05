package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// openings are what opens the commitments of one record.
type openings struct {
	Kind  record.Kind     `cbor:"1,keyasint"`
	Part  record.Opening  `cbor:"2,keyasint"`
	Items *record.Opening `cbor:"3,keyasint,omitempty"` // second commitment of a hand-over

	class [16]byte // under which they are sealed; not stored
}

// commit closes a part under a fresh nonce.
func commit(part any) (record.Opening, record.Digest) {
	o := record.Opening{Nonce: seal.NewNonce(), Part: canon.Must(part)}
	return o, seal.Commit(o.Nonce, o.Part)
}

// keepOpenings seals openings under a class, to be stored with the record.
func (d *Desk) keepOpenings(c *class, id record.ID, o *openings) (store.KV, error) {
	plain := canon.Must(o)
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedOpening, id, plain)
	return store.KV{Key: blobKey(kindOpening, id[:]), Value: canon.Must(&sealedBlob{Class: c.id, Sealed: sealed})}, err
}

// openRecord returns the openings of a record, nil where none are kept or their
// key is gone.
func (d *Desk) openRecord(id record.ID) (*openings, error) {
	b, err := loadBlob[sealedBlob](d, blobKey(kindOpening, id[:]))
	if err != nil || b == nil {
		return nil, err
	}
	plain, err := d.openFrom(b.Class, sealedOpening, id, b.Sealed)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	o := &openings{class: b.Class}
	return o, canon.Unmarshal(plain, o)
}

// kept reports whether records of a kind are kept by law, and so may be read
// only until their own deadline.
func kept(k record.Kind) bool {
	return k == record.KindProvision || k == record.KindReceived || k == record.KindOptOut || k == record.KindException
}

// pastKeep reports whether the own deadline has passed of a record that was made at
// a time, as its series and holds on its month move it.
func (d *Desk) pastKeep(o *openings, id record.ID, timeMs uint64) bool {
	now := d.readingMs()
	if !kept(o.Kind) || now < ownDeadline(timeMs) {
		return false
	}
	due, err := d.recordDeadline(id, timeMs)
	if err == nil && now < due {
		return false
	}
	c, err := d.people.class(o.class)
	return err != nil || c == nil || now >= d.holds.until(c.number, due)
}

// RecordOpening is what the member can still open of one record.
type RecordOpening struct {
	Index uint64
	ID    record.ID
	Kind  record.Kind
	Part  record.Opening
	Items *record.Opening
}

// Access is one entry of the log of who asked for openings.
type Access struct {
	Who    string `cbor:"1,keyasint" json:"who"`
	TimeMs uint64 `cbor:"2,keyasint" json:"timeMs"`
	From   uint64 `cbor:"3,keyasint" json:"from"`
	To     uint64 `cbor:"4,keyasint" json:"to"`
	Count  uint64 `cbor:"5,keyasint,omitempty" json:"count"` // openings handed out
	Done   bool   `cbor:"6,keyasint,omitempty" json:"done"`  // false: broken off, Count is not known

	Dataset string `cbor:"7,keyasint,omitempty" json:"dataset,omitempty"` // whose items were read
}

// Openings hands an auditor what this member can still open of the records with
// index from to to (exclusive), in order. The access is in the access log before
// the first is handed out, and the count after the last.
func (d *Desk) Openings(ctx context.Context, who string, from, to uint64) iter.Seq2[RecordOpening, error] {
	return func(yield func(RecordOpening, error) bool) {
		if err := d.openings(ctx, who, from, to, func(o RecordOpening) bool { return yield(o, nil) }); err != nil {
			yield(RecordOpening{}, err)
		}
	}
}

// OpeningsAt is Openings of single records, by index, as one access.
func (d *Desk) OpeningsAt(ctx context.Context, who string, indexes []uint64) (map[uint64]RecordOpening, error) {
	out := map[uint64]RecordOpening{}
	if len(indexes) == 0 {
		return out, nil
	}
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	return out, d.access(who, slices.Min(indexes), slices.Max(indexes)+1, func(a *Access) error {
		for _, i := range indexes {
			err := d.eachOpening(ctx, st, i, i+1, func(o RecordOpening) bool {
				a.Count++
				out[i] = o
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *Desk) openings(ctx context.Context, who string, from, to uint64, yield func(RecordOpening) bool) error {
	st, err := d.state()
	if err != nil {
		return err
	}
	return d.access(who, from, min(to, st.Size), func(a *Access) error {
		err := d.eachOpening(ctx, st, from, to, func(o RecordOpening) bool {
			a.Count++
			return yield(o)
		})
		if errors.Is(err, fs.SkipAll) {
			err = nil
		}
		return err
	})
}

// access writes down that somebody reads openings before they do, and how many
// after.
func (d *Desk) access(who string, from, to uint64, read func(*Access) error) error {
	a := Access{Who: who, TimeMs: d.nowMs(), From: from, To: to}
	id := newID()
	key := blobKeyOf(kindAccess, fmt.Sprintf("%016x/%x", a.TimeMs, id[:8]))
	if err := d.Blobs.PutMany([]store.KV{{Key: key, Value: canon.Must(&a)}}); err != nil {
		return err
	}
	if err := read(&a); err != nil {
		return err
	}
	a.Done = true
	return d.Blobs.PutMany([]store.KV{{Key: key, Value: canon.Must(&a)}})
}

func (d *Desk) eachOpening(ctx context.Context, st *store.State, from, to uint64, yield func(RecordOpening) bool) error {
	end := store.End{}
	return st.Range(from, to, func(index uint64, leaf []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, ok := record.PeekID(leaf)
		if !ok || record.IsSeal(leaf) {
			return nil
		}
		o, err := d.openRecord(id)
		if err != nil || o == nil {
			return err
		}
		if end.Size <= index {
			e, err := st.EndWith(index)
			if err != nil {
				return err
			}
			end = *e
		}
		if d.pastKeep(o, id, end.TimeMs) {
			return nil
		}
		if !yield(RecordOpening{Index: index, ID: id, Kind: o.Kind, Part: o.Part, Items: o.Items}) {
			return fs.SkipAll
		}
		return nil
	})
}

// Accesses calls fn with every access to openings, oldest first.
func (d *Desk) Accesses(_ context.Context, fn func(Access) error) error {
	return d.Blobs.Scan(blobPrefix(kindAccess), func(_, value []byte) error {
		var a Access
		if err := canon.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		return fn(a)
	})
}
