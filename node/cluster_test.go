package node_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/replica"
)

// consortium is four whole nodes in one process.
type consortium struct {
	t     *testing.T
	log   *slog.Logger
	ids   []string
	dirs  map[string]string
	nodes map[string]*node.Node

	genesis []byte
}

// found makes the data directories of four members.
func found(t *testing.T, story bool) *consortium {
	t.Helper()
	return foundOf(t, story, "a-sha", "b-sha", "c-sha", "pf")
}

// foundOf makes the data directories of members, ascending.
func foundOf(t *testing.T, story bool, ids ...string) *consortium {
	t.Helper()
	return foundIn(t, t.TempDir(), story, ids...)
}

// foundIn is foundOf below a directory.
func foundIn(t *testing.T, root string, story bool, ids ...string) *consortium {
	t.Helper()
	c := &consortium{t: t, ids: ids, dirs: map[string]string{}, nodes: map[string]*node.Node{}}
	c.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		c.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	text := func(s string) record.Text { return record.Text{Ja: s} }
	logKey, keys := sign.NewKey(), map[string]*node.Keys{}
	f := record.Founding{Origin: "test.example/log", CreatedMs: uint64(time.Now().UnixMilli()), LogKey: logKey.Public(), StoryTime: story,
		Attributes: []record.Attribute{{Code: "birth-year", Class: "normal", Granularity: "year", Label: text("生年")}, {Code: "name", Class: "normal", Label: text("氏名")}, {Code: "user-id", Class: "normal", Label: text("ユーザID")}},
		Purposes:   []record.Purpose{{Code: "platform", Label: text("基盤")}, {Code: "service", Label: text("サービス")}},
		Levels:     []string{"year", "month", "day"},
	}
	for i, id := range c.ids {
		keys[id] = node.NewKeys(logKey)
		c.dirs[id] = filepath.Join(root, fmt.Sprintf("member-%d", i))
		s := node.Settings{Member: id, HTTP: machine.FreeAddr(t), GRPC: machine.FreeAddr(t), P2P: machine.FreeAddr(t), AutoReceive: true}
		mkdir(t, c.dirs[id])
		if err := s.Save(c.dirs[id]); err != nil {
			t.Fatal(err)
		}
		f.Members = append(f.Members, keys[id].MemberOf(record.MemberInfo{ID: id, Name: text(id), Regime: "ch4", Country: "JP", Addr: s.P2P}, f.Origin))
	}
	var sigs []sign.Signature
	for _, id := range c.ids {
		sigs = append(sigs, keys[id].SignFounding(&f))
	}
	leaf, err := node.GenesisLeaf(&f, sigs)
	if err != nil {
		t.Fatal(err)
	}
	c.genesis = leaf
	for _, id := range c.ids {
		if err := keys[id].Save(c.dirs[id]); err != nil {
			t.Fatal(err)
		}
		if err := node.SaveGenesis(c.dirs[id], leaf); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
	})
	return c
}

func (c *consortium) start(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		n, err := node.Start(c.dirs[id], c.log.With("member", id))
		if err != nil {
			c.t.Fatalf("start %s: %v", id, err)
		}
		c.nodes[id] = n
	}
}

func (c *consortium) stop(id string) {
	n := c.nodes[id]
	delete(c.nodes, id)
	if err := n.Close(); err != nil {
		c.t.Errorf("%s stopped: %v", id, err)
	}
}

// patience is how long anything may take that a test waits for: elections and disks of
// a machine that has much else to do. It costs nothing where nothing is wrong.
const patience = 2 * time.Minute

func (c *consortium) eventually(what string, ok func() error) {
	c.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	c.t.Fatalf("%s: not within %v: %v", what, patience, err)
}

func (c *consortium) ready() {
	c.t.Helper()
	for id, n := range c.nodes {
		c.eventually(id+" ready", n.Ready)
	}
}

func (c *consortium) post(id string, recs ...*record.Record) *outbox.Result {
	c.t.Helper()
	for _, r := range recs {
		r.ID, r.Issuer = node.NewID(), id
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	key := rand.Text()
	for {
		res, err := c.nodes[id].Outbox().Submit(ctx, outbox.Request{Issuer: id, Key: key, Records: recs})
		if err == nil {
			return res
		}
		if !errors.Is(err, outbox.ErrNoLeader) || ctx.Err() != nil {
			c.t.Fatalf("post at %s: %v", id, err)
		}
		time.Sleep(50 * time.Millisecond) // a node came back, or went: there is another leader soon
	}
}

// settle waits until every node has what any node has as final.
func (c *consortium) settle() {
	c.t.Helper()
	c.eventually("same final height", func() error {
		first := c.nodes[c.ids[0]].Newest().Height
		for id, n := range c.nodes {
			if f := n.Final(); f == nil || f.End.Height != first || n.Newest().Height != first {
				return fmt.Errorf("%s is behind", id)
			}
		}
		return nil
	})
}

// TestClusterNodes runs whole nodes: records of each member become final, one
// member is stopped and comes back, and all derive the same.
func TestClusterNodes(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	began := time.Now()
	for range 5 {
		for _, id := range c.ids {
			res := c.post(id, &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
			if !res.Final || res.Outcomes[0].Refused != nil {
				t.Fatalf("%s: %+v", id, res)
			}
		}
	}
	t.Logf("20 records, one after the other: %v each", time.Since(began)/20)
	c.stop("c-sha")
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	c.start("c-sha")
	c.ready()
	c.post("c-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	c.eventually("same roots", func() error {
		first := c.nodes["a-sha"].Newest().End
		for id, n := range c.nodes {
			if n.Newest().End != first {
				return fmt.Errorf("%s differs", id)
			}
		}
		return nil
	})
}

// TestClusterPerson is the way of one person through two members: data kept at
// the platform, consent to A's app, a hand-over between the two nodes, a
// withdrawal, and the erasure at both.
func TestClusterPerson(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	text, ctx, call := record.Text{Ja: "見本", En: "sample"}, context.Background(), custody.Call{Client: "test"}
	fields := []string{"birth-year", "name", "user-id"}
	c.post("pf", &record.Record{Kind: record.KindService, Body: &record.Service{ID: "id", Name: text, Contact: text, Fields: fields}})
	c.post("a-sha", &record.Record{Kind: record.KindService, Body: &record.Service{ID: "app-a", Name: text, Contact: text}})
	screen := &record.Screen{Service: "app-a", Version: "1", Text: text, Withdrawal: text,
		Scopes: []record.Scope{{Purpose: "service", Required: []string{"user-id"}, Optional: []string{"birth-year", "name"}, Recipients: []string{"a-sha", "pf"}, MaxExpiry: "P1Y"}}}
	c.post("a-sha", &record.Record{Kind: record.KindTerms, Body: &record.Terms{Screen: canon.Must(screen)}})
	pf, app := c.nodes["pf"].Desk(), c.nodes["a-sha"].Desk()
	must := func(done *custody.Done, err error) *custody.Done {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range done.Records {
			if r.Code != "" {
				t.Fatalf("refused: %+v", r)
			}
		}
		c.settle()
		return done
	}
	must(pf.Register(ctx, call, custody.Registration{Person: "p01", Service: "id", Source: "self",
		Items: map[string]string{"user-id": "u-1", "name": "髙橋 結", "birth-year": "1991"}}))
	secret, err := pf.Secret(ctx, "p01")
	if err != nil {
		t.Fatal(err)
	}
	must(app.Register(ctx, call, custody.Registration{Person: "customer-7", Service: "app-a", Source: "self", Secret: secret[:]}))
	must(app.Consent(ctx, call, custody.ConsentRequest{Person: "customer-7", Service: "app-a", Version: "1",
		Items: []string{"name", "user-id"}, Purposes: []string{"service"}, Button: "同意してはじめる"}))

	give := custody.ProvideRequest{Person: "p01", Service: "app-a", To: "a-sha", Items: []string{"name", "user-id"}, Purpose: "service"}
	must(pf.Provide(ctx, call, give))
	c.eventually("the items arrive at A", func() error {
		held, err := app.Disclose(ctx, "customer-7")
		if err != nil {
			return err
		}
		for _, class := range held.Classes {
			for _, it := range class.Items {
				if it.Code == "name" && it.Value == "髙橋 結" {
					return nil
				}
			}
		}
		return fmt.Errorf("held: %+v", held.Classes)
	})
	more := give
	more.Items = []string{"birth-year", "user-id"}
	if _, err := pf.Provide(ctx, call, more); codeOf(err) != record.CodeItemNotConsented {
		t.Errorf("an item that was not chosen: %v", err)
	}
	must(app.Withdraw(ctx, call, custody.WithdrawRequest{Person: "customer-7", Service: "app-a"}))
	c.eventually("the withdrawal reaches the platform", func() error {
		if _, err := pf.Provide(ctx, call, give); codeOf(err) != record.CodeRevoked {
			return fmt.Errorf("provide after withdrawal: %v", err)
		}
		return nil
	})
	events, err := pf.Events(ctx, "p01")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range events {
		kinds[e.Kind]++
	}
	if kinds["consent"] != 1 || kinds["provision"] != 1 || kinds["provision.received"] != 1 || kinds["revocation"] != 1 || kinds["denial"] < 2 {
		t.Errorf("events: %v", kinds)
	}
	erased, done, err := pf.Erase(ctx, call, custody.EraseRequest{Person: "p01", Cause: "request"})
	must(done, err)
	c.eventually("both holders attest", func() error {
		v, err := pf.Erasure(ctx, erased.ID)
		if err == nil && (len(v.Pending) != 0 || len(v.Done) != 2) {
			err = fmt.Errorf("%+v", v)
		}
		return err
	})
	if _, err := pf.Disclose(ctx, "p01"); err == nil {
		t.Error("the platform still discloses an erased person")
	}
	held, err := app.Disclose(ctx, "customer-7")
	if err != nil {
		t.Fatal(err) // A's own customer stays A's customer
	}
	for _, class := range held.Classes {
		for _, it := range class.Items {
			t.Errorf("A still holds %s that came from the platform", it.Code)
		}
	}
}

func codeOf(err error) record.Code {
	var r *record.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func TestStartRefusesWhatDoesNotFit(t *testing.T) {
	c := found(t, false)
	other := found(t, false)
	k, err := node.LoadKeys(other.dirs["pf"])
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(c.dirs["pf"]); err != nil {
		t.Fatal(err)
	}
	if n, err := node.Start(c.dirs["pf"], c.log); err == nil {
		n.Close()
		t.Error("a node started with the keys of another consortium")
	}
}

// TestClusterWeekDown: all four are down over a week of the consortium's time
// and started together; the log goes on.
func TestClusterWeekDown(t *testing.T) {
	c := found(t, true)
	c.start(c.ids...)
	c.ready()
	tick := func() *record.Record { return &record.Record{Kind: record.KindTick, Body: &record.Tick{}} }
	c.post("a-sha", tick())
	before := c.nodes["pf"].Newest().End
	for _, id := range c.ids {
		c.stop(id)
	}
	c.start(c.ids...)
	week := c.nodes["pf"].Clock.Now().Add(7 * 24 * time.Hour)
	for _, n := range c.nodes {
		n.Clock.Set(week)
	}
	c.ready()
	res := c.post("b-sha", tick())
	if got := res.Outcomes[0]; got.Height <= before.Height || got.TimeMs < uint64(week.UnixMilli()) {
		t.Errorf("after a week: height %d at %d ms; before: height %d, and the week ends at %d", got.Height, got.TimeMs, before.Height, week.UnixMilli())
	}
}

// TestClusterLosesQuorum: with two of four down nothing becomes final and
// nobody is told otherwise; when they are back the log goes on.
func TestClusterLosesQuorum(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	tick := func() *record.Record {
		return &record.Record{Kind: record.KindTick, ID: node.NewID(), Issuer: "a-sha", Body: &record.Tick{}}
	}
	c.stop("b-sha")
	c.stop("pf")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	open := tick()
	res, err := c.nodes["a-sha"].Outbox().Submit(ctx, outbox.Request{Issuer: "a-sha", Client: "test", Key: "k1", Records: []*record.Record{open}})
	if err == nil {
		t.Fatalf("two of four made a record final: %+v", res)
	}
	if st := c.nodes["a-sha"].FinalState(); st == nil {
		t.Error("final state cannot be read while the quorum is lost")
	}
	c.start("b-sha", "pf")
	c.ready()
	c.eventually("the same key has its answer", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, err := c.nodes["a-sha"].Outbox().Submit(ctx, outbox.Request{Issuer: "a-sha", Client: "test", Key: "k1", Records: []*record.Record{open}})
		if err == nil && !res.Final {
			err = fmt.Errorf("not final: %+v", res)
		}
		return err
	})
}

// TestClusterDerivesAgain: a member whose ledger state was damaged while it was
// down sets it aside, derives everything from its Raft log, and comes to the same
// roots.
func TestClusterDerivesAgain(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	for range 10 {
		c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	}
	for name, damage := range map[string]func(file string, size int64) error{
		"cut":     func(file string, size int64) error { return os.Truncate(file, 200) },
		"zeroed":  func(file string, size int64) error { return os.WriteFile(file, make([]byte, size), 0o600) },
		"no list": func(file string, _ int64) error { return os.Remove(filepath.Join(filepath.Dir(file), "MANIFEST")) },
	} {
		c.stop("c-sha")
		mems, err := filepath.Glob(filepath.Join(c.dirs["c-sha"], "state", "*.mem"))
		if err != nil {
			t.Fatal(err)
		}
		ssts, err := filepath.Glob(filepath.Join(c.dirs["c-sha"], "state", "*.sst"))
		if err != nil {
			t.Fatal(err)
		}
		files := append(mems, ssts...)
		if len(files) == 0 {
			t.Fatalf("%s: no files to damage", name)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(file, info.Size()); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		c.start("c-sha")
		c.ready()
		c.post("c-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
		c.settle()
		if a, b := c.nodes["a-sha"].Newest().End, c.nodes["c-sha"].Newest().End; a != b {
			t.Errorf("%s: %+v and %+v", name, a, b)
		}
	}
	aside, err := filepath.Glob(filepath.Join(c.dirs["c-sha"], "state.damaged-*"))
	if err != nil || len(aside) == 0 {
		t.Errorf("no damaged state was kept: %v", err)
	}
}

// TestLostRaftLog: a member that voted and lost its Raft log does not start: it
// could help to elect a leader that lacks what is final.
func TestLostRaftLog(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	c.settle()
	c.stop("c-sha")
	if err := os.RemoveAll(filepath.Join(c.dirs["c-sha"], "raft")); err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(c.dirs["c-sha"], c.log)
	if err == nil {
		n.Close()
	}
	if !errors.Is(err, replica.ErrLogLost) {
		t.Errorf("started without its Raft log: %v", err)
	}
}
