package rest

import (
	"encoding/hex"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
)

// ErasureDone is a begun erasure with its record.
type ErasureDone struct {
	Key     string               `json:"idempotencyKey"`
	Final   bool                 `json:"final"`
	Records []custody.Posted     `json:"records"`
	Erasure *custody.ErasureView `json:"erasure,omitempty"`
}

func erasureRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/erasures/{id}", name: "erasure", tag: "erasures", text: Sentence{"消去の進み具合", "How far an erasure has come"},
			roles: known, result: custody.ErasureView{}, handle: (*call).erasure},
		{method: "GET", path: "/v1/erasures/{id}/certificate", name: "certificate", tag: "erasures", text: Sentence{"消去の証明書", "The certificate of an erasure"},
			roles: known, result: "application/json", handle: (*call).certificate},
	}
}

func (c *call) erasePerson(to custody.Call, r custody.EraseRequest) (any, error) {
	view, d, err := c.Desk.Erase(c.ctx, to, r)
	if err != nil {
		return nil, err
	}
	out := ErasureDone{Key: to.Key, Final: true, Records: []custody.Posted{}, Erasure: view}
	if d != nil {
		out.Key, out.Final = d.Key, d.Final
		out.Records = append(out.Records, d.Records...)
	}
	return out, nil
}

func (c *call) erasure() (any, error) {
	id := c.r.PathValue("id")
	if _, err := recordID("id", id); err != nil {
		return nil, err
	}
	v, err := c.Desk.Erasure(c.ctx, id)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (c *call) certificate() (any, error) {
	id, err := recordID("id", c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	st := c.final.State
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(id))
	if err != nil {
		return nil, err
	}
	index, ok, err := st.IndexOf(id)
	if err != nil {
		return nil, err
	}
	if e == nil || !ok {
		return nil, record.Refuse(record.CodeErasureUnknown, "")
	}
	attestations := []uint64{}
	for _, ms := range attestedAt(e) {
		if attestations, err = attested(st, id, ms, attestations); err != nil {
			return nil, err
		}
	}
	b, err := receipt.BuildErasure(c.final.source(), index, attestations)
	if err != nil {
		return nil, err
	}
	return c.checked(b, hex.EncodeToString(id[:])+".erasure.akashi.json")
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

// attested appends the leaves of an erasure's attestations in the batch of a
// time.
func attested(st *store.State, id record.ID, timeMs uint64, out []uint64) ([]uint64, error) {
	lo, hi := uint64(0), st.Height
	for lo < hi { // times of batches strictly increase
		mid := (lo + hi) / 2
		end, err := st.EndOf(mid)
		if err != nil {
			return nil, err
		}
		if end.TimeMs < timeMs {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	end, err := st.EndOf(lo)
	if err != nil {
		return nil, err
	}
	err = st.Range(end.First, end.Size, func(index uint64, leaf []byte) error {
		if record.KindOf(leaf) != record.KindAttestation {
			return nil
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			return err
		}
		if a, ok := rec.Body.(*record.Attestation); ok && a.Erasure == id {
			out = append(out, index)
		}
		return nil
	})
	return out, err
}
