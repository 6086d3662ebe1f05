package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/libp2p/go-libp2p/core/peer"
)

// liar is a member's keys in the hands of another program, on the member's
// address.
type liar struct {
	c    *consortium
	id   string
	keys *node.Keys
	host *transport.Host
	seal atomic.Pointer[[]byte] // what it tells
	f    *record.Founding
}

func (c *consortium) lie(id string) *liar {
	c.t.Helper()
	l := &liar{c: c, id: id, f: c.nodes["a-sha"].Founding}
	c.stop(id)
	var err error
	if l.keys, err = node.LoadKeys(c.dirs[id]); err != nil {
		c.t.Fatal(err)
	}
	var peers []transport.Peer
	for _, m := range l.f.Members {
		peers = append(peers, transport.Peer{Name: m.ID, PublicKey: m.Peer[:], Addr: m.Addr})
	}
	s, err := node.LoadSettings(c.dirs[id])
	if err != nil {
		c.t.Fatal(err)
	}
	l.host, err = transport.New(transport.Config{Key: l.keys.Peer.Private(), Listen: s.P2P, Peers: peers, Log: c.log,
		Admit: func(peer.ID) bool { return true }})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { l.host.Close() })
	err = l.host.Handle("seal", transport.Limits{MaxRequest: 64, MaxResponse: record.MaxSealBytes, Concurrency: 4},
		func(context.Context, peer.ID, []byte) ([]byte, error) {
			if b := l.seal.Load(); b != nil {
				return *b, nil
			}
			return nil, errors.New("nothing to tell")
		})
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// cosigns sends a cosignature to every member that runs, as node/cosign would.
func (l *liar) cosigns(cp sign.Checkpoint) {
	l.c.t.Helper()
	now := uint64(time.Now().Unix())
	type entry struct {
		Member string         `cbor:"1,keyasint"`
		Height uint64         `cbor:"2,keyasint"`
		Size   uint64         `cbor:"3,keyasint"`
		Root   record.Digest  `cbor:"4,keyasint"`
		Time   uint64         `cbor:"5,keyasint"`
		Sig    sign.Signature `cbor:"6,keyasint"`
	}
	for _, m := range l.f.Members {
		if m.ID == l.id {
			m0 := l.keys.Cosigner.Cosign(m.Cosigner, cp, now)
			message := canon.Must(&struct {
				Entries []entry `cbor:"1,keyasint"`
			}{[]entry{{l.id, 1, cp.Size, cp.Root, now, m0.Sig}}})
			for id := range l.c.nodes {
				l.sends(id, message)
			}
		}
	}
}

func (l *liar) sends(to string, message []byte) {
	l.c.t.Helper()
	for _, m := range l.f.Members {
		if m.ID != to {
			continue
		}
		id, err := transport.PeerID(m.Peer[:])
		if err != nil {
			l.c.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err = l.host.Call(ctx, id, "cosign", message)
		cancel()
		if err != nil {
			l.c.t.Fatalf("%s refuses what is well signed: %v", to, err)
		}
	}
}

// names waits until every node that runs keeps evidence of a kind against one
// member, and verifies the file.
func (c *consortium) names(kind, signer string) {
	c.t.Helper()
	for id, n := range c.nodes {
		c.eventually(id+" keeps evidence", func() error {
			items := n.Evidence().Items()
			i := slices.IndexFunc(items, func(it evidence.Item) bool { return it.Kind == kind && slices.Equal(it.Signers, []string{signer}) })
			if i < 0 {
				return fmt.Errorf("it keeps %+v", items)
			}
			file, _, err := n.Evidence().File(items[i].ID)
			if err != nil {
				return err
			}
			v, err := receipt.Verify(file, n.Final().Policy.Sign())
			if err == nil && v.Evidence.Signers[0] != signer {
				err = fmt.Errorf("it names %q", v.Evidence.Signers)
			}
			return err
		})
	}
}

// TestLyingMember: one member of four cosigns two logs, and signs two headers.
// Every node names it in a file that anyone can check, and goes on.
func TestLyingMember(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	l := c.lie("pf")
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	cp := c.nodes["a-sha"].Final().End.Checkpoint(l.f.Origin)
	l.cosigns(cp)
	cp.Root[0] ^= 1
	l.cosigns(cp)
	c.names(receipt.EvidenceCheckpoint, "pf")

	a := record.Header{Leader: "pf", Term: 9, Prev: record.Digest{1}, TimeMs: 1}
	b := a
	b.TimeMs = 2
	for _, h := range []*record.Header{&a, &b} {
		h.Sig = l.keys.Record.Sign(sign.DomainHeader, l.f.Origin, h.Signed())
	}
	for _, n := range c.nodes {
		n.OnTwice(&a, &b)
	}
	c.names(receipt.EvidenceHeader, "pf")

	c.post("b-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	for id := range c.nodes {
		items, err := evidence.List(c.dirs[id])
		if err != nil || len(items) != 2 {
			t.Errorf("%s: on disk %+v, %v", id, items, err)
		}
	}
}

// tells lets the liar serve a seal to who asks, and cosign the log that ends
// with it.
func (l *liar) tells(at *node.Node, change func(*record.Seal)) {
	l.c.t.Helper()
	st := at.Newest()
	edge, err := st.Tree().Edge(st.First, st)
	if err != nil {
		l.c.t.Fatal(err)
	}
	var hashes []merkle.Hash
	var last []byte
	err = st.Range(st.First, st.Size, func(_ uint64, leaf []byte) error {
		hashes, last = append(hashes, merkle.LeafHash(leaf)), bytes.Clone(leaf)
		return nil
	})
	if err != nil {
		l.c.t.Fatal(err)
	}
	seal, err := record.ParseSeal(last)
	if err != nil {
		l.c.t.Fatal(err)
	}
	change(seal)
	leaf := seal.Leaf()
	l.seal.Store(&leaf)
	hashes[len(hashes)-1] = merkle.LeafHash(leaf)
	l.cosigns(sign.Checkpoint{Origin: l.f.Origin, Size: st.Size, Root: edge.With(hashes...).Root()})
}

// sayings are the lines that nodes log.
type sayings struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sayings) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sayings) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.text.Bytes(), []byte(what))
}

// TestWhoIsToBlame: a member cosigns another log than ours, and tells its seal
// when it is asked. A register that does not follow from the rules is its own
// fault; another header for the same place is its leader's.
func TestWhoIsToBlame(t *testing.T) {
	c := found(t, false)
	said := new(sayings)
	c.log = slog.New(slog.NewTextHandler(said, nil))
	c.start(c.ids...)
	c.ready()
	for range 3 {
		c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	}
	l := c.lie("pf")
	c.post("a-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	l.tells(c.nodes["a-sha"], func(s *record.Seal) { // a header that its leader never signed
		h := *s.Header
		h.TimeMs++
		s.Header = &h
	})
	c.eventually("all three refuse it", func() error {
		if n := said.count("lacks the leader's signature"); n < 3 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	if said.count("signed two headers") > 0 {
		t.Error("a leader is accused by a header that it did not sign")
	}
	leader := ""
	l.tells(c.nodes["a-sha"], func(s *record.Seal) { s.Register[0] ^= 1; leader = s.Header.Leader })
	c.names(receipt.EvidenceDerivation, "pf")

	keys, err := node.LoadKeys(c.dirs[leader])
	if err != nil {
		t.Fatal(err)
	}
	l.tells(c.nodes["a-sha"], func(s *record.Seal) {
		h := *s.Header
		h.TimeMs++
		h.Sig = keys.Record.Sign(sign.DomainHeader, l.f.Origin, h.Signed())
		s.Header = &h
	})
	c.names(receipt.EvidenceHeader, leader)
	c.post("b-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
}
