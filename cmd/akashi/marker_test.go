package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// What the test plants: a person's name, phone, address and e-mail, and the
// member's own reference of the person.
var markers = []string{"目印髙橋マーカー", "000-5551-98765", "目印市まーかー丁目7番", "marker.person@example.invalid", "ref-of-marker-person"}

// forms are the spellings in which a marker could be written.
func forms(marker string) [][]byte {
	b := []byte(marker)
	utf16 := make([]byte, 0, 2*len(marker))
	for _, r := range marker {
		utf16 = append(utf16, byte(r>>8), byte(r))
	}
	quoted, _ := json.Marshal(marker)
	ascii := []byte(strings.Trim(strings.ReplaceAll(string(quoted), `"`, ""), `"`))
	out := [][]byte{b, utf16, ascii, []byte(hex.EncodeToString(b)), []byte(url.QueryEscape(marker))}
	for skip := range 3 { // base64 at each alignment, without the ends that neighbours change
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, skip), b...))
		out = append(out, []byte(enc[4:len(enc)-4]))
	}
	return out
}

func findMarker(b []byte) string {
	for _, m := range markers {
		for _, f := range forms(m) {
			if len(f) >= 8 && bytes.Contains(b, f) {
				return m
			}
		}
	}
	return ""
}

// TestNoMarkerAnywhere plants personal data through every endpoint, good requests
// and bad ones, and then searches every byte that the consortium left: data
// directories, Raft logs, log files, metrics, and every answer to a bad request.
func TestNoMarkerAnywhere(t *testing.T) {
	l := startLocal(t)
	ctx := t.Context()
	c, err := l.client(0, l.tokens["admin"])
	if err != nil {
		t.Fatal(err)
	}
	app := l.app(0)
	st, err := app.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, err := app.Vocabulary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]string{}
	var fields []string
	for i, a := range vocabulary.Attributes {
		if len(a.Brackets) == 0 && len(fields) < 4 {
			fields = append(fields, a.Code)
			items[a.Code] = markers[i%4]
		}
	}
	text := rest.ServiceForm{ID: "public-control-name", Fields: fields}
	text.Name.Ja, text.Contact.Ja = "見本", "見本"
	if _, err := c.OpenService(ctx, text); err != nil {
		t.Fatal(err)
	}
	ref := custody.Ref(markers[4])
	if _, err := app.Register(ctx, custody.Registration{Person: ref, Service: text.ID, Items: items, Source: "self",
		Lookup: map[string]string{"phone": markers[1]}}); err != nil {
		t.Fatal(err)
	}
	if err := app.PutItems(ctx, ref, text.ID, items); err != nil {
		t.Fatal(err)
	}
	plantStory(t, l, text.ID, ref, vocabulary.Purposes[0].Code, fields)
	plantEverywhere(t, l)
	if _, err := app.Erase(ctx, ref, "request"); err != nil {
		t.Fatal(err)
	}
	for i := range l.members {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/v1/status", "/openapi.json"} {
			_, b := l.ask(ctx, i, "", http.MethodGet, path, "")
			if m := findMarker(b); m != "" {
				t.Errorf("member %d: %s shows %q", i, path, m)
			}
		}
	}
	l.stop()
	control := false
	err = filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		control = control || bytes.Contains(b, []byte(text.ID))
		if m := findMarker(b); m != "" {
			t.Errorf("%s holds %q", strings.TrimPrefix(path, l.dir), m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !control {
		t.Errorf("the search does not even find the public name %q of %s", text.ID, st.Origin)
	}
}

// plantStory lets the markers go where good requests bring personal data: consent,
// parcel, the recipient's desk, a sensor's reading, disclosure and withdrawal.
func plantStory(t *testing.T, l *local, service string, ref custody.Ref, purpose string, items []string) {
	t.Helper()
	ctx, app, other := t.Context(), l.app(0), l.app(1)
	admin, err := l.client(0, l.tokens["admin"])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	screen := rest.ScreenForm{Service: service, Version: "1", Effective: now.Add(-time.Hour),
		Text: record.Text{Ja: "見本"}, Withdrawal: record.Text{Ja: "見本"},
		Scopes: []rest.ScopeForm{{Purpose: purpose, Required: items, Recipients: []string{"member-1"}}}}
	if _, err := admin.PublishTerms(ctx, screen); err != nil {
		t.Fatal(err)
	}
	given, err := app.Consent(ctx, custody.ConsentRequest{Person: ref, Service: service, Version: "1", Items: items, Purposes: []string{purpose}, Button: markers[0], Language: "ja"})
	if err != nil {
		t.Fatal(err)
	}
	handed, err := app.Provide(ctx, custody.ProvideRequest{Person: ref, Service: service, To: "member-1", Items: items, Purpose: purpose})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Receive(ctx, handed.Records[0].ID, markers[2]); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{given.Records[0].ID, handed.Records[0].ID} {
		if _, err := app.Receipt(ctx, id, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := app.Completeness(ctx, ref, nil); err != nil {
		t.Error(err)
	}
	if _, err := admin.ApproveSensor(ctx, rest.SensorForm{Sensor: "gate", Operator: "member-0", Type: "note", Readings: []string{"note"}, Personal: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := app.CommitReadings(ctx, []custody.Reading{{Sensor: "gate", TimeMs: uint64(now.UnixMilli()), Values: map[string]any{"note": markers[3]}}}); err != nil {
		t.Fatal(err)
	}
	if read, err := app.Reading(ctx, "", 0); err != nil || read.Reading == nil || read.Reading.Values["note"] != markers[3] {
		t.Errorf("reading: %+v %v", read, err)
	}
	held, err := app.Person(ctx, ref)
	if b, _ := json.Marshal(held); err != nil || findMarker(b) == "" {
		t.Errorf("the person's own data do not show a marker: %s %v", b, err)
	}
	if _, err := admin.Link(ctx, ref, time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := app.Revoke(ctx, custody.WithdrawRequest{Person: ref, Service: service}); err != nil {
		t.Fatal(err)
	}
}

// plantEverywhere sends requests that hold markers to every endpoint: in paths,
// parameters, bodies of the right and the wrong form, and headers.
func plantEverywhere(t *testing.T, l *local) {
	t.Helper()
	_, spec := l.ask(t.Context(), 0, "", http.MethodGet, "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(spec, &doc); err != nil || len(doc.Paths) < 20 {
		t.Fatalf("openapi.json names %d paths: %v", len(doc.Paths), err)
	}
	all := strings.Join(markers, " ")
	body, _ := json.Marshal(map[string]any{"person": markers[4], "name": all, "items": map[string]string{markers[0]: markers[1]}, "note": markers[2], "id": markers[3], "now": all})
	sent := 0
	for path, methods := range doc.Paths {
		if path == "/v1/stream" {
			continue // does not end
		}
		filled := path
		for strings.Contains(filled, "{") {
			a, b := strings.Index(filled, "{"), strings.Index(filled, "}")
			filled = filled[:a] + url.PathEscape(markers[sent%len(markers)]) + filled[b+1:]
		}
		for method := range methods {
			for role, token := range map[string]string{"app": l.tokens["app"], "admin": l.tokens["admin"], "subject": l.tokens["subject:p01"], "nobody": all} {
				for _, in := range []string{string(body), `{"` + all, all} {
					status, answer := l.ask(t.Context(), sent%4, token, strings.ToUpper(method), filled+"?"+url.Values{"q": {all}}.Encode(), in)
					if m := findMarker(answer); m != "" {
						t.Errorf("%s %s as %s: answer %d shows %q: %.200s", method, path, role, status, m, answer)
					}
					if status >= 500 && status != http.StatusServiceUnavailable {
						t.Errorf("%s %s as %s: %d %.200s", method, path, role, status, answer)
					}
					sent++
				}
				if method == "get" {
					continue
				}
				_, answer := l.ask(t.Context(), sent%4, token, strings.ToUpper(method), filled, string(body))
				if m := findMarker(answer); m != "" {
					t.Errorf("%s %s as %s: answer shows %q: %.200s", method, path, role, m, answer)
				}
				sent++
			}
		}
	}
	t.Logf("%d requests with markers", sent)
}

// ask sends one request with markers in its headers too.
func (l *local) ask(ctx context.Context, i int, token, method, path, body string) (int, []byte) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address(l.base, i, portHTTP)+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", url.QueryEscape(markers[0]+body[:min(len(body), 9)]))
		req.Header.Set("Akashi-As", markers[4])
		req.Header.Set("User-Agent", url.QueryEscape(markers[0]))
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+url.QueryEscape(token))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// TestFindMarker is the control of the search: each spelling of each marker is
// found in the middle of other bytes.
func TestFindMarker(t *testing.T) {
	for _, m := range markers {
		for i, f := range forms(m) {
			if len(f) < 8 {
				continue
			}
			if findMarker(append(append([]byte("before "), f...), " after"...)) != m {
				t.Errorf("spelling %d of %q is not found", i, m)
			}
		}
		for skip := range 3 {
			enc := base64.StdEncoding.EncodeToString(append(append(bytes.Repeat([]byte{'x'}, skip+9), m...), "more"...))
			if findMarker([]byte(enc)) != m {
				t.Errorf("%q in base64 at alignment %d is not found", m, skip)
			}
		}
	}
	if m := findMarker([]byte("nothing of the kind")); m != "" {
		t.Errorf("found %q where it is not", m)
	}
}
