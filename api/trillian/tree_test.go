package trillian_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	pb "github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func logTree() *pb.Tree {
	return &pb.Tree{TreeType: pb.TreeType_LOG, TreeState: pb.TreeState_ACTIVE, DisplayName: "test", MaxRootDuration: durationpb.New(0)}
}

// make makes a tree and initialises it.
func (s *site) make(kind pb.TreeType) int64 {
	s.t.Helper()
	want := logTree()
	want.TreeType = kind
	t, err := s.admin.CreateTree(s.t.Context(), &pb.CreateTreeRequest{Tree: want})
	fatal(s.t, err)
	fatal(s.t, client.InitLog(s.t.Context(), t, s.log))
	return t.TreeId
}

// settled waits until a tree's root has a size, and returns it. Roots on the way
// have ever later times.
func (s *site) settled(id int64, size uint64) *types.LogRootV1 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	last := s.root(id)
	for last.TreeSize < size {
		changed := s.n.FinalChanged()
		if next := s.root(id); next.TreeSize > last.TreeSize {
			if next.TimestampNanos <= last.TimestampNanos {
				s.t.Fatalf("root %v after %v", next, last)
			}
			last = next
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.t.Fatalf("the tree stays at %d leaves, want %d", last.TreeSize, size)
		}
	}
	return last
}

func (s *site) queue(id int64, leaf *pb.LogLeaf) *pb.QueuedLogLeaf {
	s.t.Helper()
	resp, err := s.log.QueueLeaf(s.t.Context(), &pb.QueueLeafRequest{LogId: id, Leaf: leaf})
	fatal(s.t, err)
	return resp.QueuedLeaf
}

func TestCreateTree(t *testing.T) {
	s := newSite(t, true)
	ctx := t.Context()
	full := logTree()
	full.TreeId, full.Deleted, full.CreateTime = 10, true, timestamppb.New(time.Unix(1000, 0))
	full.UpdateTime, full.DeleteTime, full.Description, full.DisplayName = full.CreateTime, full.CreateTime, "何かの記録", "Something else"
	made, err := s.admin.CreateTree(ctx, &pb.CreateTreeRequest{Tree: full})
	fatal(t, err)
	got, err := s.admin.GetTree(ctx, &pb.GetTreeRequest{TreeId: made.TreeId})
	if err != nil || !proto.Equal(got, made) || made.TreeId <= 10 || made.Deleted || made.DeleteTime != nil || made.CreateTime.AsTime().Year() < 2020 ||
		made.Description != full.Description || made.DisplayName != full.DisplayName {
		t.Errorf("made %v, got %v, %v", made, got, err)
	}
	list, err := s.admin.ListTrees(ctx, &pb.ListTreesRequest{ShowDeleted: true})
	if err != nil || len(list.Tree) != 2 || !proto.Equal(list.Tree[1], made) {
		t.Errorf("list: %v, %v", list, err)
	}
	for what, change := range map[string]func(*pb.Tree){
		"no type":           func(t *pb.Tree) { t.TreeType = 0 },
		"unknown type":      func(t *pb.Tree) { t.TreeType = 2 },
		"no state":          func(t *pb.Tree) { t.TreeState = 0 },
		"frozen":            func(t *pb.Tree) { t.TreeState = pb.TreeState_FROZEN },
		"no duration":       func(t *pb.Tree) { t.MaxRootDuration = nil },
		"negative duration": func(t *pb.Tree) { t.MaxRootDuration = durationpb.New(-1) },
		"broken duration":   func(t *pb.Tree) { t.MaxRootDuration = &durationpb.Duration{Seconds: 1, Nanos: -1} },
		"settings":          func(t *pb.Tree) { t.StorageSettings = new(anypb.Any) },
	} {
		bad := logTree()
		change(bad)
		_, err := s.admin.CreateTree(ctx, &pb.CreateTreeRequest{Tree: bad})
		wantRefused(t, what, err, codes.InvalidArgument, "request.malformed")
	}
	_, err = s.admin.CreateTree(ctx, &pb.CreateTreeRequest{})
	wantRefused(t, "no tree", err, codes.InvalidArgument, "request.malformed")
	long := logTree()
	long.DisplayName = strings.Repeat("長", record.MaxNameBytes)
	_, err = s.admin.CreateTree(ctx, &pb.CreateTreeRequest{Tree: long})
	wantRefused(t, "long name", err, codes.InvalidArgument, "record.malformed")

	// The same key makes the same tree once.
	keyed := metadata.AppendToOutgoingContext(ctx, "idempotency-key", "k-1")
	one, err := s.admin.CreateTree(keyed, &pb.CreateTreeRequest{Tree: logTree()})
	fatal(t, err)
	two, err := s.admin.CreateTree(keyed, &pb.CreateTreeRequest{Tree: logTree()})
	if err != nil || !proto.Equal(one, two) {
		t.Errorf("the same key: %v, then %v, %v", one, two, err)
	}
	_, err = s.admin.CreateTree(keyed, &pb.CreateTreeRequest{Tree: full})
	wantRefused(t, "another tree under the key", err, codes.FailedPrecondition, "idempotency-key.reused")
}

func TestInitLog(t *testing.T) {
	s := newSite(t, true)
	ctx := t.Context()
	made, err := s.admin.CreateTree(ctx, &pb.CreateTreeRequest{Tree: logTree()})
	fatal(t, err)
	_, err = s.log.GetLatestSignedLogRoot(ctx, &pb.GetLatestSignedLogRootRequest{LogId: made.TreeId})
	wantRefused(t, "root before init", err, codes.FailedPrecondition, "tree.not-initialised")
	_, err = s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: made.TreeId, Count: 1})
	wantRefused(t, "leaves before init", err, codes.FailedPrecondition, "tree.not-initialised")
	resp, err := s.log.InitLog(ctx, &pb.InitLogRequest{LogId: made.TreeId})
	fatal(t, err)
	var root types.LogRootV1
	fatal(t, root.UnmarshalBinary(resp.Created.LogRoot))
	if root.TreeSize != 0 || !bytes.Equal(root.RootHash, rfc6962.DefaultHasher.EmptyRoot()) || root.TimestampNanos == 0 {
		t.Errorf("first root: %v", root)
	}
	if now := s.root(made.TreeId); now.TimestampNanos != root.TimestampNanos {
		t.Errorf("latest root: %v", now)
	}
	_, err = s.log.InitLog(ctx, &pb.InitLogRequest{LogId: made.TreeId})
	wantRefused(t, "init twice", err, codes.AlreadyExists, "tree.initialised")
	_, err = s.log.InitLog(ctx, &pb.InitLogRequest{LogId: made.TreeId + 1})
	wantRefused(t, "another tree", err, codes.NotFound, "tree.unknown")
}

func TestQueueLeaf(t *testing.T) {
	s := newSite(t, true)
	ctx, id := t.Context(), s.make(pb.TreeType_LOG)
	first := s.queue(id, &pb.LogLeaf{LeafValue: []byte("one"), ExtraData: []byte("extra"), MerkleLeafHash: []byte("the server computes it")})
	hash := rfc6962.DefaultHasher.HashLeaf([]byte("one"))
	if first.Status != nil || string(first.Leaf.LeafValue) != "one" || !bytes.Equal(first.Leaf.MerkleLeafHash, hash) || !bytes.Equal(first.Leaf.LeafIdentityHash, hash) {
		t.Errorf("queued: %v", first)
	}
	identity := bytes.Repeat([]byte{7}, 32)
	s.queue(id, &pb.LogLeaf{LeafValue: []byte("two"), LeafIdentityHash: identity})
	for what, again := range map[string]*pb.LogLeaf{"at once": {LeafValue: []byte("another value"), LeafIdentityHash: identity},
		"when it is final": {LeafValue: []byte("one"), ExtraData: []byte("other extra data")}} {
		if strings.HasPrefix(what, "when") {
			s.settled(id, 2)
		}
		dup := s.queue(id, again)
		if dup.Status.GetCode() != int32(codes.AlreadyExists) || what == "at once" && string(dup.Leaf.LeafValue) != "two" ||
			what != "at once" && (string(dup.Leaf.LeafValue) != "one" || string(dup.Leaf.ExtraData) != "extra") {
			t.Errorf("a duplicate %s: %v", what, dup)
		}
	}
	// Equal values with different identities are two leaves: a proof for each.
	for i := range byte(3) {
		s.queue(id, &pb.LogLeaf{LeafValue: []byte("same"), LeafIdentityHash: bytes.Repeat([]byte{i}, 32)})
	}
	root := s.settled(id, 5)
	resp, err := s.log.GetInclusionProofByHash(ctx, &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: rfc6962.DefaultHasher.HashLeaf([]byte("same")), TreeSize: 4, OrderBySequence: true})
	if err != nil || len(resp.Proof) != 2 || resp.Proof[0].LeafIndex != 2 || resp.Proof[1].LeafIndex != 3 {
		t.Errorf("proofs by hash at size 4: %v, %v", resp, err)
	}
	all, ref := s.leaves(id)
	if !bytes.Equal(root.RootHash, ref.Hash()) || string(all[0].ExtraData) != "extra" || !bytes.Equal(all[1].LeafIdentityHash, identity) {
		t.Errorf("root %x, want %x; leaves %v", root.RootHash, ref.Hash(), all)
	}
	most := &pb.LogLeaf{LeafValue: make([]byte, record.MaxTreeLeaf), ExtraData: make([]byte, record.MaxTreeExtra)}
	s.queue(id, most)
	_, err = s.log.AddSequencedLeaves(ctx, &pb.AddSequencedLeavesRequest{LogId: id, Leaves: []*pb.LogLeaf{{LeafValue: []byte("x"), LeafIndex: 6}}})
	wantRefused(t, "sequenced leaves for a log", err, codes.InvalidArgument, "tree.type")
	for what, bad := range map[string]*pb.LogLeaf{"none": nil, "empty": {}, "negative index": {LeafValue: []byte("x"), LeafIndex: -1},
		"large": {LeafValue: make([]byte, record.MaxTreeLeaf+1)}, "large extra": {LeafValue: []byte("x"), ExtraData: make([]byte, record.MaxTreeExtra+1)},
		"identity": {LeafValue: []byte("x"), LeafIdentityHash: []byte("short")}} {
		_, err := s.log.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: id, Leaf: bad})
		wantRefused(t, what, err, codes.InvalidArgument, "request.malformed")
	}
}

// TestTreeSizes: proofs at every size of a tree that grew leaf by leaf, not only at
// those where it was anchored; and that large leaves come in parts.
func TestTreeSizes(t *testing.T) {
	s := newSite(t, true)
	ctx, id := t.Context(), s.make(pb.TreeType_LOG)
	for i := range 100 {
		s.queue(id, &pb.LogLeaf{LeafValue: fmt.Appendf(nil, "leaf %d", i)})
	}
	for i := range 60 {
		s.queue(id, &pb.LogLeaf{LeafValue: append(make([]byte, 59_000), byte(i))})
	}
	s.settled(id, 160)
	some, err := s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: id, Count: 1000})
	if err != nil || len(some.Leaves) < 100 || len(some.Leaves) == 160 {
		t.Fatalf("%d leaves in one answer, %v", len(some.GetLeaves()), err)
	}
	all, ref := s.leaves(id)
	for size := int64(1); size <= 160; size++ {
		index := size * 11 % size
		resp, err := s.log.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{LogId: id, LeafIndex: index, TreeSize: size})
		fatal(t, err)
		fatal(t, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), all[index].MerkleLeafHash, resp.Proof.Hashes, ref.HashAt(uint64(size))))
		old := 1 + size*5%size
		grown, err := s.log.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{LogId: id, FirstTreeSize: old, SecondTreeSize: size})
		fatal(t, err)
		fatal(t, proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), grown.Proof.Hashes, ref.HashAt(uint64(old)), ref.HashAt(uint64(size))))
	}
	entry, err := s.log.GetEntryAndProof(ctx, &pb.GetEntryAndProofRequest{LogId: id, LeafIndex: 5, TreeSize: 1000})
	if err != nil || string(entry.Leaf.LeafValue) != "leaf 5" || len(entry.Proof.Hashes) == 0 {
		t.Errorf("entry: %v, %v", entry, err)
	}
	beyond, err := s.log.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{LogId: id, LeafIndex: 5, TreeSize: 161})
	if err != nil || beyond.Proof != nil || beyond.SignedLogRoot == nil {
		t.Errorf("beyond: %v, %v", beyond, err)
	}
}

func TestAddSequencedLeaves(t *testing.T) {
	s := newSite(t, true)
	ctx, id := t.Context(), s.make(pb.TreeType_PREORDERED_LOG)
	add := func(first int64, values ...string) ([]codes.Code, []*pb.QueuedLogLeaf, error) {
		req := &pb.AddSequencedLeavesRequest{LogId: id}
		for i, v := range values {
			req.Leaves = append(req.Leaves, &pb.LogLeaf{LeafValue: []byte(v), LeafIndex: first + int64(i)})
		}
		resp, err := s.log.AddSequencedLeaves(ctx, req)
		var got []codes.Code
		for _, r := range resp.GetResults() {
			got = append(got, codes.Code(r.Status.GetCode()))
		}
		return got, resp.GetResults(), err
	}
	const ok, dup, conflict = codes.OK, codes.AlreadyExists, codes.FailedPrecondition
	for _, c := range []struct {
		first  int64
		values []string
		want   []codes.Code
		leaves string // that come back
	}{
		{0, []string{"a", "b", "c"}, []codes.Code{ok, ok, ok}, "a b c"},
		{0, []string{"a", "b", "c"}, []codes.Code{dup, dup, dup}, "a b c"},
		{2, []string{"x", "d"}, []codes.Code{conflict, ok}, "c d"},
		{4, []string{"e"}, []codes.Code{ok}, "e"},
	} {
		got, leaves, err := add(c.first, c.values...)
		var back []string
		for _, l := range leaves {
			back = append(back, string(l.Leaf.GetLeafValue()))
		}
		if err != nil || !slices.Equal(got, c.want) || strings.Join(back, " ") != c.leaves {
			t.Errorf("%v at %d: %v %q, %v; want %v %q", c.values, c.first, got, back, err, c.want, c.leaves)
		}
	}
	_, _, err := add(7, "h")
	wantRefused(t, "a gap", err, codes.Unavailable, "tree.gap")
	s.settled(id, 5)
	all, ref := s.leaves(id)
	if root := s.root(id); !bytes.Equal(root.RootHash, ref.Hash()) || string(all[3].LeafValue) != "d" {
		t.Errorf("root %v, leaves %v", root, all)
	}
	_, _, err = add(0)
	wantRefused(t, "no leaves", err, codes.InvalidArgument, "request.malformed")
	_, err = s.log.AddSequencedLeaves(ctx, &pb.AddSequencedLeavesRequest{LogId: id, Leaves: []*pb.LogLeaf{{LeafValue: []byte("x"), LeafIndex: 5}, {LeafValue: []byte("y"), LeafIndex: 7}}})
	wantRefused(t, "a hole in the request", err, codes.FailedPrecondition, "tree.order")
	_, err = s.log.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: id, Leaf: &pb.LogLeaf{LeafValue: []byte("x")}})
	wantRefused(t, "QueueLeaf", err, codes.InvalidArgument, "tree.type")

	c, err := client.NewFromTree(s.log, &pb.Tree{TreeId: id, TreeType: pb.TreeType_PREORDERED_LOG}, types.LogRootV1{})
	fatal(t, err)
	fatal(t, c.AddSequencedLeaves(ctx, map[int64][]byte{4: []byte("e"), 5: []byte("f"), 6: []byte("g")}))
	fatal(t, c.WaitForInclusion(ctx, []byte("g")))
}

// TestTreeTokens: commitment trees are for who has a token, by role.
func TestTreeTokens(t *testing.T) {
	s := newSite(t, false)
	as := func(role token.Role, more ...string) context.Context {
		ctx := t.Context()
		if role != "" {
			more = append(more, "authorization", "Bearer "+s.tokens[role])
		}
		return metadata.AppendToOutgoingContext(ctx, more...)
	}
	made, err := s.admin.CreateTree(as(token.Admin), &pb.CreateTreeRequest{Tree: logTree()})
	fatal(t, err)
	id := made.TreeId
	_, err = s.log.InitLog(as(token.Admin), &pb.InitLogRequest{LogId: id})
	fatal(t, err)
	leaf := &pb.LogLeaf{LeafValue: []byte("x")}
	for what, c := range map[string]struct {
		call func(context.Context) error
		may  []token.Role
	}{
		"CreateTree": {func(ctx context.Context) error {
			_, err := s.admin.CreateTree(ctx, &pb.CreateTreeRequest{Tree: logTree()})
			return err
		}, []token.Role{token.Admin}},
		"InitLog": {func(ctx context.Context) error {
			_, err := s.log.InitLog(ctx, &pb.InitLogRequest{LogId: id})
			if code, _ := reason(err); code == codes.AlreadyExists {
				err = nil
			}
			return err
		}, []token.Role{token.Admin}},
		"QueueLeaf": {func(ctx context.Context) error {
			_, err := s.log.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: id, Leaf: leaf})
			return err
		}, []token.Role{token.Admin, token.App}},
		"GetLatestSignedLogRoot": {func(ctx context.Context) error {
			_, err := s.log.GetLatestSignedLogRoot(ctx, &pb.GetLatestSignedLogRootRequest{LogId: id})
			return err
		}, []token.Role{token.Admin, token.App, token.Auditor}},
		"GetTree": {func(ctx context.Context) error {
			_, err := s.admin.GetTree(ctx, &pb.GetTreeRequest{TreeId: id})
			return err
		}, []token.Role{token.Admin, token.App, token.Auditor}},
		"GetLeavesByRange": {func(ctx context.Context) error {
			_, err := s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: id, Count: 1})
			return err
		}, []token.Role{token.Admin, token.App, token.Auditor}},
	} {
		wantRefused(t, what+" by nobody", c.call(as("")), codes.Unauthenticated, "token.missing")
		for _, role := range token.Roles {
			if slices.Contains(c.may, role) {
				wantRefused(t, what+" by "+string(role), c.call(as(role)), codes.OK, "")
			} else {
				wantRefused(t, what+" by "+string(role), c.call(as(role)), codes.PermissionDenied, "not-authorised")
			}
		}
	}
	_, err = s.log.QueueLeaf(as(token.App, "akashi-as", "b-sha"), &pb.QueueLeafRequest{LogId: id, Leaf: leaf})
	wantRefused(t, "for a party that is not hosted here", err, codes.PermissionDenied, "not-authorised")
	_, err = s.log.QueueLeaf(as(token.App, "akashi-as", "a-sha"), &pb.QueueLeafRequest{LogId: id, Leaf: leaf})
	fatal(t, err)
	if list, err := s.admin.ListTrees(as(""), &pb.ListTreesRequest{}); err != nil || len(list.Tree) != 1 {
		t.Errorf("trees for nobody: %v, %v", list, err)
	}
	if list, err := s.admin.ListTrees(as(token.Auditor), &pb.ListTreesRequest{}); err != nil || len(list.Tree) != 3 {
		t.Errorf("trees for the auditor: %v, %v", list, err)
	}
}
