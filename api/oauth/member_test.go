package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestMemberAsClient: another member's node learns who somebody is, by their own word,
// and nothing else; whoever only says that they are a member learns nothing.
func TestMemberAsClient(t *testing.T) {
	m := newSite(t)
	m.others = []oauth.Member{{ID: "b-sha", Name: record.Text{Ja: "い社", En: "B"}, Origin: "https://b.example"}}
	const back = "https://b.example/signin/oidc/callback/a-sha"
	node := rest.ClientMade{ClientView: rest.ClientView{ID: "member:b-sha"}}
	begin := func(change url.Values) *flow {
		f := m.flow(node)
		f.extra = url.Values{"authorization_details": {""}, "redirect_uri": {back}, "nonce": {"n"}}
		for k, v := range change {
			f.extra[k] = v
		}
		return f
	}
	b := m.browser()
	f := begin(nil)
	resp, page := f.screen(b, "p01")
	if resp.StatusCode != 200 || !strings.Contains(page, "い社に、あなたであることを伝えますか") || !strings.Contains(page, "b.example") ||
		!strings.Contains(resp.Header.Get("Content-Security-Policy"), "form-action 'self' https://b.example") {
		t.Fatalf("%s %v\n%s", resp.Status, resp.Header, page)
	}
	form := fields(page)
	form.Set("act", "tell")
	to := page[strings.Index(page, `action="/oauth/authorize/`)+len(`action="`):]
	to = to[:strings.Index(to, `"`)]
	if resp, _ := m.browser().post(to, form); resp.StatusCode == http.StatusSeeOther && strings.HasPrefix(resp.Header.Get("Location"), back) {
		t.Error("a stranger's browser answered")
	}
	resp, page = b.post(to, form)
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(at.String(), back+"?") || at.Query().Get("code") == "" {
		t.Fatalf("%s to %s\n%s", resp.Status, at, page)
	}
	exchange := f.exchange(at.Query().Get("code"))
	exchange.Set("redirect_uri", back)
	exchange.Set("client_id", node.ID)
	got := m.token(rest.ClientMade{}, exchange)
	if got.status != 200 || got.ID == "" || got.Refresh != "" {
		t.Fatalf("tokens: %+v", got)
	}
	if status, _, _ := m.data(got.Access, "purpose=service"); status < 400 {
		t.Errorf("the token reads: %d", status)
	}
	if again := m.token(rest.ClientMade{}, exchange); again.status == 200 {
		t.Error("the code was redeemed twice")
	}

	for name, x := range map[string]struct {
		change url.Values
		act    string
		want   string // error that goes back to the member, "" for a page here
	}{
		"no member":       {url.Values{"client_id": {"member:c-sha"}}, "", ""},
		"another address": {url.Values{"redirect_uri": {"https://b.example/signin/oidc/callback"}}, "", ""},
		"another host":    {url.Values{"redirect_uri": {"https://evil.example/signin/oidc/callback/a-sha"}}, "", ""},
		"asks for more":   {url.Values{"authorization_details": {`[{"type":"akashi_consent","service":"portal"}]`}}, "", "invalid_authorization_details"},
		"silently":        {url.Values{"prompt": {"none"}}, "", "consent_required"},
		"no PKCE":         {url.Values{"code_challenge": {""}, "code_challenge_method": {""}}, "", "invalid_request"},
		"not told":        {nil, "no", "access_denied"},
	} {
		f := begin(x.change)
		resp, page := f.screen(b, "p01")
		if x.act != "" {
			form := fields(page)
			form.Set("act", x.act)
			to := page[strings.Index(page, `action="/oauth/authorize/`)+len(`action="`):]
			resp, page = b.post(to[:strings.Index(to, `"`)], form)
		}
		at, _ := url.Parse(resp.Header.Get("Location"))
		if x.want == "" && (resp.StatusCode != http.StatusBadRequest || at.String() != "") || x.want != "" && (at.Query().Get("error") != x.want || !strings.HasPrefix(at.String(), back)) {
			t.Errorf("%s: %s to %q\n%.300s", name, resp.Status, at, page)
		}
	}
}
