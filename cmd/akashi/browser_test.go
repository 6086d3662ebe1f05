package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/browsertest"
	"github.com/akashi-ledger/akashi/api/oauth/apptest"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// hook stands before the app's address for events: it holds them back until the gate
// is open, and says when one has reached the app.
type hook struct {
	gate  chan struct{}
	heard chan int // status that the app answered
	srv   *httptest.Server
}

func newHook(t *testing.T, to string) *hook {
	h := &hook{gate: make(chan struct{}), heard: make(chan int, 16)}
	h.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-h.gate:
		case <-r.Context().Done(): // the node tries again
			return
		}
		resp, err := http.Post(to, r.Header.Get("Content-Type"), r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		h.heard <- resp.StatusCode
	}))
	t.Cleanup(h.srv.Close)
	return h
}

// wait wants an event to reach the app, which takes it.
func (h *hook) wait(t *testing.T, what string) {
	t.Helper()
	select {
	case status := <-h.heard:
		if status != http.StatusAccepted {
			t.Errorf("%s: the app answered the event with %d", what, status)
		}
	case <-time.After(patience):
		t.Errorf("%s: no event has reached the app", what)
	}
}

// TestCitizenInBrowser is a person's whole way in a real Chromium, against the nodes
// of a consortium of four: sign up with a passkey, consent to two of three scopes in an
// app, see and verify what was handed over, withdraw, and have it all erased.
func TestCitizenInBrowser(t *testing.T) {
	c := startTown(t)
	app := apptest.Build(t)
	events := newHook(t, app.URL+"/events")
	client := c.register(func(f *rest.ClientForm) {
		f.Authentication, f.JWKS, f.PAR, f.DPoP = "private_key_jwt", app.Keys, true, true
		f.RedirectURIs, f.Webhook = []string{app.Redirect()}, events.srv.URL
	})
	app.Start(t, "AKASHI_ISSUER="+c.issuer, "AKASHI_SERVICE=shop", "AKASHI_PURPOSES=service,survey,research", "AKASHI_CLIENT_ID="+client.ID)
	own := c.ownApp()

	v := c.visitor()
	w := browsertest.Watched(t, v.ctx)
	v.signUp()
	v.consent(app)
	v.open(own.ask("service"), "#back") // the same recipient, the same scope: nothing is left to ask
	tokens := own.tokens()
	if status, code := own.read(tokens.Access, "service"); status != http.StatusOK {
		t.Fatalf("the other app's read: %d %s", status, code)
	}
	v.provisions()
	v.revoke(app, own, tokens)
	close(events.gate)
	events.wait(t, "the withdrawal")
	v.erase(app, events)
	w.Check(t, c.issuer, app.URL, strings.TrimSuffix(own.back, "/callback"))
}

// signUp opens the link from the shop's desk, adds a passkey, and leaves.
func (v *visitor) signUp() {
	v.t.Helper()
	v.run(browsertest.Command(webauthn.Enable, webauthn.EnableParams{}),
		browsertest.Command(webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{Protocol: "ctap2", Transport: "internal",
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}}))
	v.open(v.link("yui"), "h1")
	v.click(`button[value=enter]`, `form[action="/leave"]`)
	v.open("/signin/sessions", "#passkey")
	v.click("#passkey", ".passkey-kept")
	v.open("/", "h1")
	v.click(`form[action="/leave"] button`, `a[href="/signin?next=/"]`)
}

// consent goes from the app over its sign-in to the screen, agrees to the needed
// scope and one of two others, and reads in the app what it got.
func (v *visitor) consent(app *apptest.App) {
	v.t.Helper()
	v.open(app.URL, `form[action="/login"]`)
	v.click(`form[action="/login"] button`, "a.go")
	number := v.says("p.n")
	if to := browsertest.Get(v.t, v.ctx, chromedp.Evaluate[string](`document.querySelector("a.go").href`)); !strings.Contains(to, "request_uri=") || strings.Contains(to, "authorization_details") {
		v.t.Errorf("the request was not pushed: %s", to)
	}
	v.click("a.go", "#passkey")
	v.click("#passkey", ".genuine")
	if got := v.says(".genuine"); number == "" || !strings.Contains(got, number) {
		v.t.Errorf("the app shows the number %q, the screen %q", number, got)
	}
	v.click("#p-survey", "#p-survey:checked")
	v.click(`button[value=give]`, "section#service dl")
	for selector, want := range map[string]string{"#service": "髙橋 yui", "#survey": "yui@example.jp", "#research": "同意なし"} {
		if got := v.says(selector); !strings.Contains(got, want) {
			v.t.Errorf("the app shows %q in %s, want %s", got, selector, want)
		}
	}
	if page := v.says("main"); strings.Contains(page, "会津若松市") {
		v.t.Errorf("the app shows what was not granted:\n%s", page)
	}
}

// provisions looks at what was handed over and received, and verifies a receipt in the
// page and by the command.
func (v *visitor) provisions() {
	v.t.Helper()
	v.see("/history?kind=given", ".tl", "加盟企業0から加盟企業1へ", "氏名", "メールアドレス", "サービスの提供", "アンケート", "受け取りの記録があります")
	if got := v.says(".tl"); strings.Contains(got, "市区町村") {
		v.t.Errorf("the history shows what was not granted:\n%s", got)
	}
	v.open("/history?kind=given", ".tl")
	v.click(".tl details summary", `.tl a[href^="/receipts/"]`)
	v.click(`.tl a[href^="/receipts/"]`, "#check")
	v.checked(4)
	provision := v.verified(v.save(`a[href$=".akashi.json"]`, v.fileName()))
	if !strings.Contains(provision, "third-party provision") && !strings.Contains(provision, "提供") {
		v.t.Errorf("akashi verify of a provision says\n%s", provision)
	}

	v.open("/", ".uses")
	v.click(`.use .facts a[href^="/receipts/"]`, "#check")
	v.checked(4)
	v.click(`li[data-step=keys] button`, `li[data-step=keys] .st.ok`)
	v.checked(5)
	if got := v.says("#h-res"); !strings.Contains(got, "本物です") {
		v.t.Errorf("the verdict of the page is %q", got)
	}
	if got := v.verified(v.save(`a[href$=".akashi.json"]`, v.fileName())); !strings.Contains(got, "髙橋") && !strings.Contains(got, "まちのお店") {
		v.t.Errorf("akashi verify of a consent says\n%s", got)
	}
}

// fileName is under which name the receipt of the page is saved.
func (v *visitor) fileName() string {
	at, err := url.Parse(browsertest.Location(v.t, v.ctx))
	v.must(err)
	return "receipt-" + filepath.Base(at.Path) + ".akashi.json"
}

// revoke stops the service's scope by one tap. Within five seconds the app's next read,
// which the person starts on its page, is refused; nobody else reads under the scope
// either, no token for it lives, and every member's ledger says so. The app has heard
// of nothing: its address for events is held shut.
func (v *visitor) revoke(app *apptest.App, own *ownApp, tokens ownTokens) {
	v.t.Helper()
	if _, got := own.form("/oauth/introspect", url.Values{"token": {tokens.Access}}); !got.Active {
		v.t.Error("before the withdrawal, the token is not active")
	}
	handle := v.handle()
	v.open("/", ".uses")
	begin := time.Now()
	v.click(`form[action="/consents/stop"]:has(input[name=purpose][value=service]) button`, ".said-note")
	if got := v.says(".said-note"); !strings.Contains(got, "止めました") {
		v.t.Errorf("after the tap the page says %q", got)
	}
	v.refusedIn(app)
	atApp := time.Since(begin)
	if _, got := own.form("/oauth/introspect", url.Values{"token": {tokens.Access}}); got.Active {
		v.t.Error("introspection calls the token active")
	}
	if status, code := own.read(tokens.Access, "service"); status < 401 || status > 403 || code == "" {
		v.t.Errorf("a read after the withdrawal: %d %q", status, code)
	}
	if status, got := own.form("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		v.t.Errorf("refresh after the withdrawal: %d %+v", status, got)
	}
	for i := range v.members {
		v.until(fmt.Sprintf("member %d knows of the withdrawal", i), func() bool { return v.stateAt(i, handle, "service") == "revoked" })
	}
	took := time.Since(begin)
	v.t.Logf("withdrawn, and the app's next read refused, within %v; everywhere within %v", atApp, took)
	if took > 5*time.Second {
		v.t.Errorf("refused at the app after %v, everywhere after %v", atApp, took)
	}
}

// refusedIn reads again on the app's page, which shows a refusal for the service's scope,
// nothing of what it read before, and the other scope as it was.
func (v *visitor) refusedIn(app *apptest.App) {
	v.t.Helper()
	v.open(app.URL, "section#service dl") // it has heard nothing, and still shows what it read
	v.click(`form[action="/read"] button`, "section#service code")
	if got := v.says("#service"); strings.Contains(got, "髙橋") || !strings.Contains(got, "revoked") {
		v.t.Errorf("the app shows %q", got)
	}
	if got := v.says("#survey"); !strings.Contains(got, "yui@example.jp") {
		v.t.Errorf("the other scope went with it: %q", got)
	}
}

// handle returns the person's handle towards the shop.
func (v *visitor) handle() (k sign.PublicKey) {
	v.t.Helper()
	f, err := v.app(0).Completeness(v.t.Context(), "yui", nil)
	v.must(err)
	for _, h := range f.Verdict.Handles {
		if h.For == "shop" {
			b, err := hex.DecodeString(h.Handle)
			v.must(err)
			return sign.PublicKey(b)
		}
	}
	v.t.Fatal("no handle towards the shop")
	return k
}

// stateAt is the state of a scope as a member proves it.
func (v *visitor) stateAt(member int, handle sign.PublicKey, purpose string) string {
	v.t.Helper()
	f, err := v.app(member).Handle(v.t.Context(), handle, false)
	v.must(err)
	for _, h := range f.Verdict.Handles {
		for _, sc := range h.Scopes {
			if sc.Purpose == purpose {
				return sc.State
			}
		}
	}
	return ""
}

// erase ends the service with the erasure of its content, and waits for the word of
// everyone who held it.
func (v *visitor) erase(app *apptest.App, events *hook) {
	v.t.Helper()
	v.open("/services/shop", "#w-erase:enabled")
	v.run(browsertest.Click("#w-erase"))
	v.click(".decide button", ".holders")
	certificate := browsertest.Location(v.t, v.ctx)
	id := filepath.Base(certificate)
	v.see(certificate, ".cert", "か所すべてが消しました", "加盟企業0", "加盟企業1", "加盟企業2")
	v.checked(4)
	said := v.verified(v.save(`a[href$=".akashi.json"]`, "erasure-"+id+".akashi.json"))
	for _, holder := range []string{"Destroyed: Member 0", "Destroyed: Member 1", "Copies destroyed: Member 2, for Member 0", "Every holder has destroyed"} {
		if !strings.Contains(said, holder) {
			v.t.Errorf("akashi verify of the certificate does not say %q:\n%s", holder, said)
		}
	}
	if strings.Contains(v.says("body"), "yui") || strings.Contains(said, "yui") {
		v.t.Error("the certificate names the person")
	}
	events.wait(v.t, "the erasure")
	v.open(app.URL, "section#survey")
	if got := v.says("main"); strings.Contains(got, "yui@example.jp") || !strings.Contains(got, "同意が変わりました") {
		v.t.Errorf("after the erasure the app shows\n%s", got)
	}
	if d, err := v.app(0).Person(v.t.Context(), custody.Ref("yui")); err == nil {
		for _, cl := range d.Classes {
			if cl.Service == "shop" && len(cl.Items) > 0 {
				v.t.Errorf("the member still holds %+v", cl)
			}
		}
	}
}
