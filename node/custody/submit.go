package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// ownClient is the client of what the desk posts by itself. No token has this
// name, since a token's name has no colon.
const ownClient = "custody:desk"

// memoFor is how long a memo lives, longer than the outbox remembers a key.
const memoFor = 45 * 24 * time.Hour

// A posting is what goes into the ledger in one submission.
type posting struct {
	issuer   string
	suffix   string // of the Idempotency-Key: a second attempt
	body     [32]byte
	records  []*record.Record
	purposes []string // of the records, where they have one
	keep     []store.KV
	urgent   bool
}

// A memo makes a call happen once. The outbox remembers what became of a key; the
// memo, written in the same durable step, remembers that it was asked, so that a
// repeated call is not judged again by what it has itself changed.
type memo struct {
	Body     [32]byte `cbor:"1,keyasint"`
	Leaves   [][]byte `cbor:"2,keyasint,omitempty"`
	Purposes []string `cbor:"3,keyasint,omitempty"`
	Erasure  []byte   `cbor:"4,keyasint,omitempty"`

	Readings *readingsMemo `cbor:"5,keyasint,omitempty"`
	Dataset  []byte        `cbor:"6,keyasint,omitempty"`
}

func (d *Desk) memoKey(c Call, issuer, suffix string) []byte {
	return blobKey(kindMemo, d.code("memo", issuer, c.Client, c.Key, suffix))
}

// bodyOf condenses what was asked. It is keyed, because a plain hash of a phone
// number can be guessed.
func (d *Desk) bodyOf(what string, parts ...string) [32]byte {
	return [32]byte(d.code("body/"+what, parts...))
}

// again answers a call whose key was used before; nil where it is the first.
func (d *Desk) again(ctx context.Context, c Call, issuer, suffix string, body [32]byte) (*Done, *outbox.Result, error) {
	if c.Key == "" {
		return nil, nil, nil
	}
	m, err := loadBlob[memo](d, d.memoKey(c, issuer, suffix))
	if err == nil && m != nil && len(m.Leaves) == 0 { // it stands for something else
		err = outbox.ErrKeyReused
	}
	if err != nil || m == nil {
		return nil, nil, err
	}
	p := posting{issuer: issuer, suffix: suffix, body: body, purposes: m.Purposes}
	if !hmac.Equal(m.Body[:], body[:]) {
		return nil, nil, outbox.ErrKeyReused
	}
	for _, leaf := range m.Leaves {
		rec, err := record.Parse(leaf)
		if err != nil {
			return nil, nil, fmt.Errorf("a memo: %w", err)
		}
		p.records = append(p.records, rec)
	}
	return d.send(ctx, c, p)
}

// post enters records into the ledger, durable with their openings and memo. It
// returns a *record.Refusal where none of them was accepted.
func (d *Desk) post(ctx context.Context, c Call, p posting) (*Done, *outbox.Result, error) {
	if c.Key != "" {
		m := memo{Body: p.body, Purposes: p.purposes}
		for _, r := range p.records {
			leaf, err := r.Leaf()
			if err != nil {
				return nil, nil, err
			}
			m.Leaves = append(m.Leaves, leaf)
		}
		p.keep = append(p.keep, store.KV{Key: d.memoKey(c, p.issuer, p.suffix), Value: canon.Must(&m), TTL: memoFor})
	}
	return d.send(ctx, c, p)
}

func (d *Desk) send(ctx context.Context, c Call, p posting) (*Done, *outbox.Result, error) {
	key := c.Key
	if key != "" {
		key += p.suffix
	}
	submit := d.Poster.Submit
	if c.Committed {
		submit = d.Poster.SubmitCommitted
	}
	res, err := submit(ctx, outbox.Request{Issuer: p.issuer, Client: c.Client, Key: key, Body: p.body,
		Records: p.records, Keep: p.keep, Urgent: p.urgent})
	if err != nil {
		return nil, nil, err
	}
	if len(res.Outcomes) != len(p.records) {
		return nil, nil, errors.New("an answer for other records")
	}
	done := &Done{Key: res.Key, Final: res.Final}
	if c.Key != "" {
		done.Key = c.Key
	}
	var refused *record.Refusal
	accepted := false
	for i, o := range res.Outcomes {
		r := Posted{ID: hex.EncodeToString(o.ID[:]), Kind: p.records[i].Kind.String(), Index: o.Index, Height: o.Height, TimeMs: o.TimeMs}
		if i < len(p.purposes) {
			r.Purpose = p.purposes[i]
		}
		if o.Refused != nil {
			r.Code, r.Index, r.Height, r.TimeMs = o.Refused.Code, 0, 0, 0
			if refused == nil {
				refused = o.Refused
			}
		} else {
			accepted = true
		}
		done.Records = append(done.Records, r)
	}
	if !accepted {
		return nil, res, refused
	}
	return done, res, nil
}

// ownCall is a call of the desk itself, under a key that follows from what is
// posted, so that it happens once whatever crashes.
func ownCall(key string) Call { return Call{Client: ownClient, Key: key} }

// postOwn posts one record of the desk's own.
func (d *Desk) postOwn(ctx context.Context, key string, rec *record.Record, urgent bool, keep ...store.KV) (*Done, *outbox.Result, error) {
	return d.send(ctx, ownCall(key), posting{issuer: rec.Issuer, body: d.bodyOf("own", key), records: []*record.Record{rec},
		keep: keep, urgent: urgent})
}
