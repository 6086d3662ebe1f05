package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// The verifier is small enough for an old phone on a slow line.
func TestModuleSize(t *testing.T) {
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	for _, lang := range []string{"ja", "en", "ja-easy"} {
		moduleSize(t, srv.URL, "text-"+lang)
	}
}

func moduleSize(t *testing.T, url, texts string) {
	t.Helper()
	var all bytes.Buffer
	z := gzip.NewWriter(&all)
	for i, part := range []struct {
		names []string
		limit int // bytes with gzip, with what comes before
	}{
		{[]string{"page", "dom", "verify", "bytes", "cbor", "ed25519", "form", "log", "record", "words", "facts", texts}, 32_500}, // a receipt
		{[]string{"complete", "words-complete", "rows"}, 39_500},                                                                  // what a person keeps
		{[]string{"evidence", "chain", "slip", "history"}, 48_000},                                                                // evidence, files of later policy epochs, slips, all receipts at once
		{[]string{"passkey"}, 52_000}, // consents that a passkey confirmed
	} {
		for _, name := range part.names {
			resp, body := visit(t, "GET", url+"/assets/"+name+".js", "", "")
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
				t.Errorf("%s: %s", name, resp.Status)
			}
			io.WriteString(z, body)
		}
		if z.Flush(); all.Len() > part.limit {
			t.Errorf("with %s, the modules up to part %d are %d bytes with gzip", texts, i, all.Len())
		}
	}
}
