package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/akashi-ledger/akashi/api/session"
)

// signInPage is what the templates of signing in get.
type signInPage struct {
	frame
	Form, Problem   string
	Codes, Passkeys bool
	Upstream        string   // name of the identity provider, "" for none
	Members         []Member // that may be asked
}

// next is where a sign-in leads to: a path of this host, never another's.
func next(text string) string {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || u.Host != "" || u.Scheme != "" ||
		strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) || len(text) > 512 {
		return "/"
	}
	return text
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	s.showSignIn(w, r, http.StatusOK, next(r.URL.Query().Get("next")), "")
}

func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request, status int, to, problem string) {
	p := signInPage{frame: s.frame(w, r), Form: session.FormToken(s.cookies.Browser(w, r)), Problem: problem, Codes: s.Sender != nil, Passkeys: s.party != nil}
	p.Next = to
	if s.idp != nil {
		p.Upstream = s.idp.Name
	}
	p.Members = s.Members()
	w.Header().Set("Content-Security-Policy", policy(s.upstreamOrigins(r.Context())))
	p.Title = p.text("signin.title")
	s.show(w, status, "signin", p)
}

// sendCode sends a code where the address is known, and says the same in either
// case.
func (s *Server) sendCode(w http.ResponseWriter, r *http.Request) {
	if !session.Posted(w, r, s.cookies.Read(r, session.CookieSignIn)) || s.Sender == nil {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	to := next(r.PostForm.Get("next"))
	kind, address := addressOf(r.PostForm.Get("address"))
	if kind == "" { // nobody's, and counted with no other: it says nothing of who is known
		s.showSignIn(w, r, http.StatusUnprocessableEntity, to, "error.address")
		return
	}
	ref, found, err := s.Desk.Find(r.Context(), kind, address)
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	person := ""
	if found {
		person = string(ref)
	}
	secret, code, err := s.Sessions.NewCode(person, kind, address)
	if errors.Is(err, session.ErrTooMany) {
		s.showSignIn(w, r, http.StatusTooManyRequests, to, "error.toomany")
		return
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	if person != "" {
		m := session.Message{Kind: kind, To: address, Code: code, Language: string(s.language(w, r)), Member: s.Member, Minutes: int(session.CodeLife / time.Minute)}
		s.wg.Go(func() { // not waited for: how long it takes would tell whether the address is known
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			if err := s.Sender.Send(ctx, m); err != nil {
				s.Log.Warn("a one-time code was not sent", "err", err)
			}
		})
	}
	s.cookies.Set(w, session.CookieSignIn, secret, session.CodeLife)
	http.Redirect(w, r, "/signin/code?next="+url.QueryEscape(to), http.StatusSeeOther)
}

// addressOf tells an e-mail address from a phone number, and writes it as lookups
// have it: without blanks, a phone number without hyphens too.
func addressOf(text string) (kind, address string) {
	text = strings.TrimSpace(text)
	if a, err := mail.ParseAddress(text); err == nil && a.Address == text && len(text) <= 254 {
		return "email", text
	}
	digits := strings.Map(func(r rune) rune {
		switch {
		case r >= '０' && r <= '９':
			return '0' + r - '０'
		case r == '-' || r == ' ' || r == '−' || r == '－' || r == 'ー' || r == '　':
			return -1
		}
		return r
	}, text)
	if len(digits) < 8 || len(digits) > 16 || strings.Trim(strings.TrimPrefix(digits, "+"), "0123456789") != "" {
		return "", ""
	}
	return "phone", digits
}

func (s *Server) askCode(w http.ResponseWriter, r *http.Request) {
	s.showCode(w, r, http.StatusOK, next(r.URL.Query().Get("next")), "")
}

func (s *Server) showCode(w http.ResponseWriter, r *http.Request, status int, to, problem string) {
	p := signInPage{frame: s.frame(w, r), Form: session.FormToken(s.cookies.Browser(w, r)), Problem: problem}
	p.Next = to
	p.Title = p.text("code.title")
	s.show(w, status, "code", p)
}

func (s *Server) takeCode(w http.ResponseWriter, r *http.Request) {
	secret := s.cookies.Read(r, session.CookieSignIn)
	if !session.Posted(w, r, secret) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	to := next(r.PostForm.Get("next"))
	person, err := s.Sessions.Redeem(secret, strings.TrimSpace(r.PostForm.Get("code")))
	if errors.Is(err, session.ErrCode) {
		s.showCode(w, r, http.StatusUnprocessableEntity, to, "error.code")
		return
	}
	if err == nil {
		err = s.begin(w, r, person, session.Code)
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// begin starts the session of a person who has shown who they are; for the person
// of a session that there is it is a further proof.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, person string, m session.Method) error {
	return s.beginBy(w, r, person, session.Proof{Method: m, At: s.Now()})
}

// beginBy is begin by a proof that was given elsewhere, when it says.
func (s *Server) beginBy(w http.ResponseWriter, r *http.Request, person string, p session.Proof) error {
	token := s.cookies.Read(r, session.CookieSession)
	if v, err := s.Sessions.Lookup(token); err == nil && v.Person == person {
		token, _, err = s.Sessions.AddBy(token, p)
		if err != nil {
			return err
		}
	} else {
		if err := s.Sessions.End(token); err != nil { // another person's: this browser leaves it
			return err
		}
		if token, _, err = s.Sessions.StartBy(person, p, r.UserAgent()); err != nil {
			return err
		}
	}
	s.cookies.Set(w, session.CookieSession, token, session.MaxLife)
	s.cookies.Set(w, session.CookieSignIn, "", 0)
	return nil
}

// sessionsPage is what the template sessions.html gets.
type sessionsPage struct {
	frame
	Problem  string
	Form     string
	Mine     string
	Sessions []session.Session
	Passkeys bool
	Keys     []shownPasskey
	Apps     []shownAccess
	Members  []Member // to connect with
	Known    []connection
	MayUndo  bool      // more than a code or a paper was shown: ways in may be taken away
	Paper    time.Time // when the paper was made that counts, zero for none
	MayPrint bool      // more than a code or a paper was shown just now
	Upstream bool      // there is an identity provider
}

// Confirmable reports whether signing in once more can show more than a code does: where
// not, only the member's desk can.
func (p sessionsPage) Confirmable() bool {
	return p.Upstream || len(p.Known) > 0 || slices.ContainsFunc(p.Keys, func(k shownPasskey) bool { return !k.Waits })
}

// Confirm is where a person shows once more who they are, and from where they come back.
func (p sessionsPage) Confirm() string { return pathConfirm }

// pathConfirm is the sign-in that leads back to the list of a person's ways in.
const pathConfirm = "/signin?next=/signin/sessions"

// Device names a browser and its system in a few words, "" where neither is known:
// the whole of what a browser says of itself tells a person nothing.
func (p sessionsPage) Device(agent string) string {
	first := func(marks ...string) string {
		for i := 0; i < len(marks); i += 2 {
			if strings.Contains(agent, marks[i]) {
				return marks[i+1]
			}
		}
		return ""
	}
	// The order counts: browsers claim to be older ones too.
	browser := first("Edg", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "FxiOS/", "Firefox", "SamsungBrowser/", "Samsung Internet", "CriOS/", "Chrome", "Chrome/", "Chrome", "Safari/", "Safari")
	system := first("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "Mac OS X", "Mac", "CrOS", "ChromeOS", "Linux", "Linux")
	return strings.Trim(browser+" · "+system, " ·")
}

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) {
	token := s.cookies.Read(r, session.CookieSession)
	f := s.frame(w, r) // a language that the address has is kept on the way to the sign-in
	mine, err := s.Sessions.Lookup(token)
	if errors.Is(err, session.ErrUnknown) {
		http.Redirect(w, r, pathConfirm, http.StatusSeeOther)
		return
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	p := sessionsPage{frame: f, Form: session.FormToken(token), Mine: mine.ID, MayPrint: mine.Fresh(s.Now()), MayUndo: mine.BeyondCode()}
	p.Passkeys, p.Upstream = s.party != nil, s.idp != nil
	if p.Sessions, err = s.Sessions.List(mine.Person); err == nil {
		p.Keys, err = s.shownPasskeys(mine.Person)
	}
	if err == nil {
		p.Apps, err = s.shownAccesses(r.Context(), mine.Person)
	}
	if err == nil {
		p.Known, p.Members, err = s.connections(mine.Person)
	}
	if err == nil {
		p.Paper, err = s.Sessions.PaperMade(mine.Person)
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", policy(s.upstreamOrigins(r.Context())))
	p.Title = p.text("sessions.title")
	s.show(w, http.StatusOK, "sessions", p)
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) {
	mine, ok := s.posted(w, r)
	if !ok {
		return
	}
	id := r.PostForm.Get("id")
	if id == "" {
		s.problem(w, r, http.StatusBadRequest, "error.form")
		return
	}
	if id == "all" {
		id = ""
	}
	if _, err := s.Sessions.Revoke(mine.Person, id); err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}
