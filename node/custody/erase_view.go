package custody

import (
	"context"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Erasure returns how far an erasure has come.
func (d *Desk) Erasure(_ context.Context, id string) (*ErasureView, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	rid, err := parseID(id)
	if err != nil {
		return nil, record.Refuse(record.CodeErasureUnknown, "")
	}
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(rid))
	if err != nil || e == nil {
		return nil, orElse(err, record.Refuse(record.CodeErasureUnknown, ""))
	}
	v := &ErasureView{ID: id, Issuer: e.Issuer, TimeMs: e.TimeMs, Pending: slices.Concat([]string{}, e.Pending), Done: []HolderErased{}}
	attested, err := Attestations(st, rid, e)
	if err != nil {
		return nil, err
	}
	attested = slices.DeleteFunc(attested, func(a Attested) bool { return a.Body.For != "" })
	for i, h := range e.Done {
		done := HolderErased{Holder: h.Holder, TimeMs: h.TimeMs, Class: h.Class, Generation: h.Generation}
		if k := attested[i].Body.Kept; k != nil && k.Records != 0 {
			done.RecordsUntil = dayText(int64(k.Records))
		}
		v.Done = append(v.Done, done)
	}
	for _, c := range e.Copies {
		copied := CopyErased{Member: c.Member, Custodian: c.Custodian, TimeMs: c.TimeMs, Class: c.Class}
		custody, err := rules.Load[rules.Custody](st, rules.KeyCustody(c.Member))
		if err != nil {
			return nil, err
		}
		if loss := e.Lost(c, custody); loss != nil {
			copied.Lost = loss.Reason
		}
		v.Copies = append(v.Copies, copied)
	}
	if v.Index, _, err = st.IndexOf(rid); err != nil {
		return nil, err
	}
	v.RecordsUntil = d.erasing.until(rid)
	return v, nil
}

// Attested is one attestation of an erasure in the log.
type Attested struct {
	Index uint64
	Body  *record.Attestation
}

// Attestations finds the attestations that an erasure's state counts, in the order
// of the log.
func Attestations(st *store.State, id record.ID, e *rules.Erasure) ([]Attested, error) {
	var out []Attested
	for _, ms := range attestedAt(e) {
		end, err := batchOf(st, ms)
		if err != nil {
			return nil, err
		}
		err = st.Range(end.First, end.Size, func(index uint64, leaf []byte) error {
			if record.PeekKind(leaf) != record.KindAttestation {
				return nil
			}
			rec, err := record.Parse(leaf)
			if err != nil {
				return err
			}
			if a, ok := rec.Body.(*record.Attestation); ok && a.Erasure == id {
				out = append(out, Attested{index, a})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// attestedAt returns the times of the batches with an erasure's attestations.
func attestedAt(e *rules.Erasure) []uint64 {
	var at []uint64
	for _, h := range e.Done {
		at = append(at, h.TimeMs)
	}
	for _, c := range e.Copies {
		if c.TimeMs != 0 {
			at = append(at, c.TimeMs)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// batchOf returns the first batch that is not before a time: times of batches
// strictly increase.
func batchOf(st *store.State, timeMs uint64) (end *store.End, err error) {
	lo, hi := uint64(0), st.Height
	for lo < hi {
		mid := (lo + hi) / 2
		if end, err = st.EndOf(mid); err != nil {
			return end, err
		}
		if end.TimeMs < timeMs {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return st.EndOf(lo)
}
