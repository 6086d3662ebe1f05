package web_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func newServer(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
