package web

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// ending is the page on which a service is ended.
type ending struct {
	*Ending
	Strong bool
	SignIn string // where to show more, "": nowhere
}

// ending shows what ending a service means, with both choices.
func (s *server) ending(w http.ResponseWriter, r *http.Request) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	service := r.PathValue("service")
	if !record.ValidID(service) {
		s.notFound(w, r)
		return
	}
	e, err := s.backend.Ending(r.Context(), person, service)
	if err != nil {
		s.fail(w, r, "ending", err)
		return
	}
	strong, err := s.backend.Strong(r.Context(), token)
	if err != nil {
		s.fail(w, r, "ending", err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.Title, p.At, p.Ending = p.Lang.text("end.title"), "/", &ending{Ending: e, Strong: strong}
	if s.SignIn != "" {
		p.Ending.SignIn = s.SignIn + "?" + url.Values{"next": {r.URL.Path}}.Encode()
	}
	s.show(w, http.StatusOK, "ending", p)
}

// end ends a service. Erasing cannot be undone: a link or code alone is not
// enough for it.
func (s *server) end(w http.ResponseWriter, r *http.Request) {
	token, ok := s.posted(w, r)
	if !ok {
		return
	}
	person, err := s.backend.Person(r.Context(), token)
	if err != nil {
		s.fail(w, r, "end", err)
		return
	}
	service, once, erase := r.PathValue("service"), r.PostFormValue("once"), r.PostFormValue("what") == "erase"
	if !record.ValidID(service) || !short(once) || !erase && r.PostFormValue("what") != "stop" {
		s.problem(w, r, http.StatusUnprocessableEntity, "error.choose")
		return
	}
	if erase {
		strong, err := s.backend.Strong(r.Context(), token)
		if err != nil {
			s.fail(w, r, "end", err)
			return
		}
		if !strong {
			s.problem(w, r, http.StatusForbidden, "error.weak")
			return
		}
	}
	id, final, err := s.backend.End(r.Context(), person, service, erase, once)
	if err != nil || !erase {
		s.changed(w, r, "stopped", final, err)
		return
	}
	http.Redirect(w, r, "/erasures/"+id, http.StatusSeeOther)
}

// erasure shows how far an erasure has come, to whoever knows its number, or sends
// its certificate.
func (s *server) erasure(w http.ResponseWriter, r *http.Request) {
	id, download := strings.CutSuffix(r.PathValue("id"), receiptSuffix)
	if b, err := hex.DecodeString(id); err != nil || len(b) != 16 || hex.EncodeToString(b) != id {
		s.notFound(w, r)
		return
	}
	b, err := s.backend.Certificate(r.Context(), id)
	if err != nil {
		s.fail(w, r, "certificate", err)
		return
	}
	if download {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Disposition", `attachment; filename="erasure-`+id+receiptSuffix+`"`)
		w.Write(b)
		return
	}
	e, err := s.backend.Erasure(r.Context(), id)
	if err != nil {
		s.fail(w, r, "erasure", err)
		return
	}
	p := s.page(w, r)
	if token, _, err := s.who(r); err == nil && token != "" {
		p.session(token)
	}
	if p.Receipt, err = readSlip(b, p.Lang); err != nil {
		s.fail(w, r, "certificate", err)
		return
	}
	p.Title, p.Erasure, p.Script, p.Kind = p.Lang.text("er.h"), e, "page", formErasure
	s.show(w, http.StatusOK, "erasure", p)
}

// All is how many holders an erasure asks.
func (e *Erasure) All() int { return len(e.Done) + len(e.Pending) + len(e.Lost) }
