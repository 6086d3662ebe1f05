package trillian

import (
	"context"
	"math"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	trees "github.com/akashi-ledger/akashi/node/forest"
	pb "github.com/google/trillian"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// writeWait is how long a write waits for its outcome; then it is unknown, and the
// caller may ask again.
const writeWait = 20 * time.Second

func (s *server) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, writeWait, trees.ErrUnknown)
}

// InitLog implements pb.TrillianLogServer.
func (s *server) InitLog(ctx context.Context, req *pb.InitLogRequest) (*pb.InitLogResponse, error) {
	if req.LogId == s.id {
		return nil, fault(codeStarted) // its genesis did
	}
	if _, err := s.allow(ctx, founders); err != nil {
		return nil, err
	}
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	if _, err := s.forest.Init(ctx, uint64(req.LogId)); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	return &pb.InitLogResponse{Created: r.root}, nil
}

// leafIn takes a leaf of a caller. Its index counts in pre-ordered trees only.
func leafIn(l *pb.LogLeaf) (forest.Leaf, error) {
	switch {
	case l == nil || len(l.LeafValue) == 0:
		return forest.Leaf{}, malformed("A leaf with a value is required.")
	case len(l.LeafValue) > record.MaxTreeLeaf || len(l.ExtraData) > record.MaxTreeExtra:
		return forest.Leaf{}, malformed("A leaf's value is at most %d bytes and its extra data %d.", record.MaxTreeLeaf, record.MaxTreeExtra)
	case l.LeafIndex < 0:
		return forest.Leaf{}, malformed("The leaf index is %d, want 0 or more.", l.LeafIndex)
	case len(l.LeafIdentityHash) != 0 && len(l.LeafIdentityHash) != merkle.HashSize:
		return forest.Leaf{}, malformed("The leaf identity hash has %d bytes, want none or %d.", len(l.LeafIdentityHash), merkle.HashSize)
	}
	return forest.Leaf{Value: l.LeafValue, Extra: l.ExtraData, Identity: l.LeafIdentityHash}, nil
}

// writable reports why leaves cannot be written to a tree in this way.
func (s *server) writable(ctx context.Context, id int64, preordered bool) (issuer string, err error) {
	if id == s.id {
		return "", fault(codeReadOnly)
	}
	if _, err := s.allow(ctx, writers); err != nil {
		return "", err
	}
	kind, err := s.forest.Type(uint64(id))
	switch {
	case err != nil:
		return "", err
	case (kind == record.TreePreordered) != preordered:
		return "", fault(codeType)
	}
	return s.as(ctx)
}

// QueueLeaf implements pb.TrillianLogServer. It answers when this node has applied
// the leaf: the tree's next advance covers it.
func (s *server) QueueLeaf(ctx context.Context, req *pb.QueueLeafRequest) (*pb.QueueLeafResponse, error) {
	leaf, err := leafIn(req.Leaf)
	if err != nil {
		return nil, err
	}
	issuer, err := s.writable(ctx, req.LogId, false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	out, err := s.forest.Queue(ctx, issuer, uint64(req.LogId), []forest.Leaf{leaf})
	if err != nil {
		return nil, err
	}
	queued, err := s.queued(uint64(req.LogId), &leaf, out[0])
	return &pb.QueueLeafResponse{QueuedLeaf: queued}, err
}

// queued is what became of one leaf. A status is there where it was not added.
func (s *server) queued(tree uint64, leaf *forest.Leaf, o forest.Outcome) (*pb.QueuedLogLeaf, error) {
	q := new(pb.QueuedLogLeaf)
	switch {
	case o.Duplicate:
		q.Status = &status.Status{Code: int32(codes.AlreadyExists), Message: "The tree has this leaf already."}
	case o.Refused == record.CodeTreeIndex:
		q.Status = &status.Status{Code: int32(codes.FailedPrecondition), Message: "Another leaf has this index, or the leaf stands at another."}
	case o.Refused != "":
		return nil, record.Refuse(o.Refused, "leaf %d", o.Index)
	default:
		id := leaf.ID()
		q.Leaf = storedLeaf(&trees.Stored{Leaf: forest.Leaf{Value: leaf.Value, Extra: leaf.Extra, Identity: id[:]}, Index: o.Index, TimeMs: o.TimeMs})
		return q, nil
	}
	there, err := s.forest.AppliedLeaf(tree, o.Index)
	if err != nil {
		return nil, err
	}
	q.Leaf = storedLeaf(there)
	return q, nil
}

// AddSequencedLeaves implements pb.TrillianLogServer. Leaves are added in order:
// where some before them are missing, the answer is to try again.
func (s *server) AddSequencedLeaves(ctx context.Context, req *pb.AddSequencedLeavesRequest) (*pb.AddSequencedLeavesResponse, error) {
	if len(req.Leaves) == 0 {
		return nil, malformed("Leaves are required.")
	}
	leaves := make([]forest.Leaf, len(req.Leaves))
	for i, l := range req.Leaves {
		var err error
		if leaves[i], err = leafIn(l); err != nil {
			return nil, err
		}
		if first := req.Leaves[0].LeafIndex; first > math.MaxInt64-int64(i) || l.LeafIndex != first+int64(i) {
			return nil, fault(codeOrder)
		}
	}
	issuer, err := s.writable(ctx, req.LogId, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	out, err := s.forest.AddSequenced(ctx, issuer, uint64(req.LogId), uint64(req.Leaves[0].LeafIndex), leaves)
	if err != nil {
		return nil, err
	}
	resp := &pb.AddSequencedLeavesResponse{Results: make([]*pb.QueuedLogLeaf, len(out))}
	for i, o := range out {
		if resp.Results[i], err = s.queued(uint64(req.LogId), &leaves[i], o); err != nil {
			return nil, err
		}
		if resp.Results[i].Status == nil {
			resp.Results[i].Status = &status.Status{Code: int32(codes.OK)}
		}
	}
	return resp, nil
}
