package custody

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/dgraph-io/badger/v4"
)

// world is a consortium in memory with a real ledger state and one desk a member.
type world struct {
	t       testing.TB
	dir     string
	c       *ledgertest.Consortium
	db      *badger.DB
	ledger  *store.Ledger
	mu      sync.Mutex
	raft    uint64
	final   *store.State
	changed chan struct{}
	behind  bool // committed batches do not become final
	staleBy time.Duration
	results map[string]keyed
	members map[string]*member
	log     *lockedBuffer
	hosted  map[string][]string
	refuse  func(member, what string) error    // of the network
	silent  map[string]bool                    // members that never answer
	answer  func(what string, b []byte) []byte // of the network: changed on its way
	posted  func(outbox.Request) error         // before a submission takes effect
	calls   []sentCall

	maxEntries int // of vaults opened from now on; 0 means the default
}

type keyed struct {
	body   [32]byte
	result *outbox.Result
}

type member struct {
	id    string
	dir   string
	blobs *store.Blobs
	vault *vault.Vault
	trees *forest.Forest
	*Desk
	auto bool
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func newWorld(t testing.TB, members ...string) *world {
	t.Helper()
	return newWorldOf(t, ledgertest.Options{}, members...)
}

func newWorldOf(t testing.TB, o ledgertest.Options, members ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), c: ledgertest.New(t, o), results: map[string]keyed{}, changed: make(chan struct{}), members: map[string]*member{},
		log: &lockedBuffer{}, hosted: map[string][]string{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	if w.db, err = store.OpenState(filepath.Join(w.dir, "state"), log, store.WithoutSync(), store.WithMinFree(0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.ledger, err = store.OpenLedger(w.db, w.c.Leaves[0], register.Options{}, log); err != nil {
		t.Fatal(err)
	}
	w.final = w.ledger.State()
	if len(members) == 0 {
		members = []string{"a-sha", "b-sha", "c-sha"}
	}
	for _, id := range members {
		m := &member{id: id, dir: filepath.Join(w.dir, id)}
		w.members[id] = m
		w.open(m)
		t.Cleanup(func() { w.close(m) })
	}
	return w
}

// open starts a member's desk on what is in its directory.
func (w *world) open(m *member) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, nil)).With("member", m.id)
	var err error
	if m.blobs, err = store.OpenBlobs(filepath.Join(m.dir, "blobs"), log, store.WithoutSync(), store.WithMinFree(0)); err != nil {
		w.t.Fatal(err)
	}
	slot, err := vault.OpenFileSlot(filepath.Join(m.dir, "slot"))
	if err != nil {
		w.t.Fatal(err)
	}
	if m.vault, err = vault.Open(slot, vaultBlobs{m.blobs}, vault.Options{MaxEntries: w.maxEntries}); err != nil {
		w.t.Fatal(err)
	}
	if m.trees, err = forest.New(forest.Config{Self: m.id, Origin: w.c.Origin, Key: w.keyOf, Poster: &poster{w, m}, Send: w.sendCommit,
		Newest: w.ledger.State, Final: w.state, Changed: w.changes, Growing: w.ledger.GrowingLeaf, Log: log}); err != nil {
		w.t.Fatal(err)
	}
	desk, err := New(Config{Self: m.id, Origin: w.c.Origin, Hosted: func() []string { return w.hosted[m.id] }, Vault: m.vault, Blobs: m.blobs,
		Poster: &poster{w, m}, Network: &network{w, m}, Trees: m.trees, State: w.state, FreshAt: w.freshAt,
		Refresh: func(context.Context) error { return errors.New("nobody answers") }, Now: w.now, Log: log, AutoReceive: m.auto,
		Approve: func(b []byte) sign.Signature {
			return w.c.Member(m.id).Approver.Sign(sign.DomainApproval, w.c.Origin, b)
		},
		SignHold: func(b []byte) (sign.Signature, error) {
			k, _ := w.keyOf(m.id)
			return k.Sign(sign.DomainHold, w.c.Origin, b), nil
		},
		CloseDelay: func() time.Duration { return 30 * time.Minute }, Wall: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(func() { m.Desk = desk })
}

func (w *world) close(m *member) {
	desk := m.Desk
	if desk == nil {
		return
	}
	w.set(func() { m.Desk = nil })
	desk.Close()
	m.trees.Close()
	m.vault.Close()
	m.blobs.Close()
}

func (w *world) reopen(m *member) {
	w.t.Helper()
	w.close(m)
	w.open(m)
}

func (w *world) state() *store.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.final
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.UnixMilli(int64(w.c.NowMs))
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.c.Pass(uint64(d.Milliseconds()))
}

func (w *world) freshAt() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(time.UnixMilli(int64(w.c.NowMs)).Add(-w.staleBy).Unix())
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) keyOf(issuer string) (sign.Key, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, ok := w.c.Keys[issuer]
	return k, ok
}

func (w *world) changes() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// sendCommit is Raft for commits to trees: every member has them at once.
func (w *world) sendCommit(_ context.Context, entry []byte) error {
	res, members, err := w.commit(entry)
	for _, m := range members {
		m.Applied(entry, res)
	}
	return err
}

func (w *world) commit(entry []byte) (res *law.Result, members []*forest.Forest, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		if err := w.refuse("", "commit"); err != nil {
			return nil, nil, err
		}
	}
	w.raft++
	if res, err = w.ledger.Commit(w.raft, entry); err != nil {
		return nil, nil, err
	}
	for _, m := range w.members {
		if m.Desk != nil {
			members = append(members, m.trees)
		}
	}
	return res, members, nil
}

// submit applies records as one batch.
func (w *world) submit(issuer string, recs []*record.Record) []outbox.Outcome {
	subm := w.c.Submit(issuer, recs...)
	e := w.c.Entry(subm)
	first := w.ledger.State().Size
	res := w.c.Apply(e)
	w.raft++
	b, err := w.ledger.Apply(w.raft, canon.Must(e))
	if err != nil || b.Result.Void != nil || res.Void != nil {
		w.t.Errorf("apply: %v, %v, %v", err, res.Void, b)
		return nil
	}
	if !w.behind {
		w.final = w.ledger.State()
		close(w.changed)
		w.changed = make(chan struct{})
	}
	out := make([]outbox.Outcome, len(recs))
	at := first
	o := b.Result.Outcomes[0]
	for i, r := range recs {
		out[i] = outbox.Outcome{ID: r.ID, LeafHash: record.Digest(merkle.LeafHash(subm.Leaves[i]))}
		if o.All != "" {
			out[i].Refused = &record.Refusal{Code: o.All}
		} else if ref, ok := o.Refused[i]; ok {
			out[i].Refused = &ref
		} else {
			out[i].Index, out[i].Height, out[i].TimeMs = at, b.End.Height, b.End.TimeMs
			at++
		}
	}
	return out
}

// must posts records that nobody refuses.
func (w *world) must(issuer string, recs ...*record.Record) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.submit(issuer, recs) {
		if o.Refused != nil {
			w.t.Fatalf("record of %s is refused: %v", issuer, o.Refused)
		}
	}
}

type poster struct {
	w *world
	m *member
}

func (p *poster) Submit(ctx context.Context, r outbox.Request) (*outbox.Result, error) {
	return p.submit(ctx, r, true)
}

func (p *poster) SubmitCommitted(ctx context.Context, r outbox.Request) (*outbox.Result, error) {
	return p.submit(ctx, r, false)
}

func (p *poster) submit(ctx context.Context, r outbox.Request, final bool) (*outbox.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := p.w
	w.mu.Lock()
	posted := w.posted
	w.mu.Unlock()
	if posted != nil {
		if err := posted(r); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := r.Issuer + "\x00" + r.Client + "\x00" + r.Key
	if k, ok := w.results[key]; ok && r.Key != "" {
		if k.body != r.Body {
			return nil, outbox.ErrKeyReused
		}
		return k.result, nil
	}
	if err := p.m.blobs.PutMany(r.Keep); err != nil {
		return nil, err
	}
	for _, rec := range r.Records {
		if _, err := rec.Leaf(); err != nil {
			return nil, err
		}
	}
	res := &outbox.Result{Key: r.Key, Final: !w.behind && final, Outcomes: w.submit(r.Issuer, r.Records)}
	if r.Key != "" {
		w.results[key] = keyed{r.Body, res}
	}
	return res, nil
}

// vaultBlobs keeps a vault's blocks among the blobs.
type vaultBlobs struct{ b *store.Blobs }

func (v vaultBlobs) Get(key string) ([]byte, error) {
	b, found, err := v.b.Get([]byte("V/" + key))
	if err == nil && !found {
		err = vault.ErrNoBlob
	}
	return b, err
}
func (v vaultBlobs) Put(blobs ...vault.Blob) error {
	var entries []store.KV
	for _, b := range blobs {
		key := "V/" + b.Key
		if b.Beside {
			key = b.Key
		}
		entries = append(entries, store.KV{Key: []byte(key), Value: b.Value})
	}
	return v.b.PutMany(entries)
}
func (v vaultBlobs) Delete(keys ...string) error {
	var full [][]byte
	for _, key := range keys {
		if vault.OwnKey(key) {
			key = "V/" + key
		}
		full = append(full, []byte(key))
	}
	return v.b.Delete(full...)
}
func (v vaultBlobs) List(prefix string) (keys []string, err error) {
	err = v.b.Keys([]byte("V/"+prefix), func(key []byte) error {
		keys = append(keys, string(key[2:]))
		return nil
	})
	return keys, err
}

// duties does everything that is due, at all desks, until nothing changes.
func (w *world) duties() {
	ctx := context.Background()
	for range 3 {
		for _, m := range w.members {
			if m.Desk == nil {
				continue
			}
			m.parcels.hurry()
			m.sendDue(ctx)
			m.receiveDue(ctx)
			m.spentMu.Lock()
			m.spendAt = time.Time{}
			m.spentMu.Unlock()
			m.destroyDue(ctx)
			m.retireDue(ctx)
		}
	}
}

// hurry makes every parcel due now.
func (q *parcelQueue) hurry() {
	for range 10_000 {
		q.mu.Lock()
		busy := false
		for _, j := range q.jobs {
			j.next = time.Time{}
			busy = busy || j.sending
		}
		q.mu.Unlock()
		if !busy {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func wantCode(t *testing.T, err error, code record.Code) {
	t.Helper()
	var r *record.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("error %v, want a refusal with %s", err, code)
	}
}

func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The markers: no personal value may be found where it does not belong.
const (
	nameMarker  = "髙橋マーカー太郎"
	phoneMarker = "070-9999-4321"
	refMarker   = "p-marker-0042"
	idMarker    = "user-marker-7731"
)

var markers = []string{nameMarker, phoneMarker, refMarker, idMarker}

// standard opens a service with terms at a-sha and registers a person.
func (w *world) standard() (hana Ref) {
	w.t.Helper()
	r, _ := w.c.Terms(w.c.Screen("a-portal", "1"))
	w.must("a-sha", w.c.Service("a-portal"), r)
	_, err := w.members["a-sha"].Register(context.Background(), Call{Client: "app"}, Registration{Person: refMarker, Service: "a-portal",
		Items: map[string]string{"name": nameMarker, "user-id": idMarker}, Lookup: map[string]string{"phone": phoneMarker}, Source: "self"})
	noErr(w.t, err)
	return refMarker
}

func (w *world) consent(ref Ref, purposes ...string) *Done {
	w.t.Helper()
	items := []string{"name", "user-id"}
	for _, p := range purposes {
		if p == "platform" {
			items = append(items, "income")
		}
	}
	done, err := w.members["a-sha"].Consent(context.Background(), Call{Client: "app"}, ConsentRequest{Person: ref, Service: "a-portal", Version: "1",
		Items: items, Purposes: purposes, Button: "同意する", Language: "ja"})
	noErr(w.t, err)
	return done
}

func provideRequest(ref Ref) ProvideRequest {
	return ProvideRequest{Person: ref, Service: "a-portal", To: "b-sha", Items: []string{"name", "user-id"}, Purpose: "service"}
}
