package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
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
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// member is a-sha's node in memory: a real ledger, a model of the consortium
// that makes batches of what is submitted, and a desk that remembers.
type member struct {
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
	h, err := NewHandler(Backend{Self: "a-sha", Founding: &m.c.Founding, Clock: m.clock, Desk: m.desk, Outbox: m, Trees: m.trees, Kept: m.kept, Custody: custodyOf{},
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

// desk remembers the last call and answers what it is told to.
type desk struct {
	c     *ledgertest.Consortium
	mu    sync.Mutex
	what  string
	call  custody.Call
	asked any
	err   error
	open  map[uint64]custody.RecordOpening
	who   []string
}

func (d *desk) note(what string, c custody.Call, asked any) (*custody.Done, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.what, d.call, d.asked = what, c, asked
	if d.err != nil {
		return nil, d.err
	}
	return &custody.Done{Key: c.Key, Final: !c.Committed, Records: []custody.Posted{{ID: strings.Repeat("ab", 16), Kind: what, Index: 1}}}, nil
}

func (d *desk) Register(_ context.Context, c custody.Call, r custody.Registration) (*custody.Done, error) {
	return d.note("register", c, r)
}

func (d *desk) PutItems(_ context.Context, c custody.Call, ref custody.Ref, service string, items map[string]string) error {
	_, err := d.note("items", c, fmt.Sprint(ref, service, len(items)))
	return err
}

func (d *desk) Export(_ context.Context, ref custody.Ref, recipient string) ([]byte, error) {
	_, err := d.note("export", custody.Call{}, string(ref)+" "+recipient)
	return []byte("for " + recipient), err
}

func (d *desk) Disclose(_ context.Context, ref custody.Ref) (*custody.Disclosure, error) {
	if _, err := d.note("disclose", custody.Call{}, ref); err != nil {
		return nil, err
	}
	return &custody.Disclosure{Person: ref, Classes: []custody.HeldClass{}}, nil
}

func (d *desk) Secret(_ context.Context, ref custody.Ref) (sign.Secret, error) {
	_, err := d.note("secret", custody.Call{}, ref)
	return d.c.Person(string(ref)), err
}

func (d *desk) Consent(_ context.Context, c custody.Call, r custody.ConsentRequest) (*custody.Done, error) {
	return d.note("consent", c, r)
}

func (d *desk) Withdraw(_ context.Context, c custody.Call, r custody.WithdrawRequest) (*custody.Done, error) {
	return d.note("withdraw", c, r)
}

func (d *desk) Consents(_ context.Context, ref custody.Ref) ([]custody.ConsentView, error) {
	_, err := d.note("consents", custody.Call{}, ref)
	return nil, err
}

func (d *desk) Provide(_ context.Context, c custody.Call, r custody.ProvideRequest) (*custody.Done, error) {
	return d.note("provide", c, r)
}

func (d *desk) ProvideOptOut(_ context.Context, c custody.Call, r custody.OptOutRequest) (*custody.Done, error) {
	return d.note("provide-optout", c, r)
}

func (d *desk) AskException(_ context.Context, c custody.Call, r custody.ExceptionRequest) (*custody.ExceptionView, error) {
	if _, err := d.note("ask-exception", c, r); err != nil {
		return nil, err
	}
	return &custody.ExceptionView{ID: strings.Repeat("ef", 16), State: "asked", Items: r.Items, Statement: []byte{1}}, nil
}

func (d *desk) Exceptions(context.Context) ([]custody.ExceptionView, error) {
	_, err := d.note("exceptions", custody.Call{}, nil)
	return nil, err
}

func (d *desk) Exception(_ context.Context, c custody.Call, id string) (*custody.ExceptionView, error) {
	if _, err := d.note("exception", c, id); err != nil {
		return nil, err
	}
	return &custody.ExceptionView{ID: id, Items: []string{}, Statement: []byte{1}}, nil
}

func (d *desk) ApproveException(_ context.Context, c custody.Call, id string, signature []byte) (*custody.Done, error) {
	return d.note("approve-exception", c, len(signature))
}

func (d *desk) ExceptionItems(_ context.Context, c custody.Call, id string) (map[string]string, error) {
	_, err := d.note("exception-items", c, id)
	return map[string]string{"name": "n"}, err
}

func (d *desk) Receive(_ context.Context, c custody.Call, r custody.ReceiveRequest) (*custody.Done, error) {
	return d.note("receive", c, r)
}

func (d *desk) Undeliver(_ context.Context, c custody.Call, intent string, reason record.Code) (*custody.Done, error) {
	return d.note("undeliver", c, reason)
}

func (d *desk) ApproveOnward(_ context.Context, c custody.Call, intent, to string) error {
	_, err := d.note("onward", c, to)
	return err
}

func (d *desk) Events(_ context.Context, ref custody.Ref) ([]custody.Event, error) {
	_, err := d.note("events", custody.Call{}, ref)
	return nil, err
}

// Handles are those of a person of the model towards every service and party.
func (d *desk) Handles(_ context.Context, ref custody.Ref) ([]custody.HandleOf, error) {
	dir := d.directory()
	var out []custody.HandleOf
	for _, id := range dir {
		for g := uint64(0); ; g++ {
			h := d.c.Person(string(ref)).Handle(id, g).Public()
			open := d.c.State(h) != nil
			out = append(out, custody.HandleOf{For: id, Generation: g, Key: h, Open: open})
			if !open {
				break
			}
		}
	}
	return out, nil
}

func (d *desk) Openings(_ context.Context, who string, from, to uint64) iter.Seq2[custody.RecordOpening, error] {
	d.mu.Lock()
	d.who = append(d.who, who)
	open := maps.Clone(d.open)
	err := d.err
	d.mu.Unlock()
	return func(yield func(custody.RecordOpening, error) bool) {
		if err != nil {
			yield(custody.RecordOpening{}, err)
			return
		}
		for i := from; i < to; i++ {
			if o, ok := open[i]; ok && !yield(o, nil) {
				return
			}
		}
	}
}

func (d *desk) Erase(_ context.Context, c custody.Call, r custody.EraseRequest) (*custody.ErasureView, *custody.Done, error) {
	done, err := d.note("erase", c, r)
	return &custody.ErasureView{ID: strings.Repeat("cd", 16), Pending: []string{}, Done: []custody.HolderErased{}}, done, err
}

func (d *desk) Erasure(_ context.Context, id string) (*custody.ErasureView, error) {
	if _, err := d.note("erasure", custody.Call{}, id); err != nil {
		return nil, err
	}
	return &custody.ErasureView{ID: id, Pending: []string{}, Done: []custody.HolderErased{}}, nil
}

func (d *desk) Dates(_ context.Context, ref custody.Ref) (*custody.Dates, error) {
	_, err := d.note("dates", custody.Call{}, ref)
	return &custody.Dates{Person: ref, Content: []custody.ContentDate{}, Records: []custody.RecordDate{}, Holds: []custody.HoldView{}}, err
}

func (d *desk) Collect(_ context.Context, c custody.Call, r custody.Collection) (*custody.Dataset, error) {
	_, err := d.note("collect", c, r)
	return &custody.Dataset{ID: strings.Repeat("da", 16), Person: r.Person}, err
}

func (d *desk) AssignManager(_ context.Context, c custody.Call, site, staff, replaces string) error {
	_, err := d.note("assign-manager", c, site+" "+staff+" "+replaces)
	return err
}

func (d *desk) RotateCredential(_ context.Context, c custody.Call, staff string) error {
	_, err := d.note("rotate-credential", c, staff)
	return err
}

func (d *desk) StaffLeave(_ context.Context, c custody.Call, staff string) error {
	_, err := d.note("staff-leave", c, staff)
	return err
}

func (d *desk) PostSign(_ context.Context, c custody.Call, sensor string, s custody.Sign) error {
	_, err := d.note("sign", c, sensor+" "+s.Photo)
	return err
}

func (d *desk) ReadDataset(_ context.Context, c custody.Call, id string, by custody.Reader) (*custody.Dataset, error) {
	_, err := d.note("dataset", c, id+" "+by.Purpose)
	return &custody.Dataset{ID: id}, err
}

func (d *desk) EraseDataset(_ context.Context, c custody.Call, id string) (*custody.ErasureView, *custody.Done, error) {
	done, err := d.note("erase-dataset", c, id)
	return &custody.ErasureView{ID: strings.Repeat("cd", 16), Pending: []string{}, Done: []custody.HolderErased{}}, done, err
}

func (d *desk) PlaceHold(_ context.Context, c custody.Call, r custody.HoldRequest) (*custody.HoldView, error) {
	_, err := d.note("hold", c, r)
	return &custody.HoldView{Person: r.Person, Covers: []string{}, Statement: []byte{1}, Signature: []byte{1}}, err
}

func (d *desk) Holds(_ context.Context, ref custody.Ref) ([]custody.HoldView, error) {
	_, err := d.note("holds", custody.Call{}, ref)
	return nil, err
}

func (d *desk) LiftHold(_ context.Context, c custody.Call, id, reason string) (*custody.HoldView, error) {
	_, err := d.note("lift", c, id+" "+reason)
	return &custody.HoldView{ID: id, Covers: []string{}, Statement: []byte{1}, Signature: []byte{1}}, err
}

func (d *desk) CommitReadings(_ context.Context, c custody.Call, readings []custody.Reading) (*custody.CommittedReadings, error) {
	done, err := d.note("readings", c, readings)
	return &custody.CommittedReadings{Done: done, Tree: 1 << 60, Size: uint64(len(readings))}, err
}

func (d *desk) ProveReading(_ context.Context, c custody.Call, site string, index uint64) (*custody.ReadingProof, error) {
	if _, err := d.note("prove", c, []any{site, index}); err != nil {
		return nil, err
	}
	return &custody.ReadingProof{Tree: 7, Index: index, Leaf: []byte{1}, Opening: &record.Opening{}, Size: 1, LogAt: 0}, nil
}

func (d *desk) directory() []string {
	dir := ledgertest.Value[rules.Directory](d.c, rules.KeyDirectory)
	return append(append([]string{}, dir.Services...), dir.Parties...)
}

func (d *desk) right(what string, asked any) (*custody.RightView, error) {
	_, err := d.note(what, custody.Call{}, asked)
	if err != nil {
		return nil, err
	}
	return &custody.RightView{ID: strings.Repeat("ab", 16), Kind: "disclosure", State: "open"}, nil
}

func (d *desk) FileRight(_ context.Context, c custody.Call, r custody.RightRequest) (*custody.RightView, error) {
	v, err := d.right("file-request", r)
	d.call = c
	return v, err
}

func (d *desk) Rights(_ context.Context, ref custody.Ref) ([]custody.RightView, error) {
	v, err := d.right("person-requests", ref)
	if err != nil {
		return nil, err
	}
	return []custody.RightView{*v}, nil
}

func (d *desk) AllRights(_ context.Context, open bool) ([]custody.RightView, error) {
	_, err := d.right("requests", open)
	return nil, err
}

func (d *desk) AnswerRight(_ context.Context, id string, a custody.RightAnswer) (*custody.RightView, error) {
	return d.right("answer-request", a)
}

func (d *desk) Stops(_ context.Context, ref custody.Ref) ([]custody.StopView, error) {
	_, err := d.right("stops", ref)
	return []custody.StopView{{Kind: "mail"}}, err
}

func (d *desk) SetStop(_ context.Context, ref custody.Ref, kind string, stopped bool, by string) ([]custody.StopView, error) {
	_, err := d.right("set-stop", []any{string(ref), kind, stopped, by})
	return []custody.StopView{{Kind: kind, Stopped: stopped}}, err
}

// custodyOf is a member without custodians or recipients of backups.
type custodyOf struct{}

func (custodyOf) Custodians() []escrow.CustodianStatus    { return nil }
func (custodyOf) Backup(context.Context, io.Writer) error { return node.ErrNoBackupTo }
