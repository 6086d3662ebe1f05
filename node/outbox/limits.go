package outbox

import (
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Defaults of Config.
const (
	defaultWindow     = 3 * time.Millisecond
	defaultLifetime   = 60 * time.Second
	defaultResend     = 500 * time.Millisecond
	defaultRetention  = 30 * 24 * time.Hour
	briefRetention    = time.Hour // of requests that nobody asks for again: longer than their records take
	defaultMaxRecords = 512
	defaultMaxQueued  = 32 << 10
	defaultDepth      = 2
)

// Bounds. Sizes are in bytes.
const (
	MaxRequestRecords   = record.MaxRecords // of one request, which is never split
	MaxRequestLeafBytes = 480 << 10         // leaves of one submission; header and list need the rest of an entry
	MaxRequestKeepBytes = 2 << 20           // blobs of one submission
	maxKeepEntries      = 8000
	keepCostBytes       = 32   // the store's own cost of an entry
	maxKeyBytes         = 1024 // of client and Idempotency-Key
	maxDetailBytes      = 256  // of a refusal, as stored

	maxOpen     = 64   // submissions of an issuer that are not applied
	urgentOpen  = 16   // of them kept for urgent ones
	maxSpread   = 1024 // from the oldest open number to the newest; the register remembers 4,096
	maxTries    = 5    // of a single request that meets batch.full
	smallNumber = 4    // records: after so small a submission nobody waits for company

	busyWait    = 10 * time.Millisecond // first pause after ErrBusy, doubled up to Resend
	sendTimeout = 5 * time.Second
	tickEvery   = 2 * time.Second
	fileEvery   = 100 * time.Millisecond
	fileRetry   = time.Second
	fileBytes   = 1 << 20 // outcomes written at once
	// clockSkewMs is how far a batch's time may lie before the clock of the node
	// that signed a submission in it.
	clockSkewMs = 10 * 60 * 1000
)

func (c *Config) defaults() {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&c.Window, defaultWindow)
	or(&c.Lifetime, defaultLifetime)
	or(&c.Resend, defaultResend)
	or(&c.Retention, defaultRetention)
	if c.MaxRecords == 0 {
		c.MaxRecords = defaultMaxRecords
	}
	if c.MaxQueued == 0 {
		c.MaxQueued = defaultMaxQueued
	}
	if c.Depth == 0 {
		c.Depth = defaultDepth
	}
}
