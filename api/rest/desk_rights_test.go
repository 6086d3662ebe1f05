package rest

import (
	"context"
	"strings"

	"github.com/akashi-ledger/akashi/node/custody"
)

func (d *desk) Erase(_ context.Context, c custody.Call, r custody.EraseRequest) (*custody.ErasureView, *custody.Done, error) {
	done, err := d.note("erase", c, r)
	return &custody.ErasureView{ID: strings.Repeat("cd", 16), Pending: []string{}, Done: []custody.HolderErased{}}, done, err
}

func (d *desk) Erasure(_ context.Context, id string) (*custody.ErasureView, error) {
	if _, err := d.note("erasure", custody.Call{}, id); err != nil {
		return nil, err
	}
	return &custody.ErasureView{ID: id, Pending: []string{}, Done: []custody.HolderErased{}}, nil
}

func (d *desk) Dates(_ context.Context, ref custody.Ref) (*custody.Dates, error) {
	_, err := d.note("dates", custody.Call{}, ref)
	return &custody.Dates{Person: ref, Content: []custody.ContentDate{}, Records: []custody.RecordDate{}, Holds: []custody.HoldView{}}, err
}

func (d *desk) Collect(_ context.Context, c custody.Call, r custody.Collection) (*custody.Dataset, error) {
	_, err := d.note("collect", c, r)
	return &custody.Dataset{ID: strings.Repeat("da", 16), Person: r.Person}, err
}

func (d *desk) ReadDataset(_ context.Context, c custody.Call, id string, by custody.Reader) (*custody.Dataset, error) {
	_, err := d.note("dataset", c, id+" "+by.Purpose)
	return &custody.Dataset{ID: id}, err
}

func (d *desk) EraseDataset(_ context.Context, c custody.Call, id string) (*custody.ErasureView, *custody.Done, error) {
	done, err := d.note("erase-dataset", c, id)
	return &custody.ErasureView{ID: strings.Repeat("cd", 16), Pending: []string{}, Done: []custody.HolderErased{}}, done, err
}

func (d *desk) PlaceHold(_ context.Context, c custody.Call, r custody.HoldRequest) (*custody.HoldView, error) {
	_, err := d.note("hold", c, r)
	return &custody.HoldView{Person: r.Person, Covers: []string{}, Statement: []byte{1}, Signature: []byte{1}}, err
}

func (d *desk) Holds(_ context.Context, ref custody.Ref) ([]custody.HoldView, error) {
	_, err := d.note("holds", custody.Call{}, ref)
	return nil, err
}

func (d *desk) LiftHold(_ context.Context, c custody.Call, id, reason string) (*custody.HoldView, error) {
	_, err := d.note("lift", c, id+" "+reason)
	return &custody.HoldView{ID: id, Covers: []string{}, Statement: []byte{1}, Signature: []byte{1}}, err
}

func (d *desk) right(what string, asked any) (*custody.RightView, error) {
	_, err := d.note(what, custody.Call{}, asked)
	if err != nil {
		return nil, err
	}
	return &custody.RightView{ID: strings.Repeat("ab", 16), Kind: "disclosure", State: "open"}, nil
}

func (d *desk) FileRight(_ context.Context, c custody.Call, r custody.RightRequest) (*custody.RightView, error) {
	v, err := d.right("file-request", r)
	d.call = c
	return v, err
}

func (d *desk) Rights(_ context.Context, ref custody.Ref) ([]custody.RightView, error) {
	v, err := d.right("person-requests", ref)
	if err != nil {
		return nil, err
	}
	return []custody.RightView{*v}, nil
}

func (d *desk) AllRights(_ context.Context, open bool) ([]custody.RightView, error) {
	_, err := d.right("requests", open)
	return nil, err
}

func (d *desk) AnswerRight(_ context.Context, id string, a custody.RightAnswer) (*custody.RightView, error) {
	return d.right("answer-request", a)
}

func (d *desk) Stops(_ context.Context, ref custody.Ref) ([]custody.StopView, error) {
	_, err := d.right("stops", ref)
	return []custody.StopView{{Kind: "mail"}}, err
}

func (d *desk) SetStop(_ context.Context, ref custody.Ref, kind string, stopped bool, by string) ([]custody.StopView, error) {
	_, err := d.right("set-stop", []any{string(ref), kind, stopped, by})
	return []custody.StopView{{Kind: kind, Stopped: stopped}}, err
}
