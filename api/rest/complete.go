package rest

import (
	"bytes"
	"context"
	"encoding/hex"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/custody"
)

// completeness proves that a person's records are all there are.
func (c *call) completeness() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	b, err := c.completeOf(ref)
	if err != nil {
		return nil, err
	}
	return c.checked(b, "completeness.akashi.json")
}

// Completeness returns the proof that a person's records are all there are, as
// the person's own token would get it. CodeOf tells why there is none.
func (s *server) Completeness(ctx context.Context, person custody.Ref) ([]byte, error) {
	c := s.callOf(ctx, person)
	if c.final == nil {
		return nil, fault(codeNotFinal)
	}
	return c.verified(c.completeOf(person))
}

// completeOf builds the proof over every service and party of the directory,
// with the handles that follow from the copy of the person's secret here.
func (c *call) completeOf(ref custody.Ref) ([]byte, error) {
	handles, err := c.Desk.Handles(c.ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(handles) == 0 {
		return nil, fault(codeNoHandle)
	}
	type place struct {
		id         string
		generation uint64
	}
	keys := map[place]sign.PublicKey{}
	for _, h := range handles {
		keys[place{h.For, h.Generation}] = h.Key
	}
	return receipt.BuildComplete(c.final.source(), receipt.CompleteOptions{
		Handle: func(id string, generation uint64) (sign.PublicKey, error) {
			k, ok := keys[place{id, generation}]
			if !ok {
				return k, fault(codeNoHandle)
			}
			return k, nil
		},
		Events: c.eventLeaves,
	})
}

// eventLeaves reads the first n events under a handle.
func (c *call) eventLeaves(h sign.PublicKey, n uint64) ([][]byte, error) {
	st := c.final.State
	at, err := st.EventsOf(h, n)
	if err != nil {
		return nil, err
	}
	leaves := make([][]byte, 0, len(at))
	err = st.LeavesAt(at, func(_ uint64, leaf []byte) error {
		leaves = append(leaves, bytes.Clone(leaf))
		return c.ctx.Err()
	})
	return leaves, err
}

// handleProof proves one handle's state, and on request that its records are all
// there are. A subject gets it for handles of their own.
func (c *call) handleProof() (any, error) {
	text := c.query.Get("handle")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sign.PublicKeySize || hex.EncodeToString(raw) != text {
		return nil, faultAt(codeParameter, "handle")
	}
	key := sign.PublicKey(raw)
	withEvents, err := c.flag("events")
	if err != nil {
		return nil, err
	}
	if c.caller.Role == token.Subject {
		mine, err := c.owns(key)
		if err != nil {
			return nil, err
		}
		if !mine {
			return nil, fault(codeRole)
		}
	}
	var events receipt.Events
	if withEvents {
		events = c.eventLeaves
	}
	b, err := receipt.BuildHandle(c.final.source(), key, events)
	if err != nil {
		return nil, err
	}
	return c.checked(b, "handle.akashi.json")
}
