package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// maxNote is the largest checkpoint or policy in bytes.
const maxNote = 1 << 20

// Policy returns the node's word on whose signatures count (tlog-policy). Who
// wants to rely on it takes it from elsewhere.
func (c *Client) Policy(ctx context.Context) ([]byte, error) {
	return c.LogFile(ctx, "policy", maxNote)
}

// Checkpoint returns the newest final checkpoint, which is final under one of
// the client's policies or one that they lead to, with its signed note.
func (c *Client) Checkpoint(ctx context.Context) (*sign.OpenedNote, []byte, error) {
	note, err := c.LogFile(ctx, "checkpoint", maxNote)
	if err != nil {
		return nil, nil, err
	}
	open, err := under(ctx, c, func(ps []*sign.Policy) (*sign.OpenedNote, error) { return OpenCheckpoint(note, ps) })
	return open, note, err
}

// OpenCheckpoint opens a signed checkpoint under the first policy that it fits.
func OpenCheckpoint(note []byte, policies []*sign.Policy) (*sign.OpenedNote, error) {
	err := fmt.Errorf("no policy says whose signatures count")
	for _, p := range policies {
		var open *sign.OpenedNote
		if open, err = p.Open(note); err == nil {
			return open, nil
		}
	}
	return nil, fmt.Errorf("checkpoint: %w", err)
}

// Largest objects of a log in bytes: 256 entries with their lengths, or 256
// hashes.
const (
	MaxBundleBytes = merkle.TileWidth * (2 + 1<<16)
	MaxTileBytes   = merkle.TileWidth * merkle.HashSize
)

// LogFile reads a file of the log (tlog-tiles), such as "tile/0/000": unchecked
// bytes. It asks a few times, since reading changes nothing.
func (c *Client) LogFile(ctx context.Context, path string, limit int64) (b []byte, err error) {
	prefix := "/log/"
	if c.base.Path != "" { // a mirror of static files
		prefix = "/"
	}
	for pause := firstPause; ; pause *= 4 {
		b, err = c.read(ctx, prefix+path, nil, limit)
		if err == nil || pause > mostPause {
			return b, err
		}
		wait, again := worthAnother(err, pause)
		if !again {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Absent reports whether an error says that there is nothing under a path.
func Absent(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Status == http.StatusNotFound
}
