package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefresh: members whose clocks are behind ours by some time answer every beat
// with their own time.
func TestRefresh(t *testing.T) {
	for name, c := range map[string]struct {
		behind time.Duration
		slack  uint64
		within time.Duration
		err    error
	}{
		"same clock":      {0, clockSlack, 0, nil},
		"a second fast":   {time.Second, clockSlack, time.Second + beatAgain, nil},
		"nearly two":      {1900 * time.Millisecond, clockSlack, refreshWithin, nil},
		"far off":         {5 * time.Second, clockSlack, refreshWithin, ErrNotFresh},
		"a story's":       {5 * time.Second, 0, refreshWithin, ErrNotFresh},
		"slack used up":   {3 * time.Second, clockSlack, refreshWithin, nil},
		"a story's slack": {2500 * time.Millisecond, 0, refreshWithin, ErrNotFresh},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fresh uint64
				beats := 0
				r := refresh{slack: c.slack, closing: make(chan struct{}), changed: func() <-chan struct{} { return nil },
					freshAt: func() uint64 { return fresh },
					beat:    func() { beats++; fresh = uint64(time.Now().Add(-c.behind).Unix()) }}
				begin := time.Now()
				if err := r.wait(t.Context(), uint64(begin.Unix())); err != c.err {
					t.Errorf("error %v after %d beats, want %v", err, beats, c.err)
				}
				if took := time.Since(begin); took > c.within {
					t.Errorf("took %v, at most %v", took, c.within)
				}
			})
		})
	}
}

func TestRefreshEnds(t *testing.T) {
	r := refresh{beat: func() {}, freshAt: func() uint64 { return 0 }, changed: func() <-chan struct{} { return nil }, closing: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.wait(ctx, 1<<40); err != ErrNotFresh {
		t.Error(err)
	}
	closed := make(chan struct{})
	close(closed)
	r.closing = closed
	if err := r.wait(t.Context(), 1<<40); err != ErrNotFresh {
		t.Error(err)
	}
}
