package audit

import (
	"bytes"
	"errors"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// An epoch is a policy epoch as the audit derives it: every change was judged by
// the rules, with the votes of k members, and each epoch begins on a checkpoint
// that is final under the policy before.
type epoch struct {
	policy *rules.Policy
	after  uint64 // size of the end that closed the epoch before
}

// follow learns the policy of the founding, and of each epoch that a batch
// begins.
func (a *auditor) follow(p *pending, r *rules.Result) error {
	if a.height == 0 {
		first, err := rules.Load[rules.Policy](a, rules.KeyPolicy)
		if err != nil {
			return err
		}
		a.epochs = []epoch{{policy: first}}
	}
	if r.Next != nil {
		a.epochs = append(a.epochs, epoch{r.Next, p.first + uint64(len(p.leaves)) + 1})
	}
	return nil
}

// policyAt returns the policy under which the end of a height is final, nil
// where none is known.
func (a *auditor) policyAt(height uint64) *rules.Policy {
	for i := len(a.epochs) - 1; i >= 0; i-- {
		if p := a.epochs[i].policy; p.First <= height {
			return p
		}
	}
	return nil
}

// origin is the log's name, "" before the founding is known.
func (a *auditor) origin() string {
	if len(a.epochs) == 0 {
		return ""
	}
	return a.epochs[0].policy.Origin
}

// judge says under whose policy the checkpoint is final. Where one of the
// policies given is that of some epoch of the log, all epochs count, each in its
// own part of the log; else only those given do, and that they are not the log's
// is a finding.
func (a *auditor) judge(note []byte, c sign.Checkpoint, policies []*sign.Policy) {
	try := policies
	if len(a.epochs) > 0 {
		a.report.StoryTime = a.epochs[0].policy.StoryTime
		own := a.ranged()
		same := func(p *sign.Policy) bool {
			return slices.ContainsFunc(own, func(o *sign.Policy) bool { return bytes.Equal(o.Format(), p.Format()) })
		}
		known := slices.ContainsFunc(policies, same)
		switch {
		case known && a.lost: // what came after is not known: the policies given may be of it
			try = append(own, policies...)
		case known:
			try = own
			a.holds(CheckPolicy, 1)
		case !a.lost:
			a.breaks(CheckPolicy, Finding{Code: "policy.other", Index: max(c.Size, 1) - 1, Height: a.height - 1,
				Detail: text("台帳が定める方針は、与えられたどれとも違います", "the policy that the log itself has is none of those given")})
		}
	}
	var reason error = errors.New("none of the policies is for this log")
	for _, p := range try {
		if p.Origin != c.Origin {
			continue
		}
		n, err := p.Open(note)
		if err == nil {
			a.holds(CheckCheckpoint, 1)
			a.report.FinalMs = sign.KthNewest(n.Cosigned, p.K) * 1000
			return
		}
		reason = err
	}
	a.breaks(CheckCheckpoint, Finding{Code: "checkpoint.not-final", Index: max(c.Size, 1) - 1,
		Detail: text("チェックポイントは、与えられた方針のもとで確定していません："+reason.Error(), "the checkpoint is not final under the policies given: "+reason.Error())})
}

// ranged returns the policies of all epochs, each with the sizes in which it
// counts, the newest first.
func (a *auditor) ranged() []*sign.Policy {
	var out []*sign.Policy
	closing := uint64(0)
	for i := len(a.epochs) - 1; i >= 0; i-- {
		e := a.epochs[i]
		p := e.policy.Sign()
		p.Range = &sign.Range{Epoch: e.policy.Epoch, First: sign.RangeEnd{Size: e.after + 1}, Closing: sign.RangeEnd{Size: closing}}
		out, closing = append(out, p), e.after
	}
	return out
}
