package main

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	akashi "github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	pb "github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/integration"
	"github.com/google/trillian/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"k8s.io/klog/v2"
)

// trillian returns Trillian's clients of member i.
func (l *local) trillian(i int) (pb.TrillianLogClient, pb.TrillianAdminClient) {
	l.t.Helper()
	conn, err := grpc.NewClient(address(l.base, i, portGRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return pb.NewTrillianLogClient(conn), pb.NewTrillianAdminClient(conn)
}

// TestTrillianClients: what Trillian's project tests its own logs with, on a
// consortium of four processes: a commitment tree that its clients make, fill and
// verify, read at another member; and the consent ledger.
func TestTrillianClients(t *testing.T) {
	l := startLocal(t)
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	log, admin := l.trillian(0)
	made, err := client.CreateAndInitTree(ctx, &pb.CreateTreeRequest{Tree: &pb.Tree{TreeType: pb.TreeType_LOG,
		TreeState: pb.TreeState_ACTIVE, DisplayName: "integration", MaxRootDuration: durationpb.New(time.Hour)}}, admin, log)
	if err != nil {
		t.Fatal(err)
	}
	params := integration.DefaultTestParameters(made.TreeId)
	params.SequencingPollWait = 50 * time.Millisecond
	if err := integration.RunLogIntegration(log, params); err != nil {
		t.Fatalf("Trillian's integration test: %v", err)
	}

	// A client that follows the tree, and one that follows it at another member.
	c, err := client.NewFromTree(log, made, types.LogRootV1{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateRoot(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := c.AddLeaf(ctx, fmt.Appendf(nil, "added %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.AddLeaf(ctx, []byte("added 3")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	elsewhere, _ := l.trillian(2)
	other := client.New(made.TreeId, elsewhere, c.LogVerifier, *c.GetRoot())
	if err := other.WaitForInclusion(ctx, []byte("added 4")); err != nil {
		t.Errorf("at another member: %v", err)
	}
	strange, strangeAdmin := l.trillian(3)
	if _, err := strange.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: made.TreeId, Leaf: &pb.LogLeaf{LeafValue: []byte("not mine")}}); grpcstatus.Code(err) != codes.PermissionDenied {
		t.Errorf("another member writes to the tree: %v", err)
	}
	if got, err := strangeAdmin.GetTree(ctx, &pb.GetTreeRequest{TreeId: made.TreeId}); err != nil || !proto.Equal(got, made) {
		t.Errorf("the tree at another member: %v, %v", got, err)
	}
	if n := c.GetRoot().TreeSize; n != uint64(params.LeafCount)+5 {
		t.Errorf("the tree has %d leaves", n)
	}

	l.treeCalls(ctx)
	l.consentClient(ctx)
}

// treeCalls makes, fills and proves a tree with this project's own client.
func (l *local) treeCalls(ctx context.Context) {
	l.t.Helper()
	owner, err := l.client(1, l.tokens["admin"])
	if err != nil {
		l.t.Fatal(err)
	}
	other, err := l.client(2, l.tokens["admin"])
	if err != nil {
		l.t.Fatal(err)
	}
	made, err := owner.CreateTree(ctx, rest.TreeForm{Name: "typed", Type: "log"})
	if err != nil {
		l.t.Fatal(err)
	}
	form := rest.AppendForm{Leaves: []rest.TreeLeafForm{{Value: []byte("one")}, {Value: []byte("two"), Extra: []byte("beside")}}}
	for _, again := range []bool{false, true} {
		done, err := owner.AppendLeaves(ctx, made.ID, form)
		if err != nil || !done.Final || len(done.Leaves) != 2 || done.Leaves[1].Index != 1 || done.Leaves[1].Duplicate != again {
			l.t.Fatalf("again %v: %+v %v", again, done, err)
		}
	}
	l.until("the leaves at another member", func() bool {
		list, err := other.TreeLeaves(ctx, made.ID, 0)
		return err == nil && len(list) == 2 && string(list[1].Extra) == "beside"
	})
	f, err := other.LeafProof(ctx, made.ID, 1)
	if err != nil || string(f.Verdict.Committed.Value) != "two" {
		l.t.Errorf("proof: %v", err)
	}
	tree, err := other.Tree(ctx, made.ID)
	if err != nil || tree.Owner != made.Owner || tree.Anchor.Size != 2 {
		l.t.Errorf("tree: %+v %v", tree, err)
	}
	if all, err := other.Trees(ctx); err != nil || len(all) != 2 {
		l.t.Errorf("trees: %d %v", len(all), err)
	}
	if _, err := other.AppendLeaves(ctx, made.ID, form); akashi.CodeOf(err) != record.CodeNotAuthorised {
		l.t.Errorf("another member writes: %v", err)
	}
}

// consentClient follows the consent ledger, in which the tree and its advances
// are, with Trillian's client at a member that asks for tokens.
func (l *local) consentClient(ctx context.Context) {
	l.t.Helper()
	l.closeEntries(1)
	log, admin := l.trillian(1)
	list, err := admin.ListTrees(ctx, &pb.ListTreesRequest{})
	if err != nil || len(list.Tree) != 1 {
		l.t.Fatalf("trees without a token: %v, %v", list, err)
	}
	c, err := client.NewFromTree(log, list.Tree[0], types.LogRootV1{})
	if err != nil {
		l.t.Fatal(err)
	}
	for range 3 {
		root, err := c.WaitForRootUpdate(ctx)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, err := c.ListByIndex(ctx, 0, 1); grpcstatus.Code(err) != codes.Unauthenticated {
			l.t.Errorf("leaves without a token: %v", err)
		}
		as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+l.tokens["auditor"])
		leaves, err := c.ListByIndex(as, int64(root.TreeSize)-5, 5)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, leaf := range leaves {
			if err := c.WaitForInclusion(ctx, leaf.LeafValue); err != nil {
				l.t.Error(err)
			}
		}
		l.mustWrite(3, patience)
	}
}
