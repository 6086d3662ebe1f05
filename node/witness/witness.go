// Package witness asks one external witness to cosign the log's checkpoints (C2SP
// tlog-witness, add-checkpoint).
//
// # Invariants
//
//   - One request at a time, with a pause between any two; after a failure the
//     pause doubles, up to a bound. What waits is the newest offer only.
//   - Nothing waits for a witness here: Offer never blocks.
//   - A cosignature is handed on only if it is by the witness's own key and name,
//     has a time, and verifies over the checkpoint that was sent. Lines of others
//     are passed over, as the protocol says.
//
// What the witness has seen is not stored: the first request says "old 0", and a
// conflict (409) tells the size from which to prove consistency. Other members
// ask the same witness, so conflicts are common and mean no harm: where the
// witness is behind our checkpoint the request is repeated at once from its size,
// and where it is ahead, ours will be there soon.
package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Bounds.
const (
	requestTimeout = 10 * time.Second
	maxAnswer      = 64 << 10
	maxTurns       = 4  // requests for one offer: each conflict tells another size
	maxProof       = 63 // lines (C2SP tlog-witness)
)

// Config is what a Client needs; all of it is required, except HTTP.
type Config struct {
	Witness record.Witness
	Pause   time.Duration                                          // between two requests
	Longest time.Duration                                          // pause, after failures
	Prove   func(from, to uint64) (proof []merkle.Hash, err error) // RFC 6962 §2.1.2; 0 < from < to
	Log     *slog.Logger
	HTTP    *http.Client // nil: one that follows no redirect
}

// An Offer is a checkpoint to be cosigned.
type Offer struct {
	Checkpoint sign.Checkpoint
	Note       []byte                       // signed by the log and its members
	Take       func(sign.Cosignature) error // takes the cosignature
}

// Status is how a witness stands.
type Status struct {
	Witness record.Witness
	Size    uint64    // of the last checkpoint that it cosigned for us, 0 for none
	Signed  uint64    // time that it put to it, Unix seconds
	At      time.Time // when we got it, by this machine's clock
	Err     error     // of the last request, nil where it went well
}

// A Client submits to one witness.
type Client struct {
	Config
	ready  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
	known  uint64 // size that the witness has, as far as we know; of the goroutine alone

	mu     sync.Mutex
	next   *Offer
	status Status
}

// New starts a client.
func New(c Config) (*Client, error) {
	if c.Witness.URL == "" || c.Pause <= 0 || c.Longest < c.Pause || c.Prove == nil || c.Log == nil {
		return nil, errors.New("witness: every field of Config is required")
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Client{Config: c, ready: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), status: Status{Witness: c.Witness}}
	go w.run(ctx)
	return w, nil
}

// Close ends the client and waits for it.
func (w *Client) Close() error {
	w.cancel()
	<-w.done
	return nil
}

// Offer replaces what waits to be cosigned. It does not block.
func (w *Client) Offer(o Offer) {
	w.mu.Lock()
	w.next = &o
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// Status returns how the witness stands.
func (w *Client) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *Client) run(ctx context.Context) {
	defer close(w.done)
	pause, failed := w.Pause, error(nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.ready:
		}
		o := w.take()
		if o == nil {
			continue
		}
		wait, err := w.submit(ctx, o)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.status.Err = err
		w.mu.Unlock()
		if err == nil || errors.Is(err, ErrAhead) {
			pause = w.Pause
		} else {
			if failed == nil || failed.Error() != err.Error() { // once, not at every attempt
				w.Log.Warn("a witness did not cosign", "witness", w.Witness.Name, "size", o.Checkpoint.Size, "err", err)
			}
			pause = min(2*pause, w.Longest)
			w.again(o)
		}
		failed = err
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, min(wait, w.Longest))):
		}
	}
}

func (w *Client) take() *Offer {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.next
	w.next = nil
	return o
}

// again puts an offer back, unless a newer one waits.
func (w *Client) again(o *Offer) {
	w.mu.Lock()
	if w.next == nil {
		w.next = o
	}
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// ErrAhead says that the witness has cosigned a larger checkpoint of this log,
// which another member brought it.
var ErrAhead = errors.New("the witness is ahead of this member")

// submit asks until the witness answers for this checkpoint. It returns how long
// the witness wants to be left alone.
func (w *Client) submit(ctx context.Context, o *Offer) (wait time.Duration, err error) {
	for range maxTurns {
		if w.known > o.Checkpoint.Size {
			w.known = 0 // perhaps it lost its state: ask
		}
		body, err := w.request(o)
		if err != nil {
			return 0, err
		}
		a, err := w.post(ctx, body)
		if err != nil {
			return 0, err
		}
		switch a.status {
		case http.StatusOK:
			return 0, w.accept(o, a.body)
		case http.StatusConflict:
			size, err := conflictSize(a.body)
			if err != nil {
				return 0, err
			}
			if size == w.known {
				return 0, fmt.Errorf("it answers that it has size %d, from which it was asked to go on", size)
			}
			if w.known = size; size > o.Checkpoint.Size {
				return 0, ErrAhead
			}
		default:
			return a.wait, a.refused()
		}
	}
	return 0, errors.New("other members brought it other checkpoints at every attempt")
}

// request is the body of add-checkpoint.
func (w *Client) request(o *Offer) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", w.known)
	if w.known > 0 && w.known < o.Checkpoint.Size {
		proof, err := w.Prove(w.known, o.Checkpoint.Size)
		if err != nil {
			return nil, fmt.Errorf("consistency of %d and %d: %w", w.known, o.Checkpoint.Size, err)
		}
		if len(proof) > maxProof {
			return nil, fmt.Errorf("a consistency proof of %d hashes", len(proof))
		}
		for _, h := range proof {
			b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(o.Note)
	return b.Bytes(), nil
}

// accept takes the witness's own cosignature out of an answer.
func (w *Client) accept(o *Offer, answer []byte) error {
	w.known = o.Checkpoint.Size
	for line := range strings.Lines(string(answer)) {
		cs, ok := sign.ParseNoteLine(strings.TrimSuffix(line, "\n"), w.Witness.Name, w.Witness.Key)
		if !ok {
			continue
		}
		if cs.Time == 0 || cs.Time > record.MaxTimeMs/1000 {
			return fmt.Errorf("its cosignature has the time %d", cs.Time)
		}
		if err := cs.Verify(w.Witness.Key, o.Checkpoint); err != nil {
			return fmt.Errorf("its cosignature over size %d: %w", o.Checkpoint.Size, err)
		}
		if err := o.Take(cs); err != nil {
			return err
		}
		w.mu.Lock()
		w.status.Size, w.status.Signed, w.status.At = o.Checkpoint.Size, cs.Time, time.Now()
		w.mu.Unlock()
		return nil
	}
	return errors.New("its answer has no cosignature by its key")
}
