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

// behindLimit is how long a request waits for a height.
const behindLimit = 8 * time.Second

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
	late := time.NewTimer(behindLimit)
	defer late.Stop()
	for {
		changed := c.Changed()
		if f := c.Final(); f != nil && f.State.Height >= height {
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

// sayHeight tells the caller how far the answer reaches.
func (c *call) sayHeight() {
	if f := c.Final(); f != nil {
		c.w.Header().Set(HeaderHeight, strconv.FormatUint(f.State.Height, 10))
	}
}
