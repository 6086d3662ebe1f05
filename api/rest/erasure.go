package rest

import (
	"encoding/hex"

	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
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
	return erasureDone(to, view, d), nil
}

func erasureDone(to custody.Call, view *custody.ErasureView, d *custody.Done) ErasureDone {
	out := ErasureDone{Key: to.Key, Final: true, Records: []custody.Posted{}, Erasure: view}
	if d != nil {
		out.Key, out.Final = d.Key, d.Final
		out.Records = append(out.Records, d.Records...)
	}
	return out
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
	return c.certificateOf(id)
}

// Certificate returns the akashi-erasure/v1 of an erasure, for the pages.
func (s *server) Certificate(id string) ([]byte, error) {
	rid, err := recordID("id", id)
	if err != nil {
		return nil, err
	}
	c := &call{server: s, final: s.Final()}
	if c.final == nil {
		return nil, fault(codeNotFinal)
	}
	f, err := c.certificateOf(rid)
	if err != nil {
		return nil, err
	}
	return f.(file).bytes, nil
}

func (c *call) certificateOf(id record.ID) (any, error) {
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
	found, err := custody.Attestations(st, id, e)
	if err != nil {
		return nil, err
	}
	attestations := make([]uint64, len(found))
	for i, a := range found {
		attestations[i] = a.Index
	}
	b, err := receipt.BuildErasure(c.final.source(), index, attestations)
	if err != nil {
		return nil, err
	}
	return c.checked(b, hex.EncodeToString(id[:])+".erasure.akashi.json")
}
