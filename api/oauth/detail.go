package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// DetailType is the type of authorization_details (RFC 9396) by which an app asks
// for consent:
//
//	{"type": "akashi_consent", "service": "shop", "version": "2",
//	 "purposes": ["service", "survey"], "required": ["service"]}
//
// version is that of the terms, the one in force where absent; purposes are scopes
// of the terms, all where absent; required are those without which the app cannot
// serve. What is granted comes back with the hash of the terms, the purposes that
// the person agreed to, and their items.
const DetailType goidc.AuthDetailType = "akashi_consent"

// detail is what an app asks for, or was granted.
type detail struct {
	Service  string
	Version  string
	Purposes []string
	Required []string
	Terms    string
	Items    []string
}

// fields that an app may send; every other one is refused (RFC 9396 §5).
var requestFields = []string{"type", "service", "version", "purposes", "required"}

func badDetail(format string, args ...any) error {
	return goidc.NewError(goidc.ErrorCodeInvalidAuthDetails, fmt.Sprintf(format, args...))
}

// parseDetail reads a detail: one of a request where granted is false.
func parseDetail(d goidc.AuthDetail, granted bool) (*detail, error) {
	if d.Type() != DetailType {
		return nil, badDetail("the type is not known")
	}
	for name := range d {
		if !slices.Contains(requestFields, name) && !(granted && (name == "terms" || name == "items")) {
			return nil, badDetail("a field is not known") // not its name: it is the caller's text
		}
	}
	out := new(detail)
	var err error
	one := func(into *string, name string, needed bool) {
		v, ok := d[name]
		text, isText := v.(string)
		if ok && (!isText || text == "" || len(text) > record.MaxIDBytes) || !ok && needed {
			err = badDetail("%s", name)
		}
		*into = text
	}
	one(&out.Service, "service", true)
	one(&out.Version, "version", false)
	if granted {
		out.Terms, _ = d["terms"].(string)
	}
	for name, into := range map[string]*[]string{"purposes": &out.Purposes, "required": &out.Required, "items": &out.Items} {
		list, e := texts(d[name])
		if e != nil {
			err = badDetail("%s", name)
		}
		*into = list
	}
	if err != nil {
		return nil, err
	}
	if out.Service != "" && !record.ValidID(out.Service) {
		return nil, badDetail("service")
	}
	return out, nil
}

// texts reads a list of distinct ids.
func texts(v any) ([]string, error) {
	var out []string
	switch list := v.(type) {
	case nil:
		return nil, nil
	case []string:
		out = slices.Clone(list)
	case []any:
		for _, x := range list {
			s, ok := x.(string)
			if !ok {
				return nil, badDetail("a list")
			}
			out = append(out, s)
		}
	default:
		return nil, badDetail("a list")
	}
	if len(out) == 0 || len(out) > record.MaxItems {
		return nil, badDetail("a list")
	}
	slices.Sort(out)
	for i, s := range out {
		if !record.ValidID(s) || i > 0 && out[i-1] == s {
			return nil, badDetail("a list")
		}
	}
	return out, nil
}

// granted is the detail as a token has it.
func (d *detail) granted() goidc.AuthDetail {
	return goidc.AuthDetail{"type": string(DetailType), "service": d.Service, "version": d.Version, "terms": d.Terms,
		"purposes": d.Purposes, "items": d.Items}
}

// validateDetail checks the form; what only client and terms say comes later.
func validateDetail(_ context.Context, d goidc.AuthDetail) error {
	_, err := parseDetail(d, true) // a token request may repeat what was granted
	return err
}

// compareDetails lets a token be narrower than its grant, not wider.
func compareDetails(_ context.Context, requested, granted []goidc.AuthDetail) error {
	for _, r := range requested {
		want, err := parseDetail(r, true)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(granted, func(g goidc.AuthDetail) bool {
			have, err := parseDetail(g, true)
			return err == nil && covers(have, want)
		}) {
			return badDetail("more than was granted")
		}
	}
	return nil
}

func covers(have, want *detail) bool {
	in := func(list, of []string) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
	}
	return want.Service == have.Service && (want.Version == "" || want.Version == have.Version) && (want.Terms == "" || want.Terms == have.Terms) &&
		len(want.Required) == 0 && len(want.Purposes) > 0 && in(want.Purposes, have.Purposes) && in(want.Items, have.Items)
}

// within returns what of a token's details is left of its grant's.
func within(details, left []goidc.AuthDetail) []goidc.AuthDetail {
	var out []goidc.AuthDetail
	for _, d := range details {
		t, err := parseDetail(d, true)
		if err != nil {
			continue
		}
		for _, l := range left {
			h, err := parseDetail(l, true)
			if err != nil || h.Service != t.Service {
				continue
			}
			t.Purposes = slices.DeleteFunc(t.Purposes, func(p string) bool { return !slices.Contains(h.Purposes, p) })
			t.Items = slices.DeleteFunc(t.Items, func(i string) bool { return !slices.Contains(h.Items, i) })
			if t.Version, t.Terms = h.Version, h.Terms; len(t.Purposes) > 0 {
				out = append(out, t.granted())
			}
		}
	}
	return out
}

// Store of a grant: what it is about, beside go-oidc's own fields.
const (
	storeService = "service"
	storeHandle  = "handle" // hex
	storeSubject = "sub"    // kept, because a client is told of an erasure by it
	storeSince   = "auth_time"
	storeBy      = "by" // accounts elsewhere that said who the person is
	storeMethods = "amr"
)

func text(g *goidc.Grant, name string) string {
	s, _ := g.Store[name].(string)
	return s
}

// live returns what a grant still opens: of its details the purposes whose consents
// are on at a fresh final checkpoint, with the items that were chosen; nothing where it
// has lost an account that it came by.
func (s *Server) live(ctx context.Context, g *goidc.Grant) ([]goidc.AuthDetail, error) {
	if ofMember(g.ClientID) {
		return nil, nil
	}
	now, err := s.Desk.ScopesNow(ctx, custody.Ref(g.Subject), text(g, storeService))
	switch codeOf(err) {
	case record.CodeErased, custody.CodePersonUnknown:
		return nil, nil
	case custody.CodeNotFinal:
		return nil, errStale
	case custody.CodePersonLeaving: // what is left is open until the erasure is final
		return nil, errLeaving
	}
	if err != nil {
		return nil, err
	}
	if lost, err := s.lostAccount(ctx, g); err != nil || lost {
		return nil, err
	}
	var out []goidc.AuthDetail
	for _, d := range g.AuthDetails {
		was, err := parseDetail(d, true)
		if err != nil {
			return nil, err
		}
		left := *was
		left.Purposes, left.Items = nil, nil
		for _, sc := range now {
			if sc.On && slices.Contains(was.Purposes, sc.Purpose) {
				left.Purposes = append(left.Purposes, sc.Purpose)
				left.Items = append(left.Items, sc.Items...)
			}
		}
		if len(left.Purposes) > 0 {
			left.Purposes, left.Items = set(left.Purposes), set(left.Items)
			out = append(out, left.granted())
		}
	}
	return out, nil
}

func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func hmacOf(key [32]byte, parts ...string) [32]byte {
	m := hmac.New(sha256.New, key[:])
	for _, p := range parts {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return [32]byte(m.Sum(nil))
}
