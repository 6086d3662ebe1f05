package rules

import (
	"github.com/akashi-ledger/akashi/ledger/record"
)

// owner returns the party that a handle is towards: the owner of its service,
// or the party itself.
func (b *batch) owner(id string) (string, error) {
	s, err := load[Service](b.tx, KeyService(id))
	if err != nil {
		return "", err
	}
	if s != nil {
		return s.Owner, nil
	}
	p, err := need[Party](b.tx, KeyParty(id), record.CodeServiceUnknown)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

// mine wants the issuer to be the one that the handle is towards.
func (b *batch) mine(issuer, id string) error {
	owner, err := b.owner(id)
	if err != nil {
		return err
	}
	if owner != issuer {
		return record.Refuse(record.CodeServiceOwner, "%s belongs to %s", id, owner)
	}
	return nil
}

func (b *batch) handleOpen(issuer string, o *record.HandleOpen, leaf record.Digest) error {
	if err := b.mine(issuer, o.For); err != nil {
		return err
	}
	h, err := b.handle(o.Handle)
	if err != nil {
		return err
	}
	if h != nil {
		return record.Refuse(record.CodeHandleExists, "")
	}
	h = &Handle{For: o.For, Opened: b.height}
	h.event(leaf)
	b.saveHandle(o.Handle, h)
	return nil
}

// handleMove gives a handle's state to its successor; the old one is closed.
func (b *batch) handleMove(m *record.HandleMove, leaf record.Digest) error {
	old, err := b.openHandle(m.Old, record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	if other, err := b.handle(m.New); err != nil {
		return err
	} else if other != nil {
		return record.Refuse(record.CodeHandleExists, "")
	}
	next := &Handle{For: old.For, Opened: b.height, Scopes: old.Scopes, Stopped: old.Stopped, MovedFrom: m.Old[:]}
	next.consentEvent(leaf)
	old.consentEvent(leaf)
	old.Scopes, old.Closed, old.MovedTo = nil, b.height, m.New[:]
	b.saveHandle(m.Old, old)
	b.saveHandle(m.New, next)
	return nil
}

// handleClose ends a handle and the hand-overs that it names. A closed handle is
// closed again only to end hand-overs that were not known the first time.
func (b *batch) handleClose(issuer string, c *record.HandleClose, leaf record.Digest) error {
	h, err := need[Handle](b.tx, KeyHandle(c.Handle), record.CodeHandleUnknown)
	if err != nil {
		return err
	}
	open, err := b.stillOpen(c)
	if err != nil {
		return err
	}
	if h.Closed != 0 && len(open) == 0 {
		return record.Refuse(record.CodeHandleClosed, "since height %d", h.Closed)
	}
	if err := b.mine(issuer, h.For); err != nil {
		return err
	}
	if h.Closed == 0 {
		h.Scopes, h.Closed = nil, b.height
	}
	for _, id := range open {
		b.put(KeyIntent(id), nil)
	}
	h.event(leaf)
	b.saveHandle(c.Handle, h)
	return nil
}

// stillOpen returns the hand-overs of a closing that are open. One that was
// received meanwhile is no fault.
func (b *batch) stillOpen(c *record.HandleClose) (open []record.ID, err error) {
	for _, id := range c.Intents {
		in, err := load[Intent](b.tx, KeyIntent(id))
		if err != nil {
			return nil, err
		}
		if in == nil {
			continue
		}
		if in.Handle != c.Handle {
			return nil, record.Refuse(record.CodeIntentUnknown, "a hand-over under another handle")
		}
		open = append(open, id)
	}
	return open, nil
}
