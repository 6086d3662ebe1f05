package web

import (
	"html/template"
	"net/http"
)

// The kinds of files that assets/verify.js knows.
const (
	formReceipt  = "receipt"
	formComplete = "completeness"
	formErasure  = "erasure"
)

// steps are the steps of verifying a kind of file, in the order of
// assets/verify.js, complete.js, evidence.js and slip.js.
var steps = map[string][]string{
	formReceipt:  {"form", "place", "signed", "state", "keys"},
	formComplete: {"form", "place", "signed", "handles", "keys"},
	"handle":     {"form", "place", "signed", "handle", "keys"},
	formErasure:  {"form", "place", "signed", "erased", "keys"},
	"evidence":   {"form", "conflict", "named", "keys"},
	"slip":       {"form", "place", "signed", "keys"},
}

// Forms are the kinds of files whose steps a page can show.
func (p *page) Forms() []string {
	return []string{formReceipt, "handle", formComplete, formErasure, "evidence", "slip"}
}

// Steps are the names of the steps of one kind of file.
func (p *page) Steps(form string) []Step {
	var out []Step
	for _, name := range steps[form] {
		key := "step." + name
		if own := "step." + form + "." + name; p.Has(own + ".h") {
			key = own
		}
		out = append(out, Step{name, p.T(key + ".h"), p.T(key + ".p")})
	}
	return out
}

// Step is one step of verifying, before it was done.
type Step struct {
	Name        string
	Title, Text template.HTML
}

// all shows a person's completeness proof, or sends it as a file.
func (s *server) all(w http.ResponseWriter, r *http.Request) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	b, err := s.backend.Complete(r.Context(), person)
	if err != nil {
		s.fail(w, r, "completeness", err)
		return
	}
	if r.URL.Path == "/all"+receiptSuffix {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Disposition", `attachment; filename="completeness`+receiptSuffix+`"`)
		w.Write(b)
		return
	}
	p := s.page(w, r)
	p.session(token)
	if p.Receipt, err = readSlip(b, p.Lang); err != nil {
		s.fail(w, r, "completeness", err)
		return
	}
	p.Title, p.Script, p.Kind = p.Lang.text("all.h1"), "page", formComplete
	s.show(w, http.StatusOK, "all", p)
}
