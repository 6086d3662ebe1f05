package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

func serveCommand(e *env) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve --dir DIR",
		Short:   "Run a member's node",
		GroupID: groupRun,
		Long: `serve runs the node whose data directory is DIR until it gets SIGTERM or
Ctrl-C. DIR holds keys and config.json (akashi init) and the genesis of the
consortium (akashi genesis); while the node runs, DIR/pid holds its process id.

HTTP and Trillian's protocol (gRPC) without TLS are for this machine only: beyond
loopback give a certificate, or let a proxy on this machine end TLS.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), e, o)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *serveOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "dir", "", "data `DIR`ectory of the member")
	cmd.Flags().StringVar(&o.cert, "tls-cert", "", "certificate `FILE` (PEM)")
	cmd.Flags().StringVar(&o.key, "tls-key", "", "key `FILE` of the certificate (PEM)")
	cmd.Flags().BoolVar(&o.verbose, "verbose", false, "log more")
	cmd.Flags().BoolVar(&o.leash, "leash", false, "stop when standard input ends")
	cmd.Flags().Lookup("leash").Hidden = true // of a consortium on one machine: no node outlives it
}

// leashed ends a context when standard input ends, where that is asked for.
func leashed(ctx context.Context, e *env, leash bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if leash {
		go func() {
			io.Copy(io.Discard, e.stdin)
			cancel()
		}()
	}
	return ctx, cancel
}

type serveOptions struct {
	dir, cert, key string
	verbose, leash bool
}

// needDir wants a data directory.
func needDir(dir string) error {
	if dir == "" {
		return wrongUse(errors.New("no data directory was given"), "--dir DIR is the member's data directory")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return wrongUse(fmt.Errorf("%s is no directory", dir), "akashi init --dir DIR makes one")
	}
	return nil
}

func serve(ctx context.Context, e *env, o serveOptions) error {
	if err := needDir(o.dir); err != nil {
		return err
	}
	settings, err := node.LoadSettings(o.dir)
	if err != nil {
		return wrongUse(err, "akashi init --dir DIR writes config.json")
	}
	if _, err := os.Stat(filepath.Join(o.dir, node.GenesisFile)); err != nil {
		return wrongUse(err, "akashi genesis accept puts it here for a founder, akashi join for who joins later")
	}
	secure, err := tlsOf(o)
	if err != nil {
		return err
	}
	listener, err := listen(settings.HTTP, secure != nil)
	if err != nil {
		return err
	}
	defer listener.Close()

	log := logTo(e.stderr, o.verbose)
	if err := noCoreDumps(); err != nil {
		log.Warn("core dumps are not forbidden", "error", err.Error())
	}
	ctx, cancel := leashed(ctx, e, o.leash)
	defer cancel()

	n, err := node.Start(o.dir, log)
	if err != nil {
		return notPossible(fmt.Errorf("the node does not start: %w", err), stopHints(err)...)
	}
	defer n.Close()
	if err := takeTokens(o.dir, n.Blobs()); err != nil {
		return notPossible(fmt.Errorf("tokens: %w", err), stopHints(err)...)
	}
	with := shared{tokens: token.New(n.Blobs()), tls: secure, metrics: prometheus.NewRegistry(), log: log}
	handler, stopHandler, err := handlerOf(n, with)
	if err != nil {
		return err
	}
	stopHandler = sync.OnceFunc(stopHandler)
	defer stopHandler()
	stopParts, err := startParts(n, with)
	if err != nil {
		return err
	}
	stopParts = sync.OnceFunc(stopParts) // before the node closes, on every way out
	defer stopParts()
	pid := filepath.Join(o.dir, "pid")
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	defer os.Remove(pid)

	server := serverOf(handler, log)
	served := make(chan error, 1)
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	go func() { served <- server.Serve(listener) }()
	log.Info("serving", "member", n.Self(), "http", settings.HTTP, "grpc", settings.GRPC, "p2p", settings.P2P)

	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-n.Done():
	case err = <-served:
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if server.Shutdown(grace) != nil {
		server.Close() // streams do not end by themselves
	}
	stopHandler()
	stopParts()
	if reason := errors.Join(err, n.Close()); reason != nil && !errors.Is(reason, http.ErrServerClosed) {
		return notPossible(fmt.Errorf("the node stopped: %w", reason), stopHints(reason)...)
	}
	return nil
}

func logTo(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(newSeldom(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})))
}

// serverOf bounds what a connection may cost before it is a request, and between two;
// rest.Timely does the rest, since a stream lasts.
func serverOf(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// tlsOf loads the certificate; nil where there is none.
func tlsOf(o serveOptions) (*tls.Config, error) {
	if o.cert == "" && o.key == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, wrongUse(fmt.Errorf("certificate: %w", err), "--tls-cert and --tls-key go together")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}, nil
}

// listen opens an address on which tokens travel: with TLS, or on loopback.
func listen(addr string, secure bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, wrongUse(err)
	}
	if !secure && !client.Loopback(host) {
		return nil, wrongUse(fmt.Errorf("without TLS, %s would carry tokens in clear", addr),
			"give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, notPossible(err, "is another node running on this address?")
	}
	return l, nil
}
