package main

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node"
	"github.com/prometheus/client_golang/prometheus"
)

// A part serves something beside HTTP, such as gRPC, and returns how to stop it.
type part func(n *node.Node, o shared) (stop func(), err error)

// shared is what the HTTP interface and parts have in common.
type shared struct {
	tokens  *token.Store
	tls     *tls.Config          // nil: plain, on loopback
	metrics *prometheus.Registry // of /metrics
	log     *slog.Logger
}

// parts are what a node serves beside HTTP. A further one (in a file of its own)
// needs a line here.
var parts = []part{serveTrillian}

// startParts starts them in order; stop ends them in the reverse order.
func startParts(n *node.Node, o shared) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	for _, p := range parts {
		end, err := p(n, o)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, end)
	}
	return stop, nil
}

// idleSession is how long a person's session lives unused.
const idleSession = time.Hour

// handlerOf puts the HTTP interface of a node together; stop ends what runs beside
// it, after which it answers nothing useful.
func handlerOf(n *node.Node, with shared) (h http.Handler, stop func(), err error) {
	o := rest.Options{Tokens: with.tokens, Registry: with.metrics, Log: with.log, Version: version()}
	mux := http.NewServeMux()
	sessions, err := session.New(n.Blobs(), n.Desk().KeyFor("sessions"), idleSession, time.Now)
	if err != nil {
		return nil, nil, err
	}
	apps, err := authorizationServer(n, with, sessions)
	if err != nil {
		return nil, nil, err
	}
	stop = func() {}
	signIn := ""
	if apps != nil {
		signIn = "/signin"
		o.Clients, stop = apps, apps.Close
		for _, path := range oauth.Patterns() {
			mux.Handle(path, apps)
		}
	}
	api, err := rest.New(n, o)
	if err != nil {
		return nil, nil, err
	}
	mux.Handle("/", api)
	if err := mountPages(mux, n, api, with, sessions, signIn); err != nil {
		return nil, nil, err
	}
	mux.Handle("/log/", rest.Tiles(n, o))
	return rest.Timely(mux), stop, nil
}
