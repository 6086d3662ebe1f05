package tiles

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
)

// TestPolicyForAWitness: a required witness that refuses what a new key signed gets
// the policy that has it, although nothing of that epoch, nor the end before it, is
// final without the witness, and although nothing is since the node started.
func TestPolicyForAWitness(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(1)
	m.shown = m.ledger.State()
	closing := m.rotate("b-sha")
	for batches := range 3 {
		for _, m.none = range []bool{true, false} {
			resp, b := get(t, srv, "GET", "/log/policy/1")
			if p, err := sign.ParsePolicy(b); err != nil || p.Range.Epoch != 1 || p.Range.First.Height != m.shown.Height+2 || resp.StatusCode != 200 {
				t.Errorf("%d batches later, nothing final %v: %d %v\n%s", batches, m.none, resp.StatusCode, err, b)
			}
		}
		if resp, b := get(t, srv, "GET", "/log/policy"); resp.StatusCode != 200 || !bytes.HasPrefix(b, []byte("# policy epoch 0 of ")) {
			t.Errorf("the policy of what is final: %d %s", resp.StatusCode, b)
		}
		m.post(1)
	}
	if _, b := get(t, srv, "GET", "/log/policy/0"); !bytes.Contains(b, fmt.Appendf(nil, "%d", closing)) {
		t.Errorf("the policy that k members have closed: %s", b)
	}
	m.lone = true
	if resp, b := get(t, srv, "GET", "/log/policy/0"); resp.StatusCode != 200 {
		t.Errorf("a node that has met no other since its start, with something final: %d %s", resp.StatusCode, b)
	}
}
