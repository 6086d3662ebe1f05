package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"golang.org/x/mod/sumdb/tlog"
)

// site is one member: its node and what serves it.
type site struct {
	t      *testing.T
	n      *node.Node
	tokens *token.Store
	url    string
	text   map[string]string // token by role, subjects as subject:REF
}

// sites starts a consortium of two whole nodes behind HTTP.
func sites(t *testing.T) map[string]*site {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	logKey, root, ids := sign.NewKey(), t.TempDir(), []string{"a-sha", "b-sha"}
	text := func(s string) record.Text { return record.Text{Ja: s} }
	f := record.Founding{Origin: "test.example/log", CreatedMs: uint64(time.Now().UnixMilli()), LogKey: logKey.Public(),
		Attributes: []record.Attribute{{Code: "name", Class: "normal", Label: text("氏名")}, {Code: "user-id", Class: "normal", Label: text("番号")}},
		Purposes:   []record.Purpose{{Code: "service", Label: text("サービス")}}, Parameters: []record.Parameter{{Name: "sensor-approver", Value: "public-body"}}}
	keys := map[string]*node.Keys{}
	for _, id := range ids {
		keys[id] = node.NewKeys(logKey)
		s := node.Settings{Member: id, HTTP: machine.FreeAddr(t), GRPC: machine.FreeAddr(t), P2P: machine.FreeAddr(t), AutoReceive: id == "b-sha"}
		dir := filepath.Join(root, id)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		fatal(t, s.Save(dir))
		fatal(t, keys[id].Save(dir))
		f.Members = append(f.Members, keys[id].MemberOf(record.MemberInfo{ID: id, Name: text(id), Regime: "ch4", Country: "JP",
			Categories: []string{"public-body"}, Addr: s.P2P}, f.Origin))
	}
	var sigs []sign.Signature
	for _, id := range ids {
		sigs = append(sigs, keys[id].SignFounding(&f))
	}
	leaf, err := node.GenesisLeaf(&f, sigs)
	fatal(t, err)
	out := map[string]*site{}
	for _, id := range ids {
		fatal(t, node.SaveGenesis(filepath.Join(root, id), leaf))
		n, err := node.Start(filepath.Join(root, id), log)
		fatal(t, err)
		t.Cleanup(func() { n.Close() })
		out[id] = serveNode(t, n, log)
	}
	for _, s := range out {
		for begin := time.Now(); s.n.Ready() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > patience {
				t.Fatal("not ready")
			}
		}
	}
	return out
}

func serveNode(t *testing.T, n *node.Node, log *slog.Logger) *site {
	s := &site{t: t, n: n, tokens: token.New(n.Blobs()), text: map[string]string{}}
	o := rest.Options{Tokens: s.tokens, Log: log}
	api, err := rest.New(n, o)
	fatal(t, err)
	mux := http.NewServeMux()
	mux.Handle("/log/", rest.Tiles(n, o))
	mux.Handle("/", api)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	for _, r := range token.Roles {
		if r == token.Subject {
			s.text["subject:p01"], err = s.tokens.Issue(r, "test", "p01")
		} else {
			s.text[string(r)], err = s.tokens.Issue(r, "test", "")
		}
		fatal(t, err)
	}
	return s
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask returns the body of an answer of 200; another status must be wanted.
func (s *site) ask(who, method, path string, body any, want int) []byte {
	s.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		fatal(s.t, err)
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.url+path, r)
	fatal(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.text[who])
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	fatal(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fatal(s.t, err)
	if resp.StatusCode != want {
		s.t.Fatalf("%s %s as %s: %d %s", method, path, who, resp.StatusCode, b)
	}
	return b
}

func get[T any](s *site, who, method, path string, body any) T {
	s.t.Helper()
	var v T
	fatal(s.t, json.Unmarshal(s.ask(who, method, path, body, 200), &v))
	return v
}

type object = map[string]any

// TestClusterOverHTTP is the way of one person through two members, over HTTP
// alone: offer, registration, consent, hand-over, what the person sees and can
// prove, withdrawal, erasure; and what an auditor reads.
func TestClusterOverHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("two whole nodes")
	}
	both := sites(t)
	a, b := both["a-sha"], both["b-sha"]
	text := object{"ja": "見本", "en": "sample"}
	get[custody.Done](a, "admin", "POST", "/v1/parties", object{"id": "shop", "name": text, "regime": "ch4", "country": "JP"})
	get[custody.Done](a, "admin", "POST", "/v1/services", object{"id": "app-a", "name": text, "contact": text, "fields": []string{"name", "user-id"}})
	terms := get[rest.TermsDone](a, "admin", "POST", "/v1/terms", object{"service": "app-a", "version": "1", "effective": "2020-01-01T00:00:00+09:00", "text": text, "withdrawal": text,
		"scopes": []any{object{"purpose": "service", "required": []string{"user-id"}, "optional": []string{"name"}, "recipients": []string{"a-sha", "b-sha"}, "maxExpiry": "P1Y"}}})
	b.follow(a)
	if v := get[rest.TermsView](b, "", "GET", "/v1/terms/"+terms.Hash, nil); v.Screen.Service != "app-a" {
		t.Errorf("%+v", v)
	}
	get[custody.Done](a, "app", "POST", "/v1/people", object{"person": "p01", "service": "app-a", "items": object{"name": "山田 花子", "user-id": "u1"}, "source": "self"})
	consent := get[custody.Done](a, "subject:p01", "POST", "/v1/consents", object{"person": "p01", "service": "app-a", "version": "1",
		"items": []string{"name", "user-id"}, "purposes": []string{"service"}})
	if !consent.Final || len(consent.Records) != 1 || consent.Records[0].Code != "" {
		t.Fatalf("%+v", consent)
	}
	given := get[custody.Done](a, "app", "POST", "/v1/provisions", object{"person": "p01", "service": "app-a", "to": "b-sha", "items": []string{"name"}, "purpose": "service"})
	if a.ask("app", "POST", "/v1/provisions", object{"person": "p01", "service": "app-a", "to": "c-sha", "items": []string{"name"}, "purpose": "service"}, 403); !given.Final {
		t.Errorf("%+v", given)
	}
	no := get[custody.Done](a, "subject:p01", "POST", "/v1/refusals", object{"person": "p01", "service": "app-a", "version": "1", "screen": make([]byte, 32)})
	if !no.Final || len(no.Records) != 1 || no.Records[0].Kind != "denial" {
		t.Errorf("a refusal: %+v", no)
	}
	policy, err := sign.ParsePolicy(a.ask("", "GET", "/log/policy", nil, 200))
	fatal(t, err)
	for _, who := range []string{"subject:p01", "app"} {
		file := a.ask(who, "GET", "/v1/records/"+consent.Records[0].ID+"/receipt?status=true", nil, 200)
		v, err := receipt.Verify(file, policy)
		fatal(t, err)
		if v.Status == nil || v.Status.State != receipt.StatusActive || !bytes.Contains(file, []byte(`"opening"`)) {
			t.Errorf("receipt for %s: %+v", who, v)
		}
	}
	wait(t, "the hand-over is received", func() bool {
		for _, e := range get[rest.EventList](a, "subject:p01", "GET", "/v1/people/p01/events", nil).Events {
			if e.ID == given.Records[0].ID && e.State == "received" {
				return true
			}
		}
		return false
	})
	if l := get[rest.ConsentList](a, "subject:p01", "GET", "/v1/people/p01/consents", nil); len(l.Consents) != 1 || !l.Consents[0].On {
		t.Errorf("%+v", l)
	}
	secret := get[rest.SecretView](a, "subject:p01", "GET", "/v1/people/p01/secret", nil)
	complete := a.ask("subject:p01", "GET", "/v1/people/p01/completeness", nil, 200)
	_, err = receipt.VerifyComplete(complete, sign.Secret(secret.Secret), policy)
	fatal(t, err)

	b.follow(a)
	// what anyone checks, with other people's code
	tw, err := torchwood.ParsePolicy(policy.Format())
	fatal(t, err)
	cp, _, err := torchwood.VerifyCheckpoint(b.ask("", "GET", "/log/checkpoint", nil, 200), tw)
	fatal(t, err)
	b.ask("", "GET", "/log/tile/entries/000", nil, 401)
	b.ask("manager", "GET", "/log/tile/entries/000", nil, 403)
	if bundle := b.ask("auditor", "GET", fmt.Sprintf("/log/tile/entries/000.p/%d", cp.N), nil, 200); bytes.Contains(bundle, []byte("花子")) {
		t.Error("the log names a person")
	}
	lines := strings.Split(strings.TrimSpace(string(b.ask("auditor", "GET", "/v1/openings", nil, 200))), "\n")
	if len(lines) < 2 || !strings.Contains(lines[len(lines)-1], `"end":true`) {
		t.Errorf("openings: %q", lines)
	}

	get[custody.Done](a, "subject:p01", "POST", "/v1/revocations", object{"person": "p01", "service": "app-a"})
	a.ask("app", "POST", "/v1/provisions", object{"person": "p01", "service": "app-a", "to": "b-sha", "items": []string{"name"}, "purpose": "service"}, 409)
	gone := get[rest.ErasureDone](a, "subject:p01", "POST", "/v1/people/p01/erasure", object{"cause": "request"})
	wait(t, "everyone attested", func() bool {
		return len(get[custody.ErasureView](a, "subject:p01", "GET", "/v1/erasures/"+gone.Erasure.ID, nil).Pending) == 0
	})
	_, err = receipt.Verify(a.ask("auditor", "GET", "/v1/erasures/"+gone.Erasure.ID+"/certificate", nil, 200), policy)
	fatal(t, err)

	get[custody.Done](b, "admin", "POST", "/v1/sensors", object{"sensor": "gate", "operator": "b-sha", "type": "count", "readings": []string{"count"}})
	read := get[rest.ReadingsDone](b, "app", "POST", "/v1/readings", object{"sensor": "gate", "readings": []any{object{"values": object{"count": 3}}, object{"values": object{"count": 4}}}})
	proof := get[rest.ReadingView](b, "app", "GET", fmt.Sprintf("/v1/readings/%d/proof", read.First+1), nil)
	if proof.Opening == nil || proof.Tree != read.Tree {
		t.Errorf("%+v", proof)
	}
	fatal(t, torchwood.VerifyProof(tw, tlog.RecordHash(proof.Record), []byte(proof.Proof)))

	get[custody.Done](b, "admin", "POST", "/v1/sensors", object{"sensor": "hall", "operator": "b-sha", "type": "count", "readings": []string{"count"}, "site": "north"})
	north := get[rest.ReadingsDone](b, "app", "POST", "/v1/readings", object{"sensor": "hall", "readings": []any{object{"values": object{"count": 5}}}})
	proof = get[rest.ReadingView](b, "app", "GET", fmt.Sprintf("/v1/readings/%d/proof?site=north", north.First), nil)
	if proof.Tree != north.Tree || north.Tree == read.Tree || get[rest.TreeView](b, "app", "GET", "/v1/trees/"+north.Tree, nil).Name != "north" {
		t.Errorf("the site's own tree: %+v", proof)
	}
	mixed := object{"readings": []any{object{"sensor": "gate", "values": object{"count": 1}}, object{"sensor": "hall", "values": object{"count": 1}}}}
	if got := b.ask("app", "POST", "/v1/readings", mixed, 422); !bytes.Contains(got, []byte(`"reading.sites"`)) {
		t.Errorf("two sites in one request: %s", got)
	}
}

// follow waits until what is final at another member is final here.
func (s *site) follow(other *site) {
	s.t.Helper()
	height := get[rest.Status](other, "", "GET", "/v1/status", nil).Final.Height
	wait(s.t, "the other member's height", func() bool { return get[rest.Status](s, "", "GET", "/v1/status", nil).Final.Height >= height })
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// TestClusterStreamEnds: closing a node ends its streams.
func TestClusterStreamEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("two whole nodes")
	}
	a := sites(t)["a-sha"]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", a.url+"/v1/stream?from=0", nil)
	fatal(t, err)
	req.Header.Set("Authorization", "Bearer "+a.text["auditor"])
	resp, err := http.DefaultClient.Do(req)
	fatal(t, err)
	defer resp.Body.Close()
	go a.n.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(b, []byte(`"kind":"genesis"`)) || !bytes.Contains(b, []byte("event: end")) {
		t.Errorf("%v: %s", err, b)
	}
}
