package oauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxAnswer bounds what a provider answers: metadata, keys, tokens.
const maxAnswer = 1 << 20

var errElsewhere = errors.New("oauth: a member names an endpoint that is not below its origin")

// upstreamClient asks the identity provider that the member has chosen.
var upstreamClient = &http.Client{Timeout: 10 * time.Second, Transport: bounded{localNames(), ""}}

// memberHTTP asks another member, whom nobody here has chosen: only below its origin,
// so that its metadata sends neither codes nor requests anywhere else, and without
// following redirects.
func memberHTTP(origin string) *http.Client {
	return &http.Client{Timeout: upstreamClient.Timeout, Transport: bounded{upstreamClient.Transport.(bounded).to, origin},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// bounded asks one origin, or ("") any, for answers of at most maxAnswer.
type bounded struct {
	to     http.RoundTripper
	origin string
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.origin != "" && r.URL.Scheme+"://"+r.URL.Host != b.origin {
		return nil, errElsewhere
	}
	resp, err := b.to.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// localNames knows that names below localhost are this machine (RFC 6761 §6.3), which
// not every resolver does.
func localNames() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".localhost") {
			addr = net.JoinHostPort("localhost", port)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return t
}
