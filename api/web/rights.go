package web

import (
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// asked is the page of requests.
type asked struct {
	Requests []Request
	Services []Service
	Kinds    []string
}

// rights are the kinds of requests, in their order.
var rights = []string{"disclosure", "records", "correction", "stop-use", "stop-provision"}

// stopKinds are what can be stopped by itself.
var stopKinds = []string{"marketing", "group", "mail"}

// maxNote bounds what a person writes, in bytes.
const maxNote = 2000

func (s *server) requests(w http.ResponseWriter, r *http.Request) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	list, services, err := s.backend.Requests(r.Context(), person)
	if err != nil {
		s.fail(w, r, "requests", err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.Title, p.Asked = p.Lang.text("req.h"), &asked{list, services, rights}
	s.show(w, http.StatusOK, "requests", p)
}

// file takes a request in.
func (s *server) file(w http.ResponseWriter, r *http.Request) {
	person, ok := s.sent(w, r)
	if !ok {
		return
	}
	n := NewRequest{Kind: r.PostFormValue("kind"), Service: r.PostFormValue("service"), Note: r.PostFormValue("note"), Once: r.PostFormValue("once")}
	if !slices.Contains(rights, n.Kind) || !record.ValidID(n.Service) || !short(n.Once) || len(n.Note) > maxNote || !utf8.ValidString(n.Note) {
		s.problem(w, r, http.StatusUnprocessableEntity, "error.request")
		return
	}
	if err := s.backend.FileRequest(r.Context(), person, n); err != nil {
		s.fail(w, r, "request", err)
		return
	}
	s.say(w, "filed")
	http.Redirect(w, r, "/requests", http.StatusSeeOther)
}

// signal reports whether the browser says that data must not be sold or shared
// (Global Privacy Control).
func signal(r *http.Request) bool { return r.Header.Get("Sec-GPC") == "1" }

func (s *server) stops(w http.ResponseWriter, r *http.Request) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	list, err := s.backend.Stops(r.Context(), person, signal(r))
	if err != nil {
		s.fail(w, r, "stops", err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.Title, p.Stops, p.Signal = p.Lang.text("stop.h"), list, signal(r)
	s.show(w, http.StatusOK, "stops", p)
}

func (s *server) setStop(w http.ResponseWriter, r *http.Request) {
	person, ok := s.sent(w, r)
	if !ok {
		return
	}
	kind, state := r.PostFormValue("kind"), r.PostFormValue("state")
	if !slices.Contains(stopKinds, kind) || state != "stopped" && state != "on" {
		s.problem(w, r, http.StatusUnprocessableEntity, "error.form")
		return
	}
	if err := s.backend.SetStop(r.Context(), person, kind, state == "stopped"); err != nil {
		s.fail(w, r, "stop", err)
		return
	}
	s.say(w, "set")
	http.Redirect(w, r, "/stops", http.StatusSeeOther)
}

// gpc says that the signal is heeded, in the form of the signal's specification.
func (s *server) gpc(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`{"gpc": true, "lastUpdate": "2026-11-22"}` + "\n"))
}
