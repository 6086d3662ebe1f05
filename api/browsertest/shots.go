package browsertest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

var shots = flag.Bool("shots", false, "write the pictures in docs/shots anew")

const shotsDir = "../../docs/shots" // from the package under test

// Overflow is by how many pixels the page is too wide.
func Overflow(t *testing.T, ctx context.Context) int {
	t.Helper()
	return Get(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`))
}

// Shot takes the whole page in each width and scheme, and wants no sideways
// Overflow.
func Shot(t *testing.T, ctx context.Context, name string, widths ...int) {
	t.Helper()
	for _, width := range widths {
		for _, dark := range []bool{false, true} {
			Run(t, ctx, View(width, dark))
			if over := Overflow(t, ctx); over > 0 {
				t.Errorf("%s at %d px is %d px too wide", name, width, over)
			}
			picture(t, ctx, fmt.Sprintf("%s-%d%s", name, width, map[bool]string{true: "-dark"}[dark]))
		}
	}
	Run(t, ctx, View(1280, false))
}

// steady replaces on the page what differs from run to run: how long it took.
const steady = `(() => { const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (w.nextNode()) w.currentNode.data = w.currentNode.data.replace(/\d+\.\d\d(?=秒| s\))/g, "0.05") })()`

// picture takes the page as it stands, where pictures are asked for, and wants one
// that is not too large to be there.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	file := filepath.Join(shotsDir, name+".png")
	if *shots {
		Run(t, ctx, chromedp.Evaluate[chromedp.Void](steady))
		if err := os.WriteFile(file, smaller(t, Get(t, ctx, chromedp.FullScreenshot(100))), 0o644); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(file); err != nil {
		t.Errorf("no picture of this page: %v (make them with -shots)", err)
	} else if info.Size() > 300_000 {
		t.Errorf("%s: a picture of %d bytes", file, info.Size())
	}
}

// smaller draws a picture with at most 200 of its colours, the most frequent
// that differ visibly: pages have few, and edges of letters do not need more.
func smaller(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.Color]int{}
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			count[img.At(x, y)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] }) {
		if len(palette) < 200 && (len(palette) < 32 || distance(c, palette.Convert(c)) > 20) {
			palette = append(palette, c)
		}
	}
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(palette.Index(c))
	}
	few := image.NewPaletted(r, palette)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[img.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func distance(a, b color.Color) int {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	d := func(x, y uint32) int { return max(int(x), int(y))>>8 - min(int(x), int(y))>>8 }
	return d(ar, br) + d(ag, bg) + d(ab, bb)
}

// Narrow wants no sideways scroll at 320 px.
func Narrow(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	Run(t, ctx, View(320, false))
	over := Overflow(t, ctx)
	if Run(t, ctx, View(1280, false)); over > 0 {
		t.Errorf("%s at 320 px is %d px too wide", name, over)
	}
}
