package custody

import (
	"context"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Drawn is what is drawn by chance, or from the clock, for consents that a passkey is
// to confirm: the person's time, and a nonce for each. It is of nobody.
type Drawn struct {
	TimeMs uint64       `json:"timeMs"`
	Nonces []seal.Nonce `json:"nonces"`
}

func (d *Desk) draw(consents int) *Drawn {
	v := &Drawn{TimeMs: d.nowMs()}
	for range consents {
		v.Nonces = append(v.Nonces, seal.NewNonce())
	}
	return v
}

// Challenge returns what a passkey has to sign so that it confirms a choice, and what
// was drawn for that: the hash of the statements that the handle's key will sign
// (record.Challenge). Nothing is written. The answer counts as long as no other
// consent or withdrawal under the handle comes between.
func (d *Desk) Challenge(_ context.Context, r ConsentRequest) ([32]byte, *Drawn, error) {
	st, err := d.state()
	if err != nil {
		return [32]byte{}, nil, err
	}
	r.Items, r.Purposes = set(r.Items), set(r.Purposes)
	defer d.lock(string(r.Person))()
	q, release, err := d.use(r.Person)
	if err != nil {
		return [32]byte{}, nil, err
	}
	defer release()
	s, c, err := d.chosen(st, q, r)
	if err != nil {
		return [32]byte{}, nil, err
	}
	if !d.hasSecret(q) {
		return [32]byte{}, nil, record.Refuse(CodePersonUnknown, "no secret of the person is kept here")
	}
	secret, own, err := d.readSecret(q.ref)
	if err != nil {
		return [32]byte{}, nil, err
	}
	defer clear(secret[:])
	h, err := d.current(st, secret, s.ID)
	if err != nil {
		return [32]byte{}, nil, err
	}
	drawn := d.draw(len(c.scopes))
	return record.DraftChallenge(d.Origin, c.drafts(h, own, drawn)), drawn, nil
}

// confirmed are the drafts of a choice, with the passkey's answer in them where there
// is one: refused where it is an answer to anything else.
func (d *Desk) confirmed(h *handle, c *choice, own bool) ([]record.Draft, error) {
	if c.Passkey == nil {
		return c.drafts(h, own, d.draw(len(c.scopes))), nil
	}
	if len(c.Passkey.Nonces) != len(c.scopes) || slices.Contains(c.Passkey.Nonces, seal.Nonce{}) {
		return nil, record.Refuse(record.CodePasskeyChallenge, "it answers for other purposes")
	}
	drafts := c.drafts(h, own, &c.Passkey.Drawn)
	return drafts, record.Confirm(d.Origin, drafts, &c.Passkey.Assertion)
}
