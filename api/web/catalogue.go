package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// A Catalogue holds the texts of pages by key. Every text has Japanese and English.
// One in easy Japanese is beside them or is still missing: then the Japanese one
// stands in.
type Catalogue map[string]map[Language]string

var (
	// place is where a value goes: {name}.
	place = regexp.MustCompile(`\{\w+\}`)
	// ruby is a kanji with its reading, as easy texts have them: [漢字|かんじ].
	ruby = regexp.MustCompile(`\[([^|\]]+)\|(\p{Hiragana}+)\]`)
)

// ReadCatalogue reads {"key": {"ja": …, "en": …, "ja-easy": …}}. It returns an error
// for a text that lacks a language, has other places for values in one of them, or
// has a kanji without its reading in the easy one.
func ReadCatalogue(b []byte) (Catalogue, error) {
	var c Catalogue
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("web: catalogue: %w", err)
	}
	for key, e := range c {
		if fault := faultOf(e); fault != "" {
			return nil, fmt.Errorf("web: catalogue: %s: %s", key, fault)
		}
	}
	return c, nil
}

// MustCatalogue is for catalogues that are part of the program.
func MustCatalogue(c Catalogue, err error) Catalogue {
	if err != nil {
		panic(err)
	}
	return c
}

func faultOf(e map[Language]string) string {
	for _, l := range []Language{Japanese, English} {
		if _, ok := e[l]; !ok {
			return "no text in " + string(l)
		}
	}
	want := places(e[Japanese])
	for l, s := range e {
		switch {
		case !known(l):
			return "a language that pages do not have: " + string(l)
		case s == "" && l != English: // English needs no word for some, such as さん
			return "an empty text in " + string(l)
		case s != "" && !slices.Equal(places(s), want):
			return "other places for values in " + string(l)
		}
	}
	if bare := ruby.ReplaceAllString(e[Easy], ""); strings.ContainsFunc(bare, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		return "a kanji without its reading"
	}
	return ""
}

func places(s string) []string {
	all := place.FindAllString(s, -1)
	slices.Sort(all)
	return all
}

// Text returns a text with {name} replaced and without readings; values come in
// pairs. A key that is not there shows as ‹key›, on which tests fail.
func (c Catalogue) Text(l Language, key string, values ...any) string {
	e, ok := c[key]
	if !ok {
		return "‹" + key + "›"
	}
	s := e[l]
	if l == Easy {
		s = ruby.ReplaceAllString(cmp.Or(s, e[Japanese]), "$1")
	}
	return fill(s, values, func(s string) string { return s })
}

// Rich is Text as mark-up, with readings above the kanji of easy texts.
func (c Catalogue) Rich(l Language, key string, values ...any) template.HTML {
	s := c[key][Easy]
	if l != Easy || s == "" {
		return template.HTML(template.HTMLEscapeString(c.Text(l, key, values...)))
	}
	s = ruby.ReplaceAllString(template.HTMLEscapeString(s), "<ruby>$1<rp>（</rp><rt>$2</rt><rp>）</rp></ruby>")
	return template.HTML(fill(s, values, template.HTMLEscapeString))
}

// fill replaces {name} by its value; values come in pairs.
func fill(s string, values []any, escape func(string) string) string {
	for i := 0; i+1 < len(values); i += 2 {
		s = strings.ReplaceAll(s, "{"+fmt.Sprint(values[i])+"}", escape(fmt.Sprint(values[i+1])))
	}
	return s
}
