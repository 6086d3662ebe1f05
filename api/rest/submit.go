package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// RecordsForm is a list of records by their leaves. All are of one issuer: the
// party of Akashi-As, or without it the one that the first of them names.
type RecordsForm struct {
	Records [][]byte `json:"records" minItems:"1" maxItems:"1000" doc:"leaves"`
}

// RecordsDone is what became of each record, in order.
type RecordsDone struct {
	Key     string       `json:"idempotencyKey"`
	Final   bool         `json:"final"`
	Records []RecordDone `json:"records"`
}

// RecordDone is an accepted record's place, or the code with which it was
// refused.
type RecordDone struct {
	ID     string      `json:"id,omitempty" doc:"none where the bytes are no record"`
	Index  uint64      `json:"index,omitempty"`
	Height uint64      `json:"height,omitempty"`
	TimeMs uint64      `json:"timeMs,omitempty"`
	Code   record.Code `json:"code,omitempty" doc:"of a refused record"`
}

// Bounds of a submission over HTTP. The leaves of one request must fit one
// submission of the outbox.
const maxRecordsBody = outbox.MaxRequestLeafBytes/3*4 + 16<<10

// submit is the way in for bulk. It is written by hand: with reflection the
// request alone costs more than everything else before the ledger.
func (c *call) submit() (any, error) {
	to, err := c.writing()
	if err != nil {
		return nil, err
	}
	body, media, err := readBody(c.w, c.r, c.route.maxBody(), "application/json", "application/cbor")
	if err != nil {
		return nil, err
	}
	leaves, err := c.leaves(body, media)
	if err != nil {
		return nil, err
	}
	req := outbox.Request{Issuer: to.As, Client: to.Client, Key: to.Key, Body: bodyHash(to.As, body)}
	codes := make([]record.Code, len(leaves)) // of those that are refused here
	ids := make([]record.ID, len(leaves))
	req.Records = make([]*record.Record, 0, len(leaves))
	for i, leaf := range leaves {
		rec, code := c.admitted(leaf, &req.Issuer)
		if codes[i] = code; rec == nil {
			continue
		}
		if ids[i] = rec.ID; code == "" {
			req.Records = append(req.Records, rec)
		}
	}
	if len(req.Records) == 0 {
		named(&to)
	}
	result := &outbox.Result{Key: to.Key, Final: true}
	if len(req.Records) > 0 {
		submit := c.Outbox.Submit
		if to.Committed {
			submit = c.Outbox.SubmitCommitted
		}
		if result, err = submit(c.ctx, req); err != nil {
			return nil, err
		}
	}
	return file{media: "application/json", bytes: appendDone(result, codes, ids)}, nil
}

func bodyHash(as string, body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("akashi/rest/records\x00" + as + "\x00"))
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// admitted parses a leaf. The first of a request says whose they all are, where
// the caller did not.
func (c *call) admitted(leaf []byte, issuer *string) (*record.Record, record.Code) {
	rec, err := record.Parse(leaf)
	if err != nil {
		return nil, record.Code(codeOf(err).code)
	}
	if *issuer == "" {
		*issuer = rec.Issuer
	}
	switch rec.Kind {
	case record.KindGenesis:
		return rec, record.CodeRecordKind
	case record.KindMember, record.KindParty, record.KindKey, record.KindVote: // what concerns everybody
		if c.caller.Role != token.Admin {
			return rec, record.CodeNotAuthorised
		}
	}
	if rec.Issuer != *issuer {
		return rec, record.CodeNotAuthorised
	}
	return rec, ""
}

// leaves reads the request: JSON {"records":[base64,…]}, or a canonical CBOR
// list of byte strings.
func (c *call) leaves(body []byte, media string) ([][]byte, error) {
	var f RecordsForm
	if media == "application/cbor" {
		if err := canon.UnmarshalMax(body, maxRecordsBody, &f.Records); err != nil {
			return nil, err
		}
	} else if list, ok := quickList(body); ok {
		f.Records = list
	} else if err := decodeJSON(body, c.registry, c.route.schema, &f); err != nil {
		return nil, err
	}
	if len(f.Records) == 0 || len(f.Records) > record.MaxRecords {
		return nil, faultAt(codeInvalid, "records")
	}
	return f.Records, nil
}

// quickList reads the usual spelling of a RecordsForm. It gives up on any other,
// which the strict decoder then judges.
func quickList(b []byte) ([][]byte, bool) {
	p := quick{b}
	if !p.take('{') || !p.text(`"records"`) || !p.take(':') || !p.take('[') {
		return nil, false
	}
	buf := make([]byte, 0, base64.StdEncoding.DecodedLen(len(b)))
	list := make([][]byte, 0, min(record.MaxRecords, len(b)/180+1))
	for first := true; ; first = false {
		if first && p.take(']') {
			break
		}
		if !p.take('"') {
			return nil, false
		}
		end := bytes.IndexByte(p.b, '"')
		if end <= 0 || len(list) > record.MaxRecords {
			return nil, false
		}
		at := len(buf)
		// AppendDecode skips line breaks, which no JSON string contains as such.
		if bytes.IndexByte(p.b[:end], '\n') >= 0 || bytes.IndexByte(p.b[:end], '\r') >= 0 {
			return nil, false
		}
		var err error
		if buf, err = base64.StdEncoding.Strict().AppendDecode(buf, p.b[:end]); err != nil {
			return nil, false
		}
		list, p.b = append(list, buf[at:len(buf):len(buf)]), p.b[end+1:]
		if p.take(']') {
			break
		}
		if !p.take(',') {
			return nil, false
		}
	}
	return list, p.take('}') && len(p.space()) == 0
}

type quick struct{ b []byte }

func (p *quick) space() []byte {
	for len(p.b) > 0 && (p.b[0] == ' ' || p.b[0] == '\n' || p.b[0] == '\t' || p.b[0] == '\r') {
		p.b = p.b[1:]
	}
	return p.b
}

func (p *quick) take(c byte) bool {
	if b := p.space(); len(b) == 0 || b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *quick) text(s string) bool {
	if !bytes.HasPrefix(p.space(), []byte(s)) {
		return false
	}
	p.b = p.b[len(s):]
	return true
}

// appendDone writes a RecordsDone. Keys and codes are printable ASCII; a key may
// hold a quotation mark or a backslash.
func appendDone(result *outbox.Result, codes []record.Code, ids []record.ID) []byte {
	b := make([]byte, 0, 64+len(codes)*112)
	b = append(b, `{"idempotencyKey":`...)
	b = appendQuoted(b, result.Key)
	b = append(b, `,"final":`...)
	b = strconv.AppendBool(b, result.Final)
	b = append(b, `,"records":[`...)
	next := 0
	for i, code := range codes {
		if i > 0 {
			b = append(b, ',')
		}
		var o outbox.Outcome
		if code == "" {
			o, next = result.Outcomes[next], next+1
			if o.Refused != nil {
				code = o.Refused.Code
			}
		}
		b = append(b, '{')
		if ids[i] != (record.ID{}) {
			b = append(b, `"id":"`...)
			b = hex.AppendEncode(b, ids[i][:])
			b = append(b, '"', ',')
		}
		if code != "" {
			b = append(b, `"code":`...)
			b = appendQuoted(b, string(code))
		} else {
			b = append(b, `"index":`...)
			b = strconv.AppendUint(b, o.Index, 10)
			b = append(b, `,"height":`...)
			b = strconv.AppendUint(b, o.Height, 10)
			b = append(b, `,"timeMs":`...)
			b = strconv.AppendUint(b, o.TimeMs, 10)
		}
		b = append(b, '}')
	}
	return append(b, "]}\n"...)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
