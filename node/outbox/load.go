package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

func (o *Outbox) loadHigh(issuer string) (uint64, error) {
	b, ok, err := o.Blobs.Get(highKey(issuer))
	switch {
	case err != nil || !ok:
		return 0, orStorage(err)
	case len(b) != 8:
		return 0, orStorage(errors.New("mark of the highest number"))
	}
	return binary.BigEndian.Uint64(b), nil
}

// load reads back every submission whose outcome is not stored.
func (o *Outbox) load() error {
	var entries []*entry
	err := o.Blobs.Scan([]byte(prefixPending), func(_, value []byte) error {
		e, err := parseEntry(value)
		if err != nil {
			return fmt.Errorf("entry %d: %w", len(entries), err)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	var stale [][]byte
	for _, e := range entries {
		issuer, seq := e.Signed.Submission.Issuer, e.Signed.Submission.Seq
		_, filed, err := o.Blobs.Get(seqKey(prefixDone, issuer, seq))
		if err != nil {
			return err
		}
		if filed {
			stale = append(stale, seqKey(prefixPending, issuer, seq))
			continue
		}
		if err := o.loadEntry(e); err != nil {
			return err
		}
	}
	if len(stale) > 0 {
		return o.Blobs.Delete(stale...)
	}
	return nil
}

func (o *Outbox) loadEntry(e *entry) error {
	issuer := e.Signed.Submission.Issuer
	l := o.lanes[issuer]
	if l == nil {
		var err error
		if l, err = o.newLane(issuer); err != nil {
			return err
		}
		o.lanes[issuer] = l
	}
	s := &submission{lane: l, seq: e.Signed.Submission.Seq, urgent: e.Urgent, tries: int(e.Tries), signed: e.Signed,
		hashes: make([]merkle.Hash, len(e.Signed.Leaves)), durable: true, settled: make(chan struct{})}
	l.next = max(l.next, s.seq+1)
	for i, leaf := range e.Signed.Leaves {
		s.hashes[i] = merkle.LeafHash(leaf)
	}
	from := 0
	for _, p := range e.Parts {
		c, err := o.loadPart(s, p, from)
		if err != nil {
			return err
		}
		if c != nil {
			s.calls = append(s.calls, c)
		}
		from += int(p.Count)
	}
	if len(s.calls) == 0 {
		o.toFile(filing{sub: s, done: &done{Failed: true}})
		return nil
	}
	l.open[s.seq] = s
	return nil
}

// loadPart returns the call of a request, nil where it has moved to another
// attempt.
func (o *Outbox) loadPart(s *submission, p part, from int) (*call, error) {
	b, ok, err := o.Blobs.Get(attemptKey(s.lane.issuer, p.Key))
	if err != nil {
		return nil, err
	}
	if ok {
		a, err := parseAttempt(b)
		if err != nil {
			return nil, err
		}
		if a.seq != s.seq {
			return nil, nil
		}
	}
	to := from + int(p.Count)
	c := &call{lane: s.lane, key: p.Key, body: p.Body, urgent: s.urgent, leaves: s.signed.Leaves[from:to:to],
		hashes: s.hashes[from:to:to], sub: s, from: from, tries: s.tries, done: make(chan struct{})}
	for _, leaf := range c.leaves {
		c.bytes += len(leaf)
	}
	o.held.Add(int64(len(c.leaves)))
	o.stripe(c.key).active[c.key] = c
	return c, nil
}
