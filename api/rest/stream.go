package rest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// streamPart is how many leaves are sent before the reader is looked at again.
const streamPart = 256

// A streaming is one reader of /v1/stream. It reads the log itself, so a slow
// reader costs no memory; one that takes longer than SlowAfter for a part is
// told so and dropped.
type streaming struct {
	*call
	out  *http.ResponseController
	next uint64 // index
	buf  []byte
}

// stream sends every final leaf as a server-sent event: its id is the index of
// the leaf, so that a reader that comes back with Last-Event-ID misses nothing.
func (c *call) stream() (any, error) {
	next, err := c.begin()
	if err != nil {
		return nil, err
	}
	if n := c.streams.Add(1); n > int64(c.MaxStreams) {
		c.streams.Add(-1)
		return nil, fault(codeBusy)
	}
	defer c.streams.Add(-1)
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s := &streaming{call: c, out: http.NewResponseController(c.w), next: next}
	s.out.SetReadDeadline(time.Time{})
	c.w.WriteHeader(http.StatusOK)
	s.run()
	return nil, nil
}

// begin returns the index of the first leaf to send.
func (c *call) begin() (uint64, error) {
	size := uint64(0)
	if c.final != nil {
		size = c.final.State.Size
	}
	next, err := c.number("from", size)
	if err != nil {
		return 0, err
	}
	if last := c.r.Header.Get("Last-Event-ID"); last != "" {
		if next, err = decimal("Last-Event-ID", last); err != nil {
			return 0, err
		}
		next++
	}
	if next > size {
		return 0, fault(codeBeyond)
	}
	return next, nil
}

func (s *streaming) run() {
	beat := time.NewTicker(s.Heartbeat)
	defer beat.Stop()
	if s.send([]byte(": akashi\nretry: 1000\n\n")) != nil {
		return
	}
	for {
		changed := s.Changed()
		for f := s.Final(); f != nil && s.next < f.State.Size; {
			if s.part(f) != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-beat.C:
			if s.send([]byte(": heartbeat\n\n")) != nil {
				return
			}
		case <-s.Closing:
			s.end(codeStopping)
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// part sends the leaves of a batch, at most streamPart of them.
func (s *streaming) part(f *Final) error {
	end, err := f.State.EndWith(s.next)
	if err != nil {
		s.Log.Error("stream", "err", err.Error())
		s.end(codeOf(err).code)
		return err
	}
	s.buf = s.buf[:0]
	to := min(end.Size, s.next+streamPart)
	err = f.State.Range(s.next, to, func(index uint64, leaf []byte) error {
		s.buf = appendEvent(s.buf, index, leaf, end.Height, end.TimeMs, s.caller.Role == token.Auditor)
		return nil
	})
	if err != nil {
		s.Log.Error("stream", "err", err.Error())
		s.end(codeOf(err).code)
		return err
	}
	began := time.Now()
	if err := s.send(s.buf); err != nil {
		return err
	}
	s.next = to
	if time.Since(began) > s.SlowAfter {
		s.end(codeSlow)
		return fmt.Errorf("a slow reader")
	}
	return s.ctx.Err()
}

// send writes and flushes. A reader that takes nothing at all for twice
// SlowAfter cannot be told and is cut off.
func (s *streaming) send(b []byte) error {
	s.out.SetWriteDeadline(time.Now().Add(2 * s.SlowAfter))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.out.Flush()
}

// end tells the reader why there is no more, and from where to go on.
func (s *streaming) end(code string) {
	row := codes[code]
	s.send(fmt.Appendf(nil, "event: end\ndata: {\"code\":%q,\"next\":%d,\"ja\":%q,\"en\":%q}\n\n", code, s.next, row.text.Ja, row.text.En))
}

// appendEvent writes one leaf.
func appendEvent(b []byte, index uint64, leaf []byte, height, timeMs uint64, whole bool) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, index, 10)
	b = append(b, "\ndata: {\"index\":"...)
	b = strconv.AppendUint(b, index, 10)
	kind, issuer := record.KindSeal, ""
	if !record.IsSeal(leaf) {
		kind = record.PeekKind(leaf)
		if id, ok := record.PeekID(leaf); ok {
			b = append(b, `,"id":"`...)
			b = hex.AppendEncode(b, id[:])
			b = append(b, '"')
		}
		issuer = issuerOf(leaf)
	}
	b = append(b, `,"kind":"`...)
	b = append(b, kind.String()...)
	if issuer != "" {
		b = append(b, `","issuer":"`...)
		b = append(b, issuer...)
	}
	b = append(b, `","height":`...)
	b = strconv.AppendUint(b, height, 10)
	b = append(b, `,"timeMs":`...)
	b = strconv.AppendUint(b, timeMs, 10)
	if whole {
		b = append(b, `,"leaf":"`...)
		b = base64.StdEncoding.AppendEncode(b, leaf)
		b = append(b, '"')
	}
	return append(b, "}\n\n"...)
}

// issuerOf reads the issuer of a leaf of the log without decoding it: it follows
// the id as 4: text of at most 32 bytes, which are those of a party id.
func issuerOf(leaf []byte) string {
	for at := 4; at <= 6 && at+22 <= len(leaf); at++ {
		if leaf[at] != 3 || leaf[at+1] != 0x50 {
			continue
		}
		rest := leaf[at+18:]
		if rest[0] != 4 {
			return ""
		}
		n, from := int(rest[1])-0x60, 2
		if rest[1] == 0x78 {
			n, from = int(rest[2]), 3
		}
		if n < 1 || from+n > len(rest) || !record.ValidID(string(rest[from:from+n])) {
			return ""
		}
		return string(rest[from : from+n])
	}
	return ""
}
