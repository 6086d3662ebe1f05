package web

import (
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Terms that changed since a person agreed to them are marked where they changed:
// by <ins> and <del>, each beginning with a visible word, so that neither colour nor
// a line alone says it, and a screen reader reads it too. Other packages mark with
// the same functions, so that a change looks the same everywhere. They are pure: the
// same two versions give the same bytes.

// Changes is the summary of what changed.
type Changes struct {
	Since string // version of the terms that it is compared with
	parts map[string]bool
}

// parts of the terms, in the order of the pages.
var parts = []string{"purposes", "items", "recipients", "until", "retention", "foreign", "withdrawal", "text"}

// Note adds a part where it changed.
func (c *Changes) Note(part string, changed bool) {
	if changed {
		if c.parts == nil {
			c.parts = map[string]bool{}
		}
		c.parts[part] = true
	}
}

// Summary writes what changed, with a heading; "" where nothing did.
func (l Language) Summary(c *Changes) template.HTML {
	if len(c.parts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<section class="changes" aria-labelledby="h-changes"><h2 id="h-changes">` + string(l.rich("mark.h", "v", c.Since)) + `</h2><ul class="dots">`)
	for _, p := range parts {
		if c.parts[p] {
			b.WriteString("<li>" + string(l.rich("mark.part."+p)) + "</li>")
		}
	}
	b.WriteString(`</ul><p class="small muted">` + string(l.rich("mark.lead")) + "</p></section>")
	return template.HTML(b.String())
}

// Added marks what was not there before.
func (l Language) Added(h template.HTML) template.HTML { return l.mark("ins", "mark.added", h) }

// Gone marks what is there no more.
func (l Language) Gone(h template.HTML) template.HTML { return l.mark("del", "mark.gone", h) }

// Replaced writes what something was and what it is; once, unmarked, where that is
// the same.
func (l Language) Replaced(was, now template.HTML) template.HTML {
	if was == now {
		return now
	}
	return l.mark("del", "mark.was", was) + "<br>" + l.mark("ins", "mark.now", now)
}

func (l Language) mark(tag, key string, h template.HTML) template.HTML {
	return template.HTML("<"+tag+` class="mk"><b>`) + l.rich(key) + "</b> " + h + template.HTML("</"+tag+">")
}

// A Listed is one of a list that may change, by its code.
type Listed struct {
	Code  string
	Label template.HTML
}

// List writes a list: what came since it was was is marked, and what went follows.
func (l Language) List(was, now []Listed) template.HTML {
	var parts []string
	for _, x := range now {
		if !has(was, x.Code) {
			x.Label = l.Added(x.Label)
		}
		parts = append(parts, string(x.Label))
	}
	for _, x := range was {
		if !has(now, x.Code) {
			parts = append(parts, string(l.Gone(x.Label)))
		}
	}
	return template.HTML(strings.Join(parts, l.separator()))
}

func has(list []Listed, code string) bool {
	return slices.ContainsFunc(list, func(x Listed) bool { return x.Code == code })
}

// Item writes an item as it is now, needed or a choice, marked where it is new or was
// the other.
func (l Language) Item(label template.HTML, code string, needed bool, wasNeeded, wasChoice []string) template.HTML {
	switch n, c := slices.Contains(wasNeeded, code), slices.Contains(wasChoice, code); {
	case needed && n, !needed && c:
		return label
	case n:
		return l.mark("ins", "mark.now", label+l.aside("mark.wasneeded"))
	case c:
		return l.mark("ins", "mark.now", label+l.aside("mark.waschoice"))
	}
	return l.Added(label)
}

func (l Language) aside(key string) template.HTML {
	return ` <span class="small">` + l.rich(key) + "</span>"
}

// Prose is Name for a text of several lines, which stay apart.
func (l Language) Prose(t record.Text) template.HTML {
	s, of := l.shown(t)
	return prose(s, of)
}

// shown is the text that Name shows, and what makes one of a part of it.
func (l Language) shown(t record.Text) (s string, of func(string) template.HTML) {
	if l == English && t.En != "" {
		return t.En, func(s string) template.HTML { return l.of(record.Text{Ja: s, En: s}) }
	}
	return t.Ja, func(s string) template.HTML { return l.of(record.Text{Ja: s}) }
}

func prose(s string, of func(string) template.HTML) template.HTML {
	lines := strings.Split(s, "\n")
	out := make([]string, len(lines))
	for i, line := range lines {
		if line != "" {
			out[i] = string(of(line))
		}
	}
	return template.HTML(strings.Join(out, "\n"))
}

// Rewritten is Prose with the sentences marked that came and went.
func (l Language) Rewritten(was, now record.Text) template.HTML {
	a, ofA := l.shown(was)
	b, ofB := l.shown(now)
	if a == b {
		return prose(b, ofB)
	}
	var out strings.Builder
	for _, p := range difference(sentences(a), sentences(b)) {
		gone, came := strings.Join(p.gone, ""), strings.Join(p.came, "")
		switch {
		case p.same != "":
			out.WriteString(string(prose(p.same, ofB)))
		case gone == "":
			out.WriteString(string(l.marked("ins", "mark.added", came, ofB)))
		case came == "":
			out.WriteString(string(l.marked("del", "mark.gone", gone, ofA)))
		default:
			out.WriteString(string(l.marked("del", "mark.was", gone, ofA) + " " + l.marked("ins", "mark.now", came, ofB)))
		}
	}
	return template.HTML(out.String())
}

// marked keeps the line ends of a text outside its mark.
func (l Language) marked(tag, key, s string, of func(string) template.HTML) template.HTML {
	body := strings.TrimRight(s, "\n")
	if body == "" {
		return template.HTML(s)
	}
	return l.mark(tag, key, prose(body, of)) + template.HTML(s[len(body):])
}

// sentenceEnd is where a sentence or a line ends. A point after a number is part of it.
var sentenceEnd = regexp.MustCompile(`[。！？\n]|\D[.] `)

// sentences cuts a text after each of its sentences and lines.
func sentences(s string) []string {
	var out []string
	from := 0
	for _, at := range sentenceEnd.FindAllStringIndex(s, -1) {
		out, from = append(out, s[from:at[1]]), at[1]
	}
	if from < len(s) {
		out = append(out, s[from:])
	}
	return out
}

// maxTable bounds the work of difference: 1e6 cells are a text of a thousand
// sentences of which each is new. A longer one is shown as replaced as a whole.
const maxTable = 1_000_000

// piece is a sentence that both texts have, or what went and came between two such.
type piece struct {
	same       string
	gone, came []string
}

// difference lines two texts up by their longest common subsequence.
func difference(a, b []string) []piece {
	var head, tail []piece
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, piece{same: a[0]}), a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail, a, b = append(tail, piece{same: a[len(a)-1]}), a[:len(a)-1], b[:len(b)-1]
	}
	slices.Reverse(tail)
	return slices.Concat(head, middle(a, b), tail)
}

func middle(a, b []string) []piece {
	if len(a)+len(b) == 0 {
		return nil
	}
	if len(a)*len(b) > maxTable {
		return []piece{{gone: a, came: b}}
	}
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []piece
	var open piece
	close := func() {
		if len(open.gone)+len(open.came) > 0 {
			out, open = append(out, open), piece{}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			close()
			out = append(out, piece{same: a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			open.gone, i = append(open.gone, a[i]), i+1
		default:
			open.came, j = append(open.came, b[j]), j+1
		}
	}
	close()
	return out
}
