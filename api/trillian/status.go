package trillian

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
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
	codeEmpty    = "tree.not-initialised"
	codeType     = "tree.type"
	codeOrder    = "tree.order"
	codeGap      = string(record.CodeTreeGap)
	codeUnknown  = "outcome.unknown"
	codeStopping = "node.stopping"
	codeForGood  = "tree.permanent"
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
	codeEmpty:    {codes.FailedPrecondition, codeEmpty, "The tree has no root yet: its owner's node makes the first with InitLog."},
	codeType:     {codes.InvalidArgument, codeType, "QueueLeaf is for trees of type LOG, AddSequencedLeaves for PREORDERED_LOG."},
	codeOrder:    {codes.FailedPrecondition, codeOrder, "The leaf indices of one request follow each other without a gap."},
	codeGap:      {codes.Unavailable, codeGap, "Leaves before these are missing: add them first, and try again."},
	codeUnknown:  {codes.Unavailable, codeUnknown, "The outcome is not known yet: send it again, a leaf is not doubled."},
	codeStopping: {codes.Unavailable, codeStopping, "This node is stopping: try again, or ask another member's."},
	codeForGood:  {codes.Unimplemented, codeForGood, "Trees are not changed or deleted: every member keeps them."},
	codeStarted:  {codes.AlreadyExists, codeStarted, "The tree is initialised: read its root with GetLatestSignedLogRoot."},
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
	f := failureOf(err)
	if f.status == codes.Internal {
		s.log.Error("a call failed", "method", method, "code", f.code, "err", err.Error())
	}
	st := status.New(f.status, f.Error())
	if with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: f.code, Domain: "akashi"}); err == nil {
		st = with
	}
	return st.Err()
}

// ofForest are the forest's errors.
var ofForest = []struct {
	err  error
	code string
}{
	{forest.ErrInitialised, codeStarted}, {forest.ErrBusy, codeBusy}, {forest.ErrNotReady, codeNotFinal}, {forest.ErrNoKey, codeRole},
	{forest.ErrClosed, codeStopping}, {forest.ErrUnknown, codeUnknown},
	{context.Canceled, codeUnknown}, {context.DeadlineExceeded, codeUnknown}, // a caller's own deadline has no answer
}

// failureOf takes status and sentence from this package's table, or the API's.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	for _, known := range ofForest {
		if errors.Is(err, known.err) {
			f := failures[known.code]
			return &f
		}
	}
	p := rest.ProblemOf(err)
	if f, ok := failures[p.Code]; ok {
		return &f
	}
	c, ok := ofHTTP[p.Status]
	if !ok {
		c = codes.Internal
	}
	return &failure{c, p.Code, p.Detail + " " + p.Hint}
}
