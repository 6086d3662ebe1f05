package oauth_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
)

var appLine = regexp.MustCompile(`action="/signin/apps"><input type="hidden" name="form" value="([0-9a-f]+)"><input type="hidden" name="id" value="([0-9a-f]+)">`)

// TestAppsOfAPerson: a person sees which apps are signed in for which service, and ends
// one of them: its tokens, not the consents, nor another's tokens.
func TestAppsOfAPerson(t *testing.T) {
	m := newSite(t)
	one, two := m.client(nil), m.client(func(f object) { f["name"] = object{"ja": "別のアプリ", "en": "Another"} })
	first, second := m.granted(one, "p01", "service"), m.granted(two, "p01", "service")
	m.person("p02")
	others := m.granted(one, "p02", "service")
	sessions := func(person string) (*browser, string) {
		b := m.browser()
		b.signIn(person, "/")
		_, page := b.get("/signin/sessions")
		return b, page
	}
	b, page := sessions("p01")
	lines := appLine.FindAllStringSubmatch(page, -1)
	if len(lines) != 2 || !strings.Contains(page, "お店のアプリ") || !strings.Contains(page, "別のアプリ") || !strings.Contains(page, "見本") {
		t.Fatalf("%d apps\n%s", len(lines), page)
	}
	stranger, other := sessions("p02")
	form := url.Values{"form": {appLine.FindStringSubmatch(other)[1]}, "id": {lines[0][2]}}
	if resp, _ := stranger.post("/signin/apps", form); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a stranger: %s", resp.Status)
	}
	if resp, _ := b.post("/signin/apps", url.Values{"form": {session.FormToken("x")}, "id": {lines[0][2]}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("without the form's token: %s", resp.Status)
	}
	at := strings.Index(page, "別のアプリ")
	mine := appLine.FindStringSubmatch(page[at:])
	for _, got := range []tokens{first, second, others} {
		if status, _, code := m.data(got.Access, "purpose=service"); status != 200 {
			t.Fatalf("before: %d %s", status, code)
		}
	}
	if resp, body := b.post("/signin/apps", url.Values{"form": {mine[1]}, "id": {mine[2]}}); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", resp.Status, body)
	}
	if status, _, code := m.data(second.Access, "purpose=service"); status == 200 || code != "token.invalid" {
		t.Errorf("the app that was ended reads: %d %s", status, code)
	}
	for _, got := range []tokens{first, others} {
		if status, _, code := m.data(got.Access, "purpose=service"); status != 200 {
			t.Errorf("another's: %d %s", status, code)
		}
	}
	if _, page := b.get("/signin/sessions"); len(appLine.FindAllString(page, -1)) != 1 {
		t.Errorf("afterwards\n%s", page)
	}
	now, err := m.n.Desk().ScopesNow(t.Context(), "p01", "portal")
	fatal(t, err)
	if len(now) == 0 || !now[0].On {
		t.Errorf("the consent ended with it: %+v", now)
	}
}
