package outbox

// Kind says what a caller can do about an error.
type Kind string

// The kinds of errors.
const (
	KindRefusal Kind = "refusal" // the caller may fix the request; nothing happened
	KindRetry   Kind = "retry"   // nothing happened; try again
	KindUnknown Kind = "unknown" // ask again with the same Idempotency-Key
	KindStop    Kind = "stop"    // this node must halt
)

// Error is an error with a stable code. Records that the ledger refused are not
// errors: their outcomes say so. A record whose form is wrong is returned as
// its *record.Refusal.
type Error struct {
	Code string
	Kind Kind
	what string
}

func (e *Error) Error() string { return e.what }

// What callers meet.
var (
	ErrBusy      = &Error{"outbox.busy", KindRetry, "too much is under way"}
	ErrNoLeader  = &Error{"outbox.no-leader", KindRetry, "the consortium has no leader at the moment"}
	ErrStorage   = &Error{"outbox.storage", KindRetry, "the request could not be stored; nothing was sent"}
	ErrClosed    = &Error{"outbox.closed", KindRetry, "this node is stopping"}
	ErrExpired   = &Error{"submission.expired", KindRetry, "the records did not enter the ledger in time and never will; the same Idempotency-Key starts a new attempt"}
	ErrUnknown   = &Error{"outcome.unknown", KindUnknown, "the outcome is not known yet; ask again with the same Idempotency-Key"}
	ErrKeyReused = &Error{"idempotency-key.reused", KindRefusal, "the Idempotency-Key stands for another request"}
	ErrNoKey     = &Error{"not-authorised", KindRefusal, "this node does not sign for the issuer"}
	ErrLeft      = &Error{"member-not-active", KindRefusal, "the issuer, or the member whose node acts for it, has left the consortium"}
	ErrTooLarge  = &Error{"request.too-large", KindRefusal, "the request does not fit one submission"}
	ErrStopped   = &Error{"outbox.stopped", KindStop, "the outbox stopped after a failed write"}
)

// Errors lists every error for tables of codes.
var Errors = []*Error{ErrBusy, ErrNoLeader, ErrStorage, ErrClosed, ErrExpired, ErrUnknown, ErrKeyReused, ErrNoKey, ErrLeft, ErrTooLarge, ErrStopped}

// UnknownError is an ErrUnknown with the key under which to ask again.
type UnknownError struct {
	Key   string // the request's Idempotency-Key, or the one that the node made
	Cause error  // why the wait ended; may be nil
}

func (e *UnknownError) Error() string {
	if e.Cause == nil {
		return ErrUnknown.Error()
	}
	return ErrUnknown.Error() + ": " + e.Cause.Error()
}

// Unwrap returns ErrUnknown and the cause.
func (e *UnknownError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrUnknown}
	}
	return []error{ErrUnknown, e.Cause}
}
