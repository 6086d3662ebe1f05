package outbox

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// What the outbox keeps in the blobs. Numbers are 8 bytes, big-endian.
//
//	outbox/p/<issuer>/<seq>   entry, until its outcome is stored
//	outbox/d/<issuer>/<seq>   done, for the retention and a day; two hours where all its requests are brief
//	outbox/k/<issuer>/<key>   attempt, for the retention after it began; an hour for brief ones
//	outbox/n/<issuer>         8 bytes: no entry was ever removed that had a higher number
const (
	keyRoot       = "outbox/"
	prefixPending = keyRoot + "p/"
	prefixDone    = keyRoot + "d/"
	prefixAttempt = keyRoot + "k/"
	prefixHigh    = keyRoot + "n/"
)

func seqKey(prefix, issuer string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix+issuer+"/"), seq)
}

func attemptKey(issuer string, k requestKey) []byte {
	return append([]byte(prefixAttempt+issuer+"/"), k[:]...)
}

func highKey(issuer string) []byte { return []byte(prefixHigh + issuer) }

// An entry is a submission that is under way.
type entry struct {
	Signed record.Submitted `cbor:"1,keyasint"`
	Parts  []part           `cbor:"2,keyasint"` // its requests, in the order of its records
	Urgent bool             `cbor:"3,keyasint,omitempty"`
	Tries  uint8            `cbor:"4,keyasint,omitempty"`
}

type part struct {
	Key   requestKey `cbor:"1,keyasint"`
	Body  [32]byte   `cbor:"2,keyasint"`
	Count uint16     `cbor:"3,keyasint"`
}

func parseEntry(b []byte) (*entry, error) {
	e := new(entry)
	if err := canon.Unmarshal(b, e); err != nil {
		return nil, err
	}
	n := 0
	for _, p := range e.Parts {
		n += int(p.Count)
	}
	if n != len(e.Signed.Leaves) || n != int(e.Signed.Submission.Count) {
		return nil, fmt.Errorf("requests for %d records, %d leaves, %d signed", n, len(e.Signed.Leaves), e.Signed.Submission.Count)
	}
	return e, nil
}

// An attempt says which records of which submission are a request's: the hash
// of its body, seq (8 bytes), first position and count (2 bytes each).
type attempt struct {
	body        [32]byte
	seq         uint64
	from, count uint16
}

const attemptBytes = 32 + 8 + 2 + 2

func (a *attempt) bytes() []byte {
	b := append(make([]byte, 0, attemptBytes), a.body[:]...)
	b = binary.BigEndian.AppendUint64(b, a.seq)
	b = binary.BigEndian.AppendUint16(b, a.from)
	return binary.BigEndian.AppendUint16(b, a.count)
}

func parseAttempt(b []byte) (*attempt, error) {
	if len(b) != attemptBytes {
		return nil, fmt.Errorf("attempt of %d bytes", len(b))
	}
	return &attempt{body: [32]byte(b), seq: binary.BigEndian.Uint64(b[32:]),
		from: binary.BigEndian.Uint16(b[40:]), count: binary.BigEndian.Uint16(b[42:])}, nil
}

// done is the outcome of a submission.
type done struct {
	Failed  bool          `cbor:"1,keyasint,omitempty"` // not in the ledger; nothing below is set
	Height  uint64        `cbor:"2,keyasint,omitempty"`
	TimeMs  uint64        `cbor:"3,keyasint,omitempty"`
	First   uint64        `cbor:"4,keyasint,omitempty"`
	Records []doneRecord  `cbor:"5,keyasint,omitempty"`
	Refused []doneRefused `cbor:"6,keyasint,omitempty"` // ascending by position
}

type doneRecord struct {
	ID       record.ID     `cbor:"1,keyasint"`
	LeafHash record.Digest `cbor:"2,keyasint"`
}

type doneRefused struct {
	Pos    uint16      `cbor:"1,keyasint"`
	Code   record.Code `cbor:"2,keyasint"`
	Detail string      `cbor:"3,keyasint,omitempty"`
}

func (s *submission) doneWith(v *verdict) *done {
	d := &done{Height: v.height, TimeMs: v.timeMs, First: v.first, Records: make([]doneRecord, len(s.hashes))}
	for i, leaf := range s.signed.Leaves {
		id, _ := record.PeekID(leaf)
		d.Records[i] = doneRecord{id, record.Digest(s.hashes[i])}
	}
	for _, r := range v.refused {
		detail := r.refusal.Detail[:min(len(r.refusal.Detail), maxDetailBytes)]
		d.Refused = append(d.Refused, doneRefused{uint16(r.pos), r.refusal.Code, strings.ToValidUTF8(detail, "")})
	}
	return d
}

// result returns an attempt's part of an outcome.
func (d *done) result(a *attempt) (*Result, error) {
	from, to := int(a.from), int(a.from)+int(a.count)
	if to > len(d.Records) {
		return nil, fmt.Errorf("records %d to %d of %d", from, to, len(d.Records))
	}
	v := &verdict{height: d.Height, timeMs: d.TimeMs, first: d.First}
	for _, r := range d.Refused {
		v.refused = append(v.refused, position{int(r.Pos), record.Refusal{Code: r.Code, Detail: r.Detail}})
	}
	out := make([]Outcome, a.count)
	for i, r := range d.Records[from:to] {
		out[i] = Outcome{ID: r.ID, LeafHash: r.LeafHash}
	}
	v.fill(out, from)
	return &Result{Outcomes: out, Final: true}, nil
}

// lookup is what the store says of a key.
type lookup struct {
	result *Result
	stage  Stage
}

// stored looks for a request on disk. With a body, another one stored under the
// key is ErrKeyReused.
func (o *Outbox) stored(issuer string, k requestKey, body *[32]byte) (lookup, error) {
	b, ok, err := o.Blobs.Get(attemptKey(issuer, k))
	if err != nil || !ok {
		return lookup{}, orStorage(err)
	}
	a, err := parseAttempt(b)
	if err != nil {
		return lookup{}, orStorage(err)
	}
	if body != nil && a.body != *body {
		return lookup{}, ErrKeyReused
	}
	b, ok, err = o.Blobs.Get(seqKey(prefixDone, issuer, a.seq))
	if err != nil {
		return lookup{}, orStorage(err)
	}
	if !ok {
		return lookup{stage: StagePending}, nil
	}
	d := new(done)
	if err := canon.Unmarshal(b, d); err != nil {
		return lookup{}, orStorage(err)
	}
	if d.Failed {
		return lookup{stage: StageFailed}, nil
	}
	r, err := d.result(a)
	return lookup{result: r, stage: StageFinal}, orStorage(err)
}

func orStorage(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
