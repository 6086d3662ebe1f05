package trillian_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
	pb "github.com/google/trillian"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// secret stands for what people's data would be: in leaves, names, tokens. It must
// not come back in an error, nor be logged.
const secret = "090-1234-5678-Takahashi"

// A drawn request, and the status that the protocol asks for.
type drawn struct {
	method string
	req    proto.Message
	want   codes.Code
}

// draw makes requests; every field is drawn from what is right, what is at the
// border, and what is wrong.
type draw struct {
	*rand.Rand
	consent, log, pre, bare, none int64 // trees: bare is not initialised
	size                          int64 // of log, and fewer than consent has
	badToken                      bool
}

func pick[T any](d *draw, of ...T) T { return of[d.IntN(len(of))] }

func (d *draw) number() int64 {
	return pick[int64](d, 0, 1, 2, d.size-1, d.size, d.size+1, -1, math.MinInt64, math.MaxInt64, 1<<40, d.Int64N(d.size))
}

func (d *draw) tree() int64 {
	return pick(d, d.consent, d.consent, d.log, d.log, d.pre, d.bare, d.none, 0, -d.consent, math.MinInt64)
}

func (d *draw) bytes(sizes ...int) []byte {
	b := make([]byte, pick(d, sizes...))
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

// reads is the status of a read of a tree whose arguments are well-formed.
func (d *draw) reads(tree int64) codes.Code {
	switch {
	case tree == d.consent:
		return codes.OK
	case d.badToken:
		return codes.Unauthenticated
	case tree == d.bare:
		return codes.FailedPrecondition
	case tree == d.log, tree == d.pre:
		return codes.OK
	}
	return codes.NotFound
}

// readsLeaves is the same of leaves.
func (d *draw) readsLeaves(tree int64) codes.Code {
	if d.badToken {
		return codes.Unauthenticated
	}
	return d.reads(tree)
}

func when(bad bool, code, otherwise codes.Code) codes.Code {
	if bad {
		return code
	}
	return otherwise
}

const wrong = codes.InvalidArgument

var draws = []func(*draw) drawn{
	func(d *draw) drawn {
		r := &pb.GetInclusionProofRequest{LogId: d.tree(), LeafIndex: d.number(), TreeSize: d.number(), ChargeTo: &pb.ChargeTo{User: []string{secret}}}
		return drawn{"TrillianLog/GetInclusionProof", r, when(r.TreeSize <= 0 || r.LeafIndex < 0 || r.LeafIndex >= r.TreeSize, wrong, d.reads(r.LogId))}
	},
	func(d *draw) drawn {
		r := &pb.GetInclusionProofByHashRequest{LogId: d.tree(), LeafHash: d.bytes(32, 32, 32, 0, 31, 33, 1000), TreeSize: d.number()}
		ok := d.reads(r.LogId)
		has := map[int64]int64{d.log: d.size, d.consent: d.size + 1}[r.LogId] // of the sizes that are drawn
		if ok == codes.OK && r.TreeSize <= has {                              // no leaf has a random hash
			ok = codes.NotFound
		}
		return drawn{"TrillianLog/GetInclusionProofByHash", r, when(r.TreeSize <= 0 || len(r.LeafHash) != 32, wrong, ok)}
	},
	func(d *draw) drawn {
		r := &pb.GetConsistencyProofRequest{LogId: d.tree(), FirstTreeSize: d.number(), SecondTreeSize: d.number()}
		return drawn{"TrillianLog/GetConsistencyProof", r, when(r.FirstTreeSize <= 0 || r.SecondTreeSize < r.FirstTreeSize, wrong, d.reads(r.LogId))}
	},
	func(d *draw) drawn {
		r := &pb.GetLatestSignedLogRootRequest{LogId: d.tree(), FirstTreeSize: pick[int64](d, 0, 1, -1, math.MinInt64, math.MaxInt64, 1<<40)}
		ok := d.reads(r.LogId)
		bad := ok == codes.OK && (r.FirstTreeSize < 0 || r.FirstTreeSize > 1 || r.FirstTreeSize == 1 && r.LogId == d.pre) // pre is empty
		return drawn{"TrillianLog/GetLatestSignedLogRoot", r, when(bad, wrong, ok)}
	},
	func(d *draw) drawn {
		r := &pb.GetLeavesByRangeRequest{LogId: d.tree(), StartIndex: d.number(), Count: d.number()}
		return drawn{"TrillianLog/GetLeavesByRange", r, when(r.StartIndex < 0 || r.Count <= 0, wrong, d.readsLeaves(r.LogId))}
	},
	func(d *draw) drawn {
		r := &pb.GetEntryAndProofRequest{LogId: d.tree(), LeafIndex: d.number(), TreeSize: d.number()}
		return drawn{"TrillianLog/GetEntryAndProof", r, when(r.TreeSize <= 0 || r.LeafIndex < 0 || r.LeafIndex >= r.TreeSize, wrong, d.readsLeaves(r.LogId))}
	},
	func(d *draw) drawn {
		r := &pb.InitLogRequest{LogId: pick[int64](d, d.consent, d.log, d.pre, d.none, 0, -d.log)}
		ok := codes.NotFound
		switch {
		case r.LogId == d.consent:
			ok = codes.AlreadyExists
		case d.badToken:
			ok = codes.Unauthenticated
		case r.LogId == d.log, r.LogId == d.pre:
			ok = codes.AlreadyExists
		}
		return drawn{"TrillianLog/InitLog", r, ok}
	},
	func(d *draw) drawn {
		l, bad := d.leaf()
		r := &pb.QueueLeafRequest{LogId: pick(d, d.consent, d.pre, d.none, 0, -d.log), Leaf: l}
		if bad {
			r.LogId = d.tree()
		}
		return drawn{"TrillianLog/QueueLeaf", r, when(bad, wrong, d.writes(r.LogId, d.pre))}
	},
	func(d *draw) drawn {
		r := &pb.AddSequencedLeavesRequest{LogId: pick(d, d.consent, d.log, d.none, 0, -d.log)}
		bad := false
		for range pick(d, 0, 1, 2, 5) {
			l, wrong := d.leaf()
			r.Leaves, bad = append(r.Leaves, l), bad || wrong
		}
		if len(r.Leaves) == 0 || bad {
			r.LogId = d.tree()
		}
		ok := d.writes(r.LogId, d.log)
		for i, l := range r.Leaves { // what is wrong first is what is answered
			if l == nil || len(l.LeafValue) == 0 || l.LeafIndex < 0 || len(l.ExtraData) > record.MaxTreeExtra || len(l.LeafIdentityHash)%32 != 0 || len(l.LeafValue) > record.MaxTreeLeaf {
				return drawn{"TrillianLog/AddSequencedLeaves", r, wrong}
			}
			if i > 0 && (l.LeafIndex != r.Leaves[i-1].LeafIndex+1 || l.LeafIndex < r.Leaves[0].LeafIndex) {
				return drawn{"TrillianLog/AddSequencedLeaves", r, codes.FailedPrecondition}
			}
		}
		return drawn{"TrillianLog/AddSequencedLeaves", r, when(len(r.Leaves) == 0, wrong, ok)}
	},
	func(d *draw) drawn {
		t := &pb.Tree{TreeType: pb.TreeType(pick[int32](d, 0, 1, 2, 3, 4, -1)), TreeState: pb.TreeState(pick[int32](d, 0, 1, 1, 2, 5, 99)), DisplayName: pick(d, "", secret),
			Description: secret, MaxRootDuration: pick(d, nil, durationpb.New(0), durationpb.New(-1), &durationpb.Duration{Seconds: math.MaxInt64})}
		if !d.badToken && (t.TreeType == pb.TreeType_LOG || t.TreeType == pb.TreeType_PREORDERED_LOG) && t.TreeState == pb.TreeState_ACTIVE {
			t.StorageSettings = &anypb.Any{TypeUrl: secret} // not one more tree
		}
		bad := t.TreeType != pb.TreeType_LOG && t.TreeType != pb.TreeType_PREORDERED_LOG || t.TreeState != pb.TreeState_ACTIVE ||
			t.MaxRootDuration.CheckValid() != nil || t.MaxRootDuration.AsDuration() < 0 || t.StorageSettings != nil
		if d.IntN(8) == 0 {
			t, bad = nil, true
		}
		return drawn{"TrillianAdmin/CreateTree", &pb.CreateTreeRequest{Tree: t}, when(bad, wrong, codes.Unauthenticated)}
	},
	func(d *draw) drawn {
		r := &pb.GetTreeRequest{TreeId: d.tree()}
		return drawn{"TrillianAdmin/GetTree", r, when(r.TreeId == d.bare && !d.badToken, codes.OK, d.reads(r.TreeId))}
	},
	func(d *draw) drawn {
		return drawn{"TrillianAdmin/ListTrees", &pb.ListTreesRequest{ShowDeleted: d.IntN(2) == 0}, when(d.badToken, codes.Unauthenticated, codes.OK)}
	},
	func(d *draw) drawn {
		r := &pb.UpdateTreeRequest{Tree: pick(d, nil, &pb.Tree{TreeId: d.tree(), DisplayName: secret}), UpdateMask: pick(d, nil, &fieldmaskpb.FieldMask{Paths: []string{secret}})}
		return drawn{"TrillianAdmin/UpdateTree", r, codes.Unimplemented}
	},
	func(d *draw) drawn {
		return drawn{"TrillianAdmin/DeleteTree", &pb.DeleteTreeRequest{TreeId: d.tree()}, codes.Unimplemented}
	},
	func(d *draw) drawn {
		return drawn{"TrillianAdmin/UndeleteTree", &pb.UndeleteTreeRequest{TreeId: d.tree()}, codes.Unimplemented}
	},
}

// leaf draws a leaf, and says whether it is one that no tree takes.
func (d *draw) leaf() (*pb.LogLeaf, bool) {
	l := &pb.LogLeaf{LeafValue: append([]byte(secret), d.bytes(0, 1, 100)...), ExtraData: []byte(secret), LeafIndex: d.number(), MerkleLeafHash: d.bytes(0, 1, 32),
		LeafIdentityHash: d.bytes(0, 0, 32, 31, 64)}
	if len(l.LeafIdentityHash) == 64 {
		l.LeafIdentityHash = l.LeafIdentityHash[:33]
	}
	switch d.IntN(8) {
	case 0:
		return nil, true
	case 1:
		l.LeafValue = nil
	case 2:
		l.LeafValue = d.bytes(record.MaxTreeLeaf + 1)
	case 3:
		l.ExtraData = d.bytes(record.MaxTreeExtra + 1)
	}
	return l, len(l.LeafValue) == 0 || len(l.LeafValue) > record.MaxTreeLeaf || len(l.ExtraData) > record.MaxTreeExtra || l.LeafIndex < 0 || len(l.LeafIdentityHash)%32 != 0
}

// writes is the status of a write of well-formed leaves to a tree that does not
// take them; other is the tree of the other type.
func (d *draw) writes(tree, other int64) codes.Code {
	switch {
	case tree == d.consent:
		return codes.PermissionDenied
	case d.badToken:
		return codes.Unauthenticated
	case tree == other:
		return wrong
	}
	return codes.NotFound
}

// rawBytes sends bytes as they are, as if they were a message.
type rawBytes struct{}

func (rawBytes) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawBytes) Unmarshal([]byte, any) error   { return nil }
func (rawBytes) Name() string                  { return "proto" }

// TestMalformed: requests to every method, of every kind of wrong, get the status
// that they should; nothing that was sent is repeated or logged, and the node
// lives on.
func TestMalformed(t *testing.T) {
	s := newSite(t, true)
	made, err := s.admin.CreateTree(t.Context(), &pb.CreateTreeRequest{Tree: logTree()})
	fatal(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := &draw{Rand: rand.New(rand.NewPCG(seed, 0)), consent: s.consent().TreeId, log: s.make(pb.TreeType_LOG), pre: s.make(pb.TreeType_PREORDERED_LOG),
		bare: made.TreeId, none: made.TreeId ^ 1, size: 5}
	for i := range d.size {
		s.queue(d.log, &pb.LogLeaf{LeafValue: fmt.Append(nil, i)})
	}
	s.settled(d.log, uint64(d.size))
	s.post(10)
	methods := map[string]int{}
	for n := range 1500 {
		d.badToken = d.IntN(4) == 0
		c := draws[n%len(draws)](d)
		methods[c.method]++
		ctx := t.Context()
		if d.badToken {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", pick(d, "Bearer "+secret, secret, "Basic "+secret, "Bearer ", "Bearer admin_"+strings.Repeat("A", 43)))
		}
		err := s.conn.Invoke(ctx, "/trillian."+c.method, c.req, new(pb.Tree))
		if got := status.Code(err); got != c.want && !(got == codes.OK && err == nil && c.want == codes.OK) {
			t.Fatalf("case %d, %s: %v, want %v (bad token: %v; %v)", n, c.method, err, c.want, d.badToken, c.req)
		}
		s.silent(err)
	}
	if len(methods) != 15 {
		t.Errorf("%d methods: %v", len(methods), methods)
	}
	s.rawMessages(d)
	s.rawConnections(d)
	s.alive(d)
}

// silent wants nothing of what was sent in an error.
func (s *site) silent(err error) {
	s.t.Helper()
	if st := status.Convert(err); strings.Contains(st.Message(), secret) || strings.Contains(fmt.Sprint(st.Details()), secret) {
		s.t.Fatalf("an error repeats what was sent: %v", err)
	}
}

// rawMessages sends what is no protocol buffer, and more than is taken.
func (s *site) rawMessages(d *draw) {
	s.t.Helper()
	services := []grpc.ServiceDesc{pb.TrillianLog_ServiceDesc, pb.TrillianAdmin_ServiceDesc}
	for _, service := range services {
		for _, m := range service.Methods {
			for n := range 30 {
				body, want := append([]byte{0xff}, d.bytes(0, 1, 10, 100, 1000)...), codes.Internal // gRPC's word for a message that does not parse
				switch {
				case n == 0:
					body, want = make([]byte, 600<<10), codes.ResourceExhausted
				case n%3 == 0: // a field that says to be longer than the message
					body = append([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, secret...)
				}
				err := s.conn.Invoke(s.t.Context(), "/"+service.ServiceName+"/"+m.MethodName, body, nil, grpc.ForceCodec(rawBytes{}))
				if status.Code(err) != want {
					s.t.Errorf("%s with %.20x: %v, want %v", m.MethodName, body, err, want)
				}
				s.silent(err)
			}
		}
	}
	for _, path := range []string{"/trillian.TrillianLog/Nothing", "/trillian.Nothing/QueueLeaf", "/x/y", "/" + secret + "/" + secret} {
		if err := s.conn.Invoke(s.t.Context(), path, []byte{}, nil, grpc.ForceCodec(rawBytes{})); status.Code(err) != codes.Unimplemented {
			s.t.Errorf("%s: %v", path, err)
		}
	}
}

// rawConnections says to the port what is no gRPC.
func (s *site) rawConnections(d *draw) {
	s.t.Helper()
	for n := range 50 {
		conn, err := net.Dial("tcp", s.n.Settings.GRPC)
		fatal(s.t, err)
		switch n % 3 {
		case 0:
			fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", secret)
		case 1:
			conn.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), d.bytes(9, 20, 500)...))
		case 2:
			conn.Write(d.bytes(0, 1, 24, 5000))
		}
		conn.Close()
	}
}

// alive wants the node to work as before, and to have logged nothing of it.
func (s *site) alive(d *draw) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	if _, err := s.log.QueueLeaf(ctx, &pb.QueueLeafRequest{LogId: d.log, Leaf: &pb.LogLeaf{LeafValue: []byte("one more")}}); err != nil {
		s.t.Errorf("afterwards: %v", err)
	}
	s.settled(d.log, uint64(d.size)+1)
	said := s.said.String()
	for _, never := range []string{secret, "ended in a bug", "a call failed", "panic"} {
		if i := strings.Index(said, never); i >= 0 {
			s.t.Errorf("the node's log says %q: %.300s", never, said[max(0, i-200):])
		}
	}
	if lines := strings.Split(said, "\n"); slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "level=ERROR") }) {
		s.t.Errorf("the node's log has errors: %s", said)
	}
}
