package receipt

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// What a status says of a consent, or of a handle where the record has no scope.
const (
	StatusActive   = "active"   // on, and not over
	StatusRevoked  = "revoked"  // turned off by the subject
	StatusStopped  = "stopped"  // turned off by a member after the subject asked
	StatusExpired  = "expired"  // its last day is over
	StatusRenewed  = "renewed"  // on, by a consent that came after this record
	StatusReplaced = "replaced" // the same purpose is under other terms now, or never was on
	StatusMoved    = "moved"    // the handle was replaced by another
	StatusClosed   = "closed"   // the handle has ended
)

// Status is what holds at a checkpoint.
type Status struct {
	State  string      `json:"state"`
	AsOfMs uint64      `json:"asOfMs"` // k-th newest cosignature time, Unix milliseconds
	Size   uint64      `json:"size"`   // of the log
	Detail record.Text `json:"detail"`
}

var statusWords = map[string]record.Text{
	StatusActive:   {Ja: "有効です", En: "active"},
	StatusRevoked:  {Ja: "本人が撤回しました", En: "revoked by the subject"},
	StatusStopped:  {Ja: "申し出を受けて止められました", En: "stopped on request"},
	StatusExpired:  {Ja: "期限が過ぎました", En: "expired"},
	StatusRenewed:  {Ja: "この記録より後の同意が有効です", En: "a consent that came after this record is active"},
	StatusReplaced: {Ja: "この版の同意は今はありません", En: "no longer under these terms"},
	StatusMoved:    {Ja: "鍵が新しいものに替わりました", En: "moved to another handle"},
	StatusClosed:   {Ja: "利用は終わりました", En: "closed"},
}

// scopeOf returns terms and scope of a record that has them.
func scopeOf(rec *record.Record, f *facts) (terms uint32, scope uint8, ok bool) {
	switch b := rec.Body.(type) {
	case *record.Consent:
		return f.terms.Number, b.Scope, true
	case *record.Revocation:
		return f.terms.Number, b.Scope, true
	case *record.Stop:
		if b.Scope != record.ScopeAll {
			return f.terms.Number, b.Scope, true
		}
	case *record.Provision:
		return b.Terms, b.Scope, true
	}
	return 0, 0, false
}

// stateOf judges a record's scope, or its handle where it has none, at a time. What
// was given again after the record is not the record's own: who withdrew and agreed
// once more has two receipts, of which only the second is of what is in force.
func stateOf(r *opened, f *facts, h *rules.Handle, ms uint64) string {
	terms, scope, scoped := scopeOf(r.rec, f)
	if !scoped {
		return stateOfHandle(h)
	}
	s := h.Scope(terms, scope)
	state := scopeState(h, s, ms)
	if state == StatusActive && s.Height > r.height {
		return StatusRenewed
	}
	return state
}

// stateOfHandle is active, stopped, moved or closed.
func stateOfHandle(h *rules.Handle) string {
	switch {
	case h.MovedTo != nil:
		return StatusMoved
	case h.Closed != 0:
		return StatusClosed
	case h.Stopped != 0:
		return StatusStopped
	}
	return StatusActive
}

// scopeState judges a scope of a handle at a time; nil: it never was on.
func scopeState(h *rules.Handle, s *rules.ScopeState, ms uint64) string {
	switch {
	case h.MovedTo != nil:
		return StatusMoved
	case h.Closed != 0:
		return StatusClosed
	case s == nil:
		return StatusReplaced
	case !s.On && s.By == rules.ByStop:
		return StatusStopped
	case !s.On:
		return StatusRevoked
	case s.Expired(ms):
		return StatusExpired
	}
	return StatusActive
}

// verifyStatus checks the status part at its own checkpoint, which may be the
// receipt's.
func verifyStatus(s *statusPart, r *opened, f *facts, at *final, policies []*sign.Policy) (*Status, error) {
	handle, ok := record.HandleOf(r.rec.Body)
	if !ok {
		return nil, fmt.Errorf("records of kind %v have no status", r.rec.Kind)
	}
	p, err := parseProof(s.Proof)
	if err != nil {
		return nil, err
	}
	fresh := at
	if p.note != at.note {
		if fresh, err = openNote(p.note, policies); err != nil {
			return nil, err
		}
	}
	if fresh.Origin != f.policy.Origin {
		return nil, fmt.Errorf("it is of the log %q", fresh.Origin)
	}
	seal, err := fresh.last(&s.proven)
	if err != nil {
		return nil, err
	}
	ask, rest := answering(seal.Register, s.Register)
	h, err := must[rules.Handle](ask, rules.KeyHandle(handle))
	if err == nil {
		err = rest()
	}
	if err != nil {
		return nil, err
	}
	return statusAt(r, f, h, fresh), nil
}

func statusAt(r *opened, f *facts, h *rules.Handle, at *final) *Status {
	state := stateOf(r, f, h, at.timeMs)
	w, t := statusWords[state], clock(at.timeMs, f.policy.StoryTime)
	return &Status{State: state, AsOfMs: at.timeMs, Size: at.Size,
		Detail: text(t.Ja+"の時点で、"+w.Ja, w.En+" as of "+t.En)}
}

// buildStatus makes the status part at a source's checkpoint.
func buildStatus(s *sourced, rec *record.Record) (*statusPart, error) {
	handle, ok := record.HandleOf(rec.Body)
	if !ok {
		return nil, fmt.Errorf("kind %v: %w", rec.Kind, ErrNoStatus)
	}
	last, err := s.proven(s.checkpoint.Size - 1)
	if err != nil {
		return nil, err
	}
	part := &statusPart{proven: *last}
	_, err = must[rules.Handle](s.asking(&part.Register), rules.KeyHandle(handle))
	return part, err
}
