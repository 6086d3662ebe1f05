package vault

import (
	"errors"
	"fmt"
	"syscall"
)

// Code is a stable name of a failure, for logs, APIs and hints.
type Code string

// Error is a failure with its stable code. errors.Is compares by code, so the
// sentinels below match whatever detail is wrapped. No error contains an id or a
// secret.
type Error struct {
	Code Code
	what string
	err  error
}

// Error returns what happened and why.
func (e *Error) Error() string {
	if e.err == nil {
		return e.what
	}
	return e.what + ": " + e.err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Is reports whether target has the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Refusals: the caller may fix them, nothing changed.
var (
	ErrLocked   = &Error{Code: "vault.locked", what: "another process has this vault open"}
	ErrFull     = &Error{Code: "vault.full", what: "the vault is full"}
	ErrExists   = &Error{Code: "vault.exists", what: "an entry with this id holds another value"}
	ErrNotFound = &Error{Code: "vault.not-found", what: "no entry with this id"}
	ErrInvalid  = &Error{Code: "vault.invalid", what: "invalid entry"}
	ErrTooLarge = &Error{Code: "vault.too-large", what: "too much for one put"}
	ErrClosed   = &Error{Code: "vault.closed", what: "the vault is closed"}
)

// Stops: an operator must look. Nothing was deleted.
var (
	// ErrStopped: a write failed; open the vault again to learn its outcome.
	ErrStopped  = &Error{Code: "vault.stopped", what: "the vault stopped after a failed write"}
	ErrReadOnly = &Error{Code: "vault.read-only", what: "the file system is read-only"}
	ErrDiskFull = &Error{Code: "vault.disk-full", what: "the disk is full"}
	ErrIO       = &Error{Code: "vault.io", what: "reading or writing failed"}
	ErrSlot     = &Error{Code: "vault.slot-corrupt", what: "the slot file is damaged"}
	ErrVersion  = &Error{Code: "vault.version", what: "the vault was made by another version of this program"}
	ErrSlotLost = &Error{Code: "vault.slot-lost", what: "the slot file is blank, but there are blobs"}
	ErrStale    = &Error{Code: "vault.slot-stale", what: "the slot file is not the one that belongs to the blobs"}
	ErrBlock    = &Error{Code: "vault.block-corrupt", what: "a sealed block is damaged or missing"}
	ErrDelta    = &Error{Code: "vault.delta-corrupt", what: "a sealed delta is damaged or missing"}
)

// because returns kind with a reason, which may wrap a cause with %w.
func because(kind *Error, format string, args ...any) error {
	return &Error{Code: kind.Code, what: kind.what, err: fmt.Errorf(format, args...)}
}

// ioFault gives a failure of slot or blob store the code that tells an operator
// what to do. Errors that have a code keep it.
func ioFault(doing string, err error) error {
	var coded *Error
	if errors.As(err, &coded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	kind := ErrIO
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = ErrDiskFull
	case errors.Is(err, syscall.EROFS):
		kind = ErrReadOnly
	}
	return because(kind, "%s: %w", doing, err)
}
