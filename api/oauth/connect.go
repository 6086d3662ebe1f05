package oauth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// connect makes an account elsewhere one by which the person of this session signs in
// here from now on. On both sides more than a code was shown just now: else whoever
// reads a person's messages once, or finds a browser open, could sign in as them for
// ever.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, kind, value string, by *told) {
	who, err := s.Sessions.Lookup(s.cookies.Read(r, session.CookieSession))
	if err != nil {
		s.problem(w, r, http.StatusUnauthorized, "error.session")
		return
	}
	if !who.Fresh(s.Now()) || by.strength == session.Code || s.Now().Sub(by.at) > session.Recent {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	err = s.Desk.AddLookup(r.Context(), custody.Ref(who.Person), kind, value)
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

// connections tells the members that a person is connected with from the others.
func (s *Server) connections(person string) (known, others []Member, err error) {
	values, err := s.Desk.Lookups(custody.Ref(person), lookupMember)
	if codeOf(err) == record.CodeErased || codeOf(err) == custody.CodePersonUnknown {
		return nil, nil, nil // nothing is left to connect
	}
	for _, m := range s.Members() {
		if slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, m.ID+"/") }) {
			known = append(known, m)
		} else {
			others = append(others, m)
		}
	}
	return known, others, err
}
