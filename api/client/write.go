package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// Done is what became of the records of one request.
type Done = custody.Done

// write posts a request that enters records. It returns when they are final.
func write[T any](ctx context.Context, c *Client, path string, in any) (*T, error) {
	out := new(T)
	if err := c.send(ctx, http.MethodPost, path, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// SetClock moves a story's clock at this node. With wait it returns when k
// members have cosigned at the new time, which they do where theirs was moved,
// too; it reports whether they have.
func (c *Client) SetClock(ctx context.Context, now time.Time, wait bool) (fresh bool, err error) {
	v, err := write[rest.ClockView](ctx, c, "/v1/clock", rest.ClockForm{Now: now, Wait: wait})
	return err == nil && v.Fresh, err
}

// AdmitParty lets a party in; this node keeps its key and acts for it.
func (c *Client) AdmitParty(ctx context.Context, p rest.PartyForm) (*Done, error) {
	return write[Done](ctx, c, "/v1/parties", p)
}

// OpenService opens a service.
func (c *Client) OpenService(ctx context.Context, s rest.ServiceForm) (*Done, error) {
	return write[Done](ctx, c, "/v1/services", s)
}

// PublishTerms publishes a version of a service's terms.
func (c *Client) PublishTerms(ctx context.Context, s rest.ScreenForm) (*rest.TermsDone, error) {
	return write[rest.TermsDone](ctx, c, "/v1/terms", s)
}

// Vote signs a ballot, or posts it with the votes of others.
func (c *Client) Vote(ctx context.Context, v rest.VoteForm) (*rest.VoteDone, error) {
	return write[rest.VoteDone](ctx, c, "/v1/votes", v)
}

// ReplaceKeys takes this node's part in replacing keys of a member: the answer is
// the form for the next member, or with Submit what became of it.
func (c *Client) ReplaceKeys(ctx context.Context, member string, f rest.KeysForm) (*rest.KeysDone, error) {
	return write[rest.KeysDone](ctx, c, "/v1/members/"+url.PathEscape(member)+"/keys", f)
}

// AdmitMember takes this node's part in admitting a member, as ReplaceKeys does.
func (c *Client) AdmitMember(ctx context.Context, f rest.JoinForm) (*rest.JoinDone, error) {
	return write[rest.JoinDone](ctx, c, "/v1/members", f)
}

// RemoveMember takes this node's part in ending a membership, as ReplaceKeys does.
func (c *Client) RemoveMember(ctx context.Context, member string, f rest.RemovalForm) (*rest.RemovalDone, error) {
	return write[rest.RemovalDone](ctx, c, "/v1/members/"+url.PathEscape(member)+"/removal", f)
}

// Tick records that time has passed.
func (c *Client) Tick(ctx context.Context) (*Done, error) {
	return write[Done](ctx, c, "/v1/ticks", rest.TickForm{})
}

// Register registers a person with a service.
func (c *Client) Register(ctx context.Context, r custody.Registration) (*Done, error) {
	return write[Done](ctx, c, "/v1/people", r)
}

// PutItems sets items of a person.
func (c *Client) PutItems(ctx context.Context, person custody.Ref, service string, items map[string]string) error {
	return c.send(ctx, http.MethodPut, aboutPerson(person, "/items"), rest.ItemsForm{Service: service, Items: items}, nil)
}

// Link makes a one-time code by which a person opens the pages.
func (c *Client) Link(ctx context.Context, person custody.Ref, life time.Duration) (*rest.LinkView, error) {
	return write[rest.LinkView](ctx, c, aboutPerson(person, "/link"), rest.LinkForm{Seconds: int(life / time.Second)})
}

// Consent brings a person's consent into the ledger: one record a purpose.
func (c *Client) Consent(ctx context.Context, r custody.ConsentRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/consents", r)
}

// Decline records that a person saw a screen and did not agree.
func (c *Client) Decline(ctx context.Context, r custody.DeclineRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/refusals", r)
}

// Revoke withdraws consents with the person's key.
func (c *Client) Revoke(ctx context.Context, r custody.WithdrawRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/revocations", r)
}

// Stop turns consents off without the person's key.
func (c *Client) Stop(ctx context.Context, r custody.WithdrawRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/stops", r)
}

// Erase destroys a person's content here and where it went from here.
func (c *Client) Erase(ctx context.Context, person custody.Ref, cause string) (*rest.ErasureDone, error) {
	return write[rest.ErasureDone](ctx, c, aboutPerson(person, "/erasure"), rest.ErasureForm{Cause: cause})
}

// Provide hands items over under a consent.
func (c *Client) Provide(ctx context.Context, r custody.ProvideRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/provisions", r)
}

// Receive confirms a hand-over that waits here.
func (c *Client) Receive(ctx context.Context, intent, howAcquired string) (*Done, error) {
	return write[Done](ctx, c, handOver(intent, "/received"), rest.ReceivedForm{HowAcquired: howAcquired})
}

// Undelivered says that a hand-over is not taken.
func (c *Client) Undelivered(ctx context.Context, intent string, reason record.Code) (*Done, error) {
	return write[Done](ctx, c, handOver(intent, "/undelivered"), rest.UndeliveredForm{Reason: string(reason)})
}

// ApproveOnward lets the recipient of a hand-over pass it on to a party.
func (c *Client) ApproveOnward(ctx context.Context, intent, to string) error {
	_, err := write[rest.OnwardView](ctx, c, handOver(intent, "/onward"), rest.OnwardForm{To: to})
	return err
}

// FileOptOut announces an opt-out filing.
func (c *Client) FileOptOut(ctx context.Context, f rest.FilingForm) (*Done, error) {
	return write[Done](ctx, c, "/v1/filings", f)
}

// EndFiling ends an opt-out filing.
func (c *Client) EndFiling(ctx context.Context, number string) (*Done, error) {
	out := new(Done)
	if err := c.send(ctx, http.MethodDelete, "/v1/filings/"+url.PathEscape(number), nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ProvideOptOut hands items over under an opt-out filing.
func (c *Client) ProvideOptOut(ctx context.Context, r custody.OptOutRequest) (*Done, error) {
	return write[Done](ctx, c, "/v1/provisions/optout", r)
}

// AskException asks to disclose items on a legal ground. Nothing is recorded
// before somebody else approves it.
func (c *Client) AskException(ctx context.Context, r custody.ExceptionRequest) (*custody.ExceptionView, error) {
	return write[custody.ExceptionView](ctx, c, "/v1/exceptions", r)
}

// ApproveException approves and records what another asked for.
func (c *Client) ApproveException(ctx context.Context, id string) (*Done, error) {
	return write[Done](ctx, c, exception(id, "/approval"), rest.ApprovalForm{})
}

func exception(id, what string) string { return "/v1/exceptions/" + url.PathEscape(id) + what }

func aboutPerson(ref custody.Ref, what string) string {
	return "/v1/people/" + url.PathEscape(string(ref)) + what
}

func handOver(intent, what string) string { return "/v1/provisions/" + url.PathEscape(intent) + what }
