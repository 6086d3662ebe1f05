package rest

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestTrees: a tree is made, leaves are committed, and a leaf's proof verifies
// offline.
func TestTrees(t *testing.T) {
	m := newMember(t)
	get := func(role token.Role, method, path string, body any, into any, header ...string) {
		t.Helper()
		a := m.ask(role, method, path, body, header...)
		if a.StatusCode != 200 {
			t.Fatalf("%s %s: %d %s", method, path, a.StatusCode, a.body)
		}
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			t.Fatal(err)
		}
	}
	var tree, again TreeView
	form := `{"name":"exam","type":"log","displayName":"試験"}`
	get(token.Admin, "POST", "/v1/trees", form, &tree)
	if len(tree.ID) != 16 || tree.Owner != "a-sha" || tree.IntervalMs != 50 || tree.Anchor != nil || tree.Display != "試験" {
		t.Fatalf("%+v", tree)
	}
	var done Appended
	leaves := `{"leaves":[{"value":"AA==","extra":"AQ=="},{"value":"Ag=="},{"value":"AA=="}]}`
	get(token.App, "POST", "/v1/trees/"+tree.ID+"/leaves", leaves, &done)
	if !done.Final || len(done.Leaves) != 3 || done.Leaves[1].Index != 1 || !done.Leaves[2].Duplicate || done.Leaves[2].Index != 0 {
		t.Fatalf("%+v", done)
	}
	get(token.Auditor, "GET", "/v1/trees/"+tree.ID, nil, &again)
	if again.Anchor == nil || again.Anchor.Size != 2 {
		t.Fatalf("%+v", again)
	}
	var all TreeList
	get(token.Auditor, "GET", "/v1/trees", nil, &all)
	if len(all.Trees) != 1 || all.Trees[0].ID != tree.ID {
		t.Fatalf("%+v", all)
	}
	var page TreeLeaves
	get(token.Auditor, "GET", "/v1/trees/"+tree.ID+"/leaves?first=1&count=5", nil, &page)
	if len(page.Leaves) != 1 || page.Leaves[0].Index != 1 || string(page.Leaves[0].Value) != "\x02" || len(page.Leaves[0].Identity) != 32 {
		t.Fatalf("%+v", page)
	}
	for i := range 2 {
		a := m.ask(token.Auditor, "GET", fmt.Sprintf("/v1/trees/%s/leaves/%d/proof", tree.ID, i), nil)
		v, err := receipt.Verify([]byte(a.body), m.c.Policy())
		if err != nil || v.Format != receipt.FormatCommitted {
			t.Fatalf("leaf %d: %v %s", i, err, a.body)
		}
	}
	for what, c := range map[string]struct {
		role               token.Role
		method, path, body string
		code               string
	}{
		"beyond":       {token.Auditor, "GET", "/v1/trees/" + tree.ID + "/leaves/2/proof", "", codeBeyond},
		"no such tree": {token.Auditor, "GET", "/v1/trees/0123456789abcdef", "", string(record.CodeTreeUnknown)},
		"capitals":     {token.Auditor, "GET", "/v1/trees/0123456789ABCDEF", "", codeParameter},
		"short":        {token.Auditor, "GET", "/v1/trees/01", "", codeParameter},
		"citizen":      {token.Subject, "GET", "/v1/trees/" + tree.ID + "/leaves", "", codeRole},
		"into none":    {token.App, "POST", "/v1/trees/0123456789abcdef/leaves", leaves, string(record.CodeTreeUnknown)},
		"sequenced":    {token.App, "POST", "/v1/trees/" + tree.ID + "/leaves", `{"first":7,"leaves":[{"value":"AA=="}]}`, string(record.CodeRecordMalformed)},
		"identity":     {token.App, "POST", "/v1/trees/" + tree.ID + "/leaves", `{"leaves":[{"value":"AA==","identity":"AA=="}]}`, string(record.CodeRecordMalformed)},
		"type":         {token.Admin, "POST", "/v1/trees", `{"name":"x","type":"sensor"}`, codeInvalid},
		"name":         {token.Admin, "POST", "/v1/trees", `{"name":"X Y","type":"log"}`, string(record.CodeRecordMalformed)},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		if a := m.ask(c.role, c.method, c.path, body); a.code() != c.code {
			t.Errorf("%s: %d %s, want %s", what, a.StatusCode, a.body, c.code)
		}
	}

	// A false anchor is shown, and nothing else changes.
	m.mu.Lock()
	m.batch(m.c.Submit("a-sha", &record.Record{Kind: record.KindTreeAdvance, Body: &record.TreeAdvance{Tree: treeNumber(t, tree.ID), Size: 9}}))
	m.mu.Unlock()
	var s Status
	get(token.Auditor, "GET", "/v1/status", nil, &s)
	if len(s.False) != 1 || s.False[0].Tree != tree.ID || s.False[0].Issuer != "a-sha" || s.False[0].HaveSize != 2 {
		t.Fatalf("%+v", s.False)
	}
	get(token.Auditor, "GET", "/v1/trees/"+tree.ID, nil, &again)
	if again.Anchor.Size != 2 {
		t.Errorf("a false advance anchors: %+v", again.Anchor)
	}
}

func treeNumber(t *testing.T, name string) (id uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(name, "%x", &id); err != nil {
		t.Fatal(err)
	}
	return id
}
