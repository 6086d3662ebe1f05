package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/witness/witnesstest"
)

// bench is a log of four members, a witness, and what became of its cosignatures.
type bench struct {
	t       *testing.T
	log     sign.Key
	members []sign.Key
	policy  *sign.Policy
	tree    *merkle.Tree
	roots   map[uint64]merkle.Hash
	witness *witnesstest.Witness

	mu    sync.Mutex
	took  []uint64
	inUse int
	most  int // requests at once
	sent  []time.Time
	fake  http.Handler // in place of the witness
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, log: sign.NewKey(), tree: merkle.New(), roots: map[uint64]merkle.Hash{}}
	b.policy = &sign.Policy{Origin: "log.example", Log: b.log.Public(), K: 3}
	for _, id := range []string{"a", "b", "c", "d"} {
		k := sign.NewKey()
		b.members = append(b.members, k)
		b.policy.Members = append(b.policy.Members, sign.PolicyMember{ID: id, Signer: "log.example/" + id, Key: k.Public()})
	}
	for i := range 200 {
		b.tree.Append(merkle.LeafHash([]byte{byte(i)}))
		b.roots[b.tree.Size()] = b.tree.Root()
	}
	b.witness = &witnesstest.Witness{Name: "witness.example/w", Key: sign.NewKey(), Policy: b.policy}
	return b
}

// RoundTrip implements http.RoundTripper without a network.
func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.inUse++
	b.most = max(b.most, b.inUse)
	b.sent = append(b.sent, time.Now())
	fake := b.fake
	b.mu.Unlock()
	defer func() { b.mu.Lock(); b.inUse--; b.mu.Unlock() }()
	rec := httptest.NewRecorder()
	if fake != nil {
		fake.ServeHTTP(rec, r)
	} else {
		http.StripPrefix("/prefix", b.witness).ServeHTTP(rec, r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func (b *bench) start() *Client {
	b.t.Helper()
	c, err := New(Config{Witness: record.Witness{Name: b.witness.Name, Key: b.witness.Key.Public(), URL: "https://w.example/prefix/"},
		Pause: time.Second, Longest: 5 * time.Minute, Log: slog.New(slog.DiscardHandler),
		Prove: func(from, to uint64) ([]merkle.Hash, error) { return b.tree.View().ConsistencyProof(from, to, nil) },
		HTTP:  &http.Client{Transport: b, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// offer is the checkpoint of a size with the cosignatures of some members.
func (b *bench) offer(size uint64, members int) Offer {
	b.t.Helper()
	cp := sign.Checkpoint{Origin: b.policy.Origin, Size: size, Root: b.roots[size]}
	keys, cosigs := map[string]sign.PublicKey{}, []sign.Cosignature{}
	for i, m := range b.policy.Members[:members] {
		keys[m.Signer] = m.Key
		cosigs = append(cosigs, b.members[i].Cosign(m.Signer, cp, 1_800_000_000))
	}
	note, err := sign.FormatNote(cp, b.log, cosigs, keys)
	if err != nil {
		b.t.Fatal(err)
	}
	return Offer{Checkpoint: cp, Note: note, Take: func(cs sign.Cosignature) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.took = append(b.took, size)
		return cs.Verify(b.witness.Key.Public(), cp)
	}}
}

func (b *bench) taken() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.took)
}

// TestGrowingLog: from nothing, further, the same size again, past another
// member's submission, and not before it.
func TestGrowingLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := b.start()
		for _, size := range []uint64{1, 7, 7, 64, 65, 200} {
			c.Offer(b.offer(size, 3))
			time.Sleep(2 * time.Second)
		}
		if got := b.taken(); got != "[1 7 7 64 65 200]" || b.witness.Answers(409) != 0 {
			t.Errorf("cosigned %s, %d conflicts", got, b.witness.Answers(409))
		}
		*b.witness = witnesstest.Witness{Name: b.witness.Name, Key: b.witness.Key, Policy: b.policy} // it lost its state
		d := b.start()                                                                               // another member, which does not know what the witness has
		d.Offer(b.offer(20, 4))
		time.Sleep(2 * time.Second)
		c.Offer(b.offer(100, 4)) // c thinks that the witness has 200
		time.Sleep(2 * time.Second)
		d.Offer(b.offer(90, 4)) // behind what c brought
		time.Sleep(2 * time.Second)
		if !errors.Is(d.Status().Err, ErrAhead) {
			t.Errorf("behind the witness: %v", d.Status().Err)
		}
		d.Offer(b.offer(150, 4))
		time.Sleep(2 * time.Second)
		if got := b.taken(); got != "[1 7 7 64 65 200 20 100 150]" || b.witness.Answers(422)+b.witness.Answers(400)+b.witness.Answers(403) != 0 {
			t.Errorf("cosigned %s", got)
		}
		if st := d.Status(); st.Size != 150 || st.Err != nil || st.Signed == 0 || time.Since(st.At) > 3*time.Second {
			t.Errorf("%+v", st)
		}
	})
}

// TestQuorumIsChecked: the log's own line is not enough for a witness that a
// policy may require.
func TestQuorumIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := b.start()
		c.Offer(b.offer(5, 2))
		time.Sleep(2 * time.Second)
		if b.taken() != "[]" || b.witness.Answers(403) == 0 || c.Status().Err == nil {
			t.Errorf("two members: %s, %+v", b.taken(), c.Status())
		}
		c.Offer(b.offer(6, 3))
		time.Sleep(10 * time.Second)
		if b.taken() != "[6]" {
			t.Errorf("three members: %s", b.taken())
		}
	})
}

// TestNewestOfferWins: one request at a time, a pause between any two, and what
// came meanwhile is skipped.
func TestNewestOfferWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := b.start()
		for size := uint64(1); size <= 200; size++ {
			c.Offer(b.offer(size, 3))
			time.Sleep(25 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.most != 1 || len(b.sent) > 7 || b.took[len(b.took)-1] != 200 {
			t.Errorf("%d at once, %d requests in 5 s, cosigned %v", b.most, len(b.sent), b.took)
		}
	})
}

// TestBackOff: failures space requests out, up to the bound and as the witness
// asks; the newest offer is what counts when it is back.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := b.start()
		b.witness.SetDown(true)
		c.Offer(b.offer(5, 3))
		time.Sleep(time.Hour)
		b.mu.Lock()
		n := len(b.sent)
		for i := 2; i < n; i++ {
			if gap, before := b.sent[i].Sub(b.sent[i-1]), b.sent[i-1].Sub(b.sent[i-2]); gap < before || gap > 5*time.Minute {
				t.Errorf("pauses of %v and %v", before, gap)
			}
		}
		b.mu.Unlock()
		if n < 15 || n > 25 || b.taken() != "[]" {
			t.Errorf("%d requests in an hour, cosigned %s", n, b.taken())
		}
		c.Offer(b.offer(9, 3))
		b.witness.SetDown(false)
		time.Sleep(6 * time.Minute)
		if b.taken() != "[9]" || c.Status().Err != nil {
			t.Errorf("back again: %s, %+v", b.taken(), c.Status())
		}
		b.fake = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		b.mu.Lock()
		n = len(b.sent)
		b.mu.Unlock()
		c.Offer(b.offer(10, 3))
		time.Sleep(119 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.sent) != n+1 {
			t.Errorf("%d requests within what the witness asked for", len(b.sent)-n)
		}
	})
}

// TestBadAnswers: nothing of a witness that answers wrongly is taken, and a
// witness that hangs holds nobody up.
func TestBadAnswers(t *testing.T) {
	b := newBench(t)
	o := b.offer(5, 3)
	good := func(k sign.Key, name string, cp sign.Checkpoint, unix uint64) string {
		return sign.NoteLine(k.Cosign(name, cp, unix), k.Public())
	}
	other := sign.NewKey()
	mine := good(b.witness.Key, b.witness.Name, o.Checkpoint, 1_800_000_000)
	for name, answer := range map[string]struct {
		status int
		body   string
		taken  bool
	}{
		"own line among others":  {200, "garbage\n" + good(other, "other.example", o.Checkpoint, 5) + mine, true},
		"empty":                  {200, "", false},
		"no witness":             {200, good(other, "other.example", o.Checkpoint, 5), false},
		"name of the witness":    {200, good(other, b.witness.Name, o.Checkpoint, 5), false},
		"another checkpoint":     {200, good(b.witness.Key, b.witness.Name, b.offer(6, 3).Checkpoint, 5), false},
		"no time":                {200, good(b.witness.Key, b.witness.Name, o.Checkpoint, 0), false},
		"cut off":                {200, mine[:len(mine)-6] + "\n", false},
		"too large":              {200, mine + strings.Repeat("x", 1<<20), false},
		"created":                {201, mine, false},
		"redirect":               {307, mine, false},
		"conflict without size":  {409, "", false},
		"conflict with words":    {409, "five\n", false},
		"conflict without end":   {409, "5", false},
		"conflict with zeros":    {409, "005\n", false},
		"conflict of nothing":    {409, "0\n", false},
		"conflict again":         {409, "3\n", false},
		"conflict beyond":        {409, "9223372036854775807\n", false},
		"conflict beyond number": {409, "99999999999999999999\n", false},
		"unknown log":            {404, "", false}, "refused": {403, mine, false}, "bad request": {400, "", false},
		"no consistency": {422, "", false}, "broken": {500, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bench{t: t, log: b.log, members: b.members, policy: b.policy, tree: b.tree, roots: b.roots, witness: b.witness}
				b.fake = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", "https://elsewhere.example/")
					w.WriteHeader(answer.status)
					io.WriteString(w, answer.body)
				})
				c := b.start()
				c.Offer(b.offer(5, 3))
				time.Sleep(500 * time.Millisecond)
				if got := b.taken() == "[5]"; got != answer.taken || (c.Status().Err == nil) != answer.taken {
					t.Errorf("taken %v, %+v", got, c.Status())
				}
				if len(b.sent) > maxTurns {
					t.Errorf("%d requests", len(b.sent))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, log: b.log, members: b.members, policy: b.policy, tree: b.tree, roots: b.roots, witness: b.witness}
		b.fake = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := b.start()
		began := time.Now()
		for size := uint64(1); size <= 20; size++ {
			c.Offer(b.offer(size, 3))
		}
		if time.Since(began) > 0 {
			t.Error("Offer waits for the witness")
		}
		time.Sleep(requestTimeout + time.Second)
		if err := c.Status().Err; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a witness that hangs: %v", err)
		}
		began = time.Now()
		c.Close()
		if time.Since(began) > time.Second {
			t.Error("Close waits for the witness")
		}
	})
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an empty Config is taken")
	}
}
