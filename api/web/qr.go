package web

import (
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"

	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// quiet is the empty margin that a QR code needs, in modules.
const quiet = 4

// codeOf returns the QR code of a receipt's slip. A slip that is too large for one
// has none: nil.
func codeOf(file []byte) (*qr.Code, error) {
	text, err := receipt.Slip(file)
	if err != nil {
		return nil, err
	}
	c, err := qr.Encode(text, qr.L)
	if err != nil { // it does not fit
		return nil, nil
	}
	return c, nil
}

// drawCode draws a QR code, black on white whatever the page's colours: one path,
// a run of modules a rectangle.
func drawCode(c *qr.Code) []byte {
	var b strings.Builder
	n := c.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="`, n, n, n, n)
	runs(c, func(x, y, length int) { fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, length, length) })
	b.WriteString(`"/></svg>`)
	return []byte(b.String())
}

// QR draws a short text as a QR code, as SVG for a page.
func QR(text string) (template.HTML, error) {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", err
	}
	return template.HTML(drawCode(c)), nil
}

// runs calls fn with every run of black modules in a row.
func runs(c *qr.Code, fn func(x, y, length int)) {
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			length := 0
			for x+length < c.Size && c.Black(x+length, y) {
				length++
			}
			if length > 0 {
				fn(x, y, length)
				x += length
			}
		}
	}
}
