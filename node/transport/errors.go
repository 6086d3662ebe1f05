package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var (
	// ErrUnreachable: the peer could not be reached and the request certainly
	// was not sent. Trying again is safe.
	ErrUnreachable = errors.New("peer unreachable")
	// ErrInterrupted: the request may have been handled and its answer was
	// lost. The outcome is unknown.
	ErrInterrupted = errors.New("call interrupted, outcome unknown")
	// ErrUnsupported: the peer does not handle this protocol. Not sent.
	ErrUnsupported = errors.New("protocol not supported by peer")
	// ErrTooLarge: request or answer is above the protocol's limit. A request
	// that is too large was not sent.
	ErrTooLarge = errors.New("message too large")
	// ErrNotAdmitted: the peer is not one of the consortium. Not sent.
	ErrNotAdmitted = errors.New("peer not admitted")
	// ErrClosed: this host was closed.
	ErrClosed = errors.New("transport closed")
)

// Codes of errors that the transport itself answers with. Handlers have codes
// of their own and do not use this prefix.
const (
	CodeInternal         = "transport.internal"           // the handler failed without a RemoteError
	CodeTimeout          = "transport.timeout"            // the handler's time was over
	CodeRequestTooLarge  = "transport.request_too_large"  // above the peer's limit
	CodeResponseTooLarge = "transport.response_too_large" // the handler's answer is above the limit
)

// RemoteError is the error that a handler answered with. Code is stable and
// for programs, Message is for people and holds no personal data; both travel
// to the caller as they are, up to 1,023 bytes together (the message is cut).
// A handler's error that is not a RemoteError travels as CodeInternal without
// its text, which is only logged where the handler ran.
type RemoteError struct {
	Code    string
	Message string
}

func (e *RemoteError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// remoteError is what travels for a handler's error; internal says that its
// text stays here.
func remoteError(err error) (remote *RemoteError, internal bool) {
	switch {
	case errors.As(err, &remote) && validCode(remote.Code):
		return remote, false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &RemoteError{Code: CodeTimeout, Message: "the handler's time was over"}, false
	default:
		return &RemoteError{Code: CodeInternal, Message: "the request could not be handled"}, true
	}
}

func validCode(code string) bool {
	return code != "" && len(code) <= 255 && !strings.ContainsFunc(code, func(r rune) bool {
		return r <= ' ' || r >= 0x7f
	})
}

func (e *RemoteError) encode() []byte {
	message := e.Message
	if room := maxErrorBytes - 1 - len(e.Code); len(message) > room {
		message = message[:room]
	}
	body := make([]byte, 0, 1+len(e.Code)+len(message))
	body = append(body, byte(len(e.Code)))
	body = append(body, e.Code...)
	return append(body, strings.ToValidUTF8(message, "")...)
}

func decodeRemoteError(body []byte) (*RemoteError, error) {
	if len(body) == 0 || len(body) < 1+int(body[0]) {
		return nil, fmt.Errorf("%w: short error", errFrame)
	}
	codeEnd := 1 + int(body[0])
	remote := &RemoteError{Code: string(body[1:codeEnd]), Message: string(body[codeEnd:])}
	if !validCode(remote.Code) || !utf8.ValidString(remote.Message) {
		return nil, fmt.Errorf("%w: malformed error", errFrame)
	}
	return remote, nil
}
