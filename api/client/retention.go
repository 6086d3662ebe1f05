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

// Dataset looks at a dataset.
func (c *Client) Dataset(ctx context.Context, id string, by custody.Reader) (*custody.Dataset, error) {
	query := url.Values{"purpose": {by.Purpose}}
	for name, value := range map[string]string{"site": by.Site, "staff": by.Staff} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return read[custody.Dataset](ctx, c, dataset(id), query)
}

// AssignManager names the one manager of a site.
func (c *Client) AssignManager(ctx context.Context, site string, f rest.ManagerForm) (*Done, error) {
	return put[Done](ctx, c, "/v1/sites/"+url.PathEscape(site)+"/manager", f)
}

// RotateCredential notes that a member of staff has a new credential.
func (c *Client) RotateCredential(ctx context.Context, staff string) (*Done, error) {
	return write[Done](ctx, c, "/v1/staff/"+url.PathEscape(staff)+"/credential", nil)
}

// StaffLeave notes that a member of staff has left.
func (c *Client) StaffLeave(ctx context.Context, staff string) (*Done, error) {
	return write[Done](ctx, c, "/v1/staff/"+url.PathEscape(staff)+"/leave", nil)
}

// PostSign notes the sign at a sensor.
func (c *Client) PostSign(ctx context.Context, sensor string, s custody.Sign) (*Done, error) {
	return put[Done](ctx, c, "/v1/sensors/"+url.PathEscape(sensor)+"/sign", s)
}

func put[T any](ctx context.Context, c *Client, path string, body any) (*T, error) {
	out := new(T)
	if err := c.send(ctx, http.MethodPut, path, body, out); err != nil {
		return nil, err
	}
	return out, nil
}

// FileRight asks a member by right.
func (c *Client) FileRight(ctx context.Context, ref custody.Ref, f rest.RightForm) (*custody.RightView, error) {
	return write[custody.RightView](ctx, c, aboutPerson(ref, "/requests"), f)
}

// AnswerRight answers a request.
func (c *Client) AnswerRight(ctx context.Context, id string, f rest.AnswerForm) (*custody.RightView, error) {
	return write[custody.RightView](ctx, c, "/v1/requests/"+url.PathEscape(id)+"/answer", f)
}

// SetStop stops one kind of hand-over of a person's data, or lets it go on.
func (c *Client) SetStop(ctx context.Context, ref custody.Ref, kind string, stopped bool) (*rest.StopList, error) {
	state := map[bool]string{true: "stopped", false: "on"}[stopped]
	return put[rest.StopList](ctx, c, aboutPerson(ref, "/stops/"+url.PathEscape(kind)), rest.StopForm{State: state})
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
