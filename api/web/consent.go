package web

import (
	"net/http"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// card is one service with what the person said to it.
type card struct {
	Service
	Consents []Consent
	On       bool
}

// home shows the person's consents, or without a session what this is.
func (s *server) home(w http.ResponseWriter, r *http.Request) {
	token, person, err := s.who(r)
	if err != nil {
		s.fail(w, r, "session", err)
		return
	}
	p := s.page(w, r)
	if token == "" {
		p.Title = p.Lang.text("public.title")
		s.show(w, http.StatusOK, "public", p)
		return
	}
	if p.View, err = s.backend.View(r.Context(), person); err != nil {
		s.fail(w, r, "view", err)
		return
	}
	p.session(token)
	p.Title, p.Name = p.Lang.text("me.h1"), p.View.Name
	p.Cards, p.Others = cards(p.Board.Services, p.View.Consents)
	s.show(w, http.StatusOK, "mine", p)
}

// cards groups consents by service. A consent to a service that the board does
// not list is shown under its id: nothing is hidden.
func cards(services []Service, consents []Consent) (mine []card, others []Service) {
	by := map[string][]Consent{}
	for _, c := range consents {
		by[c.Service] = append(by[c.Service], c)
	}
	for _, s := range services {
		if cs := by[s.ID]; cs != nil {
			mine = append(mine, newCard(s, cs))
			delete(by, s.ID)
		} else {
			others = append(others, s)
		}
	}
	rest := make([]string, 0, len(by))
	for id := range by {
		rest = append(rest, id)
	}
	slices.Sort(rest)
	for _, id := range rest {
		mine = append(mine, newCard(Service{ID: id, Name: record.Text{Ja: id}}, by[id]))
	}
	return mine, others
}

// newCard adds the purposes of a service that the person was never asked for.
func newCard(s Service, cs []Consent) card {
	c := card{Service: s, Consents: cs}
	for _, p := range s.Purposes {
		if !slices.ContainsFunc(cs, func(c Consent) bool { return c.Purpose.Code == p.Code }) {
			c.Consents = append(c.Consents, Consent{Service: s.ID, Purpose: p, State: "never"})
		}
	}
	for _, x := range cs {
		c.On = c.On || x.State == "active"
	}
	return c
}

// Used is the newest hand-over of a service, 0 without one.
func (c card) Used() (ms int64) {
	for _, x := range c.Consents {
		ms = max(ms, x.UsedMs)
	}
	return ms
}

// short reports whether what a form sent may be a name or a key of ours.
func short(values ...string) bool {
	n := 0
	for _, v := range values {
		if n += len(v); v == "" {
			return false
		}
	}
	return n <= 256
}

// stop turns one purpose off and shows the consents again.
func (s *server) stop(w http.ResponseWriter, r *http.Request) {
	person, ok := s.sent(w, r)
	if !ok {
		return
	}
	wish := Withdrawal{Service: r.PostFormValue("service"), Purpose: r.PostFormValue("purpose"), Once: r.PostFormValue("once")}
	if !short(wish.Service, wish.Purpose, wish.Once) {
		s.problem(w, r, http.StatusUnprocessableEntity, "error.form")
		return
	}
	final, err := s.backend.Withdraw(r.Context(), person, wish)
	s.changed(w, r, "stopped", final, err)
}

// changed says what became of a change, on the page of the consents.
func (s *server) changed(w http.ResponseWriter, r *http.Request, what string, final bool, err error) {
	if err != nil {
		s.fail(w, r, what, err)
		return
	}
	if !final {
		what = "waiting"
	}
	s.say(w, what)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// start turns one purpose on: again as it was, or as its offer was answered. The language
// and the words of the button are those of the page that was answered, whichever another
// tab has changed to since.
func (s *server) start(w http.ResponseWriter, r *http.Request) {
	person, ok := s.sent(w, r)
	if !ok {
		return
	}
	lang := Language(r.PostForm.Get("lang"))
	g := Grant{Service: r.PostFormValue("service"), Purpose: r.PostFormValue("purpose"), Once: r.PostFormValue("once"),
		Again: r.PostFormValue("again") == "1", Version: r.PostFormValue("version"), Items: r.PostForm["item"],
		Clear: r.PostFormValue("clear") == "1", Language: string(lang)}
	if !known(lang) || !short(g.Service, g.Purpose, g.Once) || !g.Again && !short(g.Version) || len(g.Items) > record.MaxItems || len(g.Items) > 0 && !slices.ContainsFunc(g.Items, func(i string) bool { return short(i) }) {
		s.problem(w, r, http.StatusUnprocessableEntity, "error.form")
		return
	}
	if r.PostFormValue("answer") == "no" {
		s.say(w, "refused")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	button := "offer.give"
	if g.Again {
		button = "sw.off"
	}
	g.Button = lang.text(button)
	final, err := s.backend.Grant(r.Context(), person, g)
	s.changed(w, r, "started", final, err)
}
