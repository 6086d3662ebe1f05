package outbox

import (
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// rekeyed reports whether a submission was signed with a key that the issuer no
// longer has. A replaced key never comes back, so no later batch accepts it: its
// records can go again, under the new key.
func (o *Outbox) rekeyed(s *submission) bool {
	sub := &s.signed.Submission
	key, ok := o.Key(sub.Issuer)
	return ok && sign.Verify(key.Public(), sign.DomainSubmission, o.Origin, sub.Signed(), sub.Sig) != nil
}

// outlived takes a submission back that nobody queues since the issuer's key was
// replaced. One whose number is used was accepted before: the news of that is on
// its way.
func (o *Outbox) outlived(s *submission) {
	if !o.rekeyed(s) {
		return
	}
	view := o.State() // after the key was read, so at least as new
	head, err := rules.Load[rules.Head](view, rules.KeyHead)
	if err != nil || head == nil {
		return
	}
	window, err := rules.Load[rules.Seq](view, rules.KeySeq(s.lane.issuer))
	if err != nil || window != nil && window.Used(s.seq) {
		return
	}
	s.lane.mu.Lock()
	if s.lane.open[s.seq] == s {
		s.lane.decide(s, &verdict{height: head.Height, timeMs: head.TimeMs, full: true})
	}
	s.lane.mu.Unlock()
	poke(o.follow.wake)
}
