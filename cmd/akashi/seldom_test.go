package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSeldom: what repeats every second is said once a minute, and counted; what is
// new is said at once, however much is said.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := logTo(&out, false)
		other := log.With("member", "b-sha")
		for range 150 {
			log.Warn("not yet", "err", "final.stale")
			time.Sleep(time.Second)
		}
		log.Warn("not yet", "err", "another")
		other.Warn("not yet", "err", "another")
		other.WithGroup("raft").Warn("not yet", "err", "another")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := []string{"err=final.stale", "err=final.stale omitted=59", "err=final.stale omitted=59", "err=another", "member=b-sha err=another", "member=b-sha raft.err=another"}
		if len(lines) != len(want) {
			t.Fatalf("%d lines: %s", len(lines), out.String())
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, `msg="not yet" `+want[i]) {
				t.Errorf("%s, want …%s", line, want[i])
			}
		}
		out.Reset()
		for i := range 3 * maxSaid {
			log.Warn("n", "i", i)
		}
		if n := strings.Count(out.String(), "\n"); n != 3*maxSaid || len(log.Handler().(*seldom).said.lines) > maxSaid {
			t.Errorf("%d lines of %d, %s remembered", n, 3*maxSaid, fmt.Sprint(len(log.Handler().(*seldom).said.lines)))
		}
		out.Reset()
		for range 3 {
			log.Info("lost the leader")
		}
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("what happened three times is said %d times", n)
		}
		if !log.Enabled(t.Context(), slog.LevelInfo) || log.Enabled(t.Context(), slog.LevelDebug) {
			t.Error("levels")
		}
	})
}
