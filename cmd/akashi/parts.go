package main

import (
	"log/slog"
	"net/http"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node"
)

// A part serves something beside HTTP, such as gRPC, and returns how to stop it.
type part func(n *node.Node, log *slog.Logger) (stop func(), err error)

// parts are what a node serves beside HTTP. A further one (in a file of its own)
// needs a line here.
var parts = []part{}

// startParts starts them in order; stop ends them in the reverse order.
func startParts(n *node.Node, log *slog.Logger) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	for _, p := range parts {
		end, err := p(n, log)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, end)
	}
	return stop, nil
}

// handlerOf puts the HTTP interface of a node together.
func handlerOf(n *node.Node, dir string, log *slog.Logger) (http.Handler, error) {
	if err := takeTokens(dir, n.Blobs()); err != nil {
		return nil, err
	}
	o := rest.Options{Tokens: token.New(n.Blobs()), Log: log, Version: version()}
	api, err := rest.New(n, o)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	if err := mountPages(mux, n, api, o.Tokens, log); err != nil {
		return nil, err
	}
	mux.Handle("/log/", rest.Tiles(n, o))
	return mux, nil
}
