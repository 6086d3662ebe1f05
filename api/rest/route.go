package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// A route is one operation: how it is reached, who may, and what it does.
type route struct {
	method, path string
	name         string // operation id
	tag          string
	text         Sentence
	roles        roles
	query        []parameter
	body         any    // zero value of the request's type; nil: none
	result       any    // zero value of the answer's type; a string: its media type
	limit        int64  // of the body in bytes; 0: maxBody
	media        string // of another body beside JSON
	writes       bool   // enters records: Idempotency-Key, Akashi-As and wait
	early        bool   // answers before anything is final
	explain      bool   // the request is public by its nature
	whole        bool   // reaches beyond one party: not for a token that is bound to one
	bulk         bool   // gives way to everything else where there is too much
	handle       func(*call) (any, error)

	schema *huma.Schema // of body
}

type parameter struct {
	name string
	text string
}

// waitParameter belongs to every route that writes.
var waitParameter = parameter{"wait", "final (the default) or committed: answer when the batch is applied here, before it is final"}

func (rt *route) parameter(name string) *parameter {
	if rt.writes && name == waitParameter.name {
		return &waitParameter
	}
	for i := range rt.query {
		if rt.query[i].name == name {
			return &rt.query[i]
		}
	}
	return nil
}

// forParty reports whether a token that is bound to a party may call: what it
// writes is written in that party's name, and what it reads is everybody's.
func (rt *route) forParty() bool { return rt.writes && !rt.whole }

func (rt *route) maxBody() int64 {
	switch {
	case rt.body == nil:
		return 0
	case rt.limit > 0:
		return rt.limit
	}
	return maxBody
}

// routes is the table of who may call what.
func routes() []*route {
	return slices.Concat(readRoutes(), keptRoutes(), proofRoutes(), peopleRoutes(), clientRoutes(), handOverRoutes(), legalRoutes(), retentionRoutes(), managerRoutes(), governRoutes(), memberRoutes(), rightRoutes(), sensorRoutes(), treeRoutes(), recordRoutes(), custodyRoutes())
}

// describe registers every route and returns the OpenAPI document.
func (s *server) describe() ([]byte, error) {
	config := huma.DefaultConfig("Akashi", s.version())
	config.CreateHooks = nil // they would rewrite bodies
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", ""
	config.Info.Description = "同意と記録の台帳 Akashi のノードの API。 API of a node of Akashi, a consent and audit ledger. " +
		"Ids and hashes in URLs are lower-case hex, bytes in JSON are base64, times are Unix milliseconds. Errors are RFC 9457 problems."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	api := humago.New(s.mux, config)
	s.registry = api.OpenAPI().Components.Schemas
	problem := schemaOf(s.registry, Problem{})
	for _, rt := range routes() {
		op := s.operation(rt, problem)
		api.OpenAPI().AddOperation(op)
		s.mux.HandleFunc(rt.method+" "+rt.path, s.handle(rt))
	}
	return json.MarshalIndent(api.OpenAPI(), "", " ")
}

func (s *server) version() string {
	if s.Version == "" {
		return "development"
	}
	return s.Version
}

func (s *server) operation(rt *route, problem *huma.Schema) *huma.Operation {
	op := &huma.Operation{Method: rt.method, Path: rt.path, OperationID: rt.name, Summary: rt.text.Ja, Description: rt.text.En,
		Tags: []string{rt.tag}, Responses: map[string]*huma.Response{}, Extensions: map[string]any{"x-akashi-roles": rt.roles.names()}}
	text := &huma.Schema{Type: huma.TypeString}
	for _, part := range strings.Split(rt.path, "/") {
		if strings.HasPrefix(part, "{") {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.Trim(part, "{}"), In: "path", Required: true, Schema: text})
		}
	}
	query := rt.query
	if rt.writes {
		query = append(slices.Clip(query), waitParameter)
		op.Parameters = append(op.Parameters,
			&huma.Param{Name: "Idempotency-Key", In: "header", Schema: text, Description: "1 to 128 printable ASCII characters: the same key with the same content happens once"},
			&huma.Param{Name: "Akashi-As", In: "header", Schema: text, Description: "a party that this node hosts and for which it acts"})
	}
	for _, p := range query {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Schema: text, Description: p.text})
	}
	if rt.body != nil {
		rt.schema = schemaOf(s.registry, rt.body)
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: rt.schema}}}
		if rt.media != "" {
			op.RequestBody.Content[rt.media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		}
	}
	ok := &huma.Response{Description: http.StatusText(http.StatusOK)}
	switch v := rt.result.(type) {
	case nil:
	case string:
		ok.Content = map[string]*huma.MediaType{v: {Schema: text}}
	default:
		ok.Content = map[string]*huma.MediaType{"application/json": {Schema: schemaOf(s.registry, v)}}
	}
	op.Responses["200"] = ok
	op.Responses["default"] = &huma.Response{Description: "RFC 9457 problem",
		Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}}
	if rt.roles != public {
		op.Security = []map[string][]string{{"token": {}}}
	}
	return op
}
