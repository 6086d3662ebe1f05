package rest

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// A call is one request on its way through a handler.
type call struct {
	*server
	route  *route
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	caller token.Caller
	query  url.Values
	final  *Final // nil before the first

	opened  map[uint64]custody.RecordOpening // of the records that receipts are asked for; nil: not read yet
	handles []custody.HandleOf               // of the subject who asks; nil: not read yet
	read    *remembered                      // nil: receipts are made one at a time
}

// handle runs a route.
func (s *server) handle(rt *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := r.Context(), context.CancelFunc(func() {})
		if rt.writes {
			ctx, cancel = s.waiting(r)
		}
		defer cancel()
		c := &call{server: s, route: rt, w: w, r: r, ctx: ctx}
		result, err := c.run()
		if err != nil {
			c.refuse(err)
			return
		}
		switch v := result.(type) {
		case nil:
		case file:
			if v.name != "" {
				w.Header().Set("Content-Disposition", `attachment; filename="`+v.name+`"`)
			}
			writeBytes(w, v.media, v.bytes)
		default:
			writeJSON(w, result)
		}
	}
}

// refuse answers with a problem. Where all of a request is public by its
// nature, it says what exactly was wrong.
func (c *call) refuse(err error) {
	if c.route.explain {
		if reason := reasonOf(err); reason != "" {
			english := wantsEnglish(c.r)
			p := problemOf(err, english)
			p.Reason = reason
			p.write(c.w, english)
			return
		}
	}
	c.fail(c.w, c.r, err)
}

func (c *call) run() (any, error) {
	var err error
	if c.route.roles != public {
		if c.caller, err = c.authenticate(c.r); err != nil {
			return nil, err
		}
		if !c.route.roles.has(c.caller.Role) || c.caller.Party != "" && !c.route.forParty() {
			return nil, fault(codeRole)
		}
	}
	if err := c.parameters(); err != nil {
		return nil, err
	}
	if err := c.catchUp(); err != nil {
		return nil, err
	}
	defer c.sayHeight()
	if c.final = c.Final(); c.final == nil && !c.route.early {
		return nil, fault(codeNotFinal)
	}
	requests, bodies := int64(c.MaxRequests), c.MaxBodyBytes
	if c.route.bulk { // an eighth is left for revocations, erasures and reads
		requests, bodies = requests-requests/8, bodies-bodies/8
	}
	if c.requests.Load() > requests {
		return nil, fault(codeBusy)
	}
	if n := c.reserve(); n > 0 {
		defer c.bodies.Add(-n)
		if c.bodies.Add(n) > bodies {
			return nil, fault(codeBusy)
		}
	}
	return c.route.handle(c)
}

// reserve returns how many bytes of body the request may bring.
func (c *call) reserve() int64 {
	switch most := c.route.maxBody(); {
	case most == 0 || c.r.ContentLength > most: // none, or refused before it is read
		return 0
	case c.r.ContentLength >= 0:
		return c.r.ContentLength
	default:
		return most
	}
}

// parameters checks that the URL has no parameter but the route's, each once.
func (c *call) parameters() error {
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return fault(codeParameter)
	}
	for name, values := range c.query {
		p := c.route.parameter(name)
		if p == nil {
			return fault(codeParameter)
		}
		if len(values) != 1 {
			return faultAt(codeParameter, p.name)
		}
	}
	return nil
}

// number reads a whole number of the URL, or returns what holds without one.
func (c *call) number(name string, without uint64) (uint64, error) {
	if !c.query.Has(name) {
		return without, nil
	}
	return decimal(name, c.query.Get(name))
}

// decimal reads a number in its one spelling.
func decimal(name, s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, faultAt(codeParameter, name)
	}
	return n, nil
}

// flag reads a parameter that is true or false.
func (c *call) flag(name string) (bool, error) {
	switch c.query.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, faultAt(codeParameter, name)
}

// body reads the request's JSON.
func (c *call) body(v any) error {
	b, _, err := readBody(c.w, c.r, c.route.maxBody(), "application/json")
	if err != nil {
		return err
	}
	return decodeJSON(b, c.registry, c.route.schema, v)
}

// person returns the person of the path. A subject is asked about themself only.
func (c *call) person() (custody.Ref, error) {
	ref := custody.Ref(c.r.PathValue("ref"))
	if !validRef(string(ref)) {
		return "", faultAt(codeParameter, "ref")
	}
	return c.about(ref)
}

// about checks that the caller may ask about the person of a request's body.
func (c *call) about(ref custody.Ref) (custody.Ref, error) {
	if !validRef(string(ref)) {
		return "", faultAt(codeInvalid, "person")
	}
	if c.caller.Role == token.Subject && c.caller.Person != string(ref) {
		return "", fault(codeRole)
	}
	return ref, nil
}

// validRef reports whether s is 1 to 64 of a–z, 0–9 and hyphen.
func validRef(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// writing returns who asks for a write, and how.
func (c *call) writing() (custody.Call, error) {
	to := custody.Call{Client: c.client()}
	switch keys := c.r.Header.Values("Idempotency-Key"); {
	case len(keys) > 1:
		return to, fault(codeKey)
	case len(keys) == 1:
		if to.Key = keys[0]; !validKey(to.Key) {
			return to, fault(codeKey)
		}
	}
	switch c.query.Get("wait") {
	case "committed":
		to.Committed = true
	case "", "final":
	default:
		return to, faultAt(codeParameter, "wait")
	}
	var err error
	to.As, err = c.as()
	return to, err
}

// client names the caller to the outbox. It has a slash, so that it is never the
// name of one of the node's own clients.
func (c *call) client() string {
	return string(c.caller.Role) + "/" + c.caller.Name + "/" + c.caller.Person
}

func validKey(s string) bool {
	if s == "" || len(s) > maxKeyBytes {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// as returns the party of the header Akashi-As, which must be this member or
// one that it hosts, or that to which the token is bound; "" without either.
func (c *call) as() (string, error) {
	values := c.r.Header.Values("Akashi-As")
	if bound := c.caller.Party; bound != "" {
		if len(values) > 0 && (len(values) > 1 || values[0] != bound) {
			return "", fault(codeRole)
		}
		values = []string{bound}
	}
	if len(values) == 0 {
		return "", nil
	}
	if id := values[0]; len(values) == 1 && record.ValidID(id) {
		if id == c.Self {
			return id, nil
		}
		if c.caller.Role == token.Subject {
			return "", fault(codeRole)
		}
		p, err := rules.Load[rules.Party](c.final.State, rules.KeyParty(id))
		if err != nil {
			return "", err
		}
		if p != nil && p.Host == c.Self {
			return id, nil
		}
	}
	return "", fault(codeRole)
}

// acting is as with the member where no party is named.
func (c *call) acting(to custody.Call) string {
	if to.As != "" {
		return to.As
	}
	return c.Self
}

// recordID reads a record's id.
func recordID(name, s string) (record.ID, error) {
	var id record.ID
	if len(s) != 2*len(id) || strings.ToLower(s) != s {
		return id, faultAt(codeParameter, name)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return id, faultAt(codeParameter, name)
	}
	return id, nil
}

// A file is an answer that is not made here.
type file struct {
	media string
	name  string // for saving; "" for none
	bytes []byte
}

func writeBytes(w http.ResponseWriter, media string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	w.Write(b)
}

func writeJSON(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("rest: " + err.Error()) // types of ours, which can be encoded
	}
	writeBytes(w, "application/json", b.Bytes())
}
