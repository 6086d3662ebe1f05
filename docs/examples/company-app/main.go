// Command company-app is a company's app that asks people for consent at a member of
// an Akashi consortium and reads what they granted: pushed requests, PKCE,
// private_key_jwt, DPoP. It needs none of Akashi's code: copy the folder. Visits live
// in memory; an app with a database keeps them by sub, and forgets them as here: at a
// refused read, at an event, at the person's own wish.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	if err := run(); err != nil {
		log.Fatal("company-app: ", err)
	}
}

func run() error {
	key, err := clientKey(cmp.Or(os.Getenv("AKASHI_KEY_FILE"), "key.json"))
	if err != nil {
		return err
	}
	if len(os.Args) == 2 && os.Args[1] == "keys" { // what the registration wants as "jwks"
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"keys": []any{key.Public()}})
	}
	// of the purposes the first is required, the others are the person's choice
	a := &app{issuer: cmp.Or(os.Getenv("AKASHI_ISSUER"), "http://member-0.localhost:8080"), service: cmp.Or(os.Getenv("AKASHI_SERVICE"), "shop"),
		purposes: strings.Split(cmp.Or(os.Getenv("AKASHI_PURPOSES"), "service,survey"), ","), visits: map[string]*visit{}}
	a.oauth = oauth2.Config{ClientID: os.Getenv("AKASHI_CLIENT_ID"), RedirectURL: cmp.Or(os.Getenv("APP_REDIRECT"), "http://localhost:9000/callback")}
	sign, err := newSigner(a.issuer, a.oauth.ClientID, key)
	if err != nil {
		return err
	}
	http.DefaultTransport.(*http.Transport).DialContext = dial
	a.http = &http.Client{Transport: sign, Timeout: 15 * time.Second}
	a.ctx = oidc.ClientContext(context.Background(), a.http) // x/oauth2's too
	if a.provider, err = oidc.NewProvider(a.ctx, a.issuer); err != nil {
		return err
	}
	a.oauth.Endpoint = a.provider.Endpoint()
	a.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	s := &http.Server{Addr: cmp.Or(os.Getenv("APP_LISTEN"), "localhost:9000"), Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second}
	log.Print("company-app: open http://", s.Addr)
	return s.ListenAndServe()
}

// dial knows that names below localhost are this machine (RFC 6761 §6.3): not every
// resolver does, and akashi dev has such names.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, _ := net.SplitHostPort(addr); strings.HasSuffix(host, ".localhost") {
		addr = net.JoinHostPort("localhost", port)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}
