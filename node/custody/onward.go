package custody

import (
	"context"
	"encoding/hex"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// checkOnward asks the one from whom the data came whether it may go on.
func (d *Desk) checkOnward(ctx context.Context, st *store.State, h *handOver) error {
	if h.OnwardOf == "" {
		return nil
	}
	id, err := parseID(h.OnwardOf)
	if err != nil {
		return record.Refuse(record.CodeOnwardNotApproved, "no such hand-over")
	}
	rec, _, err := recordByID(st, id)
	if err != nil {
		return err
	}
	if rec == nil || rec.Kind != record.KindProvision || rec.Body.(*record.Provision).To != h.from {
		return record.Refuse(record.CodeOnwardNotApproved, "no such hand-over to %s", h.from)
	}
	host, err := d.hostOf(st, rec.Issuer)
	if err != nil {
		return err
	}
	req, answer := &onwardRequest{Intent: id, To: h.To, Party: h.from}, new(onwardAnswer)
	if host == d.Self {
		answer.Approved, err = d.onward(st, rec, h.To)
	} else {
		err = d.ask(ctx, host, callOnward, req, answer)
	}
	if err == nil && !answer.Approved {
		err = record.Refuse(record.CodeOnwardNotApproved, "%s", h.To)
	}
	return err
}

// anyParty approves an onward hand-over to everyone whom the scope lists.
const anyParty = "*"

// ApproveOnward approves, as the one who handed data over, that its recipient
// passes it on to a party, or with "*" to any that the consent lists. It is kept
// here and asked for by the recipient's node.
func (d *Desk) ApproveOnward(_ context.Context, c Call, intent, to string) error {
	st, err := d.state()
	if err != nil {
		return err
	}
	if to != anyParty && !record.ValidID(to) {
		return record.Refuse(record.CodePartyUnknown, "")
	}
	id, err := parseID(intent)
	if err != nil {
		return record.Refuse(record.CodeIntentUnknown, "")
	}
	rec, _, err := recordByID(st, id)
	if err != nil {
		return err
	}
	if rec == nil || rec.Kind != record.KindProvision {
		return record.Refuse(record.CodeIntentUnknown, "")
	}
	if !d.mine(rec.Issuer) || c.As != "" && c.As != rec.Issuer {
		return record.Refuse(record.CodeNotAuthorised, "the hand-over is by %s", rec.Issuer)
	}
	a := canon.Must(&approval{TimeMs: d.nowMs(), Client: c.Client})
	return d.Blobs.PutMany([]store.KV{{Key: onwardKey(id, to), Value: a}})
}

type approval struct {
	TimeMs uint64 `cbor:"1,keyasint"`
	Client string `cbor:"2,keyasint"`
}

func onwardKey(id record.ID, to string) []byte {
	return blobKeyOf(kindOnward, hex.EncodeToString(id[:])+"/"+to)
}

// onward reports whether a hand-over of ours may be passed on to a party: it was
// approved, or was under no contract that asks for approval.
func (d *Desk) onward(st *store.State, rec *record.Record, to string) (bool, error) {
	for _, t := range []string{to, anyParty} {
		if _, found, err := d.Blobs.Get(onwardKey(rec.ID, t)); found || err != nil {
			return found, err
		}
	}
	o, err := d.openRecord(rec.ID)
	if err != nil || o == nil {
		return false, err
	}
	part, err := record.DecodePart(record.KindProvision, o.Part.Part)
	if err != nil {
		return false, err
	}
	return part.(*record.HandOverPart).Contract == "", nil
}
