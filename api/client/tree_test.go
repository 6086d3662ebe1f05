package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/google/go-cmp/cmp"
)

// TestTreeCalls: what is asked is what the API has, and what comes back is what
// it answered. (cmd/akashi has the same against a consortium.)
func TestTreeCalls(t *testing.T) {
	const id = "4865655e7a3734ac"
	first := uint64(7)
	form := rest.TreeForm{Name: "t", Type: "preordered", Writers: []string{"*"}, IntervalMs: 50}
	leaves := rest.AppendForm{First: &first, Leaves: []rest.TreeLeafForm{{Value: []byte("v"), Extra: []byte("e")}}}
	view := rest.TreeView{ID: id, Owner: "a-sha", Name: "t", Type: "preordered", Writers: []string{"*"}, Anchor: &rest.AnchorView{Size: 8}}
	done := rest.Appended{Tree: id, Final: true, Leaves: []rest.AppendedLeaf{{Index: 7}, {Index: 3, Duplicate: true}}}
	stored := rest.TreeLeaves{Leaves: []rest.TreeLeafView{{Index: 7, Value: []byte("v"), Extra: []byte("e"), Identity: []byte("i"), TimeMs: 9}}}
	answers := map[string]struct{ asked, answer any }{
		"POST /v1/trees":                          {form, view},
		"GET /v1/trees":                           {nil, rest.TreeList{Trees: []rest.TreeView{view}}},
		"GET /v1/trees/" + id:                     {nil, view},
		"POST /v1/trees/" + id + "/leaves":        {leaves, done},
		"GET /v1/trees/" + id + "/leaves?first=7": {nil, stored},
		"GET /v1/trees/no%2Fid/leaves?first=0":    {nil, stored},
	}
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			problem(w, http.StatusNotFound, "not-found")
			return
		}
		if a.asked != nil {
			got, err := io.ReadAll(r.Body)
			want, _ := json.Marshal(a.asked)
			if err != nil || !bytes.Equal(bytes.TrimSpace(got), want) || r.Header.Get("Idempotency-Key") == "" {
				t.Errorf("%s was asked %s, want %s", r.URL, got, want)
			}
		}
		json.NewEncoder(w).Encode(a.answer)
	}, Options{Token: "t"})
	ctx := t.Context()
	same := func(what string, got, want any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", what, err, diff)
		}
	}
	made, err := c.CreateTree(ctx, form)
	same("create", made, &view, err)
	all, err := c.Trees(ctx)
	same("all", all, []rest.TreeView{view}, err)
	one, err := c.Tree(ctx, id)
	same("one", one, &view, err)
	got, err := c.AppendLeaves(ctx, id, leaves)
	same("append", got, &done, err)
	list, err := c.TreeLeaves(ctx, id, 7)
	same("leaves", list, stored.Leaves, err)
	list, err = c.TreeLeaves(ctx, "no/id", 0) // stays one part of the path
	same("leaves of no tree", list, stored.Leaves, err)
	if _, err := c.Tree(ctx, "0"); CodeOf(err) != "not-found" {
		t.Errorf("no such tree: %v", err)
	}
}

// TestLeafProof: a proof counts if it verifies, and only for the leaf that was
// asked for.
func TestLeafProof(t *testing.T) {
	const vectors = "../../docs/spec/vectors/"
	file, err := os.ReadFile(vectors + "committed.akashi.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(vectors + "receipt-consent.policy")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := sign.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	answer := file
	c := answering(t, func(w http.ResponseWriter, r *http.Request) { w.Write(answer) }, Options{Policies: []*sign.Policy{policy}})
	const id, index = "4865655e7a3734ac", 3
	f, err := c.LeafProof(t.Context(), id, index)
	if err != nil || string(f.Verdict.Committed.Value) != "leaf 3" || !bytes.Equal(f.Bytes, file) {
		t.Errorf("the proof that was asked for: %v", err)
	}
	for what, ask := range map[string]struct {
		id    string
		index uint64
	}{"another tree": {"4865655e7a3734ad", index}, "another leaf": {id, index + 1}} {
		if _, err := c.LeafProof(t.Context(), ask.id, ask.index); err == nil {
			t.Errorf("the proof of %s passes", what)
		}
	}
	answer = bytes.Replace(file, []byte(`"value": "`), []byte(`"value": "AAAA`), 1)
	var refused *receipt.Error
	if _, err := c.LeafProof(t.Context(), id, index); !errors.As(err, &refused) || refused.Code() != "committed.path" {
		t.Errorf("another value: %v", err)
	}
}
