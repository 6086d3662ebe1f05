package web

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestReadCatalogue: a text without one of its languages, with other places for
// values, or with a kanji without its reading does not start a program.
func TestReadCatalogue(t *testing.T) {
	good := `{"a": {"ja": "{n}者", "en": "{n} members", "ja-easy": "{n}つの [会社|かいしゃ]"}, "b": {"ja": "さん", "en": ""}}`
	c, err := ReadCatalogue([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Text(Easy, "a", "n", 3) + c.Text(Easy, "b") + c.Text(English, "a", "n", "{n}"); got != "3つの 会社さん{n} members" {
		t.Error(got)
	}
	if got := c.Rich(Easy, "a", "n", "<b>"); got != "&lt;b&gt;つの <ruby>会社<rp>（</rp><rt>かいしゃ</rt><rp>）</rp></ruby>" {
		t.Error(got)
	}
	if got := c.Rich(Easy, "no.such") + c.Rich(English, "a", "n", "<"); got != "‹no.such›&lt; members" {
		t.Error(got)
	}
	for _, bad := range []string{
		`[]`, `{"a": {"ja": "者"}}`, `{"a": {"en": "members"}}`, `{"a": {"ja": "", "en": "members"}}`,
		`{"a": {"ja": "{n}者", "en": "members"}}`, `{"a": {"ja": "者", "en": "m", "fr": "m"}}`,
		`{"a": {"ja": "{n}者", "en": "{n}", "ja-easy": "{m}つ"}}`, `{"a": {"ja": "者", "en": "m", "ja-easy": ""}}`,
		`{"a": {"ja": "者", "en": "m", "ja-easy": "[会社|かいしゃ]の者"}}`, `{"a": {"ja": "者", "en": "m", "ja-easy": "[会社|会社]"}}`,
	} {
		if _, err := ReadCatalogue([]byte(bad)); err == nil {
			t.Errorf("read %s", bad)
		}
	}
}

// Every key that pages and modules use is there, in easy Japanese too, and none is there
// for nothing. Where no reading can stand above a kanji, easy texts have none.
func TestCatalogue(t *testing.T) {
	used := map[string]bool{}
	prefixes := []string{"state.", "mark."} // keys that end in a code
	scan := func(name, src, prefix string, patterns ...string) {
		for _, p := range patterns {
			for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(src, -1) {
				if key := prefix + m[1]; strings.HasSuffix(key, ".") {
					prefixes = append(prefixes, key)
				} else if _, ok := catalogue[key]; !ok {
					t.Errorf("%s: no text %q", name, key)
				} else {
					used[key] = true
				}
			}
		}
	}
	files, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, _ := templates.ReadFile("templates/" + f.Name())
		scan(f.Name(), string(b), "", `\.T "([^"]+)"`, `\(print "([^"]+)"`)
	}
	for _, names := range steps {
		for _, name := range names {
			for form := range steps {
				for _, key := range []string{"step." + name, "step." + form + "." + name} {
					if _, ok := catalogue[key+".h"]; ok {
						used[key+".h"], used[key+".p"] = true, true
					}
				}
			}
		}
	}
	for form := range steps {
		used["js.nc."+form] = true
	}
	src, err := os.ReadFile("offer.go")
	if err != nil {
		t.Fatal(err)
	}
	scan("offer.go", string(src), "", `\brich\("([^"]+)"`)
	page, _ := assets.ReadFile("assets/page.js")
	rows, _ := assets.ReadFile("assets/rows.js")
	many, _ := assets.ReadFile("assets/history.js")
	b := slices.Concat(page, rows, many)
	scan("page.js", string(b), modulePrefix, `\bt\("([^"]+)"`, `\bt\([\w.! |]+\? "([^"]+)"`, `\bt\([\w.! |&=]+\? "[^"]+" : "([^"]+)"`, `\? t\("([^"]+)"`, `\bt\([^()"]*"receipt" \? "([^"]+)" : "[^"]+"`, `\bt\([^()"]*"receipt" \? "[^"]+" : "([^"]+)"`)
	for _, key := range []string{"error.notfound", "error.session", "error.signin", "error.link", "error.form", "error.erased", "error.nosecret", "error.notfinal", "error.busy", "error.node", "error.refused", "error.request", "error.choose", "error.weak"} {
		used[key+".title"], used[key+".p"] = true, true
	}
	used["error.signin.p.signin"], used["error.session.p.signin"] = true, true
	for _, key := range []string{"public.title", "offer.title", "receipts.h", "said.stopped", "said.started", "said.refused", "said.waiting", "said.filed", "said.set", "said.left", "req.h", "stop.h", "end.title", "er.h", "flow.rest", "flow.says", "story.note", "rc.number", "rc.claim", "nc.h", "nc.after", "nc.inside",
		"pdf.foot", "pdf.code", "pdf.nocode", "pdf.how", "pdf.how.1", "pdf.how.2", "pdf.how.3", "pdf.not.status", "pdf.absent", "pdf.absent.p",
		"flow.says.without", "flow.total", "span.years", "span.months", "span.days"} {
		used[key] = true
	}
	for _, s := range []string{"notfinal", "nopolicy", "unread"} { // results of verify.js
		used[modulePrefix+s], used[modulePrefix+s+".p"] = true, true
	}
	used[modulePrefix+"row.handle"], used[modulePrefix+"badsecret.p"] = true, true
	used[modulePrefix+"ok"], used[modulePrefix+"ng"] = true, true // states of a step
	for key, e := range catalogue {
		if e[Easy] == "" {
			t.Errorf("%s: no text in easy Japanese", key)
		}
		if (strings.HasPrefix(key, modulePrefix) || strings.HasPrefix(key, "pdf.")) && ruby.MatchString(e[Easy]) {
			t.Errorf("%s: a reading that cannot be shown", key)
		}
		if !used[key] && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			t.Errorf("%s is used nowhere", key)
		}
	}
	if got := Japanese.text("no.such"); got != "‹no.such›" {
		t.Errorf("a missing text shows as %q", got)
	}
}

// TestPlain: where no mark-up can show what has no shape, its number stands in the text.
func TestPlain(t *testing.T) {
	for name, want := range map[string][2]string{
		"髙橋﨑商店":          {"髙橋﨑商店", "髙"},
		"\u202e\u200b銀行": {"[U+202E][U+200B]銀行", "銀"},
		"か\u3099":        {"か\u3099", "か"},
		"\u3164":         {"[U+3164]", "・"}, // a letter, to Unicode
		"minato":         {"minato", "M"},
	} {
		text := record.Text{Ja: name}
		if got := [2]string{English.Plain(text), Japanese.Initial(text)}; got != want {
			t.Errorf("%+q: %+q, want %+q", name, got, want)
		}
	}
}

// TestHidden: characters without a shape of their own are shown as such, variants of a
// kanji and blanks are not.
func TestHidden(t *testing.T) {
	for _, r := range []rune{0x00ad, 0x034f, 0x061c, 0x115f, 0x17b4, 0x17b5, 0x180e, 0x200b, 0x200c, 0x200d, 0x2028, 0x2029, 0x202e, 0x2060, 0x2061, 0x2064, 0x2065,
		0x206a, 0x2800, 0x3164, 0xfeff, 0xffa0, 0xfff0, 0xfff9, 0xe0001, 0xe0041, '\t', 0x7f} {
		name := record.Text{Ja: "あ社" + string(r)}
		if strings.ContainsRune(string(Japanese.Name(name)), r) || strings.ContainsRune(Japanese.Plain(name), r) {
			t.Errorf("U+%04X is not shown", r)
		}
	}
	for _, r := range []rune{' ', 0x3000, 0x3099, 0xfe00, 0xe0100, 0x180b, '髙', 0x1f600} {
		if name := (record.Text{Ja: "あ社" + string(r)}); !strings.ContainsRune(string(Japanese.Name(name)), r) || Japanese.Plain(name) != name.Ja {
			t.Errorf("U+%04X is shown by its number", r)
		}
	}
}
