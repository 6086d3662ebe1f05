package node

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/transport"
)

// TestCheckSubmission: only what an issuer of the sender's has signed takes room in
// the leader's queue.
func TestCheckSubmission(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	c.Must("b-sha", c.Party("shop"))
	for name, k := range map[string]struct {
		from, issuer string
		change       func(*record.Submission)
		code         string
	}{
		"own":            {"a-sha", "a-sha", nil, ""},
		"of a party":     {"b-sha", "shop", nil, ""},
		"another's":      {"a-sha", "b-sha", nil, "issuer"},
		"another's shop": {"a-sha", "shop", nil, "issuer"},
		"changed":        {"a-sha", "a-sha", func(s *record.Submission) { s.Seq++ }, "issuer"},
		"unknown":        {"a-sha", "a-sha", func(s *record.Submission) { s.Issuer = "nobody" }, "issuer"},
		"no id":          {"a-sha", "a-sha", func(s *record.Submission) { s.Issuer = "Not An Id" }, "malformed"},
		"unsigned":       {"a-sha", "a-sha", func(s *record.Submission) { s.Sig = [64]byte{} }, "issuer"},
	} {
		s := c.Submit(k.issuer, c.Tick()).Submission
		if k.change != nil {
			k.change(&s)
		}
		err := checkSubmission(c, c.Origin, k.from, &s)
		var remote *transport.RemoteError
		if k.code == "" && err != nil || k.code != "" && (!errors.As(err, &remote) || remote.Code != k.code) {
			t.Errorf("%s: %v, want %q", name, err, k.code)
		}
	}
}
