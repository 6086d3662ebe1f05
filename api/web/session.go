package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
)

// Cookies of the pages beside the session's.
const (
	cookieSession = session.CookieSession
	cookieSaid    = "akashi_said" // what the last change came to, shown once
	cookieLang    = "akashi_lang"
)

func (s *server) cookies() session.Cookies { return session.Cookies{Secure: s.Secure} }

func (s *server) cookie(name, value string, life time.Duration) *http.Cookie {
	return s.cookies().New(name, value, life)
}

func (s *server) read(r *http.Request, name string) string { return s.cookies().Read(r, name) }

func (s *server) forget(w http.ResponseWriter) { http.SetCookie(w, s.cookie(cookieSession, "", 0)) }

// who returns the token and the person of a request, "" without a session. Whatever
// page it is, a signal of the browser is heeded once it is known whose it is.
func (s *server) who(r *http.Request) (token, person string, err error) {
	if token = s.read(r, cookieSession); token == "" {
		return "", "", nil
	}
	person, err = s.backend.Person(r.Context(), token)
	if err == nil && signal(r) {
		if _, err := s.backend.Stops(r.Context(), person, true); err != nil && !errors.Is(err, ErrErased) {
			s.Log.Warn("page: a browser's signal was not heeded, and will be with its next request", "err", err)
		}
	}
	return token, person, err
}

// mine is who for pages that need a session: without one it shows what to do.
func (s *server) mine(w http.ResponseWriter, r *http.Request) (token, person string, ok bool) {
	token, person, err := s.who(r)
	if err == nil && token == "" {
		err = ErrNoSession
	}
	if err != nil {
		s.fail(w, r, "session", err)
	}
	return token, person, err == nil
}

// sent is posted with the person whose session it is.
func (s *server) sent(w http.ResponseWriter, r *http.Request) (person string, ok bool) {
	token, ok := s.posted(w, r)
	if !ok {
		return "", false
	}
	person, err := s.backend.Person(r.Context(), token)
	if err != nil {
		s.fail(w, r, "session", err)
	}
	return person, err == nil
}

// enter shows whom a one-time link is for, and asks whether to sign in with it. Opening
// it signs nobody in: else whoever has a browser open a link would have what its person
// does next done in an account of the sender's choice (login CSRF), and programs that look
// at the links of a message would use it up. Only where its person is signed in already
// does it count at once.
func (s *server) enter(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("code")
	if r.Method == http.MethodHead || r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") == "prefetch" {
		s.problem(w, r, http.StatusServiceUnavailable, "error.busy") // which a browser that looks ahead drops
		return
	}
	if !linkCode(code) {
		s.problem(w, r, http.StatusUnauthorized, "error.link")
		return
	}
	token, person, err := s.live(r)
	if err != nil {
		s.fail(w, r, "enter", err)
		return
	}
	theirs, err := s.backend.Whose(r.Context(), code)
	switch {
	case errors.Is(err, ErrNoSession):
		s.problem(w, r, http.StatusUnauthorized, "error.link")
	case err != nil:
		s.fail(w, r, "enter", err)
	case token != "" && theirs == person:
		s.redeem(w, r, code)
	default:
		s.askEnter(w, r, token, person, theirs, code)
	}
}

// linkCode reports whether a text may be a one-time link's code.
func linkCode(code string) bool { return code != "" && len(code) <= 200 }

// live is who for pages that need no session: one that has ended is none.
func (s *server) live(r *http.Request) (token, person string, err error) {
	token, person, err = s.who(r)
	if errors.Is(err, ErrNoSession) {
		return "", "", nil
	}
	return token, person, err
}

// askEnter says whom a link is for and, with a session, who is signed in.
func (s *server) askEnter(w http.ResponseWriter, r *http.Request, token, person, theirs, code string) {
	account, err := s.backend.Account(r.Context(), theirs)
	now := ""
	if err == nil && token != "" {
		now, err = s.backend.Account(r.Context(), person)
	}
	if err != nil {
		s.fail(w, r, "enter", err)
		return
	}
	p := s.page(w, r)
	if token == "" {
		p.Title, p.Form = p.Lang.text("enter.title"), session.FormToken(s.cookies().Browser(w, r))
	} else {
		p.session(token)
		p.Title = p.Lang.text("enter.swap")
	}
	p.Account, p.Now, p.Link = account, now, code
	s.show(w, http.StatusOK, "enter", p)
}

// entering is the answer to askEnter. A session that there was ends.
func (s *server) entering(w http.ResponseWriter, r *http.Request) {
	if err := session.ReadForm(w, r, session.MaxForm); err != nil {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	token, _, err := s.live(r)
	if err != nil {
		s.fail(w, r, "enter", err)
		return
	}
	secret := token
	if secret == "" {
		secret = s.read(r, session.CookieSignIn)
	}
	if !session.Posted(w, r, secret) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	if r.PostForm.Get("act") != "enter" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if s.redeem(w, r, r.PostForm.Get("code")) && token != "" {
		if err := s.backend.Leave(r.Context(), token); err != nil { // the browser has left it: it ends by itself
			s.Log.Error("page: leave", "err", err)
		}
	}
}

// redeem uses a link, and reports whether its session has begun.
func (s *server) redeem(w http.ResponseWriter, r *http.Request, code string) bool {
	if !linkCode(code) {
		s.problem(w, r, http.StatusUnauthorized, "error.link")
		return false
	}
	token, err := s.backend.Enter(r.Context(), code, r.UserAgent())
	if errors.Is(err, ErrNoSession) {
		s.problem(w, r, http.StatusUnauthorized, "error.link")
		return false
	}
	if err != nil {
		s.fail(w, r, "enter", err)
		return false
	}
	http.SetCookie(w, s.cookie(cookieSession, token, session.MaxLife))
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return true
}

func (s *server) leave(w http.ResponseWriter, r *http.Request) {
	token, ok := s.posted(w, r)
	if !ok {
		return
	}
	if err := s.backend.Leave(r.Context(), token); err != nil {
		s.fail(w, r, "leave", err)
		return
	}
	s.forget(w)
	s.say(w, "left")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// posted returns the session of a form that a page of ours was sent with.
func (s *server) posted(w http.ResponseWriter, r *http.Request) (token string, ok bool) {
	token = s.read(r, cookieSession)
	if token == "" {
		s.signedOut(w, r)
		return "", false
	}
	if !session.Posted(w, r, token) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return "", false
	}
	return token, true
}

// say leaves a word for the next page. It is a cookie and not part of the
// address, so that nobody can make up a link that says it.
func (s *server) say(w http.ResponseWriter, what string) {
	http.SetCookie(w, s.cookie(cookieSaid, what, time.Minute))
}

// said takes the word, "" where there is none.
func (s *server) said(w http.ResponseWriter, r *http.Request) string {
	what := s.read(r, cookieSaid)
	if what == "" {
		return ""
	}
	http.SetCookie(w, s.cookie(cookieSaid, "", 0))
	switch what {
	case "stopped", "started", "refused", "waiting", "filed", "set", "left":
		return "said." + what
	}
	return ""
}

// once draws an idempotency key for a form.
func once() string { return rand.Text() }
