package trillian

import (
	"context"

	pb "github.com/google/trillian"
)

// history returns a tree as it is final now.
func (s *server) history(id int64) (history, error) {
	if id != s.id {
		return nil, fault(codeTree)
	}
	st := s.final()
	if st == nil {
		return nil, fault(codeNotFinal)
	}
	return consentLog{st}, nil
}

// GetTree implements pb.TrillianAdminServer.
func (s *server) GetTree(ctx context.Context, req *pb.GetTreeRequest) (*pb.Tree, error) {
	if req.TreeId != s.id {
		return nil, fault(codeTree)
	}
	return s.consentTree(), nil
}

// ListTrees implements pb.TrillianAdminServer. Trees are not deleted, so there are
// no deleted ones to show.
func (s *server) ListTrees(ctx context.Context, req *pb.ListTreesRequest) (*pb.ListTreesResponse, error) {
	return &pb.ListTreesResponse{Tree: []*pb.Tree{s.consentTree()}}, nil
}

// InitLog implements pb.TrillianLogServer.
func (s *server) InitLog(ctx context.Context, req *pb.InitLogRequest) (*pb.InitLogResponse, error) {
	if req.LogId == s.id {
		return nil, fault(codeStarted) // its genesis did
	}
	return nil, fault(codeTree)
}

// QueueLeaf implements pb.TrillianLogServer.
func (s *server) QueueLeaf(ctx context.Context, req *pb.QueueLeafRequest) (*pb.QueueLeafResponse, error) {
	if req.LogId == s.id {
		return nil, fault(codeReadOnly)
	}
	return nil, fault(codeTree)
}

// AddSequencedLeaves implements pb.TrillianLogServer.
func (s *server) AddSequencedLeaves(ctx context.Context, req *pb.AddSequencedLeavesRequest) (*pb.AddSequencedLeavesResponse, error) {
	if req.LogId == s.id {
		return nil, fault(codeReadOnly)
	}
	return nil, fault(codeTree)
}
