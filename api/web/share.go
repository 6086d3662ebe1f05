package web

import (
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// What the pages of other packages share with these: how texts are kept and the
// language of a person chosen, and how names of the ledger are written.

// Choose takes ?lang= and keeps it in a cookie, which all pages of an origin share;
// else that cookie; else Accept-Language.
func Choose(w http.ResponseWriter, r *http.Request, c session.Cookies) Language {
	if l := Language(r.URL.Query().Get("lang")); known(l) {
		c.Set(w, cookieLang, string(l), 365*24*time.Hour)
		return l
	}
	if l := Language(c.Read(r, cookieLang)); known(l) {
		return l
	}
	// The order of the header is the order of preference in practice.
	for _, part := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if l := Language(primary); known(l) && strings.TrimSpace(q) != "q=0" {
			return l
		}
	}
	return Japanese
}

// Name writes a name of the ledger in this language, else in Japanese and marked as
// such, with characters shown that have no shape of their own.
func (l Language) Name(t record.Text) template.HTML { return l.of(t) }

// Plain writes a name where there is no mark-up, as in options and attributes.
func (l Language) Plain(t record.Text) string { return numbered(l.plain(t)) }

// Initial is the first character of a name, for its tile.
func (l Language) Initial(t record.Text) string {
	for _, r := range l.plain(t) {
		if unicode.IsLetter(r) && !hidden(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "・"
}

// Names writes a list of names.
func (l Language) Names(ts []record.Text) template.HTML { return l.list(ts) }

// Until writes a last day, 2006-01-02.
func (l Language) Until(day string) string { return l.until(day) }

// Clock writes a time, Unix milliseconds, with its zone.
func (l Language) Clock(ms int64) string { return l.clock(ms) }
