package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// event is one server-sent event.
type event struct {
	id, name, data string
}

// listen reads the stream until the context ends.
func (m *member) listen(ctx context.Context, role token.Role, path string, header ...string) (*http.Response, <-chan event) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", m.srv.URL+"/v1/stream"+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.text[role])
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := m.srv.Client().Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	out := make(chan event, 4096)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		var e event
		for lines.Scan() {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); {
			case lines.Text() == "":
				if e != (event{}) {
					out <- e
				}
				e = event{}
			case name == "id":
				e.id = value
			case name == "event":
				e.name = value
			case name == "data":
				e.data = value
			case name == "":
				out <- event{name: "comment", data: value}
			}
		}
	}()
	return resp, out
}

type streamed struct {
	Index  uint64 `json:"index"`
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Issuer string `json:"issuer"`
	Height uint64 `json:"height"`
	TimeMs uint64 `json:"timeMs"`
	Leaf   []byte `json:"leaf"`
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

func next(t *testing.T, events <-chan event) event {
	t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("the stream ended")
			}
			if e.name != "comment" {
				return e
			}
		case <-time.After(patience):
			t.Fatal("no event came")
		}
	}
}

func TestStream(t *testing.T) {
	m := newMember(t)
	m.post("a-sha", m.c.Tick())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, whole := m.listen(ctx, token.Auditor, "?from=0")
	_, fresh := m.listen(ctx, token.App, "")
	_, later := m.listen(ctx, token.App, "", "Last-Event-ID", "1")
	for range 600 / 100 { // more than one part at a time
		ticks := make([]*record.Record, 100)
		for i := range ticks {
			ticks[i] = m.c.Tick()
		}
		m.post("b-sha", ticks...)
	}
	for i, leaf := range m.c.Leaves {
		var s streamed
		e := next(t, whole)
		if err := json.Unmarshal([]byte(e.data), &s); err != nil || e.id != strconv.Itoa(i) || s.Index != uint64(i) || !bytes.Equal(s.Leaf, leaf) {
			t.Fatalf("event %d: %+v %v", i, e, err)
		}
		at := 0
		for m.c.Heights[at].Size <= uint64(i) {
			at++
		}
		if h := m.c.Heights[at]; s.Height != h.Height || s.TimeMs != h.TimeMs {
			t.Errorf("event %d: height %d of %d", i, s.Height, h.Height)
		}
		if rec, err := record.Parse(leaf); err == nil {
			if s.Kind != rec.Kind.String() || s.Issuer != rec.Issuer || s.ID != fmt.Sprintf("%x", rec.ID) {
				t.Errorf("event %d: %+v", i, s)
			}
		} else if s.Kind != "seal" || s.ID != "" {
			t.Errorf("event %d: %+v", i, s)
		}
		if i >= 2 {
			var r streamed
			if e := next(t, later); e.id != strconv.Itoa(i) || json.Unmarshal([]byte(e.data), &r) != nil || r.Leaf != nil {
				t.Fatalf("resumed: %+v", e)
			}
		}
		if i >= 4 {
			if e := next(t, fresh); e.id != strconv.Itoa(i) {
				t.Fatalf("from now on: %+v", e)
			}
		}
	}
	if a := m.ask(token.App, "GET", "/v1/stream", nil); a.code() != codeBusy || a.StatusCode != 503 { // the fourth
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	close(m.closing)
	if e := next(t, whole); e.name != "end" || !strings.Contains(e.data, fmt.Sprintf(`"code":"node.stopping","next":%d`, len(m.c.Leaves))) || !json.Valid([]byte(e.data)) {
		t.Errorf("%+v", e)
	}
}

func TestStreamHeartbeatAndBounds(t *testing.T) {
	m := newMember(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, events := m.listen(ctx, token.Admin, "")
	if resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", resp.Header)
	}
	for beats := 0; beats < 3; {
		select {
		case e := <-events:
			if e.data == "heartbeat" {
				beats++
			}
		case <-time.After(patience):
			t.Fatal("no heartbeat")
		}
	}
	for path, code := range map[string]string{"?from=99": codeBeyond, "?from=x": codeParameter, "?from=-1": codeParameter} {
		if a := m.ask(token.App, "GET", "/v1/stream"+path, nil); a.code() != code {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	for last, code := range map[string]string{"x": codeParameter, "9999": codeBeyond, "01": codeParameter} {
		if a := m.ask(token.App, "GET", "/v1/stream", nil, "Last-Event-ID", last); a.code() != code {
			t.Errorf("%s: %d %s", last, a.StatusCode, a.body)
		}
	}
}

// TestSlowReader: a reader that takes nothing is dropped, and holds nobody up.
func TestSlowReader(t *testing.T) {
	m := newMember(t)
	s := m.srv.Config.Handler.(*server)
	s.SlowAfter = 50 * time.Millisecond
	m.post("a-sha", m.c.Service("x"))
	for i := range 30 { // 18 MB: more than the buffers of a connection hold
		versions := make([]*record.Record, 12)
		for j := range versions {
			screen := m.c.Screen("x", fmt.Sprintf("%d-%d", i, j))
			screen.Text = record.Text{Ja: strings.Repeat("j", record.MaxTextBytes), En: strings.Repeat("e", record.MaxTextBytes)}
			versions[j], _ = m.c.Terms(screen)
		}
		m.post("a-sha", versions...)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", m.srv.URL+"/v1/stream?from=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.text[token.Auditor])
	resp, err := m.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for begin := time.Now(); s.streams.Load() != 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("the reader is still there")
		}
	}
}
