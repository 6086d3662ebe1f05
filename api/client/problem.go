package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Problem is what a node answers where it does not do what was asked (RFC 9457).
type Problem struct {
	Status     int           `json:"status"`
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Detail     string        `json:"detail"`
	Hint       string        `json:"hint"`
	Reason     string        `json:"reason"`         // what exactly, where the request is public
	Key        string        `json:"idempotencyKey"` // under which to ask again
	Code       record.Code   `json:"code"`
	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	var b strings.Builder
	if p.Code == "" {
		fmt.Fprintf(&b, "HTTP %d", p.Status)
	} else {
		b.WriteString(string(p.Code))
	}
	if what := cmp.Or(p.Detail, p.Title); what != "" {
		b.WriteString(": " + what)
	}
	if p.Reason != "" {
		b.WriteString(" (" + p.Reason + ")")
	}
	return b.String()
}

// Again reports whether the same write, sent again with the same key, may be
// answered otherwise.
func (p *Problem) Again() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout
}

// CodeOf returns the stable code of a problem, "" where err is none.
func CodeOf(err error) record.Code {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	return ""
}

// problemOf reads a problem; an answer of another form keeps its status.
func problemOf(resp *http.Response, body []byte) *Problem {
	p := &Problem{}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		if json.Unmarshal(body, p) != nil {
			p = &Problem{}
		}
	}
	p.Status = resp.StatusCode
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
		p.RetryAfter = time.Duration(n) * time.Second
	}
	return p
}
