package web_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/chromedp/chromedp"
)

// TestBrowserNames: names as people and companies have them come through from the
// record to the page, the saved file, the paper and the certificate: the bytes are the
// same, what cannot be seen is shown, and what turns the direction turns nothing else.
func TestBrowserNames(t *testing.T) {
	ctx := browser(t)
	for what, c := range map[string]struct{ name, shown, printed string }{
		"a variant":           {"髙橋﨑商店", "髙橋﨑商店", "髙橋﨑商店"},
		"beyond the BMP":      {"𠮷田屋", "𠮷田屋", "〓田屋"},
		"half-width kana":     {"ﾀｶﾊｼ ｼｮｳﾃﾝ", "ﾀｶﾊｼ ｼｮｳﾃﾝ", "ﾀｶﾊｼ ｼｮｳﾃﾝ"},
		"sixty characters":    {strings.Repeat("寿限無", 20), strings.Repeat("寿限無", 20), "寿限無寿限無"},
		"right to left":       {"محمد", "محمد", "〓"},
		"without shape":       {"山\u200b田\u202e商店", "山U+200B田U+202E商店", "山[U+200B]田[U+202E]商店"},
		"a selected variant":  {"葛\U000e0100城", "葛\U000e0100城", "葛"},
		"decomposed, not NFC": {"か\u3099ん", "か\u3099ん", "か"},
	} {
		t.Run(what, func(t *testing.T) {
			old := members["aoba"]
			members["aoba"] = record.Text{Ja: c.name, En: c.name}
			defer func() { members["aoba"] = old }()
			s := newStory(t)
			s.strong = true
			srv := serve(t, s, s.c.Policy())
			cookie := entered(t, srv.URL, "once")
			address := srv.URL + "/receipts/" + itoa(s.view.Consents[0].Index)
			erasure, _, err := s.End(t.Context(), person, "coupon", true, "once")
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{address, srv.URL + "/erasures/" + erasure} {
				_, file := visit(t, "GET", path+".akashi.json", cookie, "")
				var f struct{ Human struct{ Ja []string } }
				if err := json.Unmarshal([]byte(file), &f); err != nil || !strings.Contains(strings.Join(f.Human.Ja, "\n"), c.name) {
					t.Errorf("%s: the file does not say %q: %v", path, c.name, err)
				}
				_, page := visit(t, "GET", path, cookie, "")
				if strings.ContainsAny(page, "\u202e\u200b") {
					t.Errorf("%s: what cannot be seen stands in the page", path)
				}
			}
			s.codes["again"] = person
			run(t, ctx, entry(srv.URL, "again"), seen(".cons"))
			narrow(t, ctx, what)
			outside := get(t, ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("main *")].filter((e) => !e.closest("bdi,svg,select,[lang]:not(html)") && [...e.childNodes].some((n) => n.nodeType === 3 && /[\u0590-\u08ff]/.test(n.data))).map((e) => e.outerHTML)`))
			if len(outside) > 0 {
				t.Errorf("not kept apart from what stands around it: %q", outside)
			}
			for _, path := range []string{address, srv.URL + "/erasures/" + erasure} {
				run(t, ctx, chromedp.Navigate(path), settled("ok")) // the words of the page are those of the file, too
				if text := strings.ReplaceAll(textOf(t, ctx, "#main"), "\n", ""); !strings.Contains(text, c.shown) {
					t.Errorf("%s shows %s", path, text)
				}
				narrow(t, ctx, what)
			}
			resp, paper := visit(t, "GET", address+".pdf", cookie, "")
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(paper, "%PDF-") {
				t.Fatalf("paper: %s", resp.Status)
			}
			printed(t, paper, c.printed)
		})
	}
}

// printed reads the text of a PDF back, where poppler is at hand.
func printed(t *testing.T, pdf, want string) {
	t.Helper()
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Log("pdftotext (Debian: poppler-utils) is not installed: TestPaperNames looks at the text that is printed")
		return
	}
	cmd := exec.Command(tool, "-", "-")
	cmd.Stdin = strings.NewReader(pdf)
	out, err := cmd.Output()
	if text := strings.ReplaceAll(string(out), "\n", ""); err != nil || !strings.Contains(text, want) {
		t.Errorf("printed without %q: %v\n%s", want, err, out)
	}
}
