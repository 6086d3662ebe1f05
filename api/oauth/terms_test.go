package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"
)

// second publishes terms of the coupons in which every kind of part is another.
func (c *coupon) second() {
	text := func(ja, en string) object { return object{"ja": ja, "en": en} }
	c.call("admin", "POST", "/v1/terms", object{"service": "coupon", "version": "2", "effective": "2020-01-01T00:00:00+09:00", "retention": "P1Y", "foreign": "consent",
		"text":       text("この規約は、まちなかクーポンの利用について定めます。\n\n第1条　あ社は、次の情報を青葉交通と北灯モールにわたします。", "These terms are about the use of town coupons.\n\n1. The provider hands the following to Aoba Transit and Kitahi Mall."),
		"withdrawal": text("「わたしの同意」から、いつでもやめられます。たまったクーポンは、使えなくなります。", "Stop at any time under “My consents”. Coupons that you have are lost."),
		"scopes": []any{
			object{"purpose": "coupon", "required": []string{"city", "member-no"}, "optional": []string{"allergy"}, "recipients": []string{"aoba", "kitahi"}, "maxExpiry": "P6M"},
			object{"purpose": "news", "required": []string{"email"}, "recipients": []string{"aoba"}, "maxExpiry": "P1Y"},
			object{"purpose": "survey", "required": []string{"email"}, "recipients": []string{"aoba"}, "maxExpiry": "P1Y"},
		}}, nil)
}

var (
	changed  = regexp.MustCompile(`<(ins|del) class="mk"><b>([^<]+)</b> (.*?)</(?:ins|del)>`)
	tags     = regexp.MustCompile(`<[^>]+>`)
	screenOf = regexp.MustCompile(`name="screen" value="([0-9a-f]{64})"`)
)

// marks are the changes on a page, as a reader hears them.
func marks(body string) []string {
	var out []string
	for _, m := range changed.FindAllStringSubmatch(body, -1) {
		out = append(out, m[1]+" "+m[2]+": "+html.UnescapeString(tags.ReplaceAllString(m[3], "")))
	}
	return out
}

// page is what p sees of the app's request in a language.
func (c *coupon) page(b *browser, ref, lang string) string {
	c.t.Helper()
	f := c.flow(c.client)
	f.detail["service"], f.detail["required"] = "coupon", []string{"coupon"}
	f.extra.Set("redirect_uri", c.app)
	_, body := f.screen(b, ref)
	at := action.FindStringSubmatch(body)
	if at == nil {
		c.t.Fatalf("no screen:\n%s", body)
	}
	_, body = b.get(at[1] + "?lang=" + lang)
	return body
}

// agreed answers a page.
func (c *coupon) agreed(b *browser, body string) {
	c.t.Helper()
	form := fields(body)
	form.Set("act", "give")
	if resp, body := b.post(action.FindStringSubmatch(body)[1], form); resp.StatusCode != 303 || !strings.HasPrefix(resp.Header.Get("Location"), c.app+"?") {
		c.t.Fatalf("agreed: %s\n%s", resp.Status, body)
	}
}

// TestTermsChanged: who agreed to other terms before sees in its place what has
// changed since, in both languages; the marks are part of the bytes that the hash is
// of; and nothing is marked where nothing changed.
func TestTermsChanged(t *testing.T) {
	c := newCoupon(t)
	for _, ref := range []string{"p03", "p04"} {
		c.call("app", "POST", "/v1/people", object{"person": ref, "service": "coupon", "source": "self", "lookup": object{"phone": "0900000" + ref[1:]},
			"items": object{"name": "見本", "email": ref + "@example.jp", "member-no": "M-" + ref, "city": "みなと市", "allergy": "なし"}}, nil)
	}
	two, three, four := c.browser(), c.browser(), c.browser()
	for ref, b := range map[string]*browser{"p02": two, "p03": three} {
		first := c.page(b, ref, "ja")
		if got := marks(first); len(got) > 0 || strings.Contains(first, `class="changes"`) {
			t.Errorf("the first time: %q", got)
		}
		c.agreed(b, first)
	}
	c.second()
	day := time.Now().In(time.FixedZone("JST", 9*3600)).Format(time.DateOnly)
	ja := c.page(two, "p02", "ja")
	want := []string{"ins 変更: 住所（市区町村まで） （前は、えらべるもの）", "ins 追加: アレルギー", "del なくなった: 氏名", "ins 追加: 北灯モール", "del 前: ", "ins 変更: ",
		"ins 追加: アンケート", "del なくなった: お店のおすすめ", "del 前: わたした情報は、30日で消えます。", "ins 変更: わたした情報は、1年間で消えます。",
		"del 前: 外国にはわたりません。", "ins 変更: 外国の相手にわたります。", "del 前: クーポンの配信が止まります。", "ins 変更: たまったクーポンは、使えなくなります。",
		"del 前: 第1条　あ社は、次の情報を青葉交通にわたします。", "ins 変更: 第1条　あ社は、次の情報を青葉交通と北灯モールにわたします。"}
	follow(t, "ja", marks(ja), want)
	en := c.page(two, "p02", "en")
	follow(t, "en", marks(en), []string{"ins Changed: Home town (your choice before)", "ins New: Allergies", "del No longer: 氏名", "ins New: Kitahi Mall", "del Before: ", "ins Changed: ",
		"ins New: アンケート", "del No longer: Suggestions of restaurants", "del Before: What was handed over is erased after 30 days.", "ins Changed: What was handed over is erased after 1 years.",
		"del Before: Nothing goes abroad.", "ins Changed: It goes to a recipient abroad.", "del Before: The coupons end.", "ins Changed: Coupons that you have are lost.",
		"del Before: 1. The provider hands the following to Aoba Transit.", "ins Changed: 1. The provider hands the following to Aoba Transit and Kitahi Mall."})
	for lang, body := range map[string]string{"ja": ja, "en": en} {
		if !strings.Contains(body, map[string]string{"ja": "第1版の規約から変わったこと", "en": "What has changed since version 1 of the terms"}[lang]) {
			t.Errorf("%s: no summary", lang)
		}
	}

	ja = c.page(two, "p02", "ja")
	same, fresh := c.page(three, "p03", "ja"), c.page(four, "p04", "ja")
	hash := screenOf.FindStringSubmatch(ja)[1]
	if day == time.Now().In(time.FixedZone("JST", 9*3600)).Format(time.DateOnly) && screenOf.FindStringSubmatch(same)[1] != hash {
		t.Error("another person who comes from the same version is shown other bytes")
	}
	if screenOf.FindStringSubmatch(fresh)[1] == hash || len(marks(fresh)) > 0 {
		t.Error("who never agreed to other terms sees marks")
	}
	form := fields(ja)
	form.Set("screen", screenOf.FindStringSubmatch(fresh)[1])
	form.Set("act", "give")
	if resp, _ := two.post(action.FindStringSubmatch(ja)[1], form); resp.StatusCode != 409 {
		t.Errorf("agreed to the sheet without the marks: %s", resp.Status)
	}
	c.agreed(two, ja)
	kept, ok, err := c.n.Blobs().Get([]byte("O/x/" + hash))
	fatal(t, err)
	if sum := sha256.Sum256(kept); !ok || hex.EncodeToString(sum[:]) != hash || !bytes.Contains(kept, []byte("北灯モール</bdi></ins>")) {
		t.Errorf("the kept sheet is not what was shown: %v", ok)
	}
}

// follow compares marks with how they should begin.
func follow(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d marks, want %d: %q", what, len(got), len(want), got)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: %q, want %q", what, got[i], want[i])
		}
	}
}
