package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// source is a consortium's log at its newest height.
type source struct {
	c      *ledgertest.Consortium
	height uint64
	leaves ledgertest.Mem
	note   []byte
}

func newest(c *ledgertest.Consortium) *source {
	h := c.Last().Height
	return &source{c, h, c.RegisterAt(h), c.Note(h)}
}

func (s *source) Note() ([]byte, error)                { return s.note, nil }
func (s *source) Leaf(i uint64) ([]byte, error)        { return s.c.Leaves[i], nil }
func (s *source) Path(i uint64) ([]merkle.Hash, error) { return s.c.Inclusion(i, s.height), nil }
func (s *source) Prove(key []byte) (register.Proof, error) {
	return s.c.Heights[s.height].Register.Prove(s.leaves.Mem, key)
}

func text(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }

var (
	members = map[string]record.Text{"aoba": text("青葉交通株式会社", "Aoba Transit"), "kitahi": text("北灯モール", "Kitahi Mall"),
		"kotori": text("ことり薬局", "Kotori Pharmacy"), "minato": text("みなと市", "Minato City")}
	purposes = map[string]record.Text{"ads": text("おすすめ広告", "recommendations"), "alert": text("避難情報の配信", "evacuation alerts"),
		"coupon": text("クーポンの配信", "coupons"), "mail": text("期限のお知らせメール", "reminders by mail"), "medicine": text("処方の確認", "checking prescriptions")}
	items = map[string]record.Text{"name": text("氏名", "name"), "user-id": text("利用者番号", "user id")}
)

// story is a fake node: a consortium in memory, one person, and what became of
// that person's consents.
type story struct {
	mu       sync.Mutex
	c        *ledgertest.Consortium
	board    web.Board
	view     web.View
	events0  []web.Event       // newest first, once the story is told
	screens  map[string][]byte // canonical screens by service
	codes    map[string]string // one-time codes → person
	sessions map[string]string // tokens → person
	stopped  []web.Withdrawal
	granted  []web.Grant
	past     web.Past
	was      func(now web.Offer) *web.Offer // the offer under which a choice stands, nil: none
	rights
	receipts map[uint64][]byte // by index; built when asked for
	mangle   func([]byte) []byte
	err      error // what every call answers
}

const person = "p01"

func newStory(t testing.TB) *story {
	c := ledgertest.New(t, ledgertest.Options{Origin: "minato.example/log", Seed: "web", Members: []string{"aoba", "kitahi", "kotori", "minato"},
		FoundedMs: ledgertest.Ms("2026-08-29 10:00:00"),
		Change: func(f *record.Founding) {
			for i := range f.Members {
				f.Members[i].Name = members[f.Members[i].ID]
			}
			f.Purposes, f.StoryTime = nil, true
			for _, code := range []string{"ads", "alert", "coupon", "mail", "medicine"} {
				f.Purposes = append(f.Purposes, record.Purpose{Code: code, Label: purposes[code]})
			}
		}})
	s := &story{c: c, codes: map[string]string{"once": person}, sessions: map[string]string{}, receipts: map[uint64][]byte{}, screens: map[string][]byte{}}
	s.board = web.Board{Consortium: text("みなと市データ連携協議会", "Minato Data Council"), Member: members["minato"], StoryTime: true}
	s.view.Name = "髙橋 花子"

	coupon := s.offer("aoba", "coupon", text("まちなかクーポン", "Town Coupons"), []string{"kitahi", "minato"}, "coupon", "mail", "ads")
	medicine := s.offer("kotori", "medicine", text("おくすり手帳れんけい", "Medicine Notebook"), []string{"minato"}, "medicine")
	s.offer("minato", "alert", text("防災おしらせ", "Disaster Alerts"), []string{"aoba"}, "alert")
	s.offer("minato", "library", text("しずかな図書館", "Quiet Library"), nil, "mail")
	hana := c.Person("hana")
	hc, hm := hana.Handle("coupon", 0), hana.Handle("medicine", 0)

	c.Pass(14 * 3600_000)
	day := ledgertest.Day("2027-08-29 00:00:00")
	s.consent("aoba", c.Grant(hc, coupon, 0, day), "coupon", "coupon", "2027-08-29")
	s.consent("aoba", c.Grant(hc, coupon, 1), "coupon", "mail", "")
	c.Pass(3 * 86400_000)
	s.consent("kotori", c.Grant(hm, medicine, 0, ledgertest.Day("2027-03-31 00:00:00")), "medicine", "medicine", "2027-03-31")
	c.Pass(41 * 86400_000)
	p := c.Provision(hc.Public(), 1, 0, "kitahi", "name", "user-id")
	s.handOver("aoba", p, "coupon", "coupon", "kitahi", "received", "name", "user-id")
	c.Must("kitahi", c.Received(p))
	c.Pass(25*86400_000 + 6*3600_000)
	x := c.Exception(hm.Public(), c.Member("kotori").Approver)
	s.event("kotori", x, web.Event{Service: s.service("medicine").Name, To: text("中央警察署", "Central Police"), Items: []record.Text{items["name"]},
		Ground: "investigation", Statute: "刑事訴訟法197条2項", Reason: "行方不明の方の捜索"})
	c.Pass(11*86400_000 + 3*3600_000)
	s.event("kitahi", c.Denial(hc.Public(), record.CodeItemNotConsented), web.Event{Service: s.service("coupon").Name, Code: "item-not-consented"})
	c.Pass(4 * 3600_000)
	s.handOver("aoba", c.Provision(hc.Public(), 1, 0, "minato"), "coupon", "coupon", "minato", "open", "user-id")
	c.Pass(86400_000)
	s.event("aoba", c.Revoke(hc, coupon, 1), web.Event{Service: s.service("coupon").Name, Purpose: purposes["mail"]})
	for i := range s.view.Consents {
		if s.view.Consents[i].Purpose.Code == "mail" {
			s.view.Consents[i].State, s.view.Consents[i].Again = "revoked", true
		}
	}
	slices.Reverse(s.events0)
	s.settle()
	s.fillLog()
	return s
}

func (s *story) service(id string) *web.Service {
	i := slices.IndexFunc(s.board.Services, func(x web.Service) bool { return x.ID == id })
	return &s.board.Services[i]
}

// offer opens a service with one scope for each purpose.
func (s *story) offer(owner, id string, name record.Text, recipients []string, codes ...string) record.Digest {
	var scopes []record.Scope
	shown := web.Service{ID: id, Name: name, Provider: members[owner], Here: owner == "minato"}
	for _, code := range codes {
		scopes = append(scopes, record.Scope{Purpose: code, Required: []string{"user-id"}, Optional: []string{"name"}, Recipients: recipients, MaxExpiry: "P1Y"})
		shown.Purposes = append(shown.Purposes, web.Purpose{Code: code, Label: purposes[code]})
	}
	for i := range scopes {
		if codes[i] == "mail" {
			scopes[i].MaxExpiry = ""
		}
	}
	screen := s.c.Screen(id, "3", scopes...)
	screen.Withdrawal = text("「わたしの同意」のオンを押すか、電話 0570-000-000", "press “On” in My consents, or call 0570-000-000")
	terms, hash := s.c.Terms(screen)
	open := s.c.Service(id)
	open.Body.(*record.Service).Name = name
	s.c.Must(owner, open, terms)
	s.screens[id] = canon.Must(screen)
	s.board.Services = append(s.board.Services, shown)
	return hash
}

func (s *story) event(issuer string, r *record.Record, e web.Event) uint64 {
	s.c.Must(issuer, r)
	e.Index, _ = s.c.Find(r.ID)
	e.Kind, e.From, e.TimeMs = r.Kind.String(), members[issuer], int64(s.c.NowMs)
	s.events0 = append(s.events0, e)
	s.receipts[e.Index] = nil
	return e.Index
}

func (s *story) consent(issuer string, r *record.Record, service, purpose, until string) {
	index := s.event(issuer, r, web.Event{Service: s.service(service).Name, Purpose: purposes[purpose]})
	s.view.Consents = append(s.view.Consents, web.Consent{Service: service, Purpose: web.Purpose{Code: purpose, Label: purposes[purpose]},
		State: "active", Until: until, Items: []record.Text{items["name"], items["user-id"]}, Index: index})
}

func (s *story) handOver(issuer string, r *record.Record, service, purpose, to, state string, codes ...string) {
	e := web.Event{Service: s.service(service).Name, Purpose: purposes[purpose], To: members[to], State: state, Version: "3"}
	for _, c := range codes {
		e.Items = append(e.Items, items[c])
	}
	s.foretell(r, purpose)
	s.event(issuer, r, e)
}

// fillLog says what the newest checkpoint is: three of four have signed.
func (s *story) fillLog() {
	end := s.c.Last()
	s.board.Log = web.Log{Origin: s.c.Origin, Size: end.Size, Root: end.Root, K: 3, FinalMs: int64(s.c.NowMs)}
	for i, m := range s.c.Founding.Members {
		signer := web.Cosigner{ID: m.ID, Name: m.Name}
		if i < 3 {
			signer.TimeMs = int64(s.c.NowMs)
		}
		s.board.Log.Members = append(s.board.Log.Members, signer)
	}
}

// build makes the receipt of a leaf with all that its holder has.
func (s *story) build(index uint64) ([]byte, error) {
	rec, err := record.Parse(s.c.Leaves[index])
	if err != nil {
		return nil, err
	}
	o := receipt.Options{}
	if p, ok := s.c.Openings[rec.ID]; ok && rec.Commitment != nil {
		o.Opening = &receipt.Opening{Nonce: p.Nonce[:], Part: p.Part}
	}
	if p, ok := s.c.Items[rec.ID]; ok {
		o.Items = &receipt.Opening{Nonce: p.Nonce[:], Part: p.Part}
	}
	if b, ok := rec.Body.(*record.Consent); ok {
		for _, screen := range s.screens {
			if (&record.Terms{Screen: screen}).Hash() == b.Terms {
				o.Screen = screen
			}
		}
	}
	o.Status = rec.Kind.UnderHandle() && rec.Kind != record.KindReceived && rec.Kind != record.KindUndelivered
	return receipt.Build(newest(s.c), index, o)
}

func (s *story) Enter(_ context.Context, code, _ string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, ok := s.codes[code]
	if s.err != nil || !ok {
		return "", orElse(s.err, web.ErrNoSession)
	}
	delete(s.codes, code)
	token := "token-" + code
	s.sessions[token] = who
	return token, nil
}

func (s *story) Whose(_ context.Context, code string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if who, ok := s.codes[code]; ok {
		return who, nil
	}
	return "", web.ErrNoSession
}

func (s *story) Account(_ context.Context, person string) (string, error) {
	return "•••" + person, nil
}

func (s *story) Person(_ context.Context, token string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if who, ok := s.sessions[token]; ok {
		return who, nil
	}
	return "", web.ErrNoSession
}

func (s *story) Leave(_ context.Context, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, token)
	return nil
}

func (s *story) Board(context.Context) (*web.Board, error) {
	b := s.board
	return &b, nil
}

func (s *story) Policy(context.Context) ([]byte, error) { return s.c.Policy().Format(), nil }

func (s *story) View(_ context.Context, who string) (*web.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	v := s.view
	v.Consents = slices.Clone(v.Consents)
	return &v, nil
}

// settle says what the history comes to.
func (s *story) settle() {
	for _, e := range s.events0 {
		if !e.HandOver() {
			continue
		}
		s.view.Given++
		for i := range s.view.Consents {
			if c := &s.view.Consents[i]; c.UsedMs == 0 && e.Kind == "provision" && c.Purpose.Label == e.Purpose {
				c.UsedMs = e.TimeMs
			}
		}
	}
}

func (s *story) History(_ context.Context, who string, q web.HistoryQuery) (*web.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	h := new(web.History)
	for _, e := range s.events0 {
		if e.HandOver() {
			f := web.Flow{From: e.From, To: e.To, Kind: e.Kind, Count: 1}
			if i := slices.IndexFunc(h.Flows, func(o web.Flow) bool { return o.From == f.From && o.To == f.To && o.Kind == f.Kind }); i >= 0 {
				h.Flows[i].Count++
			} else {
				h.Flows = append(h.Flows, f)
			}
		}
		if q.Service != "" && e.Service != s.service(q.Service).Name || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind) {
			continue
		}
		h.Count++
		if q.Before != 0 && e.Index >= q.Before {
			continue
		}
		if len(h.Events) < q.Limit {
			h.Events = append(h.Events, e)
		} else if h.Older == 0 {
			h.Older = h.Events[q.Limit-1].Index
		}
	}
	slices.SortStableFunc(h.Flows, func(a, b web.Flow) int { return b.Count - a.Count })
	return h, nil
}

func (s *story) Offer(_ context.Context, who, service, purpose string) (*web.Offer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.board.Services, func(x web.Service) bool { return x.ID == service && x.Here })
	if s.err != nil || who != person || i < 0 {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	o := &web.Offer{Service: s.board.Services[i], Purpose: web.Purpose{Code: purpose, Label: purposes[purpose]}, Version: "3",
		Required: []web.Item{{Code: "user-id", Label: items["user-id"]}}, Optional: []web.Item{{Code: "name", Label: items["name"]}, {Code: "health", Label: text("健康の情報", "health data"), Sensitive: true}},
		Recipients: []record.Text{members["aoba"]}, Until: "2027-11-19", Retention: record.Period{Days: 30}, Withdrawal: text("「わたしの同意」のオンを押すか、電話 0570-000-000", "press “On” in My consents, or call 0570-000-000"),
		Text: text("避難情報をお届けするために、利用者番号を使います。", "We use your user id to send you evacuation alerts.")}
	o.Past = s.past
	if s.was != nil {
		o.Was = s.was(*o)
	}
	return o, nil
}

func (s *story) Grant(_ context.Context, who string, g web.Grant) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return false, orElse(s.err, web.ErrNotFound)
	}
	s.granted = append(s.granted, g)
	for i := range s.view.Consents {
		if c := &s.view.Consents[i]; c.Service == g.Service && c.Purpose.Code == g.Purpose {
			c.State, c.Again = "active", false
			return true, nil
		}
	}
	s.view.Consents = append(s.view.Consents, web.Consent{Service: g.Service, Purpose: web.Purpose{Code: g.Purpose, Label: purposes[g.Purpose]}, State: "active"})
	return true, nil
}

func (s *story) Withdraw(_ context.Context, who string, w web.Withdrawal) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return false, orElse(s.err, web.ErrNotFound)
	}
	s.stopped = append(s.stopped, w)
	for i := range s.view.Consents {
		if c := &s.view.Consents[i]; c.Service == w.Service && c.Purpose.Code == w.Purpose {
			c.State, c.Again = "revoked", true
			return true, nil
		}
	}
	return false, web.ErrNotFound
}

func (s *story) Receipt(_ context.Context, who string, index uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.receipts[index]
	if s.err != nil || who != person || !ok {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	if b == nil {
		var err error
		if b, err = s.build(index); err != nil {
			return nil, err
		}
		s.receipts[index] = b
	}
	if s.mangle != nil {
		return s.mangle(slices.Clone(b)), nil
	}
	return b, nil
}

// Complete proves the records of hana over every service and member.
func (s *story) Complete(_ context.Context, who string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || who != person {
		return nil, orElse(s.err, web.ErrNotFound)
	}
	hana := s.c.Person("hana")
	b, err := receipt.BuildComplete(newest(s.c), receipt.CompleteOptions{
		Handle: func(id string, gen uint64) (sign.PublicKey, error) { return hana.Handle(id, gen).Public(), nil },
		Events: s.events,
	})
	if err == nil && s.mangle != nil {
		b = s.mangle(b)
	}
	return b, err
}

// crowd adds services up to 40, and others who use them.
func (s *story) crowd(handles int, leaves uint64) {
	for i := len(s.board.Services); i < 40; i++ {
		s.offer("minato", "more-"+itoa(uint64(i)), text("サービス"+itoa(uint64(i)), "Service "+itoa(uint64(i))), nil, "mail")
	}
	s.c.Crowd(handles, leaves, "coupon")
}

// events finds the leaves under a handle in the whole log.
func (s *story) events(h sign.PublicKey, n uint64) ([][]byte, error) {
	intents := map[record.ID]bool{}
	var out [][]byte
	for _, leaf := range s.c.Leaves {
		if leaf == nil {
			continue // of a crowd
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			continue // a seal
		}
		own, ok := record.HandleOf(rec.Body)
		if b, isReceived := rec.Body.(*record.Received); isReceived {
			ok, own = intents[b.Intent], h
		}
		if ok && own == h {
			out, intents[rec.ID] = append(out, leaf), true
		}
	}
	return out, nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// serve serves the pages of a backend, with the policy beside them as a node
// has it.
func serve(t testing.TB, b web.Backend, policy *sign.Policy) *httptest.Server {
	t.Helper()
	h, err := web.New(b, web.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /log/policy/0", func(w http.ResponseWriter, r *http.Request) { w.Write(policy.Format()) })
	mux.HandleFunc("GET /log/policy", func(w http.ResponseWriter, r *http.Request) { w.Write(policy.Format()) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// visit fetches a page without following redirects.
func visit(t testing.TB, method, url, cookie string, form string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}
