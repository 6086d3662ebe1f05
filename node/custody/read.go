package custody

import (
	"context"
	"encoding/hex"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// MethodRead is the method of a hand-over whose items a program of the recipient
// got in the answer. The parcel goes to the recipient's node as ever, which posts
// the receiving record without being asked: the items have left already.
const MethodRead = "read"

// ReadItems is what a program of the recipient reads under a consent.
type ReadItems struct {
	Provision Posted
	Items     map[string]string // item code → value
}

// Read hands items over to a recipient who asks for them now: the intent is final
// before the items are returned. Like Provide it records a refusal that the person
// should see. It happens anew with every call.
func (d *Desk) Read(ctx context.Context, r ProvideRequest) (*ReadItems, error) {
	st, s, err := d.forService(Call{}, r.Service)
	if err != nil {
		return nil, err
	}
	r.Items, r.Method = set(r.Items), MethodRead
	id := newID()
	c := Call{Client: ownClient, Key: "read/" + hex.EncodeToString(id[:])}
	h := &handOver{ProvideRequest: r, from: s.Owner, service: s}
	p, err := d.checked(ctx, c, h)
	if err != nil {
		return nil, err
	}
	p.body = d.bodyOf("read", c.Key)
	rec := p.records[0]
	done, err := d.dispatch(ctx, c, h, p)
	if err != nil {
		return nil, err
	}
	if !done.Final {
		return nil, outbox.ErrUnknown
	}
	if st, err = d.freshState(ctx); err != nil {
		return nil, err
	}
	why, err := d.mayLeave(st, rec)
	if err == nil && why != "" {
		err = record.Refuse(why, "")
		d.deny(ctx, c, h, err)
	}
	if err != nil {
		return nil, err
	}
	out := &ReadItems{Provision: done.Records[0], Items: map[string]string{}}
	for _, v := range h.values {
		out.Items[v.Code] = v.Value
	}
	return out, nil
}

// A ScopeNow is one scope of a service as it stands at a fresh final checkpoint.
type ScopeNow struct {
	Purpose string
	Version string
	On      bool
	Items   []string
	Handle  sign.PublicKey
}

// ScopesNow returns the scopes of a person's present handle towards a service at a
// final checkpoint no older than 30 s: what a token may still open.
func (d *Desk) ScopesNow(ctx context.Context, ref Ref, service string) ([]ScopeNow, error) {
	st, err := d.freshState(ctx)
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, service)
	if err != nil {
		return nil, err
	}
	q, release, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	k, h, err := d.handleFor(st, q, service)
	if err != nil || h == nil || h.Closed != 0 || d.erasing.closes(k) {
		return nil, err
	}
	out := make([]ScopeNow, 0, len(h.Scopes))
	for i := range h.Scopes {
		v, err := d.consentView(st, s, k, h, &h.Scopes[i])
		if err != nil {
			return nil, err
		}
		out = append(out, ScopeNow{Purpose: v.Purpose, Version: v.Version, On: v.On && h.Allows(h.Scopes[i].Terms, h.Scopes[i].Scope, d.nowMs()) == "",
			Items: v.Items, Handle: k})
	}
	return out, nil
}

// readNow reports whether the part of a hand-over says that its items were read.
func readNow(kind record.Kind, part []byte) bool {
	v, err := record.DecodePart(kind, part)
	p, ok := v.(*record.HandOverPart)
	return err == nil && ok && p.Method == MethodRead
}
