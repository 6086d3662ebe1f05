package custody

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// shop is the face-recognition story at one member: cameras, whose stills live
// seven days, and registrations, which live 180.
type shop struct {
	*world
	*member
	t *testing.T
}

const thief = Ref("p06")

func newShop(t *testing.T) *shop {
	t.Helper()
	w := newWorldOf(t, ledgertest.Options{FoundedMs: ms("2027-01-20T10:00:00+09:00"), Change: func(f *record.Founding) {
		f.Attributes = []record.Attribute{
			{Code: "still", Class: "biometric", Label: record.Text{Ja: "静止画"}},
			{Code: "face-template", Class: "biometric", Label: record.Text{Ja: "顔の特徴"}},
			{Code: "seen-at", Class: "normal", Label: record.Text{Ja: "日時"}},
			{Code: "name", Class: "normal", Label: record.Text{Ja: "氏名"}},
			{Code: "user-id", Class: "normal", Label: record.Text{Ja: "番号"}},
		}
		f.Purposes = append(f.Purposes, record.Purpose{Code: "crime-prevention", Label: record.Text{Ja: "防犯"}},
			record.Purpose{Code: "sales-analysis", Label: record.Text{Ja: "分析"}})
		slices.SortFunc(f.Purposes, func(a, b record.Purpose) int { return strings.Compare(a.Code, b.Code) })
		f.Parameters = []record.Parameter{{Name: "collect-purposes", Value: "crime-prevention service"},
			{Name: "credential-rotation-days", Value: "30"}, {Name: "retention-face-template", Value: "P180D"},
			{Name: "retention-still", Value: "P7D"}, {Name: "sensor-approver", Value: "consortium"}, {Name: "sign-required", Value: "face-camera"},
			{Name: "view-purposes", Value: "crime-prevention"}}
	}}, "a-sha")
	s := &shop{w, w.members["a-sha"], t}
	screen := w.c.Screen("cam", "1", record.Scope{Purpose: "crime-prevention", Required: []string{"face-template", "still"}})
	screen.Retention = "P7D"
	terms, _ := w.c.Terms(screen)
	w.must("a-sha", w.c.Service("cam"), terms)
	s.at("2027-02-01T08:00:00+09:00")
	for _, ref := range []Ref{"p01", thief} {
		_, err := s.Register(ctx, Call{Client: "app"}, Registration{Person: ref, Service: "cam", Source: "other", Open: true})
		noErr(t, err)
	}
	return s
}

func ms(at string) uint64 {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	return uint64(t.UnixMilli())
}

// at moves the clock to a time.
func (s *shop) at(when string) { s.atMs(ms(when)) }

func (s *shop) atMs(to uint64) {
	s.t.Helper()
	s.set(func() {
		if to < s.c.NowMs {
			s.t.Fatalf("the clock would go back by %d ms", s.c.NowMs-to)
		}
		s.c.NowMs = to
	})
}

func (s *shop) collect(r Collection) (*Dataset, error) {
	if r.Service == "" {
		r.Service = "cam"
	}
	if r.Purpose == "" {
		r.Purpose = "crime-prevention"
	}
	return s.Collect(ctx, Call{Client: "ma1"}, r)
}

func (s *shop) still(ref Ref) *Dataset {
	s.t.Helper()
	v, err := s.collect(Collection{Person: ref, Items: map[string]string{"still": "still of " + string(ref), "seen-at": "09:00"}, Retention: "P7D"})
	noErr(s.t, err)
	return v
}

func (s *shop) view(id string) record.Code {
	s.t.Helper()
	v, err := s.ReadDataset(ctx, Call{Client: "ma1"}, id, Reader{Purpose: "crime-prevention"})
	if err == nil && len(v.Items) == 0 {
		s.t.Fatal("a dataset without items")
	}
	if err != nil && codeOf(err) == "" {
		s.t.Fatal(err)
	}
	return codeOf(err)
}

func (s *shop) wantView(id string, code record.Code) {
	s.t.Helper()
	if got := s.view(id); got != code {
		s.t.Fatalf("at %v a view is %q, want %q", s.now().In(record.JST), got, code)
	}
}

// wantErased checks that a dataset is gone: key, sheet, and the ledger says since
// when.
func (s *shop) wantErased(id string, atMs uint64) {
	s.t.Helper()
	s.wantView(id, record.CodeErased)
	e := s.erasureOf(id)
	if e == nil || e.TimeMs != atMs || len(e.Pending) != 0 || len(e.Done) != 1 || e.Done[0].Holder != "a-sha" {
		s.t.Fatalf("erasure of %s: %+v, want one at %v", id, e, timeOf(atMs))
	}
	for _, at := range s.entries("p/") {
		if v, _ := s.vault.Get(at); len(v) == classBytes && hex.EncodeToString(v[2:18]) == id {
			s.t.Fatalf("the vault still has the key of %s", id)
		}
	}
	n := 0
	noErr(s.t, s.blobs.Scan(blobPrefix(kindRetire), func(_, _ []byte) error { n++; return nil }))
	if n != 0 {
		s.t.Fatalf("%d plans are left", n)
	}
}

func (s *shop) entries(prefix string) []string {
	s.t.Helper()
	ids, err := s.vault.List(prefix)
	noErr(s.t, err)
	return ids
}

func (s *shop) erasureOf(id string) *rules.Erasure {
	s.t.Helper()
	b, err := hex.DecodeString(id)
	noErr(s.t, err)
	tomb, err := rules.Load[rules.Tombstone](s.world.state(), rules.KeyTombstone(record.KeyNumber(b)))
	noErr(s.t, err)
	if tomb == nil {
		return nil
	}
	e, err := rules.Load[rules.Erasure](s.world.state(), rules.KeyErasure(tomb.Erasure))
	noErr(s.t, err)
	return e
}
