package main

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/oauth/apptest"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestCitizenWithoutScripts is TestCitizenInBrowser in a Chromium that runs no
// JavaScript: a one-time code signs in, the pages say that they did not verify, and the
// erasure needs the identity provider beside the code.
func TestCitizenWithoutScripts(t *testing.T) {
	c := startTown(t)
	app := apptest.Build(t)
	client := c.register(func(f *rest.ClientForm) {
		f.Authentication, f.JWKS, f.PAR, f.DPoP, f.RedirectURIs = "private_key_jwt", app.Keys, true, true, []string{app.Redirect()}
	})
	app.Start(t, "AKASHI_ISSUER="+c.issuer, "AKASHI_SERVICE=shop", "AKASHI_PURPOSES=service,survey,research", "AKASHI_CLIENT_ID="+client.ID)
	c.idp.Is("sub-yui", nil)

	v := c.visitor()
	v.run(browsertest.Command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	w := browsertest.Watched(t, v.ctx)
	v.open(app.URL, `form[action="/login"]`)
	v.click(`form[action="/login"] button`, "a.go")
	v.click("a.go", "#address")
	if browsertest.Get(t, v.ctx, chromedp.Evaluate[bool](`!!document.querySelector("#passkey")?.getClientRects().length`)) {
		t.Error("a button that does nothing without scripts is shown")
	}
	v.enterCode()
	v.click("#p-survey", "#p-survey:checked")
	v.click(`button[value=give]`, "section#service dl")
	if got := v.says("main"); !strings.Contains(got, "髙橋 yui") || !strings.Contains(got, "yui@example.jp") || strings.Contains(got, "会津若松市") {
		t.Errorf("the app shows\n%s", got)
	}

	v.see("/history?kind=given", ".tl", "加盟企業0から加盟企業1へ", "サービスの提供", "アンケート", "受け取りの記録があります")
	v.open("/", ".uses")
	v.click(`.use .facts a[href^="/receipts/"]`, "#check noscript .note")
	v.unverified()
	v.verified(v.save(`a[href$=".akashi.json"]`, v.fileName()))

	v.open("/", ".uses")
	v.click(`form[action="/consents/stop"]:has(input[name=purpose][value=service]) button`, ".said-note")
	v.open(app.URL, `form[action="/read"]`)
	v.click(`form[action="/read"] button`, "section#service code")
	if got := v.says("#service"); strings.Contains(got, "髙橋") || !strings.Contains(got, "revoked") {
		t.Errorf("after the withdrawal the app shows %q", got)
	}

	v.rights()

	v.open("/services/shop", "#w-erase:disabled") // a code alone is not enough
	v.run(browsertest.Click("#w-stop"))
	v.click(".decide button", ".said-note")
	if got := v.says("main"); !strings.Contains(got, "止めました") || browsertest.Get(t, v.ctx, chromedp.Evaluate[bool](`document.querySelector('form[action="/consents/stop"]') !== null`)) {
		t.Errorf("after leaving the service the page says\n%s", got)
	}
	v.open("/services/shop", "#w-erase:disabled")
	v.click(`a[href^="/signin?next="]`, `form[action="/signin/oidc"] button`)
	v.click(`form[action="/signin/oidc"] button`, "#w-erase:enabled")
	v.run(browsertest.Click("#w-erase"))
	v.click(".decide button", ".holders")
	certificate := browsertest.Location(t, v.ctx)
	v.see(certificate, ".cert", "か所すべてが消しました", "加盟企業0", "加盟企業1", "加盟企業2")
	v.unverified()
	v.verified(v.save(`a[href$=".akashi.json"]`, "erasure-"+filepath.Base(certificate)+".akashi.json"))
	idp, err := url.Parse(c.idp.URL)
	c.must(err)
	w.Check(t, c.issuer, app.URL, idp.Scheme+"://"+idp.Host)
}

// rights files a request, and stops each of the three uses that need no reason.
func (v *visitor) rights() {
	v.t.Helper()
	v.open("/requests", "#k-correction")
	v.run(browsertest.Click("#k-correction"), chromedp.SendKeys(chromedp.CSS("#r-n"), "「髙」の字です"))
	v.click(".ask button", ".said-note")
	v.see("/requests", "#main", "「髙」の字です", "まちがいを直してほしい")
	for _, kind := range []string{"marketing", "group", "mail"} {
		v.open("/stops", ".bare")
		v.click(`form:has([name=kind][value=`+kind+`]):has([name=state][value=stopped]) button`, `form:has([name=kind][value=`+kind+`]) [aria-checked=false]`)
		if got := v.says(".said-note"); !strings.Contains(got, "すぐに効いています") {
			v.t.Errorf("%s: the page says %q", kind, got)
		}
	}
	v.see("/", ".uses", "サービスの提供")
}

// enterCode signs in with a one-time code.
func (v *visitor) enterCode() {
	v.t.Helper()
	before := len(v.codes())
	v.run(chromedp.SendKeys(chromedp.CSS("#address"), yuiPhone))
	v.click(`form[action="/signin"] button`, "#code")
	v.run(chromedp.SendKeys(chromedp.CSS("#code"), v.code(before)))
	v.click(`form[action="/signin/code"] button`, ".genuine")
}

// unverified wants the page to say that it has verified nothing.
func (v *visitor) unverified() {
	v.t.Helper()
	got := v.says("#check")
	if !strings.Contains(got, "まだ確かめていません") || !strings.Contains(got, "JavaScript") || strings.Contains(v.says("main"), "確認済み") {
		v.t.Errorf("without scripts the page says\n%s", got)
	}
}
