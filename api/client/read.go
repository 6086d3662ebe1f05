package client

import (
	"context"
	"encoding/hex"
	"net/url"
	"strconv"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/custody"
)

func read[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	out := new(T)
	if err := c.get(ctx, path, query, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Status returns where the node stands.
func (c *Client) Status(ctx context.Context) (*rest.Status, error) {
	return read[rest.Status](ctx, c, "/v1/status", nil)
}

// Members returns the members of the newest policy epoch, and how many must sign.
func (c *Client) Members(ctx context.Context) (*rest.MemberList, error) {
	return read[rest.MemberList](ctx, c, "/v1/members", nil)
}

// Evidence returns what the node keeps against members, oldest first.
func (c *Client) Evidence(ctx context.Context) ([]rest.EvidenceView, error) {
	l, err := read[rest.EvidenceList](ctx, c, "/v1/evidence", nil)
	if err != nil {
		return nil, err
	}
	return l.Evidence, nil
}

// Parties returns all members and parties.
func (c *Client) Parties(ctx context.Context) (all []rest.PartyView, err error) {
	for after := ""; ; {
		page, err := read[rest.PartyList](ctx, c, "/v1/parties", after1(after))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Parties...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// Services returns all services.
func (c *Client) Services(ctx context.Context) (all []rest.ServiceView, err error) {
	for after := ""; ; {
		page, err := read[rest.ServiceList](ctx, c, "/v1/services", after1(after))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Services...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

func after1(id string) url.Values {
	if id == "" {
		return nil
	}
	return url.Values{"after": {id}}
}

// Service returns one service.
func (c *Client) Service(ctx context.Context, id string) (*rest.ServiceView, error) {
	return read[rest.ServiceView](ctx, c, "/v1/services/"+url.PathEscape(id), nil)
}

// Terms returns one version of terms by its hash in hex.
func (c *Client) Terms(ctx context.Context, hash string) (*rest.TermsView, error) {
	return read[rest.TermsView](ctx, c, "/v1/terms/"+url.PathEscape(hash), nil)
}

// Vocabulary returns what items, purposes and parameters there are.
func (c *Client) Vocabulary(ctx context.Context) (*rest.Vocabulary, error) {
	return read[rest.Vocabulary](ctx, c, "/v1/attributes", nil)
}

// Person returns all that the member holds of a person.
func (c *Client) Person(ctx context.Context, ref custody.Ref) (*custody.Disclosure, error) {
	return read[custody.Disclosure](ctx, c, aboutPerson(ref, ""), nil)
}

// Secret returns the recovery copy of a person's secret.
func (c *Client) Secret(ctx context.Context, ref custody.Ref) (sign.Secret, error) {
	v, err := read[rest.SecretView](ctx, c, aboutPerson(ref, "/secret"), nil)
	if err != nil || len(v.Secret) != sign.SecretSize {
		return sign.Secret{}, err
	}
	return sign.Secret(v.Secret), nil
}

// Consents returns a person's consents as they stand, by the node's word.
func (c *Client) Consents(ctx context.Context, ref custody.Ref) ([]custody.ConsentView, error) {
	v, err := read[rest.ConsentList](ctx, c, aboutPerson(ref, "/consents"), nil)
	if err != nil {
		return nil, err
	}
	return v.Consents, nil
}

// Events returns the records under a person's handles, by the node's word;
// Completeness proves them.
func (c *Client) Events(ctx context.Context, ref custody.Ref) ([]custody.Event, error) {
	v, err := read[rest.EventList](ctx, c, aboutPerson(ref, "/events"), nil)
	if err != nil {
		return nil, err
	}
	return v.Events, nil
}

// A File is a proof that a person keeps, with what it proves.
type File struct {
	Bytes   []byte
	Verdict *receipt.Verdict
}

// verified fetches a file and verifies it under the client's policies, or those
// that they lead to.
func (c *Client) verified(ctx context.Context, path string, query url.Values, verify func([]byte, []*sign.Policy) (*receipt.Verdict, error)) (*File, error) {
	b, err := c.read(ctx, path, query, maxBundle)
	if err != nil {
		return nil, err
	}
	v, err := under(ctx, c, func(ps []*sign.Policy) (*receipt.Verdict, error) { return verify(b, ps) })
	return &File{b, v}, err
}

func (c *Client) verify(b []byte, ps []*sign.Policy) (*receipt.Verdict, error) {
	return receipt.Verify(b, ps...)
}

// Receipt returns the verified receipt of a record, by its index or its id in
// hex, on request with its status. Where it does not verify, the file comes with
// the error (*receipt.Error).
func (c *Client) Receipt(ctx context.Context, record string, status bool) (*File, error) {
	var q url.Values
	if status {
		q = url.Values{"status": {"true"}}
	}
	return c.verified(ctx, "/v1/records/"+url.PathEscape(record)+"/receipt", q, c.verify)
}

// Completeness returns the verified proof that a person's records are all there
// are: with the person's secret for all of their handles, without it for the
// handles as given.
func (c *Client) Completeness(ctx context.Context, ref custody.Ref, secret *sign.Secret) (*File, error) {
	verify := c.verify
	if secret != nil {
		verify = func(b []byte, ps []*sign.Policy) (*receipt.Verdict, error) {
			return receipt.VerifyComplete(b, *secret, ps...)
		}
	}
	return c.verified(ctx, aboutPerson(ref, "/completeness"), nil, verify)
}

// Handle returns the verified proof of one handle's state, with events also that
// its records are all there are.
func (c *Client) Handle(ctx context.Context, handle sign.PublicKey, events bool) (*File, error) {
	q := url.Values{"handle": {hex.EncodeToString(handle[:])}}
	if events {
		q.Set("events", "true")
	}
	return c.verified(ctx, "/v1/proofs/handle", q, c.verify)
}

// Certificate returns the verified certificate of an erasure.
func (c *Client) Certificate(ctx context.Context, erasure string) (*File, error) {
	return c.verified(ctx, "/v1/erasures/"+url.PathEscape(erasure)+"/certificate", nil, c.verify)
}

// Erasure returns the progress of an erasure.
func (c *Client) Erasure(ctx context.Context, id string) (*custody.ErasureView, error) {
	return read[custody.ErasureView](ctx, c, "/v1/erasures/"+url.PathEscape(id), nil)
}

// Openings returns what opens the records of a range, as the node writes it. The
// access is recorded.
func (c *Client) Openings(ctx context.Context, from, to uint64) ([]byte, error) {
	return c.read(ctx, "/v1/openings", url.Values{"from": {strconv.FormatUint(from, 10)}, "to": {strconv.FormatUint(to, 10)}}, maxBundle)
}

// Filing returns an opt-out filing that has not ended.
func (c *Client) Filing(ctx context.Context, number string) (*rest.FilingView, error) {
	return read[rest.FilingView](ctx, c, "/v1/filings/"+url.PathEscape(number), nil)
}

// Exceptions returns the disclosures on a legal ground that were asked for.
func (c *Client) Exceptions(ctx context.Context) ([]custody.ExceptionView, error) {
	l, err := read[rest.ExceptionList](ctx, c, "/v1/exceptions", nil)
	if err != nil {
		return nil, err
	}
	return l.Exceptions, nil
}

// Exception returns one of them.
func (c *Client) Exception(ctx context.Context, id string) (*custody.ExceptionView, error) {
	return read[custody.ExceptionView](ctx, c, exception(id, ""), nil)
}

// ExceptionItems returns what is disclosed, to whoever asked, once the record is
// final.
func (c *Client) ExceptionItems(ctx context.Context, id string) (map[string]string, error) {
	v, err := read[rest.ExceptionItems](ctx, c, exception(id, "/items"), nil)
	if err != nil {
		return nil, err
	}
	return v.Items, nil
}
