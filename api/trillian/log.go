package trillian

import (
	"context"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	pb "github.com/google/trillian"
	"github.com/google/trillian/types"
)

// A history is one log as it is final at one moment.
type history interface {
	Head() head
	Inclusion(index, size uint64) ([]merkle.Hash, error)
	Consistency(oldSize, newSize uint64) ([]merkle.Hash, error)
	Find(leafHash merkle.Hash) (indices []uint64, err error)      // ascending
	Leaves(first, count uint64) (leaves []*pb.LogLeaf, err error) // within the bounds of an answer, at least one where there is one
}

// A head is the size and root of a log, and when it got them.
type head struct {
	size   uint64
	root   merkle.Hash
	timeMs uint64
}

// A reading is what one call sees of a log.
type reading struct {
	history
	size int64
	root *pb.SignedLogRoot // no signature is in it: see the package comment
}

func (s *server) read(ctx context.Context, id int64) (*reading, error) {
	h, err := s.history(ctx, id)
	if err != nil {
		return nil, err
	}
	top := h.Head()
	b, err := (&types.LogRootV1{TreeSize: top.size, RootHash: top.root[:], TimestampNanos: top.timeMs * 1_000_000}).MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &reading{h, int64(top.size), &pb.SignedLogRoot{LogRoot: b}}, nil
}

func proofOf(index int64, path []merkle.Hash) *pb.Proof {
	p := &pb.Proof{LeafIndex: index, Hashes: make([][]byte, len(path))}
	for i := range path {
		p.Hashes[i] = path[i][:]
	}
	return p
}

func (r *reading) inclusion(index, size int64) (*pb.Proof, error) {
	path, err := r.Inclusion(uint64(index), uint64(size))
	if err != nil {
		return nil, err
	}
	return proofOf(index, path), nil
}

func (r *reading) consistency(first, second int64) (*pb.Proof, error) {
	path, err := r.Consistency(uint64(first), uint64(second))
	if err != nil {
		return nil, err
	}
	return proofOf(0, path), nil
}

func checkPlace(index, size int64) error {
	switch {
	case size <= 0:
		return malformed("The tree size is %d, want more than 0.", size)
	case index < 0 || index >= size:
		return malformed("The leaf index is %d, want 0 to %d.", index, size-1)
	}
	return nil
}

func checkGrowth(first, second int64) error {
	switch {
	case first <= 0 || second <= 0:
		return malformed("The tree sizes are %d and %d, want more than 0.", first, second)
	case second < first:
		return malformed("The second tree size is %d, less than the first, %d.", second, first)
	}
	return nil
}

// GetLatestSignedLogRoot implements pb.TrillianLogServer.
func (s *server) GetLatestSignedLogRoot(ctx context.Context, req *pb.GetLatestSignedLogRootRequest) (*pb.GetLatestSignedLogRootResponse, error) {
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetLatestSignedLogRootResponse{SignedLogRoot: r.root}
	if req.FirstTreeSize == 0 {
		return resp, nil
	}
	if err := checkGrowth(req.FirstTreeSize, r.size); err != nil {
		return nil, err
	}
	resp.Proof, err = r.consistency(req.FirstTreeSize, r.size)
	return resp, err
}

// GetInclusionProof implements pb.TrillianLogServer. A size beyond the tree is the
// answer to a newer root of another member: it gets ours, and no proof.
func (s *server) GetInclusionProof(ctx context.Context, req *pb.GetInclusionProofRequest) (*pb.GetInclusionProofResponse, error) {
	if err := checkPlace(req.LeafIndex, req.TreeSize); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetInclusionProofResponse{SignedLogRoot: r.root}
	if req.TreeSize <= r.size {
		resp.Proof, err = r.inclusion(req.LeafIndex, req.TreeSize)
	}
	return resp, err
}

// GetInclusionProofByHash implements pb.TrillianLogServer.
func (s *server) GetInclusionProofByHash(ctx context.Context, req *pb.GetInclusionProofByHashRequest) (*pb.GetInclusionProofByHashResponse, error) {
	switch {
	case req.TreeSize <= 0:
		return nil, malformed("The tree size is %d, want more than 0.", req.TreeSize)
	case len(req.LeafHash) != merkle.HashSize:
		return nil, malformed("The leaf hash has %d bytes, want %d.", len(req.LeafHash), merkle.HashSize)
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetInclusionProofByHashResponse{SignedLogRoot: r.root}
	if req.TreeSize > r.size {
		return resp, nil
	}
	indices, err := r.Find(merkle.Hash(req.LeafHash))
	if err != nil {
		return nil, err
	}
	for _, index := range indices {
		if index >= uint64(req.TreeSize) {
			break
		}
		p, err := r.inclusion(int64(index), req.TreeSize)
		if err != nil {
			return nil, err
		}
		resp.Proof = append(resp.Proof, p)
	}
	if len(resp.Proof) == 0 {
		return nil, fault(codeLeaf)
	}
	return resp, nil
}

// GetConsistencyProof implements pb.TrillianLogServer.
func (s *server) GetConsistencyProof(ctx context.Context, req *pb.GetConsistencyProofRequest) (*pb.GetConsistencyProofResponse, error) {
	if err := checkGrowth(req.FirstTreeSize, req.SecondTreeSize); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetConsistencyProofResponse{SignedLogRoot: r.root}
	if req.SecondTreeSize <= r.size {
		resp.Proof, err = r.consistency(req.FirstTreeSize, req.SecondTreeSize)
	}
	return resp, err
}

// GetLeavesByRange implements pb.TrillianLogServer. It may answer with fewer leaves
// than were asked for.
func (s *server) GetLeavesByRange(ctx context.Context, req *pb.GetLeavesByRangeRequest) (*pb.GetLeavesByRangeResponse, error) {
	if req.StartIndex < 0 || req.Count <= 0 {
		return nil, malformed("Start index %d and count %d, want at least 0 and 1.", req.StartIndex, req.Count)
	}
	if _, err := s.allow(ctx, readers); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetLeavesByRangeResponse{SignedLogRoot: r.root}
	if req.StartIndex < r.size {
		resp.Leaves, err = r.Leaves(uint64(req.StartIndex), uint64(min(req.Count, r.size-req.StartIndex, maxAnswerLeaves)))
	}
	return resp, err
}

// GetEntryAndProof implements pb.TrillianLogServer. Where the size is beyond the
// tree and the leaf is not, the proof is at the size that the root has.
func (s *server) GetEntryAndProof(ctx context.Context, req *pb.GetEntryAndProofRequest) (*pb.GetEntryAndProofResponse, error) {
	if err := checkPlace(req.LeafIndex, req.TreeSize); err != nil {
		return nil, err
	}
	if _, err := s.allow(ctx, readers); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, req.LogId)
	if err != nil {
		return nil, err
	}
	resp := &pb.GetEntryAndProofResponse{SignedLogRoot: r.root}
	if req.LeafIndex >= r.size {
		return resp, nil
	}
	leaves, err := r.Leaves(uint64(req.LeafIndex), 1)
	if err != nil {
		return nil, err
	}
	resp.Leaf = leaves[0]
	resp.Proof, err = r.inclusion(req.LeafIndex, min(req.TreeSize, r.size))
	return resp, err
}
