package web

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestMarkedOffer: every part of an offer that is not as it was is marked in its
// place and named in the summary, and nothing else is.
func TestMarkedOffer(t *testing.T) {
	text := func(s string) record.Text { return record.Text{Ja: s} }
	item := func(code string) Item { return Item{Code: code, Label: text(code)} }
	base := func() *Offer {
		return &Offer{Purpose: Purpose{"mail", text("お知らせ")}, Version: "2", Required: []Item{item("name")}, Optional: []Item{item("city")},
			Recipients: []record.Text{text("あ社")}, Until: "2027-01-01", Retention: record.Period{Days: 30}, Withdrawal: text("いつでも。"), Text: text("全文。")}
	}
	p := &page{Lang: Japanese}
	for name, c := range map[string]struct {
		was   func(o *Offer)
		parts []string // of the summary
		marks []string
	}{
		"the same": {func(o *Offer) {}, nil, nil},
		"purpose": {func(o *Offer) {
			*o = Offer{Version: "1", Retention: o.Retention, Withdrawal: o.Withdrawal, Text: o.Text}
		}, []string{"使いみち"}, []string{`<ins class="mk"><b>追加</b> <bdi>お知らせ</bdi></ins>`}},
		"items":       {func(o *Offer) { o.Required, o.Optional = []Item{item("city"), item("phone")}, nil }, []string{"わたす情報"}, []string{`<b>追加</b> <bdi>name</bdi>`, `<bdi>city</bdi> <span class="small">（前は、必要なもの）`, `<b>なくなった</b> <bdi>phone</bdi>`}},
		"recipients":  {func(o *Offer) { o.Recipients = nil }, []string{"わたす相手"}, []string{`<b>追加</b> <bdi>あ社</bdi>`, `<b>なくなった</b> ほかの会社にはわたりません`}},
		"until":       {func(o *Offer) { o.Until = "" }, []string{"期間"}, []string{`<b>前</b> とりやめるまで</del>`, `<b>変更</b> 2027年1月1日まで`}},
		"retention":   {func(o *Offer) { o.Retention = record.Period{} }, []string{"消す時期"}, []string{`<b>前</b> やめたときに、消すかどうかをえらべます。`}},
		"abroad":      {func(o *Offer) { o.Foreign = "consent" }, []string{"外国の相手にわたるかどうか"}, []string{`<b>変更</b> 外国の会社にはわたりません。`}},
		"withdrawal":  {func(o *Offer) { o.Withdrawal = text("電話で。") }, []string{"やめ方と、やめるとどうなるか"}, []string{`<b>前</b> <bdi>電話で。</bdi></del>`}},
		"the full":    {func(o *Offer) { o.Text = text("全文。付則。") }, []string{"規約の全文"}, []string{`<b>なくなった</b> <bdi>付則。</bdi>`}},
		"two at once": {func(o *Offer) { o.Until, o.Text = "", text("別。") }, []string{"期間", "規約の全文"}, []string{`<b>前</b> <bdi>別。</bdi>`}},
	} {
		was := base()
		was.Version = "1"
		c.was(was)
		now := base()
		now.Was = was
		v := p.marked(now)
		if n := strings.Count(string(v.Summary), "<li>"); n != len(c.parts) {
			t.Errorf("%s: %d parts changed: %s", name, n, v.Summary)
		}
		for _, part := range c.parts {
			if !strings.Contains(string(v.Summary), "<li>"+part+"</li>") || !strings.Contains(string(v.Summary), "第1版") {
				t.Errorf("%s: the summary lacks %s: %s", name, part, v.Summary)
			}
		}
		all := string(v.Use + v.To + v.Until + v.Retention + v.Abroad + v.Stop + v.Full)
		for _, i := range append(v.Required, v.Optional...) {
			all += string(i.Mark)
		}
		for _, h := range v.Gone {
			all += string(h)
		}
		for _, m := range c.marks {
			if !strings.Contains(all, m) {
				t.Errorf("%s: %s is not marked in %s", name, m, all)
			}
		}
		if len(c.marks) == 0 && strings.Contains(all, "mk") {
			t.Errorf("%s: marked: %s", name, all)
		}
	}
}
