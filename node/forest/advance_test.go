package forest

import (
	"context"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// posting answers with refusals, in order, and accepts when there are none left.
type posting struct{ refuse []record.Code }

func (p *posting) Submit(context.Context, outbox.Request) (*outbox.Result, error) {
	o := outbox.Outcome{}
	if len(p.refuse) > 0 {
		o.Refused, p.refuse = &record.Refusal{Code: p.refuse[0]}, p.refuse[1:]
	}
	return &outbox.Result{Outcomes: []outbox.Outcome{o}}, nil
}

// TestAdvanceRefused: an advance that is refused for a reason that says nothing of
// the tree is posted again; one that came second is not.
func TestAdvanceRefused(t *testing.T) {
	f := sender(t, nil)
	roots := forest.Roots{Leaves: merkle.EmptyRoot(), Extra: merkle.EmptyRoot()}
	for _, c := range []struct {
		code record.Code
		said uint64
	}{{record.CodeSubmissionExpired, 0}, {record.CodeBatchFull, 0}, {record.CodeTreeAdvance, 7}, {"", 7}} {
		p := &posting{}
		if c.code != "" {
			p.refuse = []record.Code{c.code}
		}
		f.Poster = p
		b := &behind{size: 7, posts: true}
		f.advanceTo(1, b, "a-sha", 7, roots)
		if b.said != c.said || b.posts || c.said == 0 && time.Until(b.due) <= 0 {
			t.Errorf("%q: %+v", c.code, b)
		}
	}
}
