package trillian

import (
	"context"
	"crypto/sha256"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	pb "github.com/google/trillian"
	"google.golang.org/protobuf/proto"
)

// GetTree implements pb.TrillianAdminServer.
func (s *server) GetTree(ctx context.Context, req *pb.GetTreeRequest) (*pb.Tree, error) {
	if req.TreeId == s.id {
		return s.consentTree(), nil
	}
	if _, err := s.allow(ctx, readers); err != nil {
		return nil, err
	}
	t, err := s.forest.Tree(uint64(req.TreeId))
	if err != nil {
		return nil, err
	}
	return treeOf(t), nil
}

// ListTrees implements pb.TrillianAdminServer: the consent ledger, and with a token
// the commitment trees. Trees are not deleted, so there are no deleted ones to show.
func (s *server) ListTrees(ctx context.Context, req *pb.ListTreesRequest) (*pb.ListTreesResponse, error) {
	resp := &pb.ListTreesResponse{Tree: []*pb.Tree{s.consentTree()}}
	if given, ok := single(ctx, mdToken); given == "" && ok && !s.open {
		return resp, nil
	}
	if _, err := s.allow(ctx, readers); err != nil {
		return nil, err
	}
	all, err := s.forest.Trees()
	for _, t := range all {
		resp.Tree = append(resp.Tree, treeOf(t))
	}
	return resp, err
}

// kinds are the types of trees that can be made here.
var kinds = map[pb.TreeType]string{pb.TreeType_LOG: record.TreeLog, pb.TreeType_PREORDERED_LOG: record.TreePreordered}

func checkTree(t *pb.Tree) error {
	if t == nil {
		return malformed("A tree is required.")
	}
	_, known := kinds[t.TreeType]
	switch {
	case !known:
		return malformed("The tree's type is %d, want LOG or PREORDERED_LOG.", t.TreeType)
	case t.TreeState != pb.TreeState_ACTIVE:
		return malformed("The tree's state is %d, want ACTIVE.", t.TreeState)
	case t.StorageSettings != nil:
		return malformed("There are no storage settings here.")
	case t.MaxRootDuration.CheckValid() != nil || t.MaxRootDuration.AsDuration() < 0:
		return malformed("max_root_duration is missing, malformed or negative.")
	}
	return nil
}

// CreateTree implements pb.TrillianAdminServer. Fields that the system makes are
// ignored, as is the root's duration: a root of its own comes with the leaves, and
// the heartbeat of checkpoints says that it is fresh.
func (s *server) CreateTree(ctx context.Context, req *pb.CreateTreeRequest) (*pb.Tree, error) {
	t := req.Tree
	if err := checkTree(t); err != nil {
		return nil, err
	}
	caller, err := s.allow(ctx, founders)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	want := forest.CreateRequest{Name: "log", Type: kinds[t.TreeType], Display: t.DisplayName, Description: t.Description,
		Client: "trillian/" + string(caller.Role) + "/" + caller.Name}
	if record.ValidID(t.DisplayName) {
		want.Name = t.DisplayName
	}
	if want.Issuer, err = s.as(ctx); err != nil {
		return nil, err
	}
	var ok bool
	if want.Key, ok = single(ctx, mdKey); !ok || len(want.Key) > maxKeyBytes {
		return nil, malformed("An idempotency-key is at most %d bytes, and stands once.", maxKeyBytes)
	}
	asked, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Tree{TreeType: t.TreeType, DisplayName: t.DisplayName, Description: t.Description})
	if err != nil {
		return nil, malformed("A name or description is not UTF-8.")
	}
	want.Body = sha256.Sum256(asked)
	made, err := s.forest.Create(ctx, want)
	if err != nil {
		return nil, err
	}
	return treeOf(made), nil
}

// UpdateTree implements pb.TrillianAdminServer: never.
func (s *server) UpdateTree(context.Context, *pb.UpdateTreeRequest) (*pb.Tree, error) {
	return nil, fault(codeForGood)
}

// DeleteTree implements pb.TrillianAdminServer: never.
func (s *server) DeleteTree(context.Context, *pb.DeleteTreeRequest) (*pb.Tree, error) {
	return nil, fault(codeForGood)
}

// UndeleteTree implements pb.TrillianAdminServer: never.
func (s *server) UndeleteTree(context.Context, *pb.UndeleteTreeRequest) (*pb.Tree, error) {
	return nil, fault(codeForGood)
}
