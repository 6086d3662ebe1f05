package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// consentWait is how long a page waits for records to become final.
const consentWait = 8 * time.Second

// pushed refuses a pushed request that could never be granted, before a person
// sees anything of it.
func (s *Server) pushed(ctx context.Context, as *goidc.AuthnSession, c *goidc.Client) error {
	_, err := prompted(as)
	if err == nil {
		_, err = s.asked(ctx, as, c)
	}
	return err
}

// An ask is what an app asks a person for, held against terms and register.
type ask struct {
	detail
	client *client
	shown  *custody.Shown
	scopes []int          // of the terms, in their order
	since  *custody.Shown // other terms that the person decided on before; nil: none
}

// asked reads the one authorization detail of a request and holds it against the
// client, the terms in force and who may receive.
func (s *Server) asked(ctx context.Context, as *goidc.AuthnSession, c *goidc.Client) (*ask, error) {
	if len(as.AuthDetails) != 1 {
		return nil, badDetail("exactly one authorization detail is needed")
	}
	d, err := parseDetail(as.AuthDetails[0], false)
	if err != nil {
		return nil, err
	}
	k, err := s.storage.client(c.ID)
	if err != nil {
		return nil, err
	}
	if k.Service != d.Service {
		return nil, badDetail("the client was not registered for this service")
	}
	shown, err := s.Desk.Screen(ctx, d.Service, d.Version)
	if code := codeOf(err); oneOf(code, record.CodeTermsNotEffective, record.CodeServiceUnknown, record.CodeTermsUnknown, record.CodeTermsSuperseded) {
		return nil, badDetail("%s", string(code))
	}
	if err != nil {
		return nil, err
	}
	a := &ask{detail: *d, client: k, shown: shown}
	a.Version, a.Terms = shown.Version, hex.EncodeToString(shown.Hash[:])
	to, err := load[rules.Party](s.State(), rules.KeyParty(k.Party), k.Party)
	if err != nil {
		return nil, err
	}
	for i, sc := range shown.Screen.Scopes {
		if len(d.Purposes) > 0 && !slices.Contains(d.Purposes, sc.Purpose) {
			continue
		}
		if to == nil || !shown.Lists(i, to) {
			if len(d.Purposes) == 0 {
				continue
			}
			return nil, badDetail("%s", string(record.CodeRecipientNotListed))
		}
		a.scopes = append(a.scopes, i)
	}
	if len(a.scopes) == 0 || len(d.Purposes) > 0 && len(a.scopes) != len(d.Purposes) {
		return nil, badDetail("%s", string(record.CodePurposeNotOnScreen))
	}
	a.Purposes = nil
	for _, i := range a.scopes {
		a.Purposes = append(a.Purposes, shown.Screen.Scopes[i].Purpose)
	}
	if slices.ContainsFunc(d.Required, func(p string) bool { return !slices.Contains(a.Purposes, p) }) {
		return nil, badDetail("required")
	}
	if len(a.Purposes) == 1 {
		a.Required = a.Purposes
	}
	return a, nil
}

// decide is the policy of every authorization: it signs the person in, shows the
// screen, and takes the answer.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, c *goidc.Client) (goidc.Status, error) {
	if _, err := prompted(as); err != nil {
		return goidc.StatusFailure, err
	}
	if ofMember(c.ID) {
		k, err := s.storage.client(c.ID)
		if err != nil {
			return goidc.StatusFailure, err
		}
		return s.introduce(w, r, as, k)
	}
	a, err := s.asked(r.Context(), as, c)
	if err != nil {
		return goidc.StatusFailure, err
	}
	who, token, status, err := s.present(w, r, as)
	if who == nil {
		return status, err
	}
	if err := s.hinted(as, a.client, who); err != nil {
		return goidc.StatusFailure, err
	}
	stands, err := s.Desk.ScopesNow(r.Context(), custody.Ref(who.Person), a.Service)
	if err == nil {
		err = s.compare(r.Context(), as, a, who.Person, stands)
	}
	if err != nil {
		return s.cannot(w, r, err)
	}
	if s.settled(as, a, stands) {
		return s.grantTo(as, a, who, stands)
	}
	if wants(as, goidc.PromptTypeNone) {
		return goidc.StatusFailure, goidc.NewError("consent_required", "the person has to decide")
	}
	if r.Method == http.MethodPost && r.PathValue("callback") != "" {
		return s.answer(w, r, as, a, &visit{who, token})
	}
	s.showScreen(w, r, as, a, &visit{who, token}, stands, said{status: http.StatusOK})
	return goidc.StatusPending, nil
}

// A visit is who looks at a screen, by which cookie.
type visit struct {
	*session.Session
	token string
}

// said is what a screen says of an answer that could not be taken.
type said struct {
	status  int
	problem string      // key of a text, "" for none
	code    record.Code // for the help desk, "" for none
}

// present returns whose session it is, and its token. Without one that suffices it
// leads to the sign-in, and who is nil.
func (s *Server) present(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession) (who *session.Session, token string, status goidc.Status, err error) {
	token = s.cookies.Read(r, session.CookieSession)
	who, err = s.Sessions.Lookup(token)
	switch {
	case err != nil && !errors.Is(err, session.ErrUnknown):
		return nil, "", goidc.StatusFailure, err
	case err == nil && !mustShowAgain(as, who):
		return who, token, goidc.StatusPending, nil
	case wants(as, goidc.PromptTypeNone):
		return nil, "", goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeLoginRequired, "the person has to sign in")
	}
	http.Redirect(w, r, "/signin?next="+url.QueryEscape(pathAuthorize+"/"+as.ID), http.StatusSeeOther)
	return nil, "", goidc.StatusPending, nil
}

// mustShowAgain reports whether the request wants a newer sign-in.
func mustShowAgain(as *goidc.AuthnSession, who *session.Session) bool {
	last := who.Last()
	if (wants(as, goidc.PromptTypeLogin) || wants(as, goidc.PromptTypeSelectAccount)) && last.Unix() < int64(as.CreatedAt) {
		return true
	}
	return as.MaxAuthnAgeSecs != nil && int64(as.CreatedAt)-last.Unix() > int64(*as.MaxAuthnAgeSecs)
}

// settled reports whether everything that is asked for is consented to already,
// under these terms: then nobody is asked twice.
func (s *Server) settled(as *goidc.AuthnSession, a *ask, stands []custody.ScopeNow) bool {
	if wants(as, goidc.PromptTypeConsent) {
		return false
	}
	for _, p := range a.Purposes {
		if !slices.ContainsFunc(stands, func(sc custody.ScopeNow) bool { return sc.On && sc.Purpose == p && sc.Version == a.Version }) {
			return false
		}
	}
	return true
}

// grantTo ends an authorization: what is granted is what stands now.
func (s *Server) grantTo(as *goidc.AuthnSession, a *ask, who *session.Session, stands []custody.ScopeNow) (goidc.Status, error) {
	g := a.detail
	g.Purposes, g.Items, g.Required = nil, nil, nil
	handle := ""
	for _, sc := range stands {
		if sc.On && slices.Contains(a.Purposes, sc.Purpose) && sc.Version == a.Version {
			g.Purposes, g.Items = append(g.Purposes, sc.Purpose), append(g.Items, sc.Items...)
			handle = hex.EncodeToString(sc.Handle[:])
		}
	}
	if len(g.Purposes) == 0 {
		return goidc.StatusFailure, errDead
	}
	g.Purposes, g.Items = set(g.Purposes), set(g.Items)
	as.Subject, as.GrantedAuthDetails = who.Person, []goidc.AuthDetail{g.granted()}
	if slices.Contains(strings.Fields(as.Scopes), goidc.ScopeOpenID.ID) {
		as.GrantedScopes = goidc.ScopeOpenID.ID
	}
	if as.Store == nil {
		as.Store = map[string]any{}
	}
	k, err := s.storage.client(as.ClientID)
	if err != nil {
		return goidc.StatusFailure, err
	}
	sub, err := s.subjectOf(who.Person, k.Party)
	if codeOf(err) == custody.CodePersonLeaving {
		err = errLeaving
	}
	if err != nil {
		return goidc.StatusFailure, err
	}
	as.Store[storeService], as.Store[storeHandle], as.Store[storeSubject] = a.Service, handle, sub
	as.Store[storeSince], as.Store[storeMethods] = who.Last().Unix(), methods(who)
	as.Store[storeBy] = who.By()
	return goidc.StatusSuccess, nil
}

// methods are RFC 8176's names of how a person signed in.
func methods(who *session.Session) []string {
	names := map[session.Method]string{session.Link: "otp", session.Code: "otp", session.Paper: "otp", session.Passkey: "hwk", session.Upstream: "fed"}
	var out []string
	for _, p := range who.Methods {
		if n := names[p.Method]; !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// answer takes what a person decided on the screen.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, a *ask, who *visit) (goidc.Status, error) {
	if !session.Posted(w, r, who.token) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return goidc.StatusPending, nil
	}
	lang := s.language(w, r)
	sheet, err := s.sheet(a, lang)
	if err != nil {
		return s.cannot(w, r, err)
	}
	hash := sha256.Sum256(sheet)
	if r.PostForm.Get("screen") != hex.EncodeToString(hash[:]) {
		return s.again(w, r, as, a, who, said{http.StatusConflict, "error.changed", ""})
	}
	if err := s.keepScreen(hash, sheet); err != nil {
		return s.cannot(w, r, err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), consentWait)
	defer cancel()
	call := answerCall(as.ID, who.Person, r.PostForm.Get("act"))
	switch act := r.PostForm.Get("act"); act {
	case "refuse", "later":
		_, err := s.Desk.Decline(ctx, call, custody.DeclineRequest{Person: custody.Ref(who.Person), Service: a.Service, Version: a.Version,
			Screen: hash[:], Later: act == "later"})
		// Said before of other bytes of the screen, in another language or on another
		// day: that record stands, and a refusal needs no second.
		if err != nil && !errors.Is(err, outbox.ErrKeyReused) {
			return s.cannot(w, r, err)
		}
		return goidc.StatusFailure, goidc.NewError(goidc.ErrorCodeAccessDenied, act)
	case "give", "prepare":
	default:
		s.problem(w, r, http.StatusBadRequest, "error.request")
		return goidc.StatusPending, nil
	}
	choice, problem := a.choice(r.PostForm)
	if problem == "" {
		choice.Person, choice.Screen, choice.Button, choice.Language = custody.Ref(who.Person), hash[:], lang.text("consent.give"), string(lang)
	}
	if r.PostForm.Get("act") == "prepare" {
		return s.prepared(w, r, confirmSecret(who.token, as.ID), choice, problem)
	}
	if problem != "" {
		return s.again(w, r, as, a, who, said{http.StatusUnprocessableEntity, problem, ""})
	}
	call.Key += "/" + a.fingerprint(choice)
	return s.give(ctx, w, r, as, a, who, call, choice)
}

// answerCall has one key for each answer of a person in one authorization: however often
// it is posted it happens once.
func answerCall(authorization, person, act string) custody.Call {
	return custody.Call{Client: "consent:screen", Key: hex.EncodeToString(hashed("a", authorization+"\x00"+person)[len(root)+2:][:32]) + "/" + act}
}

// give brings a choice into the ledger, confirmed by a passkey where the form has its
// answer.
func (s *Server) give(ctx context.Context, w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, a *ask, who *visit, call custody.Call, choice *custody.ConsentRequest) (goidc.Status, error) {
	var err error
	if answer := r.PostForm.Get("credential"); answer != "" {
		choice.Passkey, err = s.endConfirming(confirmSecret(who.token, as.ID), who.Person, []byte(answer))
	}
	var done *custody.Done
	if err == nil {
		done, err = s.Desk.Consent(ctx, call, *choice)
	}
	if err == nil && !done.Final {
		err = errNotYet
	}
	switch code := passkeyCode(err); {
	case code != "":
		return s.again(w, r, as, a, who, said{http.StatusUnprocessableEntity, "error.passkey", code})
	case codeOf(err) == record.CodeSensitive:
		return s.again(w, r, as, a, who, said{http.StatusUnprocessableEntity, "error.sensitive", ""})
	case err != nil:
		return s.cannot(w, r, err)
	}
	for _, rec := range done.Records {
		if rec.Code != "" {
			return s.cannot(w, r, record.Refuse(rec.Code, ""))
		}
	}
	stands, err := s.Desk.ScopesNow(r.Context(), custody.Ref(who.Person), a.Service)
	if err != nil {
		return s.cannot(w, r, err)
	}
	a.Purposes = choice.Purposes
	return s.grantTo(as, a, who.Session, stands)
}

var errNotYet = errors.New("not final yet")

// choice reads which purposes and items were ticked. Required ones follow from the
// screen, not from the form.
func (a *ask) choice(form url.Values) (*custody.ConsentRequest, string) {
	r := &custody.ConsentRequest{Service: a.Service, Version: a.Version, Chosen: map[string][]string{}, ByChoice: true,
		Foreign: a.shown.Screen.Foreign != "", Sensitive: form.Get("sensitive") == "yes"}
	ticked := form["purpose"]
	if slices.ContainsFunc(ticked, func(p string) bool { return !slices.Contains(a.Purposes, p) }) {
		return nil, "error.request"
	}
	items := map[string]bool{}
	for _, it := range form["item"] {
		items[it] = true
	}
	for _, i := range a.scopes {
		sc := &a.shown.Screen.Scopes[i]
		on := slices.Contains(a.Required, sc.Purpose) || slices.Contains(ticked, sc.Purpose)
		chosen := slices.Clone(sc.Required)
		for _, it := range sc.Optional {
			if name := itemName(sc.Purpose, it); items[name] {
				delete(items, name)
				chosen = append(chosen, it)
			}
		}
		if on {
			r.Purposes, r.Chosen[sc.Purpose] = append(r.Purposes, sc.Purpose), chosen
		}
	}
	switch {
	case len(items) > 0:
		return nil, "error.request"
	case len(r.Purposes) == 0:
		return nil, "error.nopurpose"
	}
	return r, ""
}

func itemName(purpose, item string) string { return purpose + "/" + item }

// fingerprint tells choices of one authorization apart, also those that differ in the
// tick for sensitive data alone, but not the language or day of the screen on which one
// was made.
func (a *ask) fingerprint(r *custody.ConsentRequest) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%t\n", r.Version, r.Sensitive)
	for _, p := range r.Purposes {
		h.Write([]byte(p + "\n" + strings.Join(r.Chosen[p], ",") + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// again shows the screen once more, with what is to be done.
func (s *Server) again(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, a *ask, who *visit, what said) (goidc.Status, error) {
	stands, err := s.Desk.ScopesNow(r.Context(), custody.Ref(who.Person), a.Service)
	if err != nil {
		return s.cannot(w, r, err)
	}
	s.showScreen(w, r, as, a, who, stands, what)
	return goidc.StatusPending, nil
}

// cannot shows why a decision could not be carried out; the authorization stays
// open, so that the person can try again.
func (s *Server) cannot(w http.ResponseWriter, r *http.Request, err error) (goidc.Status, error) {
	switch code := codeOf(err); {
	case errors.Is(err, errNotYet) || oneOf(code, "outcome.unknown", custody.CodeNotFinal, CodeNotFinal):
		s.problem(w, r, http.StatusServiceUnavailable, "error.notfinal")
	case oneOf(code, "outbox.busy", "outbox.no-leader", "outbox.storage", "outbox.closed", "submission.expired", custody.CodePersonLeaving):
		s.problem(w, r, http.StatusServiceUnavailable, "error.busy")
	case oneOf(code, record.CodeErased, custody.CodePersonUnknown):
		s.problem(w, r, http.StatusGone, "error.erased")
	case code == record.CodeGuardianMissing:
		s.problem(w, r, http.StatusForbidden, "error.guardian")
	case oneOf(code, record.CodeTermsNotEffective, record.CodeTermsSuperseded):
		s.problem(w, r, http.StatusConflict, "error.changed")
	default:
		s.Log.Error("consent screen", "err", err)
		s.problem(w, r, http.StatusInternalServerError, "error.node")
	}
	return goidc.StatusPending, nil
}
