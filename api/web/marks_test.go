package web

import (
	"html/template"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

func TestRewritten(t *testing.T) {
	ja := func(s string) record.Text { return record.Text{Ja: s} }
	for name, c := range map[string]struct {
		l        Language
		was, now record.Text
		want     string
	}{
		"the same":            {Japanese, ja("あ。い。"), ja("あ。い。"), `<bdi>あ。い。</bdi>`},
		"line ends stay":      {Japanese, ja("あ\n\nい"), ja("あ\n\nい"), "<bdi>あ</bdi>\n\n<bdi>い</bdi>"},
		"one sentence came":   {Japanese, ja("あ。う。"), ja("あ。い。う。"), `<bdi>あ。</bdi><ins class="mk"><b>追加</b> <bdi>い。</bdi></ins><bdi>う。</bdi>`},
		"one sentence went":   {Japanese, ja("あ。い。\nう。"), ja("あ。\nう。"), "<bdi>あ。</bdi><del class=\"mk\"><b>なくなった</b> <bdi>い。</bdi></del>\n<bdi>う。</bdi>"},
		"one is another":      {English, record.Text{Ja: "あ", En: "It is 1.5 days. Then it ends."}, record.Text{Ja: "い", En: "It is 2. days. Then it ends."}, `<del class="mk"><b>Before</b> <bdi>It is 1.5 days. </bdi></del> <ins class="mk"><b>Changed</b> <bdi>It is 2. days. </bdi></ins><bdi>Then it ends.</bdi>`},
		"another language":    {English, ja("あ"), record.Text{Ja: "あ", En: "A"}, `<del class="mk"><b>Before</b> <bdi lang="ja">あ</bdi></del> <ins class="mk"><b>Changed</b> <bdi>A</bdi></ins>`},
		"nothing is mark-up":  {Japanese, ja("<b>"), ja("<i>\u202e"), `<del class="mk"><b>前</b> <bdi>&lt;b&gt;</bdi></del> <ins class="mk"><b>変更</b> <bdi>&lt;i&gt;<span class="inv">U+202E</span></bdi></ins>`},
		"an empty line went":  {Japanese, ja("あ\n\nい"), ja("あ\nい"), "<bdi>あ</bdi>\n\n<bdi>い</bdi>"},
		"longer than a table": {Japanese, ja(strings.Repeat("あ。", 2000)), ja(strings.Repeat("い。", 2000)), `<del class="mk"><b>前</b> <bdi>` + strings.Repeat("あ。", 2000) + `</bdi></del> <ins class="mk"><b>変更</b> <bdi>` + strings.Repeat("い。", 2000) + `</bdi></ins>`},
	} {
		if got := c.l.Rewritten(c.was, c.now); got != template.HTML(c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	var c Changes
	c.Note("text", false)
	if got := Japanese.Summary(&c); got != "" {
		t.Errorf("nothing changed: %s", got)
	}
	c.Note("text", true)
	c.Note("purposes", true)
	got := string(English.Summary(&c))
	if a, b := strings.Index(got, "Purposes"), strings.Index(got, "full text"); a < 0 || b < a {
		t.Errorf("the order is not that of the page: %s", got)
	}
}
