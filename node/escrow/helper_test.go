package escrow

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// world is a real ledger state, an owner (a-sha) and its custodian (b-sha).
type world struct {
	t      *testing.T
	c      *ledgertest.Consortium
	ledger *store.Ledger
	log    *slog.Logger
	out    bytes.Buffer

	mu     sync.Mutex
	raft   uint64
	final  *store.State
	behind bool // batches do not become final
	down   bool // the keeper cannot be reached
	change func(what string, answer []byte) []byte
	silent func(ctx context.Context, member string) error // before a keeper is reached

	key     *Key
	own     *vault.Vault
	sender  *Sender
	keeper  *Keeper
	copies  *memory // the keeper's blobs
	slot    string  // the keeper's slot file
	accepts bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, c: ledgertest.New(t, ledgertest.Options{}), copies: &memory{}, slot: filepath.Join(t.TempDir(), "slot"), accepts: true}
	w.log = slog.New(slog.NewTextHandler(&w.out, nil))
	db, err := store.OpenState(filepath.Join(t.TempDir(), "state"), w.log, store.WithoutSync(), store.WithMinFree(0))
	noErr(t, err)
	t.Cleanup(func() { db.Close() })
	w.ledger, err = store.OpenLedger(db, w.c.Leaves[0], register.Options{}, w.log)
	noErr(t, err)
	w.final = w.ledger.State()
	w.key, err = LoadKey(t.TempDir(), "a-sha")
	noErr(t, err)
	w.own = w.openVault(filepath.Join(t.TempDir(), "slot"), &memory{})
	w.sender = w.newSender(w.own)
	w.openKeeper()
	return w
}

func (w *world) openVault(slot string, blobs *memory) *vault.Vault {
	w.t.Helper()
	s, err := vault.OpenFileSlot(slot)
	noErr(w.t, err)
	v, err := vault.Open(s, blobs, vault.Options{})
	noErr(w.t, err)
	w.t.Cleanup(func() { v.Close() })
	return v
}

func (w *world) newSender(v *vault.Vault) *Sender {
	w.t.Helper()
	s, err := NewSender(SenderConfig{Self: "a-sha", Key: w.key, Vault: v, State: w.state, Network: network{w}, Log: w.log, NumberOf: numberOf})
	noErr(w.t, err)
	s.within = time.Minute // machines that run tests may be slow
	return s
}

func (w *world) openKeeper() {
	w.t.Helper()
	k, err := NewKeeper(KeeperConfig{Self: "b-sha", Vault: w.openVault(w.slot, w.copies), State: w.state, Newest: w.ledger.State(),
		Poster: poster{w}, Accepts: func(string) bool { return w.accepts }, Log: w.log})
	noErr(w.t, err)
	w.mu.Lock()
	w.keeper = k
	w.mu.Unlock()
}

func (w *world) closeKeeper() {
	w.mu.Lock()
	k := w.keeper
	w.keeper = nil
	w.mu.Unlock()
	noErr(w.t, k.Vault.Close())
}

// numberOf takes the number from the value of what is not to be left out.
func numberOf(id string, value []byte) (Number, bool) {
	if strings.HasPrefix(id, "w/") || len(value) < 16 {
		return Number{}, false
	}
	return Number(value[:16]), true
}

func (w *world) state() *store.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.final
}

// post applies records as one batch.
func (w *world) post(issuer string, recs ...*record.Record) []outbox.Outcome {
	w.mu.Lock()
	subm := w.c.Submit(issuer, recs...)
	e := w.c.Entry(subm)
	w.c.Apply(e)
	w.raft++
	b, err := w.ledger.Apply(w.raft, canon.Must(e))
	if err != nil || b.Result.Void != nil {
		w.t.Fatalf("apply: %v, %v", err, b)
	}
	if !w.behind {
		w.final = w.ledger.State()
	}
	k := w.keeper
	w.mu.Unlock()
	if k != nil {
		k.Applied(b.Result.Writes)
	}
	out := make([]outbox.Outcome, len(recs))
	for i := range recs {
		if ref, ok := b.Result.Outcomes[0].Refused[i]; ok {
			out[i].Refused = &ref
		}
	}
	return out
}

// must posts records that are accepted.
func (w *world) must(issuer string, recs ...*record.Record) {
	w.t.Helper()
	for _, o := range w.post(issuer, recs...) {
		if o.Refused != nil {
			w.t.Fatalf("a record of %s is refused: %v", issuer, o.Refused)
		}
	}
}

// duties does what is due at both ends.
func (w *world) duties() {
	w.t.Helper()
	for range 2 {
		if w.keeper != nil {
			noErr(w.t, w.keeper.Duty(context.Background()))
		}
		for _, q := range w.sender.queues {
			q.notBefore = q.notBefore.Add(-pause)
		}
		w.sender.Duty(context.Background())
	}
}

// begin makes b-sha the custodian of a-sha's keys.
func (w *world) begin() {
	w.t.Helper()
	w.must("a-sha", w.c.Custodian("a-sha", "b-sha", 0))
	w.duties()
	if st := w.sender.Status(); len(st) != 1 || !st[0].Complete || st[0].Class == "" {
		w.t.Fatalf("status: %+v", st)
	}
}

// put makes entries of the owner's vault; each value begins with its number.
func (w *world) put(number byte, ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		noErr(w.t, w.own.Put(vault.Entry{ID: id, Value: append(num(number), "the secret of "+id...)}))
		w.sender.Changed(id)
	}
}

func num(n byte) []byte { return append(make([]byte, 15), n) }

// erase has the owner erase a number: record, shred, attestation.
func (w *world) erase(numbers ...byte) *record.Record {
	w.t.Helper()
	var ns []record.KeyNumber
	for _, n := range numbers {
		ns = append(ns, record.KeyNumber(num(n)))
	}
	e := w.c.Erasure(ns, "a-sha")
	w.must("a-sha", e)
	var ids []string
	noErr(w.t, w.own.Each("", func(id string, value []byte) error {
		if slices.Contains(numbers, value[15]) {
			ids = append(ids, id)
		}
		return nil
	}))
	_, err := w.own.Shred(ids...)
	noErr(w.t, err)
	w.must("a-sha", w.c.Attestation(e.ID))
	return e
}

func (w *world) erasure(e *record.Record) *rules.Erasure {
	w.t.Helper()
	v, err := rules.Load[rules.Erasure](w.state(), rules.KeyErasure(e.ID))
	noErr(w.t, err)
	return v
}

// kept returns the numbers of the copies at the keeper.
func (w *world) kept() string {
	w.t.Helper()
	labels, err := w.keeper.labels("a-sha")
	noErr(w.t, err)
	var b strings.Builder
	for _, l := range labels {
		b.WriteByte('0' + l.Number[15])
	}
	return b.String()
}

// fetched brings everything back into a new vault.
func (w *world) fetched() (string, Fetched, error) {
	w.t.Helper()
	v := w.openVault(filepath.Join(w.t.TempDir(), "slot"), &memory{})
	f, err := w.newSender(v).Fetch(context.Background(), "b-sha")
	ids, lerr := v.List("")
	noErr(w.t, lerr)
	for _, id := range ids {
		value, gerr := v.Get(id)
		noErr(w.t, gerr)
		if string(value[16:]) != "the secret of "+id {
			w.t.Errorf("%s came back as another secret", id)
		}
	}
	return strings.Join(ids, " "), f, err
}

type poster struct{ w *world }

// Submit implements Poster.
func (p poster) Submit(_ context.Context, r outbox.Request) (*outbox.Result, error) {
	return &outbox.Result{Outcomes: p.w.post(r.Issuer, r.Records...), Final: true}, nil
}

type network struct{ w *world }

// Ask implements Network.
func (n network) Ask(ctx context.Context, member string, req []byte) ([]byte, error) {
	n.w.mu.Lock()
	k, down, change, silent := n.w.keeper, n.w.down, n.w.change, n.w.silent
	n.w.mu.Unlock()
	if silent != nil {
		if err := silent(ctx, member); err != nil {
			return nil, err
		}
	}
	if member != "b-sha" || k == nil || down {
		return nil, errors.New("unreachable")
	}
	var m message
	noErr(n.w.t, canon.UnmarshalMax(req, MaxRequest, &m))
	b, err := k.Handle(ctx, "a-sha", req)
	if err == nil && change != nil {
		b = change(m.What, b)
	}
	return b, err
}

// memory is a blob store; a copy of the map is a copy of the disk.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Get(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[key]
	if !ok {
		return nil, vault.ErrNoBlob
	}
	return bytes.Clone(b), nil
}

func (m *memory) Put(blobs ...vault.Blob) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string][]byte{}
	}
	for _, b := range blobs {
		m.m[b.Key] = bytes.Clone(b.Value)
	}
	return nil
}

func (m *memory) Delete(keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.m, k)
	}
	return nil
}

func (m *memory) List(prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.Sorted(maps.Keys(m.m))
	return slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) }), nil
}

func (m *memory) copied() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{m: maps.Clone(m.m)}
}

func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code record.Code) {
	t.Helper()
	var r *record.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("error %v, want a refusal with %s", err, code)
	}
}
