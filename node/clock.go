package node

import (
	"sync/atomic"
	"time"
)

// A Clock is the consortium's time at one node. It is the system's, or, where
// the founders said so, a story's: then it stands still until it is set.
type Clock struct {
	story  bool
	millis atomic.Int64
}

// NewClock returns the system's clock, or a story's that begins at a time.
func NewClock(story bool, begin time.Time) *Clock {
	c := &Clock{story: story}
	c.millis.Store(begin.UnixMilli())
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	if c.story {
		return time.UnixMilli(c.millis.Load())
	}
	return time.Now()
}

// Set moves a story's clock. It reports false on the system's clock.
func (c *Clock) Set(t time.Time) bool {
	if c.story {
		c.millis.Store(t.UnixMilli())
	}
	return c.story
}

// Story reports whether the clock is a story's.
func (c *Clock) Story() bool { return c.story }
