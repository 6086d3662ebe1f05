package load

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDirect: answers arrive whole, a connection is used again, also where the caller
// did not read to the end, and the end of the context ends a request that waits.
func TestDirect(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-hang
		}
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, strings.Repeat(r.RemoteAddr+string(b)+";", 2_000)) // chunked
	}))
	defer srv.Close()
	defer close(hang)
	d := newDirect()
	ask := func(ctx context.Context, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+path, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		return d.RoundTrip(req)
	}
	from := map[string]bool{}
	for i := range 3 {
		res, err := ask(t.Context(), "/")
		if err != nil || res.StatusCode != http.StatusTeapot {
			t.Fatal(res, err)
		}
		var first [64]byte
		if _, err := io.ReadFull(res.Body, first[:]); err != nil {
			t.Fatal(err)
		}
		one, _, _ := strings.Cut(string(first[:]), ";")
		from[one] = true
		if i > 0 {
			res.Body.Close()
			continue
		}
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest)+64 != 2_000*(len(one)+1) {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
		res.Body.Close()
	}
	if len(from) != 1 {
		t.Errorf("answers came over %v, want one connection", from)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := ask(ctx, "/hang"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	if len(d.idle[strings.TrimPrefix(srv.URL, "http://")]) != 0 {
		t.Error("a connection that was cut off is kept")
	}
	if _, err := d.RoundTrip(httptest.NewRequest(http.MethodGet, "https://a.example/", nil)); err == nil {
		t.Error("https was spoken")
	}
}
