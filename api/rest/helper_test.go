package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// member is a-sha's node in memory: a real ledger, a model of the consortium
// that makes batches of what is submitted, and a desk that remembers.
type member struct {
	lag escrow.Lag // of its keys

	t      *testing.T
	c      *ledgertest.Consortium
	ledger *store.Ledger
	tokens *token.Store
	text   map[token.Role]string // a token of each role; the subject is p01
	log    *bytes.Buffer
	kept   *evidence.Store
	trees  *forest.Forest
	srv    *httptest.Server
	desk   *desk
	clock  *clock

	mu      sync.Mutex
	raft    uint64
	final   *Final
	changed chan struct{}
	closing chan struct{}
	box     error // what the outbox answers, where not nil
	refresh int
	early   bool // nothing is final
}

type clock struct {
	story bool
	now   time.Time
}

func (c *clock) Now() time.Time       { return c.now }
func (c *clock) Set(t time.Time) bool { c.now = t; return c.story }
func (c *clock) Story() bool          { return c.story }

func newMember(t *testing.T) *member {
	t.Helper()
	m := &member{t: t, c: ledgertest.New(t, ledgertest.Options{}), log: new(bytes.Buffer), text: map[token.Role]string{},
		changed: make(chan struct{}), closing: make(chan struct{})}
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.OpenState(t.TempDir(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if m.ledger, err = store.OpenLedger(db, m.c.Leaves[0], register.Options{}, quiet); err != nil {
		t.Fatal(err)
	}
	blobs, err := store.OpenBlobs(t.TempDir(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	m.tokens = token.New(blobs)
	for _, r := range token.Roles {
		person := ""
		if r == token.Subject {
			person = "p01"
		}
		if m.text[r], err = m.tokens.Issue(r, "test", person); err != nil {
			t.Fatal(err)
		}
	}
	if m.kept, err = evidence.Open(t.TempDir(), quiet); err != nil {
		t.Fatal(err)
	}
	m.desk = &desk{c: m.c}
	m.clock = &clock{story: true, now: time.UnixMilli(int64(m.c.NowMs))}
	m.show()
	if m.trees, err = forest.New(forest.Config{Self: "a-sha", Origin: m.c.Origin, Poster: m, Changed: m.Changed, Send: m.commit,
		Key:    func(id string) (sign.Key, bool) { return m.c.Keys[id], id == "a-sha" },
		Newest: m.ledger.State, Growing: m.ledger.GrowingLeaf, Log: quiet, Final: func() *store.State {
			if f := m.Final(); f != nil {
				return f.State
			}
			return nil
		}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.trees.Close() })
	h, err := NewHandler(Backend{Self: "a-sha", Founding: &m.c.Founding, Clock: m.clock, Desk: m.desk, Outbox: m, Trees: m.trees, Kept: m.kept, Custody: custodyOf{&m.lag},
		Final: m.Final, Changed: m.Changed, Closing: m.closing, Leader: func() string { return "a-sha" }, Ready: func() error { return nil },
		Refresh: func(context.Context) error { m.mu.Lock(); m.refresh++; m.mu.Unlock(); return nil },
		Host:    func(id string) (sign.PublicKey, error) { return m.c.Key("sign/" + id).Public(), nil },
		Sign: func(d sign.Domain, b []byte) (sign.Signature, error) {
			return m.c.Keys["a-sha"].Sign(d, m.c.Origin, b), nil
		},
		Candidate: func(i *record.MemberInfo) error {
			if i.Addr == "" {
				return record.Refuse(record.CodeRecordMalformed, "no address")
			}
			return nil
		},
		Network: func() Network {
			return Network{Seats: []node.Seat{{Member: "b-sha", Key: []byte("key"), Address: "b.example:7000"}}, Vote: []string{"a-sha"}, Follow: []string{"b-sha"}}
		},
		Prepare: func(role string) (sign.PublicKey, error) { return m.c.Key("next/" + role).Public(), nil },
		Prove: func(role string, k sign.PublicKey, ballot []byte) (sign.Signature, bool) {
			own := m.c.Key("next/" + role)
			return own.Sign(sign.DomainGovernance, m.c.Origin, ballot), own.Public() == k
		},
	}, Options{Tokens: m.tokens, Log: slog.New(slog.NewTextHandler(&locked{w: m.log}, nil)), WriteWait: 5 * time.Second,
		Heartbeat: 20 * time.Millisecond, SlowAfter: 5 * time.Second, MaxStreams: 3, MaxBehind: maxBehind})
	if err != nil {
		t.Fatal(err)
	}
	m.srv = httptest.NewServer(h)
	t.Cleanup(m.srv.Close)
	return m
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// show makes the newest height final.
func (m *member) show() {
	height := m.c.Head().Height
	note := m.c.Note(height)
	m.final = &Final{State: m.ledger.State(), Note: func() []byte { return note }, FreshAt: m.c.NowMs / 1000}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *member) Final() *Final {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.early {
		return nil
	}
	return m.final
}

func (m *member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// commit is Raft for commits to trees.
func (m *member) commit(_ context.Context, entry []byte) error {
	m.mu.Lock()
	m.raft++
	res, err := m.ledger.Commit(m.raft, entry)
	m.mu.Unlock()
	if err == nil {
		m.trees.Applied(entry, res)
	}
	return err
}

func (m *member) Held() int { return 0 }

// Submit makes a batch of a request: the outbox of this member.
func (m *member) Submit(ctx context.Context, r outbox.Request) (*outbox.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.box != nil {
		return nil, m.box
	}
	if _, ok := m.c.Keys[r.Issuer]; !ok {
		return nil, outbox.ErrNoKey
	}
	leaves := make([][]byte, len(r.Records))
	for i, rec := range r.Records {
		var err error
		if leaves[i], err = rec.Leaf(); err != nil {
			return nil, err
		}
	}
	out := m.batch(m.c.SubmitLeaves(r.Issuer, leaves...))
	res := &outbox.Result{Key: r.Key, Final: true}
	if r.Key == "" {
		res.Key = "made-here"
	}
	next := m.final.State.First
	for i, code := range out {
		o := outbox.Outcome{ID: r.Records[i].ID, LeafHash: record.Digest(merkle.LeafHash(leaves[i])), Height: m.final.State.Height, TimeMs: m.final.State.TimeMs}
		if code != "" {
			o.Refused = &record.Refusal{Code: code, Detail: "a reason"}
		} else {
			o.Index, next = next, next+1
		}
		res.Outcomes = append(res.Outcomes, o)
	}
	return res, nil
}

func (m *member) SubmitCommitted(ctx context.Context, r outbox.Request) (*outbox.Result, error) {
	res, err := m.Submit(ctx, r)
	if err == nil {
		res.Final = false
	}
	return res, err
}

func (m *member) batch(s record.Submitted) []record.Code {
	e := m.c.Entry(s)
	res := m.c.Apply(e)
	if res.Void != nil {
		m.t.Fatalf("the batch is void: %v", res.Void)
	}
	m.raft++
	if _, err := m.ledger.Apply(m.raft, canon.Must(e)); err != nil {
		m.t.Fatal(err)
	}
	m.show()
	return ledgertest.Codes(res.Outcomes[0])
}

// post adds records of an issuer past the API.
func (m *member) post(issuer string, recs ...*record.Record) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, code := range m.batch(m.c.Submit(issuer, recs...)) {
		if code != "" {
			m.t.Fatalf("%v is refused: %s", recs[i].Kind, code)
		}
	}
}

// An answer to a request.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) code() string {
	var p Problem
	if a.Header.Get("Content-Type") == "application/problem+json" {
		json.Unmarshal(a.body, &p)
	}
	return p.Code
}

// ask sends a request with the token of a role, "" for none. The body is JSON
// text or a value.
func (m *member) ask(role token.Role, method, path string, body any, header ...string) answer {
	m.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			m.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, m.srv.URL+path, r)
	if err != nil {
		m.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+m.text[role])
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := m.srv.Client().Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return answer{resp, b}
}

// must is ask for an answer of 200, decoded.
func must[T any](m *member, role token.Role, method, path string, body any, header ...string) T {
	m.t.Helper()
	a := m.ask(role, method, path, body, header...)
	if a.StatusCode != 200 {
		m.t.Fatalf("%s %s: %d %s", method, path, a.StatusCode, a.body)
	}
	var v T
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		m.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
	}
	return v
}

// custodyOf is a member without custodians or recipients of backups, but for a lag.
type custodyOf struct{ lag *escrow.Lag }

func (custodyOf) Custodians() []escrow.CustodianStatus    { return nil }
func (c custodyOf) KeyLag() escrow.Lag                    { return *c.lag }
func (custodyOf) Backup(context.Context, io.Writer) error { return node.ErrNoBackupTo }
