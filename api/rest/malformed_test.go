package rest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
)

// marker is in every malformed request: it must not come back, nor be logged.
const marker = "hanako-yamada-09012345678"

// good is a well-formed body of each route that takes one.
var good = map[string]string{
	"register-client": `{"service":"s","party":"p","name":{"ja":"x"},"redirectUris":["https://app.example/"],"authentication":"none"}`,
	"file-request":    `{"kind":"records","service":"a-portal"}`,
	"answer-request":  `{"state":"done"}`,
	"set-stop":        `{"state":"on"}`,
	"clock":           `{"now":"2027-05-01T00:00:00Z"}`, "admit-party": `{"id":"shop","name":{"ja":"店"},"regime":"ch4","country":"JP"}`,
	"open-service":  `{"id":"s","name":{"ja":"店"},"contact":{"ja":"窓口"}}`,
	"publish-terms": `{"service":"s","version":"1","effective":"2027-05-01T00:00:00Z","text":{"ja":"文"},"withdrawal":{"ja":"文"},"scopes":[{"purpose":"service"}]}`,
	"vote":          `{"topic":"t"}`, "rotate-keys": `{"roles":["cosigner"]}`, "remove-member": `{}`,
	"admit-member": admitting, "tick": `{}`, "register-person": `{"person":"p01","service":"s","items":{},"source":"self"}`,
	"put-items": `{"service":"s","items":{}}`, "erase-person": `{"cause":"request"}`, "export-person": `{"recipient":"age1x"}`, "link": `{}`,
	"consent": `{"person":"p01","service":"s","version":"1","items":[],"purposes":[]}`, "revoke": `{"person":"p01","service":"s"}`,
	"decline": `{"person":"p01","service":"s","version":"1","screen":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`,
	"stop":    `{"person":"p01","service":"s"}`, "provide": `{"person":"p01","service":"s","to":"b-sha","items":[],"purpose":"service"}`,
	"received": `{"howAcquired":"consent"}`, "undelivered": `{"reason":"no-consent"}`, "approve-onward": `{"to":"*"}`,
	"approve-sensor": `{"sensor":"x","operator":"a-sha","type":"count","readings":["count"]}`, "retire-sensor": `{}`,
	"readings": `{"readings":[{"sensor":"x","values":{"count":1}}]}`, "submit": `{"records":["AA=="]}`,
	"file-optout":       `{"number":"f-1","from":"2027-05-01T00:00:00Z","items":["name"]}`,
	"provide-optout":    `{"person":"p01","service":"s","filing":"f-1","to":"b-sha","items":[],"purpose":"service"}`,
	"ask-exception":     `{"person":"p01","service":"s","to":"x","items":[],"purpose":"x","date":"2027-05-01","ground":"law","reason":"x","necessity":"x"}`,
	"approve-exception": `{}`,
	"lift-hold":         `{"reason":"x"}`,
	"name-custodian":    `{"member":"b-sha"}`, "custodian-lost": `{"reason":"stolen"}`,
	"assign-manager": `{"staff":"ma1"}`, "post-sign": `{"photo":"x","saysFaceRecognition":false}`,
	"collect":     `{"person":"p01","service":"s","purpose":"x","items":{"name":"x"}}`,
	"place-hold":  `{"person":"p01","kind":"legal","reason":"x","until":"2027-05-01T00:00:00Z"}`,
	"create-tree": `{"name":"t","type":"log"}`, "append-leaves": `{"leaves":[{"value":"AA=="}]}`,
}

// admitting is a form of the right shape, whose proofs are none.
var admitting = func() string {
	proof := func(role string) string {
		return `{"role":"` + role + `","key":"` + strings.Repeat("A", 43) + `=","proof":"` + strings.Repeat("A", 86) + `=="}`
	}
	return `{"id":"` + strings.Repeat("ab", 16) + `","epoch":0,"candidate":{"id":"d-sha","name":{"ja":"D社"},"regime":"ch4","country":"JP","cosigner":"d","address":"d:1"},"keys":[` +
		proof("approver") + "," + proof("cosigner") + "," + proof("network") + "," + proof("record") + `]}`
}()

type malformed struct {
	what, path, body string
	header           []string
	code             string
}

// bodies are the ways in which a body can be wrong.
func bodies(ok string) []malformed {
	inner := strings.TrimSuffix(strings.TrimPrefix(ok, "{"), "}")
	more := func(field string) string {
		if inner == "" {
			return "{" + field + "}"
		}
		return "{" + inner + "," + field + "}"
	}
	out := []malformed{
		{what: "empty", body: "", code: codeJSON},
		{what: "no JSON", body: marker, code: codeJSON},
		{what: "cut off", body: ok[:len(ok)-1], code: codeJSON},
		{what: "trailing", body: ok + `"` + marker + `"`, code: codeJSON},
		{what: "two values", body: ok + ok, code: codeJSON},
		{what: "not UTF-8", body: more("\"" + marker + "\":\"\xff\""), code: codeJSON},
		{what: "null", body: "null", code: codeInvalid},
		{what: "list", body: `["` + marker + `"]`, code: codeInvalid},
		{what: "string", body: `"` + marker + `"`, code: codeInvalid},
		{what: "unknown field", body: more(`"` + marker + `":1`), code: codeInvalid},
		{what: "twice", body: more(`"` + marker + `":1,"` + marker + `":2`), code: codeJSONDuplicate},
		{what: "twice, escaped", body: more(`"abc":1,"\u0061bc":"` + marker + `"`), code: codeJSONDuplicate},
		{what: "deep", body: more(`"x":` + strings.Repeat("[", 40) + `"` + marker + `"` + strings.Repeat("]", 40)), code: codeJSONDepth},
		{what: "deep, cut off", body: more(`"x":` + strings.Repeat(`{"`+marker+`":`, 10_000)[:60_000]), code: codeJSONDepth},
		{what: "many", body: more(`"x":[` + strings.Repeat("1,", 25_000) + "1]"), code: codeOversize},
		{what: "too large", body: more(`"` + marker + `":"` + strings.Repeat("x", 3<<20) + `"`), code: codeOversize},
		{what: "plain text", body: ok, header: []string{"Content-Type", "text/plain"}, code: codeMedia},
		{what: "form", body: "a=" + marker, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: codeMedia},
		{what: "other charset", body: ok, header: []string{"Content-Type", "application/json; charset=shift_jis"}, code: codeMedia},
		{what: "compressed", body: ok, header: []string{"Content-Encoding", "gzip"}, code: codeMedia},
		{what: "no media type", body: ok, header: []string{"Content-Type", ""}, code: codeMedia},
		{what: "parameter", path: "?" + marker + "=1", body: ok, code: codeParameter},
		{what: "broken parameter", path: "?%zz=" + marker, body: ok, code: codeParameter},
	}
	// every field with a value of another type, and without it
	var fields map[string]any
	if json.Unmarshal([]byte(ok), &fields) == nil {
		for name := range fields {
			for _, wrong := range []any{map[string]any{marker: 1}, true, []any{map[string]any{marker: nil}}} {
				if _, is := fields[name].(bool); is && wrong == any(true) {
					continue // not wrong
				}
				changed := map[string]any{}
				for k, v := range fields {
					changed[k] = v
				}
				changed[name] = wrong
				b, _ := json.Marshal(changed)
				out = append(out, malformed{what: fmt.Sprintf("%s is %T", name, wrong), body: string(b), code: codeInvalid})
			}
			b, _ := json.Marshal(map[string]any{strings.ToUpper(name): fields[name]})
			out = append(out, malformed{what: name + " in capitals", body: string(b), code: codeInvalid})
		}
		if _, is := fields["person"].(string); is {
			fields["person"] = "\u202e" + marker
			b, _ := json.Marshal(fields)
			out = append(out, malformed{what: "person is no reference", body: string(b), code: codeInvalid})
		}
	}
	return out
}

// headers are the ways in which the head of a write can be wrong.
func headers(ok string) []malformed {
	return []malformed{
		{what: "empty key", body: ok, header: []string{"Idempotency-Key", ""}, code: codeKey},
		{what: "long key", body: ok, header: []string{"Idempotency-Key", strings.Repeat("k", 129)}, code: codeKey},
		{what: "key with a space", body: ok, header: []string{"Idempotency-Key", "a " + marker}, code: codeKey},
		{what: "key in Japanese", body: ok, header: []string{"Idempotency-Key", "山田"}, code: codeKey},
		{what: "as nobody", body: ok, header: []string{"Akashi-As", "no-such-party"}, code: codeRole},
		{what: "as another member", body: ok, header: []string{"Akashi-As", "b-sha"}, code: codeRole},
		{what: "as no id", body: ok, header: []string{"Akashi-As", "../" + marker}, code: codeRole},
		{what: "wait", path: "?wait=" + marker, body: ok, code: codeParameter},
		{what: "wait twice", path: "?wait=final&wait=final", body: ok, code: codeParameter},
	}
}

func TestMalformed(t *testing.T) {
	m := newMember(t)
	n := 0
	ask := func(rt *route, role token.Role, path string, c malformed) {
		t.Helper()
		n++
		var body any
		if rt.body != nil {
			body = c.body
		}
		a := m.ask(role, rt.method, path+c.path, body, c.header...)
		if a.code() != c.code || a.StatusCode != codes[c.code].status || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s, %s: %d %.300s, want %s", rt.method, rt.path, c.what, a.StatusCode, a.body, c.code)
		}
		if strings.Contains(string(a.body), marker) {
			t.Errorf("%s %s, %s: the answer repeats the request", rt.method, rt.path, c.what)
		}
		var p Problem
		if err := json.Unmarshal(a.body, &p); err != nil || p.Code == codeInvalid && p.At == "" {
			t.Errorf("%s %s, %s: the answer does not say what is wrong: %s", rt.method, rt.path, c.what, a.body)
		}
	}
	for _, rt := range routes() {
		role := token.Admin
		if !rt.roles.has(role) {
			role = token.Role(rt.roles.names()[0])
		}
		path := strings.NewReplacer("{ref}", "p01", "{id}", strings.Repeat("ab", 16), "{hash}", strings.Repeat("ab", 32), "{record}", "1", "{number}", "f-1").Replace(rt.path)
		if rt.name == "end-party" {
			path = "/v1/parties/b-sha"
		}
		if rt.name == "rotate-keys" || rt.name == "remove-member" {
			path = strings.Replace(rt.path, "{id}", "a-sha", 1)
		}
		ok, has := good[rt.name]
		if has != (rt.body != nil) {
			t.Fatalf("%s: no body to change", rt.name)
		}
		if rt.body != nil {
			for _, c := range bodies(ok) {
				ask(rt, role, path, c)
			}
		}
		if rt.writes {
			for _, c := range headers(ok) {
				ask(rt, role, path, c)
			}
		}
		for _, c := range []malformed{{what: "unknown parameter", path: "?" + marker + "=1", body: ok, code: codeParameter},
			{what: "long query", path: "?x=" + strings.Repeat("x", 5000), body: ok, code: codeParameter}} {
			ask(rt, role, path, c)
		}
		for _, p := range rt.query {
			c := malformed{what: p.name + " twice", path: "?" + p.name + "=1&" + p.name + "=1", code: codeParameter}
			ask(rt, role, path, c)
		}
		// parts of the path that are no reference, id or number
		for _, bad := range []string{marker + "%21", "%00", "%2e%2e", "%ff", strings.Repeat("a", 300), "山田", "x_1", "1.0", "AB"} {
			if !strings.Contains(rt.path, "{") {
				break
			}
			p := strings.NewReplacer("{ref}", bad, "{id}", bad, "{hash}", bad, "{record}", bad).Replace(rt.path)
			var body any
			if rt.body != nil {
				body = ok
			}
			a := m.ask(role, rt.method, p, body)
			n++
			if a.StatusCode < 400 || a.StatusCode >= 500 || a.code() == "" {
				t.Errorf("%s %s: %d %.200s", rt.method, p, a.StatusCode, a.body)
			}
			if strings.Contains(string(a.body), marker) {
				t.Errorf("%s %s: the answer repeats the path", rt.method, p)
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d requests", n)
	}
	t.Logf("%d malformed requests", n)
	if text := m.log.String(); text != "" {
		t.Errorf("logged: %.500s", text)
	}
}

// TestMutated changes good requests at random: no answer is a fault of the node.
func TestMutated(t *testing.T) {
	m := newMember(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, rt := range routes() {
		ok, has := good[rt.name]
		if !has || rt.name == "clock" {
			continue
		}
		path := strings.NewReplacer("{ref}", "p01", "{id}", strings.Repeat("ab", 16)).Replace(rt.path)
		for range 40 {
			b := []byte(ok)
			for range 1 + r.IntN(3) {
				switch at := r.IntN(len(b)); r.IntN(3) {
				case 0:
					b[at] = byte(r.IntN(256))
				case 1:
					b = append(b[:at], b[min(at+1+r.IntN(4), len(b)):]...)
				default:
					b = append(b[:at], append([]byte(ok[:r.IntN(len(ok))]), b[at:]...)...)
				}
				if len(b) == 0 {
					b = []byte("{")
				}
			}
			a := m.ask(token.Admin, rt.method, path, b)
			if a.StatusCode >= 500 || a.StatusCode != http.StatusOK && a.code() == "" {
				t.Errorf("%s %s: %d %s for %q", rt.method, rt.path, a.StatusCode, a.body, b)
			}
		}
	}
	if text := m.log.String(); text != "" {
		t.Errorf("logged: %.500s", text)
	}
}

func TestOverload(t *testing.T) {
	m := newMember(t)
	h, err := NewHandler(Backend{Self: "a-sha", Founding: &m.c.Founding, Clock: m.clock, Desk: m.desk, Outbox: m, Custody: custodyOf{}, Kept: m.kept, Final: m.Final, Changed: m.Changed,
		Closing: m.closing, Leader: func() string { return "" }, Ready: func() error { return nil }, Refresh: m.srv.Config.Handler.(*server).Refresh,
		Host: m.srv.Config.Handler.(*server).Host, Sign: m.srv.Config.Handler.(*server).Sign,
		Candidate: m.srv.Config.Handler.(*server).Candidate, Network: m.srv.Config.Handler.(*server).Network,
		Prepare: m.srv.Config.Handler.(*server).Prepare, Prove: m.srv.Config.Handler.(*server).Prove},
		Options{Tokens: m.tokens, Log: m.srv.Config.Handler.(*server).Log, MaxBodyBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	m.srv.Config.Handler = h
	if a := m.ask(token.Admin, "POST", "/v1/votes", `{"topic":"`+strings.Repeat("t", 200)+`"}`); a.code() != codeBusy || a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	// bulk leaves an eighth to the rest
	if a := m.ask(token.Admin, "POST", "/v1/records", `{"records":["`+strings.Repeat("A", 76)+`"]}`); a.code() != codeBusy {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := m.ask(token.Admin, "POST", "/v1/votes", `{"topic":"t","sets":{"phase":"`+strings.Repeat("p", 55)+`"}}`); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
