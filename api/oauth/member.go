package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// # Signing in across the consortium
//
// Each member is an issuer of its own, and an identity provider for the others
// (OpenID Connect, docs/decisions/0027-signing-in-across-members.md). Nobody registers
// anything: who is a member, and where its pages are, the node knows from the others. A
// member's node is a client that asks for nothing but who somebody is, and is told so
// by the person, in a name of theirs that is for this member alone.

// Member is another member whose pages are known.
type Member struct {
	ID     string
	Name   record.Text
	Origin string
}

// memberClient begins the ids of the clients that other members' nodes are.
const memberClient = "member:"

func ofMember(clientID string) bool { return strings.HasPrefix(clientID, memberClient) }

// memberClient returns another member's node as a client. It has no secret: its code
// goes to its own origin only, and is bound to its verifier.
func (s *storage) memberClient(id string) (*client, error) {
	for _, m := range s.members() {
		if m.ID == id {
			return &client{ClientView: rest.ClientView{ID: memberClient + id, Party: id, Name: m.Name,
				RedirectURIs: []string{callbackFor(m.Origin, s.self)}, Authentication: string(goidc.AuthnMethodNone)}}, nil
		}
	}
	return nil, goidc.ErrNotFound
}

// introducePage is what the template introduce.html gets.
type introducePage struct {
	frame
	Problem string // none: see frame.html
	Form    string
	To      record.Text
	At      string // host of the other member's pages
	Account string // whose account here it is, as they know it
	Number  string // of the account, which the other member shows when connecting
}

// introduce tells another member's node who somebody is, where they say so.
func (s *Server) introduce(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, k *client) (goidc.Status, error) {
	if len(as.AuthDetails) > 0 {
		return goidc.StatusFailure, badDetail("a member's node asks for nothing")
	}
	who, token, status, err := s.present(w, r, as)
	if who == nil {
		return status, err
	}
	if err := s.hinted(as, k, who); err != nil {
		return goidc.StatusFailure, err
	}
	if wants(as, goidc.PromptTypeNone) {
		return goidc.StatusFailure, goidc.NewError("consent_required", "the person has to decide")
	}
	if r.Method != http.MethodPost || r.PathValue("callback") == "" {
		p, err := s.introducing(w, r, who, k)
		if err != nil {
			return s.cannot(w, r, err)
		}
		p.Form = session.FormToken(token)
		to, _ := url.Parse(k.RedirectURIs[0])
		p.At = to.Host
		p.Title, p.Path = p.text("introduce.title"), pathAuthorize+"/"+as.ID
		w.Header().Set("Content-Security-Policy", policy(to.Scheme+"://"+to.Host))
		s.show(w, http.StatusOK, "introduce", p)
		return goidc.StatusPending, nil
	}
	if !session.Posted(w, r, token) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return goidc.StatusPending, nil
	}
	if r.PostForm.Get("act") != "tell" {
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeAccessDenied, "refuse")
	}
	as.Subject, as.GrantedScopes = who.Person, goidc.ScopeOpenID.ID
	if as.Store == nil {
		as.Store = map[string]any{}
	}
	as.Store[storeSince], as.Store[storeMethods] = vouched(who, s.Now())
	return goidc.StatusSuccess, nil
}

// introducing names the account that another member is to be told of.
func (s *Server) introducing(w http.ResponseWriter, r *http.Request, who *session.Session, k *client) (*introducePage, error) {
	account, err := s.Desk.Hint(custody.Ref(who.Person))
	if err != nil {
		return nil, err
	}
	sub, err := s.subjectOf(who.Person, k.Party)
	if codeOf(err) == custody.CodePersonLeaving {
		err = errLeaving
	}
	return &introducePage{frame: s.frame(w, r), To: k.Name, Account: account, Number: accountNumber(s.Member, sub)}, err
}

// vouched is what another member is told of how and when somebody has shown who they
// are. What was shown long ago says nothing of who sits there now; and the time is that
// of the strongest of the rest, which a code that came later makes no younger.
func vouched(who *session.Session, now time.Time) (unixSeconds int64, amr []string) {
	recent := session.Session{Methods: slices.DeleteFunc(slices.Clone(who.Methods), func(p session.Proof) bool { return now.Sub(p.At) > session.Recent })}
	amr, at := methods(&recent), who.Last()
	by := func(is func(session.Method) bool) bool {
		few := session.Session{Methods: slices.DeleteFunc(slices.Clone(recent.Methods), func(p session.Proof) bool { return !is(p.Method) })}
		if len(few.Methods) > 0 {
			at = few.Last()
		}
		return len(few.Methods) > 0
	}
	link := by(func(m session.Method) bool { return m == session.Link })
	by(session.Method.Strong)
	if link {
		amr = append(amr, amrLink)
	}
	return at.Unix(), amr
}

// amrLink says among members that a one-time link was shown, which RFC 8176 has no name
// for: it is more than a code that whoever reads a person's messages has, too.
const amrLink = "akashi_link"

// strengthElsewhere is what counts here of what another member says of how somebody has
// just shown who they are (RFC 8176).
func strengthElsewhere(amr []string) session.Method {
	switch {
	case slices.Contains(amr, "hwk") || slices.Contains(amr, "fed"):
		return session.Upstream
	case slices.Contains(amr, amrLink):
		return session.Link
	}
	return session.Code
}

// lookupMember is the kind of the lookups by which a person's account at another
// member is found: MEMBER/SUB.
const lookupMember = "member"
