package rest

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// TestEvidence: everyone sees what the node keeps, and the file is what was kept.
func TestEvidence(t *testing.T) {
	m := newMember(t)
	if l := must[EvidenceList](m, "", "GET", "/v1/evidence", nil); l.Evidence == nil || len(l.Evidence) != 0 {
		t.Errorf("nothing is kept: %+v", l)
	}
	p, cp := m.c.Policy(), m.c.Checkpoint(0)
	both := func() receipt.Cosigned {
		cs := m.c.Member(p.Members[1].ID).Cosign.Cosign(p.Members[1].Signer, cp, 1700000000)
		return receipt.Cosigned{Checkpoint: cp, Sigs: []sign.Cosignature{cs}}
	}
	a := both()
	cp.Root[0] ^= 1
	b, err := receipt.BuildCheckpoints(p, a, both(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.kept.Keep(b, p); err != nil {
		t.Fatal(err)
	}
	l := must[EvidenceList](m, "", "GET", "/v1/evidence", nil).Evidence
	if len(l) != 1 || l[0].Kind != receipt.EvidenceCheckpoint || l[0].Signers[0] != p.Members[1].ID {
		t.Fatalf("%+v", l)
	}
	if s := must[Status](m, "", "GET", "/v1/status", nil); s.Evidence != 1 {
		t.Errorf("status says %d files", s.Evidence)
	}
	if got := m.ask("", "GET", "/v1/evidence/"+l[0].ID, ""); string(got.body) != string(b) || got.StatusCode != 200 {
		t.Errorf("the file: %d, %d bytes of %d", got.StatusCode, len(got.body), len(b))
	}
	if text := string(m.ask("", "GET", "/metrics", "").body); !strings.Contains(text, "akashi_evidence_files 1") {
		t.Error("the metric is missing")
	}
	for id, want := range map[string]string{strings.Repeat("0", 32): codeEvidenceUnknown, "x": codeParameter, "..%2f..%2fkeys": codeParameter} {
		if got := m.ask("", "GET", "/v1/evidence/"+id, ""); got.code() != want {
			t.Errorf("%s: %d %s, want %s", id, got.StatusCode, got.code(), want)
		}
	}
}
