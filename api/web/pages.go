package web

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
)

//go:embed templates
var templates embed.FS

// pages are the templates by name, each with the frame around it.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	out := pages{}
	for _, name := range []string{"public", "enter", "mine", "offer", "ending", "erasure", "requests", "stops", "history", "receipts", "receipt", "kept", "all", "verify", "problem"} {
		t, err := template.ParseFS(templates, "templates/frame.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

// page is what every template gets.
type page struct {
	Lang    Language
	Path    string
	At      string // of the menu
	Title   string
	Script  string // name of the module by which the page checks receipts
	Board   *Board
	Session bool
	Form    string // token of the session's forms
	Once    string
	SignIn  string // path of the page on which people sign in, "": none
	Next    string // where to after signing in, "": the page asks nobody to sign in
	Said    string // key of a word to say once
	Problem string // key
	Code    string // of the refusal
	Name    string // of the person
	Account string // whose the one-time link is, as they know it
	Now     string // whose session it is, as they know it, "" without one
	Link    string // code of a one-time link that is not used yet
	View    *View
	Cards   []card
	Others  []Service
	Offer   *offered
	History *history
	Asked   *asked
	Stops   []Stop
	Signal  bool // the browser sends Global Privacy Control
	Ending  *ending
	Erasure *Erasure
	Receipt *slip
	Kind    string // of the file whose steps are shown at first
}

// T returns a text of the catalogue.
func (p *page) T(key string, values ...any) template.HTML { return p.Lang.rich(key, values...) }

// In is the address of this page in another language.
func (p *page) In(lang string) string {
	q := url.Values{"lang": {lang}}
	if p.Link != "" {
		q.Set("code", p.Link)
	}
	return "?" + q.Encode()
}

// Has reports whether the catalogue has a text for a code of the ledger.
func (p *page) Has(key string) bool { _, ok := catalogue[key]; return ok }

// State is the word for a state, or its code where there is no word.
func (p *page) State(state string) template.HTML {
	if key := "state." + state; p.Has(key) {
		return p.T(key)
	}
	return template.HTML(template.HTMLEscapeString(state))
}

func (p *page) Of(t record.Text) template.HTML       { return p.Lang.of(t) }
func (p *page) Plain(t record.Text) string           { return p.Lang.Plain(t) }
func (p *page) Initial(t record.Text) string         { return p.Lang.Initial(t) }
func (p *page) Names(ts []record.Text) template.HTML { return p.Lang.list(ts) }
func (p *page) Visible(s string) template.HTML       { return visible(s) }
func (p *page) Clock(ms int64) string                { return p.Lang.clock(ms) }
func (p *page) Hour(ms int64) string                 { return p.Lang.hour(ms) }
func (p *page) Day(ms int64) string                  { return p.Lang.day(ms) }
func (p *page) Until(day string) string              { return p.Lang.until(day) }

// Drawing is a drawing with its page, for templates of their own.
func (p *page) Drawing(d *drawing) any {
	return struct {
		P *page
		D *drawing
	}{p, d}
}

// Line is an event with its page.
func (p *page) Line(e Event) any {
	return struct {
		P *page
		E Event
	}{p, e}
}

// Period writes a span of time, "" for none.
func (p *page) Period(t record.Period) string {
	out := ""
	for _, part := range []struct {
		n   int
		key string
	}{{t.Years, "span.years"}, {t.Months, "span.months"}, {t.Days, "span.days"}} {
		if part.n > 0 {
			out += p.Lang.text(part.key, "n", part.n)
		}
	}
	return strings.TrimSpace(out)
}

// Machine writes a time for machines.
func (p *page) Machine(ms int64) string {
	return time.UnixMilli(ms).In(record.JST).Format(time.RFC3339)
}

// Comma writes a number in groups of three.
func (p *page) Comma(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Signed counts the members whose signature stands under the checkpoint.
func (p *page) Signed() int {
	n := 0
	for _, m := range p.Board.Log.Members {
		if m.TimeMs != 0 {
			n++
		}
	}
	return n
}

// Root is the checkpoint's root in hexadecimal digits.
func (p *page) Root() string { return hex.EncodeToString(p.Board.Log.Root[:]) }

// Count counts consents that are on, or off.
func (p *page) Count(on bool) int {
	n := 0
	for _, c := range p.View.Consents {
		if (c.State == "active") == on {
			n++
		}
	}
	return n
}

// HandOver reports whether data was to leave.
func (e Event) HandOver() bool {
	return e.Kind == "provision" || e.Kind == "provision.optout" || e.Kind == "provision.exception"
}

// Said reports whether what the history says of a record stands in its receipt,
// so that a module can compare them: of a hand-over whose items are open. Of one on a
// legal ground the recipient is in the provider's own words.
func (e Event) Said() bool {
	return (e.Kind == "provision" || e.Kind == "provision.optout") && len(e.Items) > 0
}

// slip is a receipt as its file tells it.
type slip struct {
	Index uint64
	Title string
	Rows  []row
	Story bool
}

// row is a line of a receipt: a label and a value, or a sentence.
type row struct {
	Label, Value string
	Japanese     bool // in an English page
	Code         bool
}

// page fills what every page needs. It shows even where the node has nothing to
// say: the board is then empty.
func (s *server) page(w http.ResponseWriter, r *http.Request) *page {
	p := &page{Lang: s.choose(w, r), Path: r.URL.Path, At: r.URL.Path, SignIn: s.SignIn, Said: s.said(w, r)}
	board, err := s.backend.Board(r.Context())
	if err != nil {
		s.Log.Warn("page: board", "err", err)
		board = new(Board)
	}
	p.Board = board
	return p
}

// session adds the session to a page.
func (p *page) session(token string) {
	p.Session, p.Form, p.Once = true, session.FormToken(token), once()
}

func (s *server) show(w http.ResponseWriter, status int, name string, p *page) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "frame", p); err != nil {
		s.Log.Error("page: template", "page", name, "err", err)
		http.Error(w, "akashi: this page could not be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", p.Lang.Tag())
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	b.WriteTo(w)
}

// receiptSuffix ends the address of a receipt's file.
const receiptSuffix = ".akashi.json"

// receipt shows a receipt, or sends it as a file, as paper, or its code.
func (s *server) receipt(w http.ResponseWriter, r *http.Request) {
	digits, suffix := r.PathValue("id"), ""
	if i := strings.IndexByte(digits, '.'); i >= 0 {
		digits, suffix = digits[:i], digits[i:]
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strconv.FormatUint(index, 10) != digits || !slices.Contains([]string{"", receiptSuffix, ".pdf", ".svg", ".html"}, suffix) {
		s.notFound(w, r)
		return
	}
	token, person, ok := s.mine(w, r)
	if !ok {
		return
	}
	b, err := s.backend.Receipt(r.Context(), person, index)
	if err != nil {
		s.fail(w, r, "receipt", err)
		return
	}
	p := s.page(w, r)
	p.session(token)
	p.At = "/receipts"
	if p.Receipt, err = readSlip(b, p.Lang); err != nil {
		s.fail(w, r, "receipt", err)
		return
	}
	p.Receipt.Index, p.Title, p.Script, p.Kind = index, p.Receipt.Title, "page", formReceipt
	if suffix != "" {
		if err := s.send(w, r, p, b, suffix); err != nil {
			s.fail(w, r, "receipt", err)
		}
		return
	}
	s.show(w, http.StatusOK, "receipt", p)
}

// forms are the media types of a receipt's other forms.
var forms = map[string]string{receiptSuffix: "application/json", ".pdf": "application/pdf", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8"}

// send answers with a receipt in another form.
func (s *server) send(w http.ResponseWriter, r *http.Request, p *page, b []byte, suffix string) error {
	if suffix != receiptSuffix {
		code, err := codeOf(b)
		if err != nil {
			return err
		}
		switch {
		case suffix == ".pdf":
			b, err = printed(p.Lang, p.Receipt, p.Lang.plain(p.Board.Consortium), code)
		case suffix == ".html":
			var policy []byte
			if policy, err = s.backend.Policy(r.Context()); err == nil {
				b, err = s.kept(p, b, policy, code)
			}
		case code == nil:
			err = ErrNotFound
		default:
			b = drawCode(code)
		}
		if err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", forms[suffix])
	if suffix != ".svg" {
		w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="receipt-%d%s"`, p.Receipt.Index, suffix))
	}
	_, err := w.Write(b)
	return err
}

// readSlip takes the words out of a receipt. They are what the file says, not
// what was verified.
func readSlip(b []byte, l Language) (*slip, error) {
	var f struct {
		Human struct {
			Ja []string `json:"ja"`
			En []string `json:"en"`
		} `json:"human"`
		StoryTime bool `json:"storyTime"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	lines, colon := f.Human.Ja, "："
	if l == English {
		lines, colon = f.Human.En, ": "
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("receipt: no words in %s", l)
	}
	s := &slip{Title: lines[0], Story: f.StoryTime}
	if l == English {
		s.Title = strings.TrimPrefix(s.Title, "Receipt: ")
	}
	for _, line := range lines[1:] {
		label, value, ok := strings.Cut(line, colon)
		if !ok || utf8.RuneCountInString(label) > 28 {
			label, value = "", line
		}
		_, err := hex.DecodeString(value)
		s.Rows = append(s.Rows, row{label, value, l == English && strings.ContainsFunc(value, han), err == nil && len(value) > 8})
	}
	return s, nil
}

func han(r rune) bool { return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) }

func (s *server) verify(w http.ResponseWriter, r *http.Request) {
	token, _, err := s.who(r)
	p := s.page(w, r)
	if err == nil && token != "" {
		p.session(token)
	}
	p.Title, p.Script, p.Kind = p.Lang.text("verify.h1"), "page", formReceipt
	s.show(w, http.StatusOK, "verify", p)
}
