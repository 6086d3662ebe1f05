package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
)

// TestEnterAsksFirst: a link that somebody sends does not put a browser into another
// account unasked, and no form of another's making does.
func TestEnterAsksFirst(t *testing.T) {
	s := newStory(t)
	s.codes["other"], s.codes["mine"] = "m-2", person
	srv := serve(t, s, s.c.Policy())
	cookie := entered(t, srv.URL, "once")
	resp, body := visit(t, "GET", srv.URL+"/enter?code=other", cookie, "")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 0 || s.codes["other"] == "" || !strings.Contains(body, "いま「•••"+person+"」として入っています。このリンクは「•••m-2」のもの") {
		t.Fatalf("%s %v\n%s", resp.Status, resp.Cookies(), body)
	}
	if !strings.Contains(body, `href="?code=other&amp;lang=en"`) {
		t.Error("the language cannot be changed without losing the link")
	}
	token := formToken.FindStringSubmatch(body)[1]
	form := func(act, token string) string {
		return url.Values{"act": {act}, "form": {token}, "code": {"other"}}.Encode()
	}
	for name, x := range map[string]struct {
		cookie, form string
		more         []string
		status       int
	}{
		"no form token":           {cookie, form("enter", ""), nil, 403},
		"another session's token": {cookie, form("enter", session.FormToken("token-other")), nil, 403},
		"no session":              {"", form("enter", token), nil, 403},
		"another site's form":     {cookie, form("enter", token), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"stay":                    {cookie, form("stay", token), nil, 303},
		"the switch as a link":    {cookie, "", nil, 200},
	} {
		method, path := "POST", "/enter"
		if x.form == "" {
			method, path = "GET", "/enter?"+form("enter", token)
		}
		resp, _ := visit(t, method, srv.URL+path, x.cookie, x.form, x.more...)
		set := slices.ContainsFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.Name == "akashi_session" && c.Value != "" })
		if resp.StatusCode != x.status || set || s.codes["other"] == "" {
			t.Errorf("%s: %s, cookie %v", name, resp.Status, set)
		}
	}
	if who, err := s.Person(t.Context(), "token-once"); err != nil || who != person {
		t.Errorf("the session that there was: %q, %v", who, err)
	}
	resp, _ = visit(t, "POST", srv.URL+"/enter", cookie, form("enter", token))
	if resp.StatusCode != 303 || !slices.ContainsFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.Value == "token-other" }) {
		t.Errorf("switched: %s %v", resp.Status, resp.Cookies())
	}
	if _, err := s.Person(t.Context(), "token-once"); err == nil {
		t.Error("the session that was left goes on")
	}
	if resp, _ := visit(t, "POST", srv.URL+"/enter", "akashi_session=token-other", url.Values{"act": {"enter"}, "form": {session.FormToken("token-other")}, "code": {"other"}}.Encode()); resp.StatusCode != 401 {
		t.Errorf("the link a second time: %s", resp.Status)
	}
	if resp, _ := visit(t, "GET", srv.URL+"/enter?code=gone", "akashi_session=token-other", ""); resp.StatusCode != 401 {
		t.Errorf("a link that does not count: %s", resp.Status)
	}
	s.sessions["token-x"] = person
	if resp, _ := visit(t, "GET", srv.URL+"/enter?code=mine", "akashi_session=token-x", ""); resp.StatusCode != 303 {
		t.Errorf("the same person's link: %s", resp.Status)
	}
}

// TestEnterSignsNobodyIn: opening a link, however often, signs nobody in and does not use
// it up. Its button does, in the browser that opened it and from its page alone.
func TestEnterSignsNobodyIn(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	opened(t, srv.URL, "once") // what looks at the links of a message
	for lang, want := range map[string]string{"ja": "このリンクは「•••" + person + "」のものです", "en": "This link is for “•••" + person + "”", "ja-easy": "リンクは「•••" + person + "」の"} {
		if _, body := visit(t, "GET", srv.URL+"/enter?code=once&lang="+lang, "akashi_session=ended", ""); !strings.Contains(body, want) || strings.Contains(body, `value="stay"`) {
			t.Errorf("%s: want %q\n%s", lang, want, body)
		}
	}
	browser, form := opened(t, srv.URL, "once")
	other, _ := opened(t, srv.URL, "once")
	for name, x := range map[string]struct {
		cookie, form string
		more         []string
	}{
		"no cookie":           {"", form, nil},
		"another browser":     {other, form, nil},
		"no form token":       {browser, url.Values{"act": {"enter"}, "code": {"once"}}.Encode(), nil},
		"another site's form": {browser, form, []string{"Sec-Fetch-Site", "cross-site"}},
		"another origin":      {browser, form, []string{"Origin", "https://evil.example"}},
	} {
		if resp, _ := visit(t, "POST", srv.URL+"/enter", x.cookie, x.form, x.more...); resp.StatusCode != 403 || s.codes["once"] == "" || len(s.sessions) != 0 {
			t.Errorf("%s: %s, sessions %v", name, resp.Status, s.sessions)
		}
	}
	if resp, _ := visit(t, "POST", srv.URL+"/enter", browser, form); resp.StatusCode != 303 || s.sessions["token-once"] != person {
		t.Errorf("the button: %s, sessions %v", resp.Status, s.sessions)
	}
	if resp, _ := visit(t, "POST", srv.URL+"/enter", browser, form); resp.StatusCode != 401 {
		t.Errorf("the button a second time: %s", resp.Status)
	}
}
