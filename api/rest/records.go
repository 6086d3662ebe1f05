package rest

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// RecordView is one leaf of the log.
type RecordView struct {
	Index  uint64 `json:"index"`
	Kind   string `json:"kind"`
	ID     string `json:"id,omitempty" doc:"none of a seal"`
	Issuer string `json:"issuer,omitempty"`
	Height uint64 `json:"height"`
	TimeMs uint64 `json:"timeMs"`
	Leaf   []byte `json:"leaf"`
}

// OpeningLine is a line of /v1/openings.
type OpeningLine struct {
	Index uint64       `json:"index"`
	ID    string       `json:"id"`
	Kind  string       `json:"kind"`
	Part  *OpeningView `json:"opening"`
	Items *OpeningView `json:"items,omitempty"`
}

// OpeningsEnd is the last line of /v1/openings: without it the answer was cut
// off.
type OpeningsEnd struct {
	End   bool     `json:"end"`
	Count uint64   `json:"count"`
	Error *Problem `json:"error,omitempty"`
}

func recordRoutes() []*route {
	return append(erasureRoutes(),
		&route{method: "GET", path: "/v1/records/{record}", name: "record", tag: "records", text: Sentence{"一つの記録", "One record, by index or id"},
			roles: known, result: RecordView{}, handle: (*call).record},
		&route{method: "GET", path: "/v1/records/{record}/receipt", name: "receipt", tag: "records", text: Sentence{"控え", "The receipt of a record"},
			roles: known, query: []parameter{{"status", "true: with the status at the same checkpoint"}}, result: "application/json", handle: (*call).receipt},
		&route{method: "POST", path: "/v1/records", name: "submit", tag: "records", text: Sentence{"記録をまとめて送る", "Submit up to 1000 records"},
			roles: admin | app, body: RecordsForm{}, media: "application/cbor", limit: maxRecordsBody, result: RecordsDone{}, writes: true, bulk: true, handle: (*call).submit},
		&route{method: "GET", path: "/v1/openings", name: "openings", tag: "records", text: Sentence{"監査のための開示(記録されます)", "Openings for auditors; the access is recorded"},
			roles: auditor, query: []parameter{{"from", "index of the first leaf; 0 where absent"}, {"to", "index after the last; the final size where absent"}},
			result: "application/x-ndjson", handle: (*call).openings},
		&route{method: "GET", path: "/v1/stream", name: "stream", tag: "records", text: Sentence{"確定した記録の配信", "Final records as they come (server-sent events)"},
			roles: admin | app | auditor, query: []parameter{{"from", "index of the first leaf; what becomes final from now on where absent"}},
			result: "text/event-stream", early: true, handle: (*call).stream},
	)
}

// located finds the leaf of the path. A seal has no record.
func (c *call) located() (uint64, *record.Record, error) {
	text := c.r.PathValue("record")
	var index uint64
	var err error
	if len(text) == 2*len(record.ID{}) {
		index, err = c.indexOf("record", text)
	} else {
		index, err = decimal("record", text)
	}
	if err != nil {
		return 0, nil, err
	}
	if index >= c.final.State.Size {
		return 0, nil, fault(codeBeyond)
	}
	leaf, err := c.final.State.Leaf(index)
	if err != nil || record.IsSeal(leaf) {
		return index, nil, err
	}
	rec, err := record.Parse(leaf)
	return index, rec, err
}

func (c *call) record() (any, error) {
	index, rec, err := c.located()
	if err != nil {
		return nil, err
	}
	if c.caller.Role == token.Subject {
		mine := false
		if rec != nil {
			if mine, err = c.concerns(rec, nil); err != nil {
				return nil, err
			}
		}
		if !mine {
			return nil, fault(codeRole)
		}
	}
	end, err := c.final.State.EndWith(index)
	if err != nil {
		return nil, err
	}
	v := RecordView{Index: index, Kind: record.KindSeal.String(), Height: end.Height, TimeMs: end.TimeMs}
	if rec != nil {
		v.Kind, v.ID, v.Issuer = rec.Kind.String(), hex.EncodeToString(rec.ID[:]), rec.Issuer
	}
	v.Leaf, err = c.final.State.Leaf(index)
	return v, err
}

// openings streams what this member can still open.
func (c *call) openings() (any, error) {
	size := c.final.State.Size
	from, err := c.number("from", 0)
	if err != nil {
		return nil, err
	}
	to, err := c.number("to", size)
	switch {
	case err != nil:
		return nil, err
	case from > to:
		return nil, faultAt(codeParameter, "from")
	case to > size:
		return nil, fault(codeBeyond)
	}
	out := bufio.NewWriterSize(c.w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	end := OpeningsEnd{End: true}
	for o, err := range c.Desk.Openings(c.ctx, string(c.caller.Role)+"/"+c.caller.Name, from, to) {
		if err == nil && end.Count == 0 {
			c.ndjson()
		}
		if err != nil {
			if end.Count == 0 {
				return nil, err // nothing was sent yet
			}
			end.End, end.Error = false, problemOf(err, wantsEnglish(c.r))
			break
		}
		end.Count++
		if err := lines.Encode(openingLine(o)); err != nil {
			return nil, nil // the reader has gone
		}
	}
	if end.Count == 0 {
		c.ndjson()
	}
	lines.Encode(end)
	out.Flush()
	return nil, nil
}

func (c *call) ndjson() {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.WriteHeader(http.StatusOK)
}

func openingLine(o custody.RecordOpening) OpeningLine {
	return OpeningLine{Index: o.Index, ID: hex.EncodeToString(o.ID[:]), Kind: o.Kind.String(), Part: openingView(&o.Part), Items: openingView(o.Items)}
}
