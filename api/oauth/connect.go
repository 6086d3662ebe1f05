package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Connecting an account elsewhere with one here takes two words of the person: there,
// that they may be named to this member (introduce), and here, on a page that names both
// accounts. Between the two it is a ceremony of this session, and nothing is connected.

const pathConnect = "/signin/connect"

// connecting is what the other side has said and the person has not confirmed.
type connecting struct {
	ID       string         `json:"id"`             // of this ceremony: one that comes later takes its place
	With     string         `json:"with,omitempty"` // member, "" for the identity provider
	Value    string         `json:"value"`          // of the lookup
	Strength session.Method `json:"strength"`
	At       time.Time      `json:"at"`
}

func connectSecret(token string) string { return token + "/connect" }

// connectPage is what the template connect.html gets.
type connectPage struct {
	frame
	Problem string // key of a text, "" for none
	Form    string
	Here    string // account at this member, as its person knows it
	To      record.Text
	At      string // host of the other side's pages
	Number  string // of the account there, "" at the identity provider, whose pages show none
	Asked   string // which ceremony it names
}

// accountNumber tells accounts at one member apart for their person: both members show
// it for the same name. It says no more than that name does.
func accountNumber(member, sub string) string {
	sum := sha256.Sum256([]byte("akashi account number\x00" + member + "/" + sub))
	return session.MatchNumber(sum[:])
}

// numberOf is the accountNumber of a lookup's value (lookupMember).
func numberOf(value string) string {
	member, sub, _ := strings.Cut(value, "/")
	return accountNumber(member, sub)
}

// mayConnect reports whether more than a code was shown on both sides just now: else
// whoever reads a person's messages once, or finds a browser open, could sign in as them
// for ever.
func (s *Server) mayConnect(who *session.Session, c *connecting) bool {
	now := s.Now()
	return who.Fresh(now) && c.Strength != session.Code && now.Sub(c.At) <= session.Recent
}

// beginConnecting keeps what the other side has said, and asks the person.
func (s *Server) beginConnecting(w http.ResponseWriter, r *http.Request, a *asking, by *told) {
	token := s.cookies.Read(r, session.CookieSession)
	who, err := s.Sessions.Lookup(token)
	if err != nil {
		s.problem(w, r, http.StatusUnauthorized, "error.session")
		return
	}
	c := &connecting{ID: newSecret(), With: a.With, Value: by.name, Strength: by.strength, At: by.at}
	if !s.connectable(a.With) || !s.mayConnect(who, c) {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	if err := s.saveCeremony(connectSecret(token), c); err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, pathConnect, http.StatusSeeOther)
}

// askConnect names both accounts.
func (s *Server) askConnect(w http.ResponseWriter, r *http.Request) {
	token := s.cookies.Read(r, session.CookieSession)
	who, err := s.Sessions.Lookup(token)
	if err != nil {
		s.problem(w, r, http.StatusUnauthorized, "error.session")
		return
	}
	s.showConnect(w, r, http.StatusOK, &visit{who, token}, "")
}

func (s *Server) showConnect(w http.ResponseWriter, r *http.Request, status int, who *visit, problem string) {
	c, f := new(connecting), s.frame(w, r)
	err := s.storage.load(hashed("y", connectSecret(who.token)), c)
	if errors.Is(err, goidc.ErrNotFound) {
		http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
		return
	}
	p := connectPage{frame: f, Problem: problem, Form: session.FormToken(who.token), Asked: c.ID}
	up := s.upstream(c.With)
	if err == nil && up == nil {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	if err == nil {
		p.Here, err = s.Desk.Hint(custody.Ref(who.Person))
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	p.To = record.Text{Ja: up.Name, En: up.Name}
	if to, err := url.Parse(up.Issuer); err == nil {
		p.At = to.Host
	}
	if c.With != "" {
		p.To, p.Number = (&names{st: s.State()}).party(c.With), numberOf(c.Value)
	}
	p.Title = p.text("connect.title")
	s.show(w, status, "connect", p)
}

// connect makes an account elsewhere one by which the person of this session signs in
// here from now on, once for each time that the other side said who they are. What is
// answered is the page that was shown: where another account came back since, that one
// is shown and nothing is connected.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	c := new(connecting)
	err := s.takeCeremonyThat(connectSecret(who.token), c, func() bool { return c.ID == r.PostForm.Get("asked") })
	if errors.Is(err, errOtherCeremony) {
		s.showConnect(w, r, http.StatusConflict, who, "error.otheraccount")
		return
	}
	if err == nil && r.PostForm.Get("act") != "connect" {
		http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
		return
	}
	up := s.upstream(c.With)
	if errors.Is(err, errCeremony) || err == nil && (up == nil || !s.mayConnect(who.Session, c)) {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	if err == nil {
		err = s.Desk.AddLookup(r.Context(), custody.Ref(who.Person), up.Lookup, c.Value)
	}
	if codeOf(err) == record.CodeDuplicate {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}

// A connection is an account elsewhere by which a person signs in here.
type connection struct {
	ID     string // names it in the form
	Name   record.Text
	Number string // of the account at another member, "" at the identity provider

	kind, value string // of the lookup
}

func (s *Server) connectionBy(kind, value string, name record.Text, number string) connection {
	return connection{ID: hex.EncodeToString(hashed("l", kind+"/"+value)), Name: name, Number: number, kind: kind, value: value}
}

// connections returns a person's connections, and whom there is to connect with: the
// other members and, without an ID, the identity provider.
func (s *Server) connections(person string) (known []connection, others []Member, err error) {
	values, err := s.Desk.Lookups(custody.Ref(person), lookupMember)
	if codeOf(err) == record.CodeErased || codeOf(err) == custody.CodePersonUnknown {
		return nil, nil, nil // nothing is left to connect
	}
	words := &names{st: s.State()}
	for _, v := range values { // also those at who is no member any more
		member, _, _ := strings.Cut(v, "/")
		known = append(known, s.connectionBy(lookupMember, v, words.party(member), numberOf(v)))
	}
	for _, m := range s.Members() {
		if !slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, m.ID+"/") }) {
			others = append(others, m)
		}
	}
	if err != nil || !s.connectable("") {
		return known, others, err
	}
	name := record.Text{Ja: s.idp.Name, En: s.idp.Name}
	if values, err = s.Desk.Lookups(custody.Ref(person), s.idp.Lookup); len(values) == 0 {
		others = append(others, Member{Name: name})
	}
	for _, v := range values {
		known = append(known, s.connectionBy(s.idp.Lookup, v, name, ""))
	}
	return known, others, err
}

// connectable reports whether people connect an account there themselves, and so end
// it, too. What a provider's sub is a lookup of that the member made itself, a number of
// its customers say, is the member's to change.
func (s *Server) connectable(with string) bool {
	up := s.upstream(with)
	return up != nil && (with != "" || up.Lookup == LookupUpstream)
}

// disconnect ends a connection with all that came by it. It needs more than a code, as
// taking a passkey away does: the connection may be its person's only strong way in, and
// is not made again without another.
func (s *Server) disconnect(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	if !who.BeyondCode() {
		s.problem(w, r, http.StatusForbidden, "error.weak")
		return
	}
	known, _, err := s.connections(who.Person)
	for _, c := range known {
		if err == nil && c.ID == r.PostForm.Get("id") {
			err = s.endConnection(r.Context(), who.Person, &c)
		}
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}

// endConnection ends what came by a connection before the connection itself, so that
// after a crash it is still listed and can be ended again; and once more after it, for
// who came in between.
func (s *Server) endConnection(ctx context.Context, person string, c *connection) error {
	by := c.kind + "/" + c.value
	if err := s.endBy(ctx, person, by); err != nil {
		return err
	}
	if err := s.Desk.RemoveLookup(ctx, custody.Ref(person), c.kind, c.value); err != nil {
		return err
	}
	return s.endBy(ctx, person, by)
}

// endBy ends the sessions of a person in which an account elsewhere said who they are,
// and what apps were given in these. The sessions first: they make grants.
func (s *Server) endBy(ctx context.Context, person, by string) error {
	if _, err := s.Sessions.RevokeBy(person, by); err != nil {
		return err
	}
	list, err := s.accesses(ctx, person)
	if err != nil {
		return err
	}
	for _, a := range list {
		if slices.Contains(accountsOf(a.grant), by) {
			if err := s.endGrant(ctx, a.grant); err != nil {
				return err
			}
		}
	}
	return nil
}

// accountsOf returns the accounts elsewhere that said who the person is in the session
// in which a grant was given, each KIND/VALUE of a lookup.
func accountsOf(g *goidc.Grant) (out []string) {
	list, _ := g.Store[storeBy].([]any) // it was JSON
	for _, v := range list {
		if by, ok := v.(string); ok {
			out = append(out, by)
		}
	}
	return out
}

// lostAccount reports whether an account elsewhere that a grant came by is not the
// person's any more. Then the grant opens nothing, also where nobody has ended it: it was
// made while its connection was being ended.
func (s *Server) lostAccount(ctx context.Context, g *goidc.Grant) (bool, error) {
	for _, by := range accountsOf(g) {
		kind, value, _ := strings.Cut(by, "/")
		if ref, found, err := s.Desk.Find(ctx, kind, value); err != nil || !found || string(ref) != g.Subject {
			return err == nil, err
		}
	}
	return false, nil
}

// endGrant ends one grant and tells its client. One that has ended is no error.
func (s *Server) endGrant(ctx context.Context, g *goidc.Grant) error {
	err := s.storage.revoke(ctx, g)
	if err == nil {
		err = s.tell(g, nil)
	}
	if errors.Is(err, errDead) {
		return nil
	}
	return err
}
