package rest

import (
	"strconv"
	"time"
)

// Headers that carry what a caller has seen from one member to the next. Every
// answer says up to which height it speaks; a caller that goes on at another
// member hands the highest height in, and that member answers when it has it as
// final, so that nobody reads behind a write of their own.
const (
	HeaderHeight = "Akashi-Height" // in answers
	HeaderAfter  = "Akashi-After"  // in requests
)

// How long a request waits for a height, and how many without a token may wait at
// once: whoever asks for a height that never comes holds a request for that long.
const (
	behindLimit      = 8 * time.Second
	anonymousLimit   = 2 * time.Second
	defaultMaxBehind = 64
)

// catchUp waits until what is final here reaches what the caller has seen.
func (c *call) catchUp() error {
	text := c.r.Header.Get(HeaderAfter)
	if text == "" {
		return nil
	}
	height, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return faultAt(codeParameter, HeaderAfter)
	}
	reached := func() bool { f := c.Final(); return f != nil && f.State.Height >= height }
	if reached() {
		return nil
	}
	limit := behindLimit
	if c.anonymous() {
		defer c.behind.Add(-1)
		if c.behind.Add(1) > int64(c.MaxBehind) {
			return fault(codeTooMany)
		}
		limit = anonymousLimit
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		changed := c.Changed()
		if reached() {
			return nil
		}
		select {
		case <-changed:
		case <-late.C:
			return fault(codeNotFinal)
		case <-c.r.Context().Done():
			return fault(codeNotFinal)
		}
	}
}

// anonymous reports whether a request brings no token that is known here. Routes
// for everybody are called with one, too.
func (c *call) anonymous() bool {
	if c.route.roles != public {
		return false
	}
	_, err := c.authenticate(c.r)
	return err != nil
}

// sayHeight tells the caller how far the answer reaches.
func (c *call) sayHeight() {
	if f := c.Final(); f != nil {
		c.w.Header().Set(HeaderHeight, strconv.FormatUint(f.State.Height, 10))
	}
}
