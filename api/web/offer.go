package web

import (
	"html/template"
	"net/http"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// offered is an offer as its page shows it: what changed since the person's choice is
// marked.
type offered struct {
	*Offer
	Summary              template.HTML // of what changed, "" for nothing
	Use                  template.HTML // the purpose
	Required, Optional   []markedItem
	Gone                 []template.HTML // items that the purpose had
	Until, Retention, To template.HTML
	Abroad, Stop, Full   template.HTML
}

type markedItem struct {
	Item
	Mark template.HTML // its label
}

// offer shows one purpose in full before it is agreed to.
func (s *server) offer(w http.ResponseWriter, r *http.Request) {
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	service, purpose := r.PathValue("service"), r.PathValue("purpose")
	if !record.ValidID(service) || !record.ValidID(purpose) {
		s.notFound(w, r)
		return
	}
	o, err := s.backend.Offer(r.Context(), person, service, purpose)
	if err != nil {
		s.fail(w, r, "offer", err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.Title, p.Offer, p.At = p.Lang.text("offer.title"), p.marked(o), "/"
	s.show(w, http.StatusOK, "offer", p)
}

// marked writes an offer in comparison with what it was; where nothing is compared,
// with itself.
func (p *page) marked(o *Offer) *offered {
	was, c := o, Changes{}
	if o.Was != nil {
		was, c.Since = o.Was, o.Was.Version
	}
	v := &offered{Offer: o, Use: p.Lang.of(o.Purpose.Label)}
	terms := was // what the terms as a whole say
	if was.Purpose.Code == "" {
		v.Use, was = p.Lang.Added(v.Use), o
		c.Note("purposes", true)
	}
	v.items(p.Lang, was, &c)
	replaced := func(part string, of func(*Offer) template.HTML, was *Offer) template.HTML {
		c.Note(part, of(was) != of(o))
		return p.Lang.Replaced(of(was), of(o))
	}
	rewritten := func(part string, was, now record.Text) template.HTML {
		c.Note(part, was != now)
		return p.Lang.Rewritten(was, now)
	}
	c.Note("recipients", !slices.Equal(was.Recipients, o.Recipients))
	v.To = p.Lang.List(p.recipients(was), p.recipients(o))
	v.Until = replaced("until", p.last, was)
	v.Retention = replaced("retention", p.retention, terms)
	if o.Foreign+terms.Foreign != "" {
		v.Abroad = replaced("foreign", p.abroad, terms)
	}
	v.Stop = rewritten("withdrawal", terms.Withdrawal, o.Withdrawal)
	v.Full = rewritten("text", terms.Text, o.Text)
	v.Summary = p.Lang.Summary(&c)
	return v
}

// SoFar is what a service did so far, with its page.
func (p *page) SoFar(s Service, past Past) any {
	return struct {
		P       *page
		Service Service
		Past    Past
	}{p, s, past}
}

// items marks each item that is new, or was needed and is a choice or the other way
// round.
func (v *offered) items(l Language, was *Offer, c *Changes) {
	needed, choice := codes(was.Required), codes(was.Optional)
	c.Note("items", !slices.Equal(needed, codes(v.Offer.Required)) || !slices.Equal(choice, codes(v.Offer.Optional)))
	for _, i := range v.Offer.Required {
		v.Required = append(v.Required, markedItem{i, l.Item(l.of(i.Label), i.Code, true, needed, choice)})
	}
	for _, i := range v.Offer.Optional {
		v.Optional = append(v.Optional, markedItem{i, l.Item(l.of(i.Label), i.Code, false, needed, choice)})
	}
	now := slices.Concat(codes(v.Offer.Required), codes(v.Offer.Optional))
	for _, i := range slices.Concat(was.Required, was.Optional) {
		if !slices.Contains(now, i.Code) {
			v.Gone = append(v.Gone, l.Gone(l.of(i.Label)))
		}
	}
}

func codes(items []Item) (out []string) {
	for _, i := range items {
		out = append(out, i.Code)
	}
	return out
}

// recipients are compared by name: an offer has no more of them.
func (p *page) recipients(o *Offer) (out []Listed) {
	for _, t := range o.Recipients {
		out = append(out, Listed{t.Ja, p.Lang.of(t)})
	}
	if out == nil {
		return []Listed{{"", p.Lang.rich("offer.nobody")}}
	}
	return out
}

func (p *page) last(o *Offer) template.HTML {
	if o.Until == "" {
		return p.Lang.rich("until.none")
	}
	return p.Lang.rich("until", "day", p.Lang.until(o.Until))
}

func (p *page) retention(o *Offer) template.HTML {
	if span := p.Period(o.Retention); span != "" {
		return p.Lang.rich("offer.retention.p", "span", span)
	}
	return p.Lang.rich("offer.retention.stop")
}

func (p *page) abroad(o *Offer) template.HTML {
	if o.Foreign == "" {
		return p.Lang.rich("offer.home")
	}
	return "<b>" + p.Lang.rich("offer.foreign") + "</b>"
}

// Sensitive reports whether an offer asks for sensitive items that are needed.
func (o *Offer) Sensitive() bool {
	return slices.ContainsFunc(slices.Concat(o.Required, o.Optional), func(i Item) bool { return i.Sensitive })
}
