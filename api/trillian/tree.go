package trillian

import (
	"context"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	pb "github.com/google/trillian"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// history returns a tree as it is final now. Of commitment trees everything needs
// a token.
func (s *server) history(ctx context.Context, id int64) (history, error) {
	if id == s.id {
		if st := s.final(); st != nil {
			return consentLog{st}, nil
		}
		return nil, fault(codeNotFinal)
	}
	if _, err := s.allow(ctx, readers); err != nil {
		return nil, err
	}
	anchor, err := s.forest.Anchor(uint64(id))
	if err != nil {
		return nil, err
	}
	if anchor == nil {
		return nil, fault(codeEmpty)
	}
	return treeLog{s.forest, uint64(id), anchor}, nil
}

// treeLog is a commitment tree at its last final advance, which later reads of the
// forest may be ahead of.
type treeLog struct {
	forest *forest.Forest
	id     uint64
	anchor *forest.Anchor
}

func (l treeLog) Head() head { return head{l.anchor.Size, l.anchor.Root, l.anchor.TimeMs} }

func (l treeLog) Inclusion(index, size uint64) ([]merkle.Hash, error) {
	return l.forest.Inclusion(l.id, index, size)
}

func (l treeLog) Consistency(oldSize, newSize uint64) ([]merkle.Hash, error) {
	return l.forest.Consistency(l.id, oldSize, newSize)
}

func (l treeLog) Find(h merkle.Hash) ([]uint64, error) {
	found, err := l.forest.LeavesByHash(l.id, h)
	indices := make([]uint64, len(found))
	for i := range found {
		indices[i] = found[i].Index
	}
	return indices, err
}

// chunkLeaves is how many leaves are read at once: some 4 MB at most.
const chunkLeaves = 64

func (l treeLog) Leaves(first, count uint64) ([]*pb.LogLeaf, error) {
	var leaves []*pb.LogLeaf
	sizeBytes := 0
	for uint64(len(leaves)) < count {
		stored, err := l.forest.Leaves(l.id, first+uint64(len(leaves)), min(chunkLeaves, count-uint64(len(leaves))))
		if err != nil || len(stored) == 0 {
			return leaves, err
		}
		for i := range stored {
			sizeBytes += len(stored[i].Value) + len(stored[i].Extra) + leafOverheadBytes
			if sizeBytes > maxAnswerBytes && len(leaves) > 0 {
				return leaves, nil
			}
			leaves = append(leaves, storedLeaf(&stored[i]))
		}
	}
	return leaves, nil
}

// storedLeaf returns a commitment tree's leaf in Trillian's form.
func storedLeaf(l *forest.Stored) *pb.LogLeaf {
	leaf := leafOf(l.Index, l.Value, l.TimeMs)
	leaf.ExtraData, leaf.LeafIdentityHash = l.Extra, l.Identity
	return leaf
}

// treeOf describes a commitment tree.
func treeOf(t *forest.Tree) *pb.Tree {
	at := timestamppb.New(time.UnixMilli(int64(t.CreatedMs)))
	kind := pb.TreeType_LOG
	if t.Type == record.TreePreordered {
		kind = pb.TreeType_PREORDERED_LOG
	}
	return &pb.Tree{TreeId: int64(t.ID), TreeType: kind, TreeState: pb.TreeState_ACTIVE, DisplayName: t.Display, Description: t.Description,
		MaxRootDuration: durationpb.New(0), CreateTime: at, UpdateTime: at}
}
