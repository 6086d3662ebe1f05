package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/signintech/gopdf"
	"github.com/signintech/gopdf/fontmaker/core"
	"rsc.io/qr"
)

// fontTTF is BIZ UDPGothic Regular (SIL Open Font License 1.1: fonts/OFL.txt). A
// PDF embeds only the letters that it uses.
//
//go:embed fonts/BIZUDPGothic-Regular.ttf
var fontTTF []byte

// missing is the mark of printers for a character that is not at hand.
const missing = '〓'

// typeface is the font, read once. The library leaves out characters that a font
// has not without a word: chars says which it has.
type typeface struct {
	kept  *gopdf.FontContainer
	chars map[int]uint
}

var readFont = sync.OnceValues(func() (*typeface, error) {
	p, f := new(core.TTFParser), &typeface{kept: new(gopdf.FontContainer)}
	if err := p.ParseFontData(fontTTF); err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	f.chars = p.Chars()
	return f, f.kept.AddTTFFontData("biz", fontTTF)
})

// Measures of A4 in points (1/72 inch), and of the code: 66 mm, at least 0.35 mm a
// module for the largest one.
const (
	paperW, paperH   = 595.28, 841.89
	marginX, marginY = 51.0, 45.4
	codeSize         = 187.0
	labelW           = 92.0
	textSize         = 10.5
	lineHeight       = 16.5
)

// paper is a receipt on A4.
type paper struct {
	*gopdf.GoPdf
	lang   Language
	chars  map[int]uint
	absent map[rune]bool // characters that the font has not
	y      float64
	page   int
	number string
	err    error // the first one
}

// printed returns the receipt as a PDF: the slip with its code on one side, how to
// check it and what it does not show on the other.
func printed(l Language, r *slip, consortium string, code *qr.Code) ([]byte, error) {
	font, err := readFont()
	if err != nil {
		return nil, err
	}
	p := newPaper(l, font)
	p.number = fmt.Sprintf("#%d", r.Index)
	p.SetInfo(gopdf.PdfInfo{Title: p.seen(r.Title), Creator: "Akashi"})
	p.turn()
	p.front(r, consortium, code)
	p.turn()
	p.back(r, code)
	if p.err != nil {
		return nil, fmt.Errorf("pdf: %w", p.err)
	}
	var b bytes.Buffer
	_, err = p.WriteTo(&b)
	return b.Bytes(), err
}

func newPaper(l Language, font *typeface) *paper {
	p := &paper{GoPdf: new(gopdf.GoPdf), lang: l, chars: font.chars, absent: map[rune]bool{}}
	p.Start(gopdf.Config{PageSize: gopdf.Rect{W: paperW, H: paperH}})
	p.try(p.AddTTFFontFromFontContainer("biz", font.kept))
	return p
}

func (p *paper) try(err error) {
	if p.err == nil {
		p.err = err
	}
}

// seen replaces what the font cannot print by the printers' mark, and what has no
// shape by its number. Nothing is left out.
func (p *paper) seen(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch _, ok := p.chars[int(r)]; {
		case hidden(r):
			fmt.Fprintf(&b, "[U+%04X]", r)
		case unicode.Is(unicode.Variation_Selector, r) || r > 0xffff || !ok:
			p.absent[r] = true
			b.WriteRune(missing)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// turn begins a page, with its foot.
func (p *paper) turn() {
	p.AddPage()
	p.page++
	p.y = marginY
	p.put(marginX, paperH-marginY, 8, p.lang.text("pdf.foot", "n", p.number, "page", p.page))
}

// put writes one line with its baseline at y.
func (p *paper) put(x, y, size float64, s string) {
	p.try(p.SetFont("biz", "", size))
	p.SetXY(x, y-size)
	p.try(p.Cell(nil, s))
}

func (p *paper) rule(weight float64) {
	p.SetLineWidth(weight)
	p.Line(marginX, p.y, paperW-marginX, p.y)
}

// heading writes a title and goes on below it.
func (p *paper) heading(size float64, s string) {
	p.y += size * 1.3
	p.put(marginX, p.y, size, p.seen(s))
	p.y += size * 0.7
}

// block writes text in lines from the present height on and returns the height
// below it.
func (p *paper) block(x, width float64, s string) float64 {
	p.try(p.SetFont("biz", "", textSize))
	y := p.y
	for _, line := range p.wrap(p.seen(s), width) {
		y += lineHeight
		p.put(x, y-4, textSize, line)
	}
	return y
}

// noStart are characters that begin no line, noEnd those that end none.
const (
	noStart = "、。，．）」』】！？ー・：；ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.)]!?:;"
	noEnd   = "（「『【(["
)

// wrap breaks text into lines: between Japanese characters, and around words of
// other letters.
func (p *paper) wrap(s string, width float64) (lines []string) {
	line, w := "", 0.0
	for _, word := range words(s) {
		n, err := p.MeasureTextWidth(word)
		p.try(err)
		if line != "" && w+n > width {
			lines, line, w = append(lines, line), "", 0
			word = strings.TrimLeft(word, " ")
		}
		for n > width { // a word without an end, such as a hash
			runes := []rune(word)
			cut := max(1, int(float64(len(runes))*width/n)-1)
			lines, word = append(lines, string(runes[:cut])), string(runes[cut:])
			n, err = p.MeasureTextWidth(word)
			p.try(err)
		}
		line, w = line+word, w+n
	}
	return append(lines, line)
}

// words cuts text where a line may break.
func words(s string) (out []string) {
	joined := false
	for _, r := range s {
		last := ""
		if len(out) > 0 {
			last = out[len(out)-1]
		}
		narrow := r > ' ' && r < 0x2000
		if last != "" && (joined && narrow || strings.ContainsRune(noStart, r) || strings.ContainsAny(lastRune(last), noEnd)) {
			out[len(out)-1] += string(r)
		} else {
			out = append(out, string(r))
		}
		joined = narrow
	}
	return out
}

func lastRune(s string) string {
	r := []rune(s)
	return string(r[len(r)-1:])
}

// front is the receipt itself.
func (p *paper) front(r *slip, consortium string, code *qr.Code) {
	p.heading(20, r.Title)
	p.put(marginX, p.y+6, 9, p.seen(consortium)+"　"+p.lang.text("rc.number")+" "+p.number)
	p.y += 16
	p.rule(1.5)
	for _, row := range r.Rows {
		x, w := marginX+labelW, paperW-2*marginX-labelW
		if row.Label == "" {
			x, w = marginX, paperW-2*marginX
		}
		p.room(p.height(row.Value, w) + 12)
		p.y += 4
		end := p.block(x, w, row.Value)
		if row.Label != "" {
			p.SetTextColor(90, 90, 90)
			end = max(end, p.block(marginX, labelW-8, row.Label))
			p.SetTextColor(0, 0, 0)
		}
		p.y = end + 4
		p.rule(0.4)
	}
	if r.Story {
		p.y += 4
		p.y = p.block(marginX, paperW-2*marginX, p.lang.text("story.note")) + 4
	}
	if code == nil {
		p.y = p.block(marginX, paperW-2*marginX, p.lang.text("pdf.nocode")) + 4
		return
	}
	p.room(codeSize + 20)
	p.y += 14
	p.code(code)
	x := marginX + codeSize + 18
	at := p.y
	p.y = p.block(x, paperW-marginX-x, p.lang.text("pdf.code")) + 6
	p.block(x, paperW-marginX-x, p.lang.text("rc.claim"))
	p.y = at + codeSize
}

// height is how tall a text will be.
func (p *paper) height(s string, width float64) float64 {
	p.try(p.SetFont("biz", "", textSize))
	return float64(len(p.wrap(p.seen(s), width))) * lineHeight
}

// room turns the page where so much does not fit any more.
func (p *paper) room(height float64) {
	if p.y+height > paperH-marginY-24 {
		p.turn()
	}
}

// code prints the QR code at the left.
func (p *paper) code(c *qr.Code) {
	unit := codeSize / float64(c.Size+2*quiet)
	p.SetFillColor(0, 0, 0)
	runs(c, func(x, y, length int) {
		// A hair more than a module, so that no white line shows between rows.
		p.RectFromUpperLeftWithStyle(marginX+float64(x+quiet)*unit, p.y+float64(y+quiet)*unit, float64(length)*unit, unit+0.05, "F")
	})
}

// back says how to check the receipt, what it does not show, and which characters
// this paper cannot show.
func (p *paper) back(r *slip, code *qr.Code) {
	p.heading(14, p.lang.text("pdf.how"))
	keys := []string{"pdf.how.1", "pdf.how.2", "pdf.how.3"}
	if code == nil {
		keys = slices.Delete(keys, 0, 1)
	}
	for _, k := range keys {
		p.y = p.block(marginX, paperW-2*marginX, "・"+p.lang.text(k)) + 3
	}
	p.heading(14, p.lang.text("nc.h"))
	for _, k := range []string{"nc.after", "nc.inside", "pdf.not.status"} {
		p.y = p.block(marginX, paperW-2*marginX, "・"+p.lang.text(k)) + 3
	}
	if len(p.absent) == 0 {
		return
	}
	p.heading(14, p.lang.text("pdf.absent"))
	var list []string
	for r := range p.absent {
		list = append(list, fmt.Sprintf("U+%04X", r))
	}
	slices.Sort(list)
	p.y = p.block(marginX, paperW-2*marginX, p.lang.text("pdf.absent.p", "list", strings.Join(list, "、")))
}
