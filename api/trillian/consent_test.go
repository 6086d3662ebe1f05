package trillian_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	pb "github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// consent returns the consent ledger's tree.
func (s *site) consent() *pb.Tree {
	s.t.Helper()
	list, err := s.admin.ListTrees(s.t.Context(), &pb.ListTreesRequest{})
	fatal(s.t, err)
	tree, err := s.admin.GetTree(s.t.Context(), &pb.GetTreeRequest{TreeId: list.Tree[0].TreeId})
	fatal(s.t, err)
	if tree.TreeId <= 0 || tree.TreeType != pb.TreeType_LOG || tree.TreeState != pb.TreeState_ACTIVE || tree.DisplayName != "test.example/log" {
		s.t.Fatalf("the consent ledger's tree: %v", tree)
	}
	return tree
}

func (s *site) root(id int64) *types.LogRootV1 {
	s.t.Helper()
	resp, err := s.log.GetLatestSignedLogRoot(s.t.Context(), &pb.GetLatestSignedLogRootRequest{LogId: id})
	fatal(s.t, err)
	root := new(types.LogRootV1)
	fatal(s.t, root.UnmarshalBinary(resp.SignedLogRoot.LogRoot))
	return root
}

// leaves reads a whole log and returns it as transparency-dev's test tree, too.
func (s *site) leaves(id int64) ([]*pb.LogLeaf, *testonly.Tree) {
	s.t.Helper()
	var all []*pb.LogLeaf
	tree := testonly.New(rfc6962.DefaultHasher)
	for size := int64(s.root(id).TreeSize); int64(len(all)) < size; {
		resp, err := s.log.GetLeavesByRange(s.t.Context(), &pb.GetLeavesByRangeRequest{LogId: id, StartIndex: int64(len(all)), Count: size})
		fatal(s.t, err)
		if len(resp.Leaves) == 0 {
			s.t.Fatalf("no leaves from %d on", len(all))
		}
		all = append(all, resp.Leaves...)
	}
	for i, l := range all {
		tree.AppendData(l.LeafValue)
		if l.LeafIndex != int64(i) || string(l.MerkleLeafHash) != string(rfc6962.DefaultHasher.HashLeaf(l.LeafValue)) || !l.IntegrateTimestamp.IsValid() {
			s.t.Fatalf("leaf %d: %v", i, l)
		}
	}
	return all, tree
}

// TestLogClient: Trillian's own client and its verifier, on the consent ledger.
func TestLogClient(t *testing.T) {
	s := newSite(t, true)
	s.post(3)
	tree := s.consent()
	c, err := client.NewFromTree(s.log, tree, types.LogRootV1{})
	fatal(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last types.LogRootV1
	for range 5 {
		root, err := c.UpdateRoot(ctx)
		if err != nil || root == nil || root.TreeSize <= last.TreeSize || root.TimestampNanos <= last.TimestampNanos {
			t.Fatalf("root %v after %v: %v", root, last, err)
		}
		last = *root
		got, err := c.ListByIndex(ctx, 0, int64(root.TreeSize))
		fatal(t, err)
		for _, leaf := range got {
			fatal(t, c.WaitForInclusion(ctx, leaf.LeafValue))
		}
		s.post(7)
	}
	f := s.n.Final()
	if root := s.root(tree.TreeId); root.TreeSize != f.End.Size || string(root.RootHash) != string(f.End.Root[:]) || root.TimestampNanos != f.End.TimeMs*1_000_000 {
		t.Errorf("root %v, final checkpoint %v", root, f.End)
	}
}

// TestEverySize compares proofs at every tree size with transparency-dev's tree.
func TestEverySize(t *testing.T) {
	s := newSite(t, true)
	s.post(300)
	s.post(20)
	id := s.consent().TreeId
	all, ref := s.leaves(id)
	n := int64(len(all))
	for size := int64(1); size <= n; size++ {
		index := size * 7 % size
		if size > 3 {
			index = (size*size + 5) % size
		}
		resp, err := s.log.GetInclusionProof(t.Context(), &pb.GetInclusionProofRequest{LogId: id, LeafIndex: index, TreeSize: size})
		fatal(t, err)
		fatal(t, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), all[index].MerkleLeafHash, resp.Proof.Hashes, ref.HashAt(uint64(size))))
		byHash, err := s.log.GetInclusionProofByHash(t.Context(), &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: all[index].MerkleLeafHash, TreeSize: size})
		fatal(t, err)
		if len(byHash.Proof) != 1 || byHash.Proof[0].LeafIndex != index || !slices.EqualFunc(byHash.Proof[0].Hashes, resp.Proof.Hashes, slices.Equal) {
			t.Fatalf("leaf %d by hash at size %d: %v", index, size, byHash.Proof)
		}
		old := size - size*3%17%size
		grown, err := s.log.GetConsistencyProof(t.Context(), &pb.GetConsistencyProofRequest{LogId: id, FirstTreeSize: old, SecondTreeSize: size})
		fatal(t, err)
		fatal(t, proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), grown.Proof.Hashes, ref.HashAt(uint64(old)), ref.HashAt(uint64(size))))
		entry, err := s.log.GetEntryAndProof(t.Context(), &pb.GetEntryAndProofRequest{LogId: id, LeafIndex: index, TreeSize: size})
		fatal(t, err)
		if string(entry.Leaf.LeafValue) != string(all[index].LeafValue) || !slices.EqualFunc(entry.Proof.Hashes, resp.Proof.Hashes, slices.Equal) {
			t.Fatalf("entry %d at size %d: %v", index, size, entry)
		}
	}
}

// reason is the status and stable code of an error.
func reason(err error) (codes.Code, string) {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Domain == "akashi" {
			return st.Code(), info.Reason
		}
	}
	return st.Code(), ""
}

func wantRefused(t *testing.T, what string, err error, want codes.Code, code string) {
	t.Helper()
	if got, why := reason(err); got != want || why != code {
		t.Errorf("%s: %v %q, want %v %q (%v)", what, got, why, want, code, err)
	}
}

// TestCorners: what Trillian's clients lean on.
func TestCorners(t *testing.T) {
	s := newSite(t, true)
	s.post(10)
	ctx, id := t.Context(), s.consent().TreeId
	size := int64(s.root(id).TreeSize)
	const bad = codes.InvalidArgument
	for _, c := range []struct{ first, second int64 }{{0, 0}, {-1, 0}, {-5, -5}, {0, 3}, {3, 0}, {3, 2}, {-1, 3}} {
		_, err := s.log.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{LogId: id, FirstTreeSize: c.first, SecondTreeSize: c.second})
		wantRefused(t, "consistency", err, bad, "request.malformed")
	}
	for _, c := range []struct{ index, size int64 }{{0, 0}, {0, -1}, {-1, 5}, {5, 5}, {6, 5}, {-1, 0}} {
		_, err := s.log.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{LogId: id, LeafIndex: c.index, TreeSize: c.size})
		wantRefused(t, "inclusion", err, bad, "request.malformed")
		_, err = s.log.GetEntryAndProof(ctx, &pb.GetEntryAndProofRequest{LogId: id, LeafIndex: c.index, TreeSize: c.size})
		wantRefused(t, "entry", err, bad, "request.malformed")
	}
	for _, first := range []int64{-1, size + 1} {
		_, err := s.log.GetLatestSignedLogRoot(ctx, &pb.GetLatestSignedLogRootRequest{LogId: id, FirstTreeSize: first})
		wantRefused(t, "root", err, bad, "request.malformed")
	}
	same, err := s.log.GetLatestSignedLogRoot(ctx, &pb.GetLatestSignedLogRootRequest{LogId: id, FirstTreeSize: size})
	if err != nil || same.Proof == nil || len(same.Proof.Hashes) != 0 {
		t.Errorf("root since the same size: %v, %v", same, err)
	}

	// Beyond the tree: the root, and no proof.
	beyond, err := s.log.GetInclusionProof(ctx, &pb.GetInclusionProofRequest{LogId: id, LeafIndex: 0, TreeSize: size + 1})
	if err != nil || beyond.Proof != nil || beyond.SignedLogRoot == nil {
		t.Errorf("inclusion beyond: %v, %v", beyond, err)
	}
	grown, err := s.log.GetConsistencyProof(ctx, &pb.GetConsistencyProofRequest{LogId: id, FirstTreeSize: 1 << 40, SecondTreeSize: 1 << 40})
	if err != nil || grown.Proof != nil || grown.SignedLogRoot == nil {
		t.Errorf("consistency beyond: %v, %v", grown, err)
	}
	all, _ := s.leaves(id)
	byHash, err := s.log.GetInclusionProofByHash(ctx, &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: all[1].MerkleLeafHash, TreeSize: size + 1})
	if err != nil || len(byHash.Proof) != 0 || byHash.SignedLogRoot == nil {
		t.Errorf("by hash beyond: %v, %v", byHash, err)
	}
	entry, err := s.log.GetEntryAndProof(ctx, &pb.GetEntryAndProofRequest{LogId: id, LeafIndex: 1, TreeSize: 1 << 40})
	if err != nil || entry.Leaf == nil || len(entry.Proof.Hashes) == 0 {
		t.Errorf("entry of the tree at a size beyond: %v, %v", entry, err)
	}
	entry, err = s.log.GetEntryAndProof(ctx, &pb.GetEntryAndProofRequest{LogId: id, LeafIndex: size, TreeSize: size + 1})
	if err != nil || entry.Leaf != nil || entry.Proof != nil || entry.SignedLogRoot == nil {
		t.Errorf("entry beyond: %v, %v", entry, err)
	}
	past, err := s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: id, StartIndex: size, Count: 1})
	if err != nil || len(past.Leaves) != 0 || past.SignedLogRoot == nil {
		t.Errorf("leaves beyond: %v, %v", past, err)
	}
	_, err = s.log.GetInclusionProofByHash(ctx, &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: all[size-1].MerkleLeafHash, TreeSize: size - 1})
	wantRefused(t, "a leaf after the size", err, codes.NotFound, "leaf.unknown")
	_, err = s.log.GetInclusionProofByHash(ctx, &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: make([]byte, 32), TreeSize: size})
	wantRefused(t, "no such leaf", err, codes.NotFound, "leaf.unknown")

	// Not written here.
	_, err = s.log.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: id, Leaf: &pb.LogLeaf{LeafValue: []byte("x")}})
	wantRefused(t, "QueueLeaf", err, codes.PermissionDenied, "ledger.read-only")
	if !strings.Contains(err.Error(), "/v1") {
		t.Errorf("it does not say what to do: %v", err)
	}
	_, err = s.log.AddSequencedLeaves(ctx, &pb.AddSequencedLeavesRequest{LogId: id, Leaves: []*pb.LogLeaf{{LeafValue: []byte("x")}}})
	wantRefused(t, "AddSequencedLeaves", err, codes.PermissionDenied, "ledger.read-only")
	_, err = s.log.InitLog(ctx, &pb.InitLogRequest{LogId: id})
	wantRefused(t, "InitLog", err, codes.AlreadyExists, "tree.initialised")
	for _, other := range []int64{0, -1, id + 1, -id} {
		_, err = s.log.GetLatestSignedLogRoot(ctx, &pb.GetLatestSignedLogRootRequest{LogId: other})
		wantRefused(t, "another tree", err, codes.NotFound, "tree.unknown")
		_, err = s.admin.GetTree(ctx, &pb.GetTreeRequest{TreeId: other})
		wantRefused(t, "another tree", err, codes.NotFound, "tree.unknown")
	}
	_, err = s.admin.DeleteTree(ctx, &pb.DeleteTreeRequest{TreeId: id})
	wantRefused(t, "DeleteTree", err, codes.Unimplemented, "tree.permanent")
}

// TestTokens: roots and proofs are public, leaves need what entry bundles need.
func TestTokens(t *testing.T) {
	s := newSite(t, false)
	s.post(5)
	id := s.consent().TreeId
	hash := rfc6962.DefaultHasher.HashLeaf(s.genesis())
	for _, c := range []struct {
		header string
		want   codes.Code
		code   string
	}{
		{"", codes.Unauthenticated, "token.missing"},
		{"Bearer nonsense", codes.Unauthenticated, "token.unknown"},
		{s.tokens[token.Admin], codes.Unauthenticated, "token.unknown"},
		{"Basic " + s.tokens[token.Admin], codes.Unauthenticated, "token.unknown"},
		{"Bearer " + s.tokens[token.Subject], codes.PermissionDenied, "not-authorised"},
		{"Bearer " + s.tokens[token.Manager], codes.PermissionDenied, "not-authorised"},
		{"Bearer " + s.tokens[token.Auditor], codes.OK, ""},
		{"bearer " + s.tokens[token.App], codes.OK, ""},
		{"Bearer " + s.tokens[token.Admin], codes.OK, ""},
	} {
		ctx := t.Context()
		if c.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", c.header)
		}
		_, err := s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: id, Count: 1})
		wantRefused(t, "leaves", err, c.want, c.code)
		_, err = s.log.GetEntryAndProof(ctx, &pb.GetEntryAndProofRequest{LogId: id, TreeSize: 1})
		wantRefused(t, "entry", err, c.want, c.code)
		if _, err = s.log.GetInclusionProofByHash(ctx, &pb.GetInclusionProofByHashRequest{LogId: id, LeafHash: hash, TreeSize: 3}); err != nil {
			t.Errorf("a proof is public: %v", err)
		}
	}
}

// TestOpen: a node that asks for no token still refuses one that it does not know.
func TestOpen(t *testing.T) {
	s := newSite(t, true)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer nonsense")
	_, err := s.log.GetLeavesByRange(ctx, &pb.GetLeavesByRangeRequest{LogId: s.consent().TreeId, Count: 1})
	wantRefused(t, "leaves", err, codes.Unauthenticated, "token.unknown")

	counted := map[string]float64{}
	all, err := s.metrics.Gather()
	fatal(t, err)
	for _, family := range all {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			counted[name] = m.GetCounter().GetValue()
		}
	}
	if counted["akashi_grpc_calls_total /trillian.TrillianLog/GetLeavesByRange Unauthenticated"] != 1 || counted["akashi_grpc_calls_total /trillian.TrillianAdmin/ListTrees OK"] != 1 {
		t.Errorf("metrics: %v", counted)
	}
}

func (s *site) genesis() []byte {
	leaf, err := s.n.Newest().Leaf(0)
	fatal(s.t, err)
	return leaf
}
