// Package trillian speaks Trillian's gRPC protocol (TrillianLog, TrillianAdmin of
// github.com/google/trillian v1.8.0) over the trees of a member's node, so that
// its clients read and verify them as they are.
//
// # Trees
//
// The consent ledger is one tree: its id is 63 bits of its genesis leaf's hash
// (rules.TreeID). It is read here and written only through the rules.
//
// Every other tree is a commitment tree (node/forest): anchored in the consent
// ledger by tree.advance records, written here by who may.
//
// # What holds
//
//   - Only final state is shown: the latest root is that of the highest final
//     checkpoint, or of the last advance below it, and proofs are given at every
//     size up to it.
//   - A root's timestamp is the time of the batch that made it, in nanoseconds. It
//     strictly increases with the size, and is the same at every member.
//   - Roots carry no signature (Trillian's have none): trust comes from comparing
//     size and root hash with a cosigned checkpoint, or with an advance in the log
//     below one.
//   - An error has a gRPC status, one sentence, and the stable code as the Reason
//     of an ErrorInfo with domain "akashi". Nothing that a caller sent is repeated
//     in it or logged.
//
// # Who may call
//
// Roots and proofs of the consent ledger are public, as are its checkpoints and
// hash tiles. Leaves need what entry bundles need: the token of an admin, an app
// or an auditor, as "authorization: Bearer TOKEN" in the call's metadata. So does
// everything about commitment trees; leaves are written by an admin or an app,
// trees are made and initialised by an admin, for the member or the party of
// "akashi-as" that it hosts. A node that is open on loopback (akashi dev) asks for
// no token; one that is sent must hold all the same.
//
// The package keeps nothing and starts nothing: Serve and GracefulStop are the
// caller's.
package trillian

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/store"
	pb "github.com/google/trillian"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Options of New.
type Options struct {
	Tokens  *token.Store          // required
	Log     *slog.Logger          // required
	Metrics prometheus.Registerer // required
	TLS     *tls.Config           // nil: plain, for loopback only
}

// Bounds of what one caller may cost.
const (
	maxCalls        = 512 // under way at once
	maxStreams      = 256 // of one connection
	maxMessageBytes = 512 << 10
	maxIdle         = 5 * time.Minute
	maxKeyBytes     = 128 // of an idempotency-key

	maxAnswerLeaves = 1000
	maxAnswerBytes  = 3 << 20 // of leaves: Trillian's clients take messages of 4 MiB
)

// server implements both services.
type server struct {
	pb.UnimplementedTrillianLogServer
	pb.UnimplementedTrillianAdminServer

	self    string              // the member
	id      int64               // of the consent ledger
	origin  string              // its name
	created uint64              // its beginning, ms
	final   func() *store.State // nil before the first final checkpoint
	forest  *forest.Forest      // commitment trees
	tokens  *token.Store
	open    bool // calls without a token may do everything
	log     *slog.Logger
	metrics *metrics
	calls   atomic.Int64
}

// New returns the services of a node.
func New(n *node.Node, o Options) (*grpc.Server, error) {
	if n == nil || o.Tokens == nil || o.Log == nil || o.Metrics == nil {
		return nil, errors.New("trillian: node, Tokens, Log and Metrics are required")
	}
	genesis, err := n.Newest().Leaf(0)
	if err != nil {
		return nil, err
	}
	s := &server{self: n.Self(), forest: n.Forest(), id: int64(rules.TreeID(record.Digest(merkle.LeafHash(genesis)))), origin: n.Origin(),
		created: n.Founding.CreatedMs, final: n.FinalState, tokens: o.Tokens, open: n.Settings.OpenEntries, log: o.Log}
	if s.metrics, err = newMetrics(s, o.Metrics); err != nil {
		return nil, err
	}
	return serverOf(s, o.TLS), nil
}

func serverOf(s *server, secure *tls.Config) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(s.intercept), grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(10 * time.Second), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxIdle}),
	}
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	g := grpc.NewServer(options...)
	pb.RegisterTrillianLogServer(g, s)
	pb.RegisterTrillianAdminServer(g, s)
	reflection.Register(g) // as Trillian's server does: for grpcurl and its like
	return g
}

// intercept bounds the calls under way, turns errors into statuses, and keeps a
// bug in one call from ending the node.
func (s *server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	began := time.Now()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("a call ended in a bug", "method", info.FullMethod, "stack", string(debug.Stack())) // not the value: it may repeat the request
			resp, err = nil, s.status(info.FullMethod, fault(codeInternal))
		}
		s.metrics.observe(info.FullMethod, err, time.Since(began))
	}()
	defer s.calls.Add(-1)
	if s.calls.Add(1) > maxCalls {
		return nil, s.status(info.FullMethod, fault(codeBusy))
	}
	if resp, err = handle(ctx, req); err != nil {
		return nil, s.status(info.FullMethod, err)
	}
	return resp, nil
}
