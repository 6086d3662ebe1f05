package main

import (
	"time"

	"github.com/akashi-ledger/akashi/api/trillian"
	"github.com/akashi-ledger/akashi/node"
)

// serveTrillian serves Trillian's protocol on the node's gRPC address.
func serveTrillian(n *node.Node, o shared) (stop func(), err error) {
	listener, err := listen(n.Settings.GRPC, o.tls != nil)
	if err != nil {
		return nil, err
	}
	server, err := trillian.New(n, trillian.Options{Tokens: o.tokens, Log: o.log, Metrics: o.metrics, TLS: o.tls})
	if err != nil {
		listener.Close()
		return nil, err
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			o.log.Error("Trillian's protocol is not served any more", "err", err)
		}
	}()
	return func() {
		late := time.AfterFunc(5*time.Second, server.Stop)
		defer late.Stop()
		server.GracefulStop()
	}, nil
}
