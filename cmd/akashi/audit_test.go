package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestGuideThenAudit sends the requests that docs/guide/local.md shows, as a
// company's developer would, and checks the receipt. Then the log is audited at
// the node and as exported files, with the same report, and tampered with in
// every way in which whoever keeps the files can.
func TestGuideThenAudit(t *testing.T) {
	l := startLocal(t)
	node := "http://" + address(l.base, 0, portHTTP)
	dir := t.TempDir()

	id := l.followGuide(node)
	code, receipt := l.get(node+"/v1/records/"+id+"/receipt?status=true", l.tokens["app"])
	if code != http.StatusOK {
		t.Fatalf("receipt: %d %s", code, receipt)
	}
	kept := filepath.Join(dir, "consent.akashi.json")
	if err := os.WriteFile(kept, receipt, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := runFor(t, patience, "verify", kept, "--policy", policyFile(l.dir)); code != 0 || !strings.Contains(out, "verified") {
		t.Fatalf("verify exits %d:\n%s", code, out)
	}

	log := filepath.Join(dir, "log")
	var live, files []byte
	for range 5 { // the log may grow between the two
		live, _ = audited(t, 0, node, "--policy", policyFile(l.dir), "--token", l.tokens["auditor"])
		if out, code := runFor(t, patience, "export", node, log, "--policy", policyFile(l.dir), "--token", l.tokens["auditor"]); code != 0 {
			t.Fatalf("export exits %d:\n%s", code, out)
		}
		if files, _ = audited(t, 0, log, "--policy", policyFile(l.dir)); bytes.Equal(live, files) {
			break
		}
	}
	if !bytes.Equal(live, files) {
		t.Errorf("the audits differ:\n%s\n%s", live, files)
	}
	tamperings(t, log, policyFile(l.dir))
}

// followGuide sends the guide's requests and returns the id of the last record.
func (l *local) followGuide(node string) (id string) {
	l.t.Helper()
	guide, err := os.ReadFile("../../docs/guide/local.md")
	if err != nil {
		l.t.Fatal(err)
	}
	posts := regexp.MustCompile(`(?ms)^post \$(\w+) (\S+) '(.*?)'$`).FindAllStringSubmatch(string(guide), -1)
	if len(posts) < 4 {
		l.t.Fatalf("the guide has %d requests", len(posts))
	}
	for _, p := range posts {
		req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, node+p[2], strings.NewReader(p[3]))
		if err != nil {
			l.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+l.tokens[p[1]])
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			l.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var done struct {
			Final   bool `json:"final"`
			Records []struct {
				ID string `json:"id"`
			} `json:"records"`
		}
		if err != nil || resp.StatusCode/100 != 2 || json.Unmarshal(b, &done) != nil || !done.Final {
			l.t.Fatalf("POST %s: %s %s", p[2], resp.Status, b)
		}
		for _, r := range done.Records {
			id = r.ID
		}
	}
	return id
}

func (l *local) get(url, token string) (int, []byte) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// audited runs akashi audit --json and returns the report.
func audited(t *testing.T, want int, args ...string) ([]byte, *audit.Report) {
	t.Helper()
	var out, errs bytes.Buffer
	code := report(&errs, run(t.Context(), append([]string{"audit", "--json"}, args...), strings.NewReader(""), &out, &errs))
	if code != want {
		t.Fatalf("audit %q exits %d, want %d: %s\n%s", args, code, want, errs.Bytes(), out.Bytes())
	}
	r := new(audit.Report)
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	return out.Bytes(), r
}

// tamperings changes copies of an exported log; each is found, and where.
func tamperings(t *testing.T, log, policy string) {
	_, honest := audited(t, 0, log, "--policy", policy)
	size := honest.Size
	if size > merkle.TileWidth {
		t.Fatalf("%d leaves: the test is written for one bundle", size)
	}
	bundle := filepath.FromSlash(merkle.EntriesPath(0, int(size)))
	b, err := os.ReadFile(filepath.Join(log, bundle))
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := merkle.SplitBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	at := len(leaves) / 2
	seal := slices.IndexFunc(leaves[at:], record.IsSeal) + at
	write := func(dir string, leaves [][]byte) {
		var b []byte
		for _, leaf := range leaves {
			if b, err = merkle.AppendEntry(b, leaf); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, bundle), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, code string
		index      int
		do         func(dir string)
	}{
		{"changed leaf", "leaf.changed", at, func(dir string) {
			changed := slices.Clone(leaves)
			changed[at] = bytes.Clone(leaves[at])
			changed[at][len(leaves[at])/2] ^= 1
			write(dir, changed)
		}},
		{"dropped leaf", "leaf.dropped", at, func(dir string) { write(dir, slices.Delete(slices.Clone(leaves), at, at+1)) }},
		{"dropped last leaf", "log.short", int(size) - 1, func(dir string) { write(dir, leaves[:size-1]) }},
		{"swapped order", "leaf.swapped", at, func(dir string) {
			swapped := slices.Clone(leaves)
			swapped[at], swapped[at+1] = leaves[at+1], leaves[at]
			write(dir, swapped)
		}},
		{"forged register root", "register.root", seal, func(dir string) {
			s, err := record.ParseSeal(leaves[seal])
			if err != nil {
				t.Fatal(err)
			}
			s.Register[0] ^= 1
			forged := slices.Clone(leaves)
			forged[seal] = s.Leaf()
			write(dir, forged)
		}},
		{"forged cosignatures", "checkpoint.not-final", int(size) - 1, func(dir string) {
			name := filepath.Join(dir, "checkpoint")
			note, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(note), "\n")
			for i, line := range lines {
				words := strings.Fields(line)
				if !strings.HasPrefix(line, "— ") || len(words) != 3 {
					continue
				}
				sig, err := base64.StdEncoding.DecodeString(words[2])
				if err != nil {
					t.Fatal(err)
				}
				sig[len(sig)-1] ^= 1
				lines[i] = words[0] + " " + words[1] + " " + base64.StdEncoding.EncodeToString(sig)
			}
			if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"forged hash tiles", "tiles.root", int(size) - 1, func(dir string) {
			damage(t, filepath.Join(dir, filepath.FromSlash(merkle.TilePath(merkle.TileID{}, int(size)))))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := copyTree(log, dir); err != nil {
				t.Fatal(err)
			}
			tt.do(dir)
			_, r := audited(t, exitUnmet, dir, "--policy", policy)
			if !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Code == tt.code && f.Index == uint64(tt.index) }) {
				t.Errorf("no %s at leaf %d: %+v", tt.code, tt.index, r.Findings)
			}
		})
	}
	t.Run("bundle that is none", func(t *testing.T) {
		dir := t.TempDir()
		if err := copyTree(log, dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, bundle), b[:len(b)-1], 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := runFor(t, patience, "audit", dir, "--policy", policy); code != exitUnmet || !strings.Contains(out, filepath.ToSlash(bundle)) {
			t.Errorf("exits %d:\n%s", code, out)
		}
	})
}
