package trillian

import (
	"bytes"
	"errors"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/node/store"
	pb "github.com/google/trillian"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// consentLog is the consent ledger at its highest final checkpoint.
type consentLog struct{ *store.State }

func (l consentLog) Head() head {
	return head{l.Size, merkle.Hash(l.Root), l.TimeMs}
}

// Find implements history: the first leaf, where several are alike.
func (l consentLog) Find(h merkle.Hash) ([]uint64, error) {
	index, ok, err := l.State.Find(h)
	if !ok || err != nil {
		return nil, err
	}
	return []uint64{index}, nil
}

var errEnough = errors.New("enough")

func (l consentLog) Leaves(first, count uint64) ([]*pb.LogLeaf, error) {
	end, err := l.EndWith(first)
	if err != nil {
		return nil, err
	}
	var leaves []*pb.LogLeaf
	sizeBytes := 0
	err = l.Range(first, first+count, func(index uint64, leaf []byte) (err error) {
		if sizeBytes += len(leaf) + leafOverheadBytes; sizeBytes > maxAnswerBytes && len(leaves) > 0 {
			return errEnough
		}
		if index >= end.Size {
			if end, err = l.EndOf(end.Height + 1); err != nil {
				return err
			}
		}
		leaves = append(leaves, leafOf(index, bytes.Clone(leaf), end.TimeMs))
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return leaves, err
}

// leafOverheadBytes is what a leaf takes in an answer beside value and extra data.
const leafOverheadBytes = 128

// leafOf returns a leaf in Trillian's form; it keeps value.
func leafOf(index uint64, value []byte, timeMs uint64) *pb.LogLeaf {
	hash, at := merkle.LeafHash(value), timestamppb.New(time.UnixMilli(int64(timeMs)))
	return &pb.LogLeaf{MerkleLeafHash: hash[:], LeafValue: value, LeafIndex: int64(index), LeafIdentityHash: hash[:],
		QueueTimestamp: at, IntegrateTimestamp: at}
}

// consentTree describes the consent ledger.
func (s *server) consentTree() *pb.Tree {
	at := timestamppb.New(time.UnixMilli(int64(s.created)))
	return &pb.Tree{TreeId: s.id, TreeType: pb.TreeType_LOG, TreeState: pb.TreeState_ACTIVE, DisplayName: s.origin,
		Description:     "Consent ledger. Read-only here: records are sent to /v1 of a member's node.",
		MaxRootDuration: durationpb.New(0), CreateTime: at, UpdateTime: at}
}
