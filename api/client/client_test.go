package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/custody"
)

func answering(t *testing.T, h http.HandlerFunc, o Options) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:akashi:problem:%s","code":%q,"status":%d,"title":"t","detail":"what happened"}`, code, code, status)
}

func TestNewRefuses(t *testing.T) {
	for _, base := range []string{"", "node.example", "ftp://node.example", "http://", "https://node.example?x=1"} {
		if _, err := New(base, Options{}); err == nil {
			t.Errorf("%q is taken for a node's address", base)
		}
	}
	if _, err := New("http://node.example", Options{Token: "t"}); !errors.Is(err, ErrInsecure) {
		t.Errorf("a token over plain HTTP: %v, want %v", err, ErrInsecure)
	}
	for _, base := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "http://member-0.localhost:8080", "https://node.example"} {
		if _, err := New(base, Options{Token: "t"}); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// TestProblemsAreTyped: a refusal comes back with its code and is not repeated.
func TestProblemsAreTyped(t *testing.T) {
	var asked atomic.Int32
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		problem(w, http.StatusConflict, "revoked")
	}, Options{Token: "t"})
	_, err := c.Provide(t.Context(), custody.ProvideRequest{})
	if CodeOf(err) != "revoked" || asked.Load() != 1 {
		t.Errorf("%v after %d requests, want the code revoked after one", err, asked.Load())
	}
	if err.Error() != "revoked: what happened" {
		t.Errorf("error %q", err)
	}
}

// TestWritesAreRepeatedUnderOneKey: busy nodes and broken connections are asked
// again with the same Idempotency-Key and the same body.
func TestWritesAreRepeatedUnderOneKey(t *testing.T) {
	keys, bodies := map[string]bool{}, map[string]bool{}
	var n atomic.Int32
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		keys[r.Header.Get("Idempotency-Key")], bodies[string(b)] = true, true
		switch n.Add(1) {
		case 1:
			problem(w, http.StatusServiceUnavailable, "api.busy")
		case 2:
			problem(w, http.StatusTooManyRequests, "api.busy")
		case 3:
			panic(http.ErrAbortHandler)
		default:
			if r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("Akashi-As") != "shop" {
				problem(w, http.StatusForbidden, "not-authorised")
				return
			}
			io.WriteString(w, `{"idempotencyKey":"k","final":true,"records":[]}`)
		}
	}, Options{Token: "t"})
	d, err := c.As("shop").Consent(t.Context(), custody.ConsentRequest{Person: "p01"})
	if err != nil || !d.Final {
		t.Fatal(d, err)
	}
	if len(keys) != 1 || keys[""] || len(bodies) != 1 || n.Load() != 4 {
		t.Errorf("%d requests with keys %v and bodies %v, want 4 with one of each", n.Load(), keys, bodies)
	}
}

func TestGivesUpWithTheContext(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusServiceUnavailable, "outcome.unknown")
	}, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.Tick(ctx)
	if CodeOf(err) != "outcome.unknown" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the last answer and the end of the context", err)
	}
}

// TestTokensStayWithTheNode: a redirect is no answer.
func TestTokensStayWithTheNode(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("the client followed a redirect to another server")
	}))
	defer other.Close()
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}, Options{Token: "t"})
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("a redirect passes for an answer")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, io.LimitReader(zeros{}, maxJSON+1)) }, Options{})
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("an endless answer: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestReceiptsAreVerified: what a node hands out is believed only if it verifies
// under the caller's own policy.
func TestReceiptsAreVerified(t *testing.T) {
	const vectors = "../../docs/spec/vectors/receipt-consent"
	file, err := os.ReadFile(vectors + ".akashi.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(vectors + ".policy")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := sign.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.Write(b) }
	}
	good := Options{Policies: []*sign.Policy{policy}}
	if f, err := answering(t, serve(file), good).Receipt(t.Context(), "7", true); err != nil || f.Verdict.Kind != "consent" {
		t.Errorf("a good receipt: %v", err)
	}
	var refused *receipt.Error
	bad := []byte(strings.Replace(string(file), "vector.example", "hector.example", 1))
	if f, err := answering(t, serve(bad), good).Receipt(t.Context(), "7", true); !errors.As(err, &refused) || f == nil {
		t.Errorf("a changed receipt: %v, want a *receipt.Error and the file", err)
	}
	if _, err := answering(t, serve(file), Options{}).Receipt(t.Context(), "7", true); !errors.As(err, &refused) {
		t.Errorf("a receipt without a policy: %v", err)
	}
	if _, _, err := answering(t, serve([]byte("vector.example/log\n1\nAAAA\n\n")), good).Checkpoint(t.Context()); err == nil {
		t.Error("an unsigned checkpoint is taken for final")
	}
}
