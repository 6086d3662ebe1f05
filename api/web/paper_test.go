package web

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
	"rsc.io/qr"
)

var keepPaper = flag.String("paper", "", "keep the picture of the printed receipt in this file")

// names are those that the issue asks about.
var names = map[string]string{
	"a variant":           "髙橋 花子",
	"a compatibility one": "山﨑 太郎",
	"beyond the BMP":      "𠮷田 次郎",
	"half-width kana":     "ﾀｶﾊｼ ﾊﾅｺ",
	"right to left":       "محمد",
	"without shape":       "山\u200b田\u202e花子",
	"sixty":               strings.Repeat("寿限無", 20),
}

// Every name is on the paper, or its absence is: nothing is left out silently.
func TestPaperNames(t *testing.T) {
	font, err := readFont()
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode("AKASHI1:"+strings.Repeat("A1B2 ", 400), qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for what, name := range names {
		p := &paper{chars: font.chars, absent: map[rune]bool{}}
		seen := p.seen(name)
		for _, r := range seen {
			if _, ok := font.chars[int(r)]; !ok {
				t.Errorf("%s: %U is on the paper and not in the font", what, r)
			}
		}
		flagged := strings.Count(seen, string(missing)) + strings.Count(seen, "[U+")
		switch what {
		case "a variant", "a compatibility one", "half-width kana", "sixty":
			if seen != name || len(p.absent) != 0 {
				t.Errorf("%s: %q became %q", what, name, seen)
			}
		default:
			if flagged == 0 {
				t.Errorf("%s: %q is not flagged: %q", what, name, seen)
			}
		}
		s := &slip{Index: 14, Title: "同意の控え", Rows: []row{{Label: "だれが", Value: name}, {Value: "証拠：" + strings.Repeat("0f", 40)}}}
		b, err := printed(Japanese, s, "みなと市データ連携協議会", code)
		if err != nil || !bytes.HasPrefix(b, []byte("%PDF-")) {
			t.Fatalf("%s: %v", what, err)
		}
		if len(b) > 300_000 {
			t.Errorf("%s: a PDF of %d bytes", what, len(b))
		}
	}
}

// Lines are broken without losing a character, and no line begins with what may
// not stand there.
func TestWrap(t *testing.T) {
	p := blank(t)
	for _, s := range []string{strings.Repeat("あなたの情報は、わたりません。", 9), "akashi verify FILE --policy POLICY で確かめられます。", strings.Repeat("0123456789abcdef", 20), ""} {
		for _, width := range []float64{60, 150, 400} {
			lines := p.wrap(s, width)
			if got := strings.Join(lines, ""); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(s, " ", "") {
				t.Errorf("at %v: %q became %q", width, s, lines)
			}
			for _, l := range lines {
				if n, _ := p.MeasureTextWidth(l); n > width+textSize*1.1 {
					t.Errorf("at %v: a line of %v: %q", width, n, l)
				}
				if l != "" && strings.ContainsAny(l[:1], "、。") {
					t.Errorf("a line begins with %q", l)
				}
			}
		}
	}
}

// blank returns a paper on which nothing is printed yet.
func blank(t *testing.T) *paper {
	t.Helper()
	font, err := readFont()
	if err != nil {
		t.Fatal(err)
	}
	p := newPaper(Japanese, font)
	p.turn()
	p.try(p.SetFont("biz", "", textSize))
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p
}

// The printed page is read back: its text can be taken out, and its code is the slip.
func TestPaperReadBack(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the printed page is not read back")
	}
	for _, tool := range []string{"pdftotext", "pdftoppm", "zbarimg"} {
		if _, err := machine.Find([]string{tool}, "poppler-utils", "zbar-tools"); err != nil {
			t.Fatal(err)
		}
	}
	text := "AKASHI1:" + strings.Repeat("A1B2C3D4 $%*+-./:", 150) // 2,558 characters: version 31
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	s := &slip{Index: 14, Title: "同意の控え", Story: true, Rows: []row{{Label: "だれが", Value: "髙橋 花子、𠮷田"}, {Label: "何を", Value: "利用者番号、氏名"}, {Label: "いつまで", Value: "2027年8月29日まで"}}}
	began := time.Now()
	b, err := printed(Japanese, s, "みなと市データ連携協議会", code)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %v, %d modules", len(b), time.Since(began), code.Size)
	file := filepath.Join(t.TempDir(), "receipt.pdf")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", "-layout", file, "-").CombinedOutput()
	if err != nil || strings.Count(string(out), "\f") != 2 {
		t.Fatalf("%v: %d pages of %s", err, strings.Count(string(out), "\f"), out)
	}
	for _, want := range []string{"同意の控え", "髙橋 花子、〓田", "利用者番号、氏名", "2027年8月29日まで", "U+20BB7", "確かめ方"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	picture := strings.TrimSuffix(file, ".pdf")
	if out, err := exec.Command("pdftoppm", "-r", "300", "-f", "1", "-l", "1", "-png", "-singlefile", file, picture).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := exec.Command("zbarimg", "--raw", "-q", "-Sdisable", "-Sqrcode.enable", picture+".png").Output()
	if err != nil || strings.TrimSuffix(string(got), "\n") != text {
		t.Errorf("the code reads as %.60q…, %v", got, err)
	}
	if *keepPaper != "" {
		if err := os.Rename(picture+".png", *keepPaper); err != nil {
			t.Error(err)
		}
	}
}
