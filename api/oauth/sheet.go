package oauth

import (
	"bytes"
	"context"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// The sheet is all that consent is given to: who, what, for what, until when, to whom,
// how to stop, and the full text. For who agreed to another version of the terms
// before, it marks what has changed since, in its place. So its bytes follow from the
// app's request, its language, the day, and the two versions of the terms: they are the
// same for everybody who comes from the same version, and who has both can make them
// again.

// sheet is what the template sheet.html gets. What is HTML is marked already.
type sheet struct {
	language
	Service, Provider, App, To record.Text
	Contact                    record.Text
	Version                    string
	Summary                    template.HTML // of what changed, "" for nothing
	Purposes                   []sheetPurpose
	Gone                       []template.HTML // purposes that the terms had
	Sensitive                  []record.Text
	Retention, Foreign         template.HTML
	Withdrawal, Full           template.HTML
}

type sheetPurpose struct {
	Code       string
	Label      template.HTML
	Needed     bool // the app cannot serve without it
	Required   []template.HTML
	Optional   []sheetItem
	Gone       []template.HTML // items that the purpose had
	Recipients template.HTML
	Until      template.HTML
}

type sheetItem struct {
	Name  string // of the field
	Label template.HTML
}

// sheet renders the bytes of a screen that consent is given to.
func (s *Server) sheet(a *ask, l language) ([]byte, error) {
	st := s.State()
	if st == nil {
		return nil, record.Refuse(CodeNotFinal, "")
	}
	n := names{st: st}
	d := drawing{language: l, names: &n, was: a.shown.Screen, today: record.DayOf(uint64(s.Now().UnixMilli()))}
	if a.since != nil {
		d.was, d.changes.Since = a.since.Screen, a.since.Version
	}
	v := d.sheet(a)
	if n.err != nil {
		return nil, n.err
	}
	var b bytes.Buffer
	err := s.pages["sheet"].ExecuteTemplate(&b, "sheet", v)
	return b.Bytes(), err
}

// drawing is one sheet being made, in comparison with what the terms were; where
// nothing is compared, with themselves.
type drawing struct {
	language
	names   *names
	was     *record.Screen
	today   int64
	changes web.Changes
}

func (d *drawing) sheet(a *ask) *sheet {
	n, l := d.names, web.Language(d.language)
	now, service := a.shown.Screen, n.service(a.Service)
	v := &sheet{language: d.language, Service: service.Name, Contact: service.Contact, Provider: n.party(a.shown.Owner), App: a.client.Name, To: n.party(a.client.Party), Version: a.Version}
	for _, i := range a.scopes {
		sc := &now.Scopes[i]
		v.Purposes = append(v.Purposes, d.purpose(sc, slices.Contains(a.Required, sc.Purpose)))
		for _, it := range slices.Concat(sc.Required, sc.Optional) {
			if label, class := n.item(it); class == "sensitive" && !slices.Contains(v.Sensitive, label) {
				v.Sensitive = append(v.Sensitive, label)
			}
		}
	}
	for _, sc := range d.was.Scopes {
		if scopeOf(now, sc.Purpose) == nil {
			v.Gone = append(v.Gone, l.Gone(l.Name(n.purpose(sc.Purpose))))
		}
	}
	d.changes.Note("purposes", len(v.Gone) > 0)
	v.Retention = d.replaced("retention", d.retention(d.was.Retention), d.retention(now.Retention))
	v.Foreign = d.replaced("foreign", d.foreign(d.was.Foreign), d.foreign(now.Foreign))
	v.Withdrawal = d.rewritten("withdrawal", d.was.Withdrawal, now.Withdrawal)
	v.Full = d.rewritten("text", d.was.Text, now.Text)
	v.Summary = l.Summary(&d.changes)
	return v
}

func scopeOf(s *record.Screen, purpose string) *record.Scope {
	i := slices.IndexFunc(s.Scopes, func(sc record.Scope) bool { return sc.Purpose == purpose })
	if i < 0 {
		return nil
	}
	return &s.Scopes[i]
}

// purpose draws one scope. One that is new is marked as a whole.
func (d *drawing) purpose(sc *record.Scope, needed bool) sheetPurpose {
	l := web.Language(d.language)
	p := sheetPurpose{Code: sc.Purpose, Needed: needed, Label: l.Name(d.names.purpose(sc.Purpose))}
	was := scopeOf(d.was, sc.Purpose)
	if was == nil {
		p.Label, was = l.Added(p.Label), sc
		d.changes.Note("purposes", true)
	}
	d.changes.Note("items", !slices.Equal(was.Required, sc.Required) || !slices.Equal(was.Optional, sc.Optional))
	item := func(code string, needed bool) template.HTML {
		label, _ := d.names.item(code)
		return l.Item(l.Name(label), code, needed, was.Required, was.Optional)
	}
	for _, code := range sc.Required {
		p.Required = append(p.Required, item(code, true))
	}
	for _, code := range sc.Optional {
		p.Optional = append(p.Optional, sheetItem{itemName(sc.Purpose, code), item(code, false)})
	}
	for _, code := range slices.Concat(was.Required, was.Optional) {
		if !sc.Has(code) {
			label, _ := d.names.item(code)
			p.Gone = append(p.Gone, l.Gone(l.Name(label)))
		}
	}
	d.changes.Note("recipients", !slices.Equal(was.Recipients, sc.Recipients) || !slices.Equal(was.Categories, sc.Categories))
	p.Recipients = l.List(d.recipients(was), d.recipients(sc))
	p.Until = d.replaced("until", d.until(was.MaxExpiry), d.until(sc.MaxExpiry))
	return p
}

func (d *drawing) replaced(part string, was, now template.HTML) template.HTML {
	d.changes.Note(part, was != now)
	return web.Language(d.language).Replaced(was, now)
}

func (d *drawing) rewritten(part string, was, now record.Text) template.HTML {
	l := web.Language(d.language)
	d.changes.Note(part, l.Prose(was) != l.Prose(now))
	return l.Rewritten(was, now)
}

// recipients are those that a scope names, and then its categories.
func (d *drawing) recipients(sc *record.Scope) []web.Listed {
	var out []web.Listed
	for _, id := range sc.Recipients {
		out = append(out, web.Listed{Code: "party " + id, Label: d.Name(d.names.party(id))})
	}
	for _, c := range sc.Categories {
		out = append(out, web.Listed{Code: "category " + c, Label: d.T("consent.category", "c", c)})
	}
	return out
}

// until is the last day of a consent that is given today.
func (d *drawing) until(expiry string) template.HTML {
	period, err := record.ParsePeriod(expiry)
	if expiry == "" || err != nil {
		return d.T("consent.noEnd")
	}
	last := time.Unix(period.LastDay(d.today)*86400, 0).UTC().Format(time.DateOnly)
	return d.T("consent.untilDay", "day", d.Until(last))
}

func (d *drawing) retention(period string) template.HTML {
	if p := d.period(period); p != "" {
		return d.T("consent.erasedAfter", "p", p)
	}
	return d.T("consent.erasedOnStop")
}

func (d *drawing) foreign(ground string) template.HTML {
	switch {
	case ground == "":
		return d.T("foreign.none")
	case d.Has("foreign." + ground):
		return d.T("foreign." + ground)
	}
	return d.T("foreign.other", "g", ground)
}

// storeCompared is where an authorization keeps which version its person's sheet is
// compared with: the same from the first look to the answer, whatever is decided in
// between, so that one answer is to one sheet.
const storeCompared = "compared"

// compare sets the version that the sheet of this person marks its changes against.
func (s *Server) compare(ctx context.Context, as *goidc.AuthnSession, a *ask, person string, stands []custody.ScopeNow) error {
	kept, _ := as.Store[storeCompared].(string)
	version, ok := strings.CutPrefix(kept, person+"\n")
	if !ok {
		service, err := load[rules.Service](s.State(), rules.KeyService(a.Service), a.Service)
		if err != nil {
			return err
		}
		if service != nil {
			version = custody.Since(service, stands)
		}
		if as.Store == nil {
			as.Store = map[string]any{}
		}
		as.Store[storeCompared] = person + "\n" + version
	}
	if version == "" || version == a.Version {
		return nil
	}
	var err error
	a.since, err = s.Desk.Screen(ctx, a.Service, version)
	return err
}
