package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/simulations/scenarios"
)

// stage is the consortium on which a story is played (scenarios.System).
type stage struct {
	fleet    *fleet
	cast     *scenarios.Cast
	clients  []*client.Client // of the members, in order
	managers []*client.Client // of another person at each of them
	now      time.Time
}

func newStage(f *fleet, cast *scenarios.Cast, token, second string) (*stage, error) {
	s := &stage{fleet: f, cast: cast}
	for i := range cast.Members {
		c, err := f.client(i, token)
		if err != nil {
			return nil, err
		}
		m, err := f.client(i, second)
		if err != nil {
			return nil, err
		}
		s.clients, s.managers = append(s.clients, c), append(s.managers, m)
	}
	return s, nil
}

// member returns which member's node acts for an organisation.
func (s *stage) member(organisation string) int {
	return slices.Index(s.cast.Members, s.cast.Host[organisation])
}

// As implements scenarios.System.
func (s *stage) As(organisation string) *client.Client { return s.clients[s.member(organisation)] }

// Approver implements scenarios.System.
func (s *stage) Approver(organisation string) *client.Client {
	return s.managers[s.member(organisation)]
}

// SetTime implements scenarios.System: all clocks first, then the wait for
// checkpoints that are fresh at the new time.
func (s *stage) SetTime(ctx context.Context, t time.Time) error {
	if !t.After(s.now) {
		return nil
	}
	s.now = t
	err := s.each(func(c *client.Client) error {
		_, err := c.SetClock(ctx, t, false)
		return err
	})
	if err != nil {
		return err
	}
	return s.each(func(c *client.Client) error { return freshAt(ctx, c, t) })
}

// freshAt waits until a node's checkpoint is fresh at a time. A machine that is
// busy with other things may need more than one beat.
func freshAt(ctx context.Context, c *client.Client, t time.Time) error {
	for range 8 {
		if fresh, err := c.SetClock(ctx, t, true); fresh || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: no fresh checkpoint at the story's time", c.URL())
}

// each asks all members at once.
func (s *stage) each(ask func(*client.Client) error) error {
	errs := make([]error, len(s.clients))
	var wg sync.WaitGroup
	for i, c := range s.clients {
		wg.Go(func() { errs[i] = ask(c) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// agree reports whether all members show the same final checkpoint, once they
// have had time to.
func (s *stage) agree(ctx context.Context) (bool, error) {
	for range 50 {
		seen := map[string]bool{}
		var mu sync.Mutex
		err := s.each(func(c *client.Client) error {
			n, _, err := c.Checkpoint(ctx)
			if err == nil {
				mu.Lock()
				seen[n.Text()] = true
				mu.Unlock()
			}
			return err
		})
		if err != nil {
			return false, err
		}
		if len(seen) == 1 {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false, nil
}
