package web

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// A Language of the pages.
type Language string

// The languages; the first is the source.
const (
	Japanese Language = "ja"
	English  Language = "en"
	Easy     Language = "ja-easy" // やさしい日本語, with readings above every kanji
)

var languages = []Language{Japanese, English, Easy}

//go:embed catalogue.json
var catalogueJSON []byte

// catalogue holds every text of the pages and of their modules.
var catalogue = MustCatalogue(ReadCatalogue(catalogueJSON))

// modulePrefix begins the keys that modules use. They are served apart, so that
// no page of the server holds the word for "verified".
const modulePrefix = "js."

// module returns the texts that modules use, as an ES module.
func (l Language) module() []byte {
	texts := map[string]string{}
	for k := range catalogue {
		if name, ok := strings.CutPrefix(k, modulePrefix); ok {
			texts[name] = catalogue.Text(l, k)
		}
	}
	b, err := json.Marshal(texts)
	if err != nil {
		panic("web: catalogue: " + err.Error())
	}
	return []byte("export default " + string(b) + ";\n")
}

// text is Text of the pages' own catalogue: what modules say is not for them.
func (l Language) text(key string, values ...any) string {
	if strings.HasPrefix(key, modulePrefix) {
		return "‹" + key + "›"
	}
	return catalogue.Text(l, key, values...)
}

// rich is text as mark-up, with readings above kanji.
func (l Language) rich(key string, values ...any) template.HTML {
	if strings.HasPrefix(key, modulePrefix) {
		return template.HTML("‹" + template.HTMLEscapeString(key) + "›")
	}
	return catalogue.Rich(l, key, values...)
}

// Tag names the language for browsers.
func (l Language) Tag() string {
	if l == Easy {
		return string(Japanese)
	}
	return string(l)
}

func (s *server) choose(w http.ResponseWriter, r *http.Request) Language {
	return Choose(w, r, s.cookies())
}

func known(l Language) bool { return slices.Contains(languages, l) }

// of returns a name of the ledger in this language, else in Japanese and marked
// as such.
func (l Language) of(t record.Text) template.HTML {
	s, mark := t.Ja, ""
	switch {
	case l == English && t.En != "":
		s = t.En
	case l == English:
		mark = ` lang="ja"`
	}
	return template.HTML("<bdi" + mark + ">" + string(visible(s)) + "</bdi>")
}

// list joins names.
func (l Language) list(ts []record.Text) template.HTML {
	parts := make([]string, len(ts))
	for i, t := range ts {
		parts[i] = string(l.of(t))
	}
	return template.HTML(strings.Join(parts, l.separator()))
}

func (l Language) separator() string {
	if l == English {
		return ", "
	}
	return "、"
}

// plain is the name itself, for what is not read on a page as it is.
func (l Language) plain(t record.Text) string {
	if l == English && t.En != "" {
		return t.En
	}
	return t.Ja
}

// visible escapes text that others wrote, and shows the characters by which one
// name can pass for another: those without shape, and those that turn the
// direction. Nothing else changes: variants of a kanji stay as they are.
func visible(s string) template.HTML {
	var b strings.Builder
	from := 0
	for i, r := range s {
		if !hidden(r) {
			continue
		}
		b.WriteString(template.HTMLEscapeString(s[from:i]))
		fmt.Fprintf(&b, `<span class="inv">U+%04X</span>`, r)
		from = i + len(string(r))
	}
	b.WriteString(template.HTMLEscapeString(s[from:]))
	return template.HTML(b.String())
}

// numbered shows the same characters where there is no mark-up.
func numbered(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "[U+%04X]", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unseen are the characters without a shape, and those that turn the direction, but for
// variation selectors: these are between variants of a kanji (Unicode §23.4).
var unseen = []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point}

// blankBraille has a shape without a dot.
const blankBraille = 0x2800

func hidden(r rune) bool { return r == blankBraille || unicode.In(r, unseen...) }

// clock writes a time with its zone.
func (l Language) clock(ms int64) string {
	t := time.UnixMilli(ms).In(record.JST)
	if l == English {
		return t.Format("2 January 2006, 15:04") + " JST"
	}
	return t.Format("2006年1月2日 15:04")
}

// hour writes the time of a day.
func (l Language) hour(ms int64) string { return time.UnixMilli(ms).In(record.JST).Format("15:04") }

// day writes the day of a time.
func (l Language) day(ms int64) string {
	t := time.UnixMilli(ms).In(record.JST)
	if l == English {
		return t.Format("Monday, 2 January 2006")
	}
	return t.Format("2006年1月2日") + "（" + []string{"日", "月", "火", "水", "木", "金", "土"}[t.Weekday()] + "）"
}

// until writes a last day.
func (l Language) until(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	if l == English {
		return t.Format("2 January 2006")
	}
	return t.Format("2006年1月2日")
}
