package outbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Request is 1 to 1,000 records of one issuer that enter the ledger together,
// each accepted or refused by itself. Neither it nor what it points to may
// change before Submit returns.
type Request struct {
	Issuer  string           // party id; this node must hold its key
	Client  string           // who asks, as the API knows it: keys of two clients never meet
	Key     string           // Idempotency-Key; empty: the node makes one
	Body    [32]byte         // hash of what the caller asked, to tell one request from another under the same key
	Records []*record.Record // complete, ids included
	Keep    []store.KV       // durable in the same atomic write, before anything is sent
	Urgent  bool             // revocations, stops, erasures: before bulk
	Brief   bool             // nobody asks for it again: its outcome is kept for an hour only
}

// Outcome is what became of one record.
type Outcome struct {
	ID       record.ID
	LeafHash record.Digest
	Index    uint64 // of its leaf in the log; meaningless where it was refused
	Height   uint64 // of the batch
	TimeMs   uint64 // batch time
	Refused  *record.Refusal
}

// Result is what became of a request. It is shared: callers do not change it.
type Result struct {
	Key      string    // under which to ask again
	Outcomes []Outcome // in the order of Request.Records
	Final    bool      // covered by a final checkpoint; otherwise the batch is applied only
}

// Stage is how far a request has come.
type Stage int

// The stages of a request.
const (
	StageAbsent    Stage = iota // never seen, or forgotten after the retention
	StagePending                // queued or under way
	StageCommitted              // applied, not final
	StageFinal
	StageFailed // definitely not in the ledger; the same key starts a new attempt
)

var stageNames = [...]string{"absent", "pending", "committed", "final", "failed"}

func (s Stage) String() string { return stageNames[s] }

// requestKey is SHA-256 over issuer, client and Idempotency-Key, each behind
// its length.
type requestKey [32]byte

func requestKeyOf(issuer, client, key string) requestKey {
	b := make([]byte, 0, 128)
	for _, s := range [...]string{issuer, client, key} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return sha256.Sum256(b)
}

// A call is one request on its way.
type call struct {
	lane   *lane
	key    requestKey
	body   [32]byte
	urgent bool
	brief  bool
	leaves [][]byte
	hashes []merkle.Hash
	bytes  int // of leaves
	keep   []store.KV
	kept   int // cost of keep
	at     time.Time

	// Guarded by lane.mu.
	sub       *submission // nil while queued
	from      int         // position of its first record in sub
	prev      *submission // that was refused with batch.full
	tries     int         // how often that happened
	committed chan struct{}

	over   atomic.Bool
	done   chan struct{} // closed when result and err are set
	result *Result
	err    error
}

// A stripe holds the calls that are not completed on disk. Its lock is held
// while the store is asked about a key, so that no second call of that key can
// slip in between.
type stripe struct {
	mu     sync.Mutex
	active map[requestKey]*call
}

func (o *Outbox) stripe(k requestKey) *stripe { return &o.stripes[k[0]%64] }

// Submit returns when the outcome of every record is final. Where ctx ends
// before, it returns an *UnknownError and the request goes on.
func (o *Outbox) Submit(ctx context.Context, req Request) (*Result, error) {
	return o.submit(ctx, req, false)
}

// SubmitCommitted is Submit that returns as soon as the batch is applied here:
// a result that is not final can still be lost if members lie.
func (o *Outbox) SubmitCommitted(ctx context.Context, req Request) (*Result, error) {
	return o.submit(ctx, req, true)
}

func (o *Outbox) submit(ctx context.Context, req Request, committed bool) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	made := req.Key == ""
	if made {
		req.Key = rand.Text()
	}
	c, err := o.newCall(&req)
	if err != nil {
		return nil, err
	}
	c, result, err := o.enter(c, made)
	if err != nil {
		return nil, err
	}
	if c != nil {
		result, err = c.wait(ctx, req.Key, committed)
	}
	if err != nil {
		return nil, err
	}
	named := *result
	named.Key = req.Key
	return &named, nil
}

// noKey says why an issuer has no key here.
func (o *Outbox) noKey(issuer string) error {
	view := o.State()
	p, err := rules.Load[rules.Party](view, rules.KeyParty(issuer))
	if err != nil || p == nil {
		return errors.Join(err, ErrNoKey)
	}
	if there, err := rules.Here(view, p); err == nil && !there {
		return ErrLeft
	}
	return ErrNoKey
}

// newCall encodes and hashes the records.
func (o *Outbox) newCall(req *Request) (*call, error) {
	n := len(req.Records)
	if n == 0 || n > MaxRequestRecords || len(req.Keep) > maxKeepEntries || len(req.Client) > maxKeyBytes || len(req.Key) > maxKeyBytes {
		return nil, fmt.Errorf("%w: %d records and %d blobs", ErrTooLarge, n, len(req.Keep))
	}
	if _, ok := o.Key(req.Issuer); !ok {
		return nil, o.noKey(req.Issuer)
	}
	l, err := o.laneOf(req.Issuer)
	if err != nil {
		return nil, err
	}
	c := &call{lane: l, key: requestKeyOf(req.Issuer, req.Client, req.Key), body: req.Body, urgent: req.Urgent, brief: req.Brief,
		leaves: make([][]byte, n), hashes: make([]merkle.Hash, n), keep: req.Keep, done: make(chan struct{})}
	for i, r := range req.Records {
		if r.Issuer != req.Issuer {
			return nil, record.Refuse(record.CodeNotAuthorised, "record %d names another issuer", i)
		}
		if c.leaves[i], err = r.Leaf(); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		c.hashes[i] = merkle.LeafHash(c.leaves[i])
		c.bytes += len(c.leaves[i])
	}
	for _, kv := range req.Keep {
		if len(kv.Key) == 0 || len(kv.Key) > store.MaxKeyBytes || len(kv.Value) > store.MaxValueBytes || kv.TTL < 0 || strings.HasPrefix(string(kv.Key), keyRoot) {
			return nil, fmt.Errorf("%w: a blob's key of %d bytes or value of %d", ErrTooLarge, len(kv.Key), len(kv.Value))
		}
		c.kept += len(kv.Key) + len(kv.Value) + keepCostBytes
	}
	if c.bytes > MaxRequestLeafBytes || c.kept > MaxRequestKeepBytes {
		return nil, fmt.Errorf("%w: %d bytes of leaves and %d of blobs", ErrTooLarge, c.bytes, c.kept)
	}
	return c, nil
}

// enter queues the call, or returns the call or result that its key already
// stands for. made says that the key was drawn just now.
func (o *Outbox) enter(c *call, made bool) (*call, *Result, error) {
	st := o.stripe(c.key)
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := o.over(); err != nil {
		return nil, nil, err
	}
	prev := st.active[c.key]
	switch {
	case prev != nil && prev.body != c.body:
		return nil, nil, ErrKeyReused
	case prev != nil && !prev.failed():
		return prev, nil, nil
	case prev == nil && !made:
		stored, err := o.stored(c.lane.issuer, c.key, &c.body)
		if err != nil || stored.stage == StageFinal {
			return nil, stored.result, err
		}
		if stored.stage == StagePending { // a failed write of a retry left it: its end is being written
			return nil, nil, ErrBusy
		}
	}
	if err := o.admit(c); err != nil {
		return nil, nil, err
	}
	st.active[c.key] = c
	c.lane.enqueue(c)
	return c, nil, nil
}

// admit takes the call's records into account, or refuses them.
func (o *Outbox) admit(c *call) error {
	limit := o.MaxQueued
	if !c.urgent {
		if o.noLeaderFor() > 0 {
			return ErrNoLeader
		}
		limit -= limit / 8
	}
	if n := o.held.Add(int64(len(c.leaves))); n > int64(limit) {
		o.held.Add(-int64(len(c.leaves)))
		return ErrBusy
	}
	return nil
}

// failed reports whether the call has ended without an outcome.
func (c *call) failed() bool {
	select {
	case <-c.done:
		return c.err != nil
	default:
		return false
	}
}

// attempted reports whether the call's records may be on disk.
func (c *call) attempted() bool {
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	return c.sub != nil || c.prev != nil
}

func (c *call) wait(ctx context.Context, key string, committed bool) (*Result, error) {
	var early chan struct{}
	if committed {
		early = c.lane.whenCommitted(c)
	}
	select {
	case <-c.done:
		if c.err == ErrUnknown {
			return nil, &UnknownError{Key: key}
		}
		return c.result, c.err
	case <-early:
		if found := c.look(); found.result != nil {
			return found.result, nil
		}
		return c.wait(ctx, key, false)
	case <-ctx.Done():
		return nil, &UnknownError{Key: key, Cause: ctx.Err()}
	}
}

// finish answers the call, once.
func (o *Outbox) finish(c *call, r *Result, err error) {
	if !c.over.CompareAndSwap(false, true) {
		return
	}
	c.result, c.err = r, err
	o.held.Add(-int64(len(c.leaves)))
	close(c.done)
}

// forget lets go of a call whose end is on disk, or of which nothing is.
func (o *Outbox) forget(c *call) {
	st := o.stripe(c.key)
	st.mu.Lock()
	if st.active[c.key] == c {
		delete(st.active, c.key)
	}
	st.mu.Unlock()
}

// Lookup returns how far the request of an Idempotency-Key has come, and its
// result where there is one.
func (o *Outbox) Lookup(ctx context.Context, issuer, client, key string) (*Result, Stage, error) {
	if err := ctx.Err(); err != nil {
		return nil, StageAbsent, err
	}
	k := requestKeyOf(issuer, client, key)
	st := o.stripe(k)
	st.mu.Lock()
	defer st.mu.Unlock()
	var found lookup
	if c := st.active[k]; c != nil {
		found = c.look()
	} else {
		var err error
		if found, err = o.stored(issuer, k, nil); err != nil {
			return nil, StageAbsent, err
		}
	}
	if found.result != nil {
		named := *found.result
		named.Key = key
		found.result = &named
	}
	return found.result, found.stage, nil
}

func (c *call) look() lookup {
	select {
	case <-c.done:
		if c.err == nil {
			return lookup{c.result, StageFinal}
		}
		if c.err == ErrExpired {
			return lookup{nil, StageFailed}
		}
	default:
	}
	if r := c.lane.committed(c); r != nil {
		return lookup{r, StageCommitted}
	}
	return lookup{nil, StagePending}
}
