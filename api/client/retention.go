package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/node/custody"
)

// Dates returns until when what is held of a person lives.
func (c *Client) Dates(ctx context.Context, ref custody.Ref) (*custody.Dates, error) {
	return read[custody.Dates](ctx, c, aboutPerson(ref, "/dates"), nil)
}

// Collect takes in data that is kept until a deadline.
func (c *Client) Collect(ctx context.Context, r custody.Collection) (*custody.Dataset, error) {
	return write[custody.Dataset](ctx, c, "/v1/datasets", r)
}

// Dataset looks at a dataset for a purpose.
func (c *Client) Dataset(ctx context.Context, id, purpose string) (*custody.Dataset, error) {
	return read[custody.Dataset](ctx, c, dataset(id), url.Values{"purpose": {purpose}})
}

// EraseDataset destroys a dataset.
func (c *Client) EraseDataset(ctx context.Context, id string) (*rest.ErasureDone, error) {
	out := new(rest.ErasureDone)
	if err := c.send(ctx, http.MethodDelete, dataset(id), nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

func dataset(id string) string { return "/v1/datasets/" + url.PathEscape(id) }

// PlaceHold holds identities against destruction.
func (c *Client) PlaceHold(ctx context.Context, r custody.HoldRequest) (*custody.HoldView, error) {
	return write[custody.HoldView](ctx, c, "/v1/holds", r)
}

// Holds lists holds: of one person, or of all where ref is "".
func (c *Client) Holds(ctx context.Context, ref custody.Ref) ([]custody.HoldView, error) {
	query := url.Values{}
	if ref != "" {
		query.Set("person", string(ref))
	}
	v, err := read[rest.HoldList](ctx, c, "/v1/holds", query)
	if err != nil {
		return nil, err
	}
	return v.Holds, nil
}

// LiftHold ends a hold before its time.
func (c *Client) LiftHold(ctx context.Context, id, reason string) (*custody.HoldView, error) {
	return write[custody.HoldView](ctx, c, "/v1/holds/"+url.PathEscape(id)+"/lift", rest.LiftForm{Reason: reason})
}
