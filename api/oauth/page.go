package oauth

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/ledger/record"
)

//go:embed templates
var templates embed.FS

//go:embed assets
var assets embed.FS

//go:embed catalogue.json
var catalogueJSON []byte

// catalogue holds every text of the pages.
var catalogue = web.MustCatalogue(web.ReadCatalogue(catalogueJSON))

// language is the language of a page.
type language web.Language

// T returns a text with {name} replaced; values come in pairs.
func (l language) T(key string, values ...any) template.HTML {
	return catalogue.Rich(web.Language(l), key, values...)
}

func (l language) text(key string, values ...any) string {
	return catalogue.Text(web.Language(l), key, values...)
}

func (l language) Has(key string) bool              { return catalogue[key] != nil }
func (l language) Name(t record.Text) template.HTML { return web.Language(l).Name(t) }

func (l language) Plain(t record.Text) string           { return web.Language(l).Plain(t) }
func (l language) Initial(t record.Text) string         { return web.Language(l).Initial(t) }
func (l language) Names(ts []record.Text) template.HTML { return web.Language(l).Names(ts) }
func (l language) Until(day string) string              { return web.Language(l).Until(day) }
func (l language) Clock(t time.Time) string             { return web.Language(l).Clock(t.UnixMilli()) }

// period writes an ISO 8601 duration in words, "" for none.
func (l language) period(text string) string {
	p, err := record.ParsePeriod(text)
	if text == "" || err != nil {
		return ""
	}
	var parts []string
	for _, u := range []struct {
		n   int
		key string
	}{{int(p.Years), "years"}, {int(p.Months), "months"}, {int(p.Days), "days"}} {
		if u.n > 0 {
			parts = append(parts, l.text("period."+u.key, "n", u.n))
		}
	}
	return strings.Join(parts, " ")
}

// Tag names the language for browsers.
func (l language) Tag() string { return web.Language(l).Tag() }

func (s *Server) language(w http.ResponseWriter, r *http.Request) language {
	return language(web.Choose(w, r, s.cookies))
}

// frame is what every page has.
type frame struct {
	language
	Title, Path string
	Next        string // where signing in leads, "" where it leads nowhere
	Member      record.Text
}

func (f frame) Lang() string { return string(f.language) }

// In is the address of this page in another language: signing in still leads to
// where it was to lead.
func (f frame) In(l string) string {
	q := url.Values{"lang": {l}}
	if f.Next != "" {
		q.Set("next", f.Next)
	}
	return f.Path + "?" + q.Encode()
}

func (s *Server) frame(w http.ResponseWriter, r *http.Request) frame {
	f := frame{language: s.language(w, r), Path: r.URL.Path}
	w.Header().Set("Content-Language", f.Tag())
	if st := s.State(); st != nil {
		f.Member = (&names{st: st}).party(s.Member)
	}
	return f
}

type pages map[string]*template.Template

// pageNames are the templates of whole pages.
var pageNames = []string{"consent", "signin", "code", "sessions", "introduce", "connect", "paper", "recover", "problem"}

func parsePages() (pages, error) {
	out := pages{}
	for _, name := range pageNames {
		t, err := template.ParseFS(templates, "templates/frame.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("oauth: templates: %w", err)
		}
		out[name] = t
	}
	t, err := template.ParseFS(templates, "templates/sheet.html")
	if err != nil {
		return nil, fmt.Errorf("oauth: templates: %w", err)
	}
	out["sheet"] = t
	return out, nil
}

// formTarget is an origin that may stand in a policy: nothing in it ends a source or a
// directive, or stands for many hosts.
var formTarget = regexp.MustCompile(`^(?i)https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// policy lets a page load its own parts, and send forms here and to further origins,
// with blanks between them. What is no origin is left out: others have written it.
func policy(formTo string) string {
	formTo = strings.Join(slices.DeleteFunc(strings.Fields(formTo), func(o string) bool { return !formTarget.MatchString(o) }), " ")
	return strings.TrimSuffix("default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+formTo, " ")
}

// page puts the headers of pages around a handler, refuses forms of other origins, and
// reads a form before the handler begins.
func (s *Server) page(h http.HandlerFunc) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.AddInsecureBypassPattern("POST " + pathAuthorize) // an app may send its request as a form (RFC 6749 §3.1): it changes nothing
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, http.StatusForbidden, "error.form")
	}))
	inner := origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && session.ReadForm(w, r, maxRequest) != nil {
			if strings.HasPrefix(r.URL.Path, pathAuthorize) { // which an app has sent, or led to
				s.problem(w, r, http.StatusBadRequest, "error.request")
			} else {
				s.problem(w, r, http.StatusForbidden, "error.form")
			}
			return
		}
		h(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := w.Header()
		k.Set("Content-Security-Policy", policy(""))
		k.Set("X-Content-Type-Options", "nosniff")
		k.Set("X-Frame-Options", "DENY")
		k.Set("Referrer-Policy", "no-referrer")
		k.Set("Cross-Origin-Opener-Policy", "same-origin")
		k.Set("Cross-Origin-Resource-Policy", "same-origin")
		k.Set("Cache-Control", "no-store")
		inner.ServeHTTP(w, r)
	})
}

// posted returns who sent a form of a page of ours, or answers. The form is read before
// whose session it is is looked up (session.ReadForm).
func (s *Server) posted(w http.ResponseWriter, r *http.Request) (who *visit, ok bool) {
	token := s.cookies.Read(r, session.CookieSession)
	genuine := session.Posted(w, r, token)
	v, err := s.Sessions.Lookup(token)
	switch {
	case errors.Is(err, session.ErrUnknown):
		s.problem(w, r, http.StatusUnauthorized, "error.session")
	case err != nil:
		s.cannot(w, r, err)
	case !genuine:
		s.problem(w, r, http.StatusForbidden, "error.form")
	default:
		return &visit{v, token}, true
	}
	return nil, false
}

func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "frame", data); err != nil {
		s.Log.Error("page: template", "page", name, "err", err)
		http.Error(w, "akashi: this page could not be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	b.WriteTo(w)
}

// problemPage says what happened, what stayed safe and what to do.
type problemPage struct {
	frame
	Problem string
	Again   string // where to try again, "" for nowhere
	Confirm string // where to show more of who one is first, "" where that does not help
}

func (s *Server) problem(w http.ResponseWriter, r *http.Request, status int, key string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "3")
	}
	p := problemPage{frame: s.frame(w, r), Problem: key}
	p.Path = s.pageOf(r)
	p.Title = p.text(key + ".title")
	if strings.HasPrefix(r.URL.Path, pathAuthorize+"/") && status != http.StatusGone {
		p.Again = r.URL.Path
	}
	if key == "error.weak" || key == "error.weakpaper" {
		p.Confirm = pathConfirm
	}
	s.show(w, status, "problem", p)
}

// pageOf is where the language links of a request's problem lead: to its own page, or
// where a form has none, to the one that has most forms.
func (s *Server) pageOf(r *http.Request) string {
	isPage := func(x route) bool { return x.pattern == "GET "+r.URL.Path }
	if r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, pathAuthorize) || slices.ContainsFunc(s.routes(), isPage) {
		return r.URL.Path
	}
	return "/signin/sessions"
}

// showError is what a person sees of a request that cannot be answered to the app:
// its client or redirect URI is not known, so that nothing is sent there.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, _ error) error {
	s.problem(w, r, http.StatusBadRequest, "error.request")
	return nil
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	bare(w)
	name := r.PathValue("name")
	kind, ok := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}[path.Ext(name)]
	b, err := fs.ReadFile(assets, "assets/"+name)
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(b)
}
