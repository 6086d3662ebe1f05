package oauth

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/node/custody"
)

// A printed QR code brings a person back who lost their telephone (session.Store has
// how it counts). Reading the code only opens a page: whatever opens addresses of its
// own accord, such as a mail filter, uses nothing up.

const pathRecover = "/signin/recover"

// paperPage is what the template paper.html gets: the one time that the secret is
// shown.
type paperPage struct {
	frame
	QR     template.HTML
	Secret string // in groups, for typing
	Where  string // address to type it at

	Problem string // the frame asks: none
}

// recoverPage is what the template recover.html gets.
type recoverPage struct {
	frame
	Form, Problem, Secret string
}

func (s *Server) makePaper(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	was, err := strconv.ParseInt(r.PostForm.Get("replaces"), 10, 64)
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "error.form")
		return
	}
	secret, err := s.Sessions.NewPaper(who.Session, time.UnixMilli(was))
	if errors.Is(err, session.ErrReplaced) { // loaded again: what was printed counts on
		http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
		return
	}
	if errors.Is(err, session.ErrWeak) {
		s.problem(w, r, http.StatusForbidden, "error.weakpaper")
		return
	}
	p := paperPage{frame: s.frame(w, r), Where: s.Issuer + pathRecover}
	if err == nil {
		p.QR, err = web.QR(s.Issuer + pathRecover + "?" + url.Values{"paper": {secret}}.Encode())
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	p.Secret, p.Title, p.Path = grouped(secret), p.text("paper.title"), "/signin/sessions"
	s.show(w, http.StatusOK, "paper", p)
}

func (s *Server) endPaper(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	if !who.BeyondCode() { // whoever reads one message takes no way back away
		s.problem(w, r, http.StatusForbidden, "error.weak")
		return
	}
	if err := s.Sessions.EndPaper(who.Person); err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}

// recover shows the page to which the code leads. The secret is in its form, and
// nothing is used before that is sent.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	s.showRecover(w, r, http.StatusOK, r.URL.Query().Get("paper"), "")
}

func (s *Server) showRecover(w http.ResponseWriter, r *http.Request, status int, secret, problem string) {
	p := recoverPage{frame: s.frame(w, r), Form: session.FormToken(s.cookies.Browser(w, r)), Problem: problem}
	if len(secret) <= 64 {
		p.Secret = secret
	}
	p.Title = p.text("recover.title")
	s.show(w, status, "recover", p)
}

func (s *Server) usePaper(w http.ResponseWriter, r *http.Request) {
	browser := s.cookies.Read(r, session.CookieSignIn)
	if !session.Posted(w, r, browser) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	secret := strings.Join(strings.Fields(r.PostForm.Get("paper")), "")
	token, _, err := s.Sessions.UsePaper(secret, browser, r.UserAgent(), func(person string) (bool, error) { return s.Desk.Known(custody.Ref(person)) })
	if errors.Is(err, session.ErrPaper) {
		s.showRecover(w, r, http.StatusUnprocessableEntity, "", "error.paper")
		return
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	if err := s.Sessions.End(s.cookies.Read(r, session.CookieSession)); err != nil { // another person's: this browser leaves it
		s.Log.Error("a session that was left lives on until it is unused", "err", err)
	}
	s.cookies.Set(w, session.CookieSession, token, session.MaxLife)
	s.cookies.Set(w, session.CookieSignIn, "", 0)
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}

// grouped puts a blank after every fourth character.
func grouped(secret string) string {
	var b strings.Builder
	for i, c := range secret {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// In keeps what was read from the paper when the language changes.
func (p recoverPage) In(l string) string {
	q := url.Values{"lang": {l}}
	if p.Secret != "" {
		q.Set("paper", p.Secret)
	}
	return pathRecover + "?" + q.Encode()
}
