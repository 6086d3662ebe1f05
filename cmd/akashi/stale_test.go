package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/node/custody"
)

// grants signs a person in by a link and takes an app's request, which what they agreed
// to before answers, and returns the tokens.
func (c *town) grants(own *ownApp, person, purpose string) ownTokens {
	c.t.Helper()
	resp, err := c.reader(person).http.Get(own.ask(purpose))
	c.must(err)
	resp.Body.Close()
	return own.tokens()
}

// TestNothingLeavesWithoutFreshSignatures: when two of four members are down, no
// checkpoint becomes final. Within 30 s of the last one the node hands out nothing, says
// so by a stable code, and uses nothing up: when the members are back all goes on.
func TestNothingLeavesWithoutFreshSignatures(t *testing.T) {
	c := startTown(t)
	own := c.ownApp()
	_, err := c.app(0).Consent(t.Context(), custody.ConsentRequest{Person: "yui", Service: "shop", Version: "1", Purposes: []string{"service"}, Items: []string{"name"}})
	c.must(err)
	tokens := c.grants(own, "yui", "service")
	if status, code := own.read(tokens.Access, "service"); status != http.StatusOK {
		t.Fatalf("before: %d %s", status, code)
	}
	c.kill(2)
	c.kill(3)
	down := time.Now()
	var last time.Duration // after which the node still answered
	for i, what := range []struct {
		path string
		form url.Values
	}{{"/oauth/introspect", url.Values{"token": {tokens.Access}}}, {"/oauth/introspect", url.Values{"token": {tokens.Refresh}}},
		{"/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}}} {
		for { // a node that is not stale yet says so, and a refresh would be used up: it is asked last
			status, got := own.form(what.path, what.form)
			if status == http.StatusOK {
				last = time.Since(down)
			}
			if status == http.StatusServiceUnavailable {
				if got.Code != string(custody.CodeNotFinal) && got.Error != "temporarily_unavailable" {
					t.Errorf("%s: %+v", what.path, got)
				}
				break
			}
			if i > 0 || time.Since(down) > 45*time.Second {
				t.Fatalf("%s after %v: %d %+v", what.path, time.Since(down), status, got)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	if last > 31*time.Second { // signatures have whole seconds
		t.Errorf("%v after the last signatures the node still answered", last)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.issuer+"/oauth/data?purpose=service", nil)
	c.must(err)
	req.Header.Set("Authorization", "Bearer "+tokens.Access)
	status, b := c.do(req)
	var problem ownTokens
	c.must(json.Unmarshal(b, &problem))
	if status != http.StatusServiceUnavailable || problem.Code != string(custody.CodeNotFinal) {
		t.Errorf("a read: %d %s", status, b)
	}

	c.again(2)
	c.again(3)
	c.healthy()
	c.until("the node hands out again", func() bool {
		_, got := own.form("/oauth/introspect", url.Values{"token": {tokens.Access}})
		return got.Active
	})
	status, again := own.form("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
	if status != http.StatusOK || again.Access == "" {
		t.Fatalf("the refresh token was used up by a refusal: %d %+v", status, again)
	}
	if status, code := own.read(again.Access, "service"); status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, code)
	}
}
