package trillian

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/akashi-ledger/akashi/api/rest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Codes of this package: the API's own where it has one.
const (
	codeArgument = "request.malformed"
	codeNoToken  = "token.missing"
	codeToken    = "token.unknown"
	codeRole     = "not-authorised"
	codeNotFinal = "not-final-yet"
	codeBusy     = "api.busy"
	codeInternal = "internal"
	codeTree     = "tree.unknown"
	codeLeaf     = "leaf.unknown"
	codeReadOnly = "ledger.read-only"
	codeStarted  = "tree.initialised"
)

// A failure is an error of this package.
type failure struct {
	status codes.Code
	code   string
	text   string // what happened and what to do; nothing that a caller sent but numbers
}

func (f *failure) Error() string { return f.text + " [" + f.code + "]" }

// failures are the sentences that do not depend on the call.
var failures = map[string]failure{
	codeNoToken:  {codes.Unauthenticated, codeNoToken, "This needs a token: send it as metadata, authorization: Bearer TOKEN."},
	codeToken:    {codes.Unauthenticated, codeToken, "The token is not known here: check that this node issued it and that it was not revoked."},
	codeRole:     {codes.PermissionDenied, codeRole, "The token's role may not do this."},
	codeNotFinal: {codes.Unavailable, codeNotFinal, "Nothing is final at this node yet: try again in a moment."},
	codeBusy:     {codes.Unavailable, codeBusy, "More is asked than can be taken at the moment: try again."},
	codeInternal: {codes.Internal, codeInternal, "Something went wrong inside the node: tell its operator."},
	codeTree:     {codes.NotFound, codeTree, "There is no such tree: ListTrees names those there are."},
	codeLeaf:     {codes.NotFound, codeLeaf, "No leaf has this hash in the tree of that size."},
	codeReadOnly: {codes.PermissionDenied, codeReadOnly,
		"The consent ledger is written through its rules only: send records to /v1 of a member's node (docs/spec/api.md). For opaque leaves make a tree of your own with CreateTree."},
	codeStarted: {codes.AlreadyExists, codeStarted, "The tree is initialised: read its root with GetLatestSignedLogRoot."},
}

func fault(code string) error {
	f, ok := failures[code]
	if !ok {
		panic("trillian: no sentence for " + code)
	}
	return &f
}

// malformed is the answer to an argument that cannot be.
func malformed(format string, args ...any) error {
	return &failure{codes.InvalidArgument, codeArgument, fmt.Sprintf(format, args...)}
}

// ofHTTP translates the statuses of the API's table.
var ofHTTP = map[int]codes.Code{
	http.StatusBadRequest: codes.InvalidArgument, http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied,
	http.StatusNotFound: codes.NotFound, http.StatusConflict: codes.FailedPrecondition, http.StatusGone: codes.NotFound,
	http.StatusRequestEntityTooLarge: codes.InvalidArgument, http.StatusUnprocessableEntity: codes.InvalidArgument,
	http.StatusServiceUnavailable: codes.Unavailable, http.StatusGatewayTimeout: codes.Unavailable,
}

// status turns an error into what the caller gets. What is the node's own fault
// is logged: errors hold no personal data, and refusals are not logged at all.
func (s *server) status(method string, err error) error {
	var f *failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	default:
		if st, ok := status.FromError(err); ok {
			return st.Err()
		}
		f = failureOf(err)
	}
	if f.status == codes.Internal {
		s.log.Error("a call failed", "method", method, "code", f.code, "err", err.Error())
	}
	st := status.New(f.status, f.Error())
	if with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: f.code, Domain: "akashi"}); err == nil {
		st = with
	}
	return st.Err()
}

// failureOf takes status and sentence from the API's table.
func failureOf(err error) *failure {
	p := rest.ProblemOf(err)
	c, ok := ofHTTP[p.Status]
	if !ok {
		c = codes.Internal
	}
	return &failure{c, p.Code, p.Detail + " " + p.Hint}
}
