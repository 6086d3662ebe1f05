package rest

import (
	"context"
	"net/http"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Clients are the apps that may ask people for consent at this node.
type Clients interface {
	Register(ctx context.Context, f ClientForm) (*ClientMade, error)
	List(ctx context.Context) ([]ClientView, error)
	Remove(ctx context.Context, id string) error
}

// ClientForm registers an app.
type ClientForm struct {
	Service        string         `json:"service" doc:"whose terms people agree to"`
	Party          string         `json:"party" doc:"who receives: a member or party that the terms list"`
	Name           record.Text    `json:"name"`
	RedirectURIs   []string       `json:"redirectUris" minItems:"1" maxItems:"16" doc:"exact; https, or http on this machine"`
	Authentication string         `json:"authentication" enum:"client_secret_basic,client_secret_post,private_key_jwt,none" doc:"none: DPoP is then needed"`
	JWKS           map[string]any `json:"jwks,omitempty" doc:"public keys, for private_key_jwt"`
	DPoP           bool           `json:"dpop,omitempty" doc:"tokens only with DPoP"`
	PAR            bool           `json:"par,omitempty" doc:"only pushed requests"`
	Webhook        string         `json:"webhook,omitempty" doc:"is told when consents end"`
}

// ClientView is a registered app.
type ClientView struct {
	ID             string      `json:"id"`
	Service        string      `json:"service"`
	Party          string      `json:"party"`
	Name           record.Text `json:"name"`
	RedirectURIs   []string    `json:"redirectUris"`
	Authentication string      `json:"authentication"`
	DPoP           bool        `json:"dpop"`
	PAR            bool        `json:"par"`
	Webhook        bool        `json:"webhook"`
	CreatedMs      uint64      `json:"createdMs"`
}

// ClientMade is a registered app with its secret, which is shown this once.
type ClientMade struct {
	ClientView
	Secret string `json:"secret,omitempty"`
}

// ClientList is every registered app.
type ClientList struct {
	Clients []ClientView `json:"clients"`
}

func clientRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/clients", name: "register-client", tag: "clients", text: Sentence{"アプリの登録", "Register an app that may ask people for consent"},
			roles: admin | app, body: ClientForm{}, result: ClientMade{}, explain: true, handle: (*call).registerClient},
		{method: "GET", path: "/v1/clients", name: "clients", tag: "clients", text: Sentence{"登録してあるアプリ", "Apps that are registered here"},
			roles: admin | app, result: ClientList{}, handle: (*call).listClients},
		{method: "DELETE", path: "/v1/clients/{id}", name: "remove-client", tag: "clients", text: Sentence{"アプリの登録をやめる", "Remove an app; its tokens end with it"},
			roles: admin | app, result: ClientList{}, handle: (*call).removeClient},
	}
}

func (c *call) apps() (Clients, error) {
	if c.Clients == nil {
		return nil, fault(codeNoClients)
	}
	return c.Clients, nil
}

func (c *call) registerClient() (any, error) {
	var f ClientForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	r, err := c.apps()
	if err != nil {
		return nil, err
	}
	return r.Register(c.ctx, f)
}

func (c *call) listClients() (any, error) {
	r, err := c.apps()
	if err != nil {
		return nil, err
	}
	list, err := r.List(c.ctx)
	return ClientList{list}, err
}

func (c *call) removeClient() (any, error) {
	r, err := c.apps()
	if err != nil {
		return nil, err
	}
	if err := r.Remove(c.ctx, c.r.PathValue("id")); err != nil {
		return nil, err
	}
	return c.listClients()
}

// WriteProblem answers with the problem of an error, for the other parts of the HTTP
// interface. conflict is the status of what is a conflict in the API; 0: 409.
func WriteProblem(w http.ResponseWriter, r *http.Request, conflict int, err error) {
	english := wantsEnglish(r)
	p := problemOf(err, english)
	if p.Status == http.StatusConflict && conflict != 0 {
		p.Status = conflict
	}
	p.write(w, english)
}
