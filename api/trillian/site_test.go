package trillian_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/api/trillian"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/outbox"
	pb "github.com/google/trillian"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
)

// Trillian's clients say much.
func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// site is a consortium of one member, and a Trillian client of it.
type site struct {
	t       testing.TB
	n       *node.Node
	conn    *grpc.ClientConn
	log     pb.TrillianLogClient
	admin   pb.TrillianAdminClient
	tokens  map[token.Role]string
	metrics *prometheus.Registry
	said    *safeBuffer // what the node logged
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

// newSite starts the member; open says that it asks for no tokens.
func newSite(t testing.TB, open bool) *site {
	t.Helper()
	s := &site{t: t, tokens: map[token.Role]string{}, metrics: prometheus.NewRegistry(), said: &safeBuffer{}}
	log := slog.New(slog.NewTextHandler(s.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	logKey, dir, text := sign.NewKey(), filepath.Join(t.TempDir(), "a-sha"), record.Text{Ja: "甲社"}
	f := record.Founding{Origin: "test.example/log", CreatedMs: uint64(time.Now().UnixMilli()), LogKey: logKey.Public(),
		Purposes: []record.Purpose{{Code: "service", Label: text}}}
	keys := node.NewKeys(logKey)
	set := node.Settings{Member: "a-sha", HTTP: machine.FreeAddr(t), GRPC: machine.FreeAddr(t), P2P: machine.FreeAddr(t), OpenEntries: open}
	f.Members = []record.MemberInfo{keys.MemberOf(record.MemberInfo{ID: "a-sha", Name: text, Regime: "ch4", Country: "JP", Addr: set.P2P}, f.Origin)}
	leaf, err := node.GenesisLeaf(&f, []sign.Signature{keys.SignFounding(&f)})
	fatal(t, err)
	fatal(t, os.Mkdir(dir, 0o700))
	fatal(t, set.Save(dir))
	fatal(t, keys.Save(dir))
	fatal(t, node.SaveGenesis(dir, leaf))
	s.n, err = node.Start(dir, log)
	fatal(t, err)
	t.Cleanup(func() { s.n.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for s.n.Ready() != nil {
		select {
		case <-ctx.Done():
			t.Fatal("not ready")
		case <-s.n.FinalChanged():
		case <-time.After(10 * time.Millisecond): // the leader is not announced
		}
	}
	store := token.New(s.n.Blobs())
	for _, r := range token.Roles {
		person := map[bool]string{true: "p01"}[r == token.Subject]
		s.tokens[r], err = store.Issue(r, "test", person)
		fatal(t, err)
	}
	server, err := trillian.New(s.n, trillian.Options{Tokens: store, Log: log, Metrics: s.metrics})
	fatal(t, err)
	listener, err := net.Listen("tcp", set.GRPC)
	fatal(t, err)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(set.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	fatal(t, err)
	t.Cleanup(func() { conn.Close() })
	s.conn, s.log, s.admin = conn, pb.NewTrillianLogClient(conn), pb.NewTrillianAdminClient(conn)
	return s
}

// post writes tick records, count to a batch, until they are final.
func (s *site) post(count int) {
	s.t.Helper()
	recs := make([]*record.Record, count)
	for i := range recs {
		recs[i] = &record.Record{Kind: record.KindTick, Body: &record.Tick{}, ID: node.NewID(), Issuer: s.n.Self()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := s.n.Outbox().Submit(ctx, outbox.Request{Issuer: s.n.Self(), Records: recs})
	fatal(s.t, err)
	if !res.Final {
		s.t.Fatal("not final")
	}
}

// safeBuffer is a bytes.Buffer for many goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
