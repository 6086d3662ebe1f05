package trillian_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/api/trillian"
	pb "github.com/google/trillian"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func TestTLS(t *testing.T) {
	s := newSite(t, false)
	https := httptest.NewTLSServer(nil) // for its certificate
	defer https.Close()
	server, err := trillian.New(s.n, trillian.Options{Tokens: token.New(s.n.Blobs()), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: https.TLS.Certificates}})
	fatal(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	go server.Serve(listener)
	defer server.Stop()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	for _, c := range []struct {
		how  credentials.TransportCredentials
		want codes.Code
	}{
		{credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"}), codes.OK},
		{credentials.NewTLS(&tls.Config{ServerName: "example.com"}), codes.Unavailable}, // an authority that it does not know
		{insecure.NewCredentials(), codes.Unavailable},
	} {
		conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(c.how))
		fatal(t, err)
		_, err = pb.NewTrillianAdminClient(conn).ListTrees(t.Context(), &pb.ListTreesRequest{})
		if status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", c.how.Info().SecurityProtocol, err, c.want)
		}
		conn.Close()
	}
}
