package receipt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

func TestEveryKindVerifies(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	c := s.c
	next := c.Person("hana").Handle("a-portal", 1)
	s.post("move", "a-sha", c.HandleMove(s.hana, next))
	s.post("stop", "b-sha", c.Stop(next.Public(), s.terms, 1))
	s.post("stop-all", "b-sha", c.StopAll(next.Public()))
	s.post("close", "a-sha", c.HandleClose(next.Public()))
	taro := c.Person("taro").Handle("b-sha", 0)
	s.post("open", "b-sha", c.HandleOpen(taro.Public(), "b-sha"))
	numbers := []record.KeyNumber{c.Number(), c.Number()}
	e := c.Erasure(numbers, "a-sha", "b-sha")
	s.post("erasure", "a-sha", e)
	s.post("attestation", "b-sha", c.Attestation(e.ID))
	s.post("tick", "pf", c.Tick())
	s.post("party", "pf", c.Party("shop"))
	src := newest(c)
	policy, err := torchwood.ParsePolicy(c.Policy().Format())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range s.recs {
		t.Run(name, func(t *testing.T) {
			for _, o := range []receipt.Options{{}, options(c, r)} {
				b, v := built(t, src, r, o)
				if v.Kind != r.Kind.String() || v.Origin != c.Origin || len(v.Human.Ja) != len(v.Human.En) || len(v.Human.Ja) < 3 {
					t.Errorf("verdict %+v", v)
				}
				independently(t, policy, fields(t, b))
			}
		})
	}
}

// independently checks the proofs of a receipt with torchwood alone.
func independently(t *testing.T, policy torchwood.Policy, m map[string]any) {
	t.Helper()
	parts := []map[string]any{m, m["seal"].(map[string]any)}
	for _, name := range []string{"state", "status", "key"} {
		if p, ok := m[name].(map[string]any); ok {
			parts = append(parts, p)
		}
	}
	for i, p := range parts {
		leaf, err := base64.StdEncoding.DecodeString(p["leaf"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), []byte(p["proof"].(string))); err != nil {
			t.Errorf("part %d: torchwood: %v", i, err)
		}
	}
}

func TestHumanSaysWhatMatters(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	o := options(s.c, s.recs["platform"])
	o.Screen = canon.Must(s.c.Screen("a-portal", "1"))
	_, v := built(t, newest(s.c), s.recs["platform"], o)
	ja, en := strings.Join(v.Human.Ja, "\n"), strings.Join(v.Human.En, "\n")
	for _, want := range []string{"a-sha社", "a-portalのサービス", "データ連携", "氏名、利用者番号", "consortium", "2027年5月2日", "いつでも止められます", "日本時間"} {
		if !strings.Contains(ja, want) {
			t.Errorf("no %q in\n%s", want, ja)
		}
	}
	for _, want := range []string{"data platform", "name, user id", "2027-05-02"} {
		if !strings.Contains(en, want) {
			t.Errorf("no %q in\n%s", want, en)
		}
	}
	_, sealed := built(t, newest(s.c), s.recs["platform"], receipt.Options{})
	if ja := strings.Join(sealed.Human.Ja, "\n"); strings.Contains(ja, "氏名") || !strings.Contains(ja, "封じて") {
		t.Errorf("a receipt without opening says\n%s", ja)
	}
}

func TestStoryTime(t *testing.T) {
	s := newStory(t, ledgertest.Options{Change: func(f *record.Founding) { f.StoryTime = true }})
	b, v := built(t, newest(s.c), s.recs["consent"], receipt.Options{Status: true})
	if !v.StoryTime || !strings.Contains(strings.Join(v.Human.Ja, "\n"), "物語の時刻") || !strings.Contains(strings.Join(v.Human.En, "\n"), "story time") {
		t.Errorf("human view %q", v.Human)
	}
	b = bytes.Replace(b, []byte("  \"storyTime\": true,\n"), nil, 1)
	_, err := receipt.Verify(b, s.c.Policy())
	if got := code(t, err); got != "receipt.story-time" {
		t.Errorf("without story time: %q", got)
	}
}

func TestAtEveryLaterCheckpoint(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	_, h := s.c.Find(s.recs["consent"].ID)
	for ; h <= s.c.Last().Height; h++ {
		built(t, at(s.c, h), s.recs["consent"], options(s.c, s.recs["consent"]))
	}
}

func TestStatus(t *testing.T) {
	type act func(s *story)
	day := uint64(86400_000)
	for _, tt := range []struct {
		name, rec, want string
		do              act
	}{
		{"active", "platform", receipt.StatusActive, func(*story) {}},
		{"revoked", "consent", receipt.StatusRevoked, func(*story) {}},
		{"stopped", "platform", receipt.StatusStopped, func(s *story) { s.c.Must("pf", s.c.Stop(s.hana.Public(), s.terms, 1)) }},
		{"expired", "platform", receipt.StatusExpired, func(s *story) { s.c.Pass(32 * day); s.c.Must("pf", s.c.Tick()) }},
		{"closed", "platform", receipt.StatusClosed, func(s *story) { s.c.Must("a-sha", s.c.HandleClose(s.hana.Public())) }},
		{"moved", "platform", receipt.StatusMoved, func(s *story) {
			s.c.Must("a-sha", s.c.HandleMove(s.hana, s.c.Person("hana").Handle("a-portal", 1)))
		}},
		{"replaced", "platform", receipt.StatusReplaced, func(s *story) {
			r, hash := s.c.Terms(s.c.Screen("a-portal", "2"))
			s.c.Must("a-sha", r)
			s.c.Must("a-sha", s.c.Grant(s.hana, hash, 1, uint32(record.DayOf(s.c.NowMs))+30))
		}},
		{"hand-over", "provision", receipt.StatusRevoked, func(*story) {}},
		{"given again", "consent", receipt.StatusRenewed, func(s *story) { s.c.Must("a-sha", s.c.Grant(s.hana, s.terms, 0)) }},
		{"a revocation, given again", "revocation", receipt.StatusRenewed, func(s *story) { s.c.Must("a-sha", s.c.Grant(s.hana, s.terms, 0)) }},
		{"a hand-over, given again", "provision", receipt.StatusRenewed, func(s *story) { s.c.Must("a-sha", s.c.Grant(s.hana, s.terms, 0)) }},
		{"prolonged", "platform", receipt.StatusRenewed, func(s *story) {
			s.c.Must("a-sha", s.c.Grant(s.hana, s.terms, 1, uint32(record.DayOf(s.c.NowMs))+40))
		}},
		{"given again, and stopped", "consent", receipt.StatusRevoked, func(s *story) {
			s.c.Must("a-sha", s.c.Grant(s.hana, s.terms, 0))
			s.c.Must("a-sha", s.c.Revoke(s.hana, s.terms, 0))
		}},
		{"denial", "denial", receipt.StatusActive, func(*story) {}},
		{"stop of all", "denial", receipt.StatusStopped, func(s *story) { s.c.Must("pf", s.c.StopAll(s.hana.Public())) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStory(t, ledgertest.Options{})
			old, v := built(t, newest(s.c), s.recs[tt.rec], receipt.Options{})
			if v.Status != nil {
				t.Error("a status that nobody asked for")
			}
			tt.do(s)
			b, err := receipt.WithStatus(old, newest(s.c))
			if err != nil {
				t.Fatal(err)
			}
			v, err = receipt.Verify(b, s.c.Policy())
			if err != nil {
				t.Fatal(err)
			}
			if v.Status.State != tt.want || v.Status.AsOfMs != s.c.NowMs/1000*1000 || v.Status.Size != s.c.Last().Size {
				t.Errorf("status %+v", v.Status)
			}
			_, v = built(t, newest(s.c), s.recs[tt.rec], receipt.Options{Status: true})
			if v.Status.State != tt.want {
				t.Errorf("in a new receipt: %+v", v.Status)
			}
		})
	}
}

func TestIssuerKeyChanged(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	c := s.c
	key := c.Rotate("a-sha", []string{record.RoleRecord}, "a-sha", "b-sha", "c-sha")
	c.Must("a-sha", key)
	g := c.Grant(s.hana, s.terms, 0)
	c.Must("a-sha", g)
	index, _ := c.Find(s.recs["consent"].ID)
	keyAt, _ := c.Find(key.ID)
	src := newest(c)

	built(t, src, g, receipt.Options{})
	if _, err := receipt.Build(src, index, receipt.Options{}); !errors.Is(err, receipt.ErrKeyChanged) {
		t.Errorf("without the old key: %v", err)
	}
	genesis := uint64(0)
	built(t, src, s.recs["consent"], receipt.Options{KeyIndex: &genesis})
	built(t, src, key, receipt.Options{KeyIndex: &genesis}) // signed by the old key
	if _, err := receipt.Build(src, index, receipt.Options{KeyIndex: &keyAt}); err == nil {
		t.Error("the new key's leaf was taken for the old key")
	}
}

// Records of one submission, with refused ones between and whole submissions
// refused before and after.
func TestPlaceAmongRefusals(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	c := s.c
	var recs []*record.Record
	for i := range 9 {
		if i%3 == 1 {
			recs = append(recs, c.Provision(s.hana.Public(), 1, 0, "b-sha")) // revoked
		} else {
			recs = append(recs, c.Tick())
		}
	}
	late := c.SubmitAs("pf", 99, c.NowMs-1, c.Leaf(&record.Record{Kind: record.KindTick, ID: c.ID(), Issuer: "pf", Body: &record.Tick{}}))
	one := c.Submit("b-sha", c.Tick())
	r := c.Batch(late, one, c.Submit("a-sha", recs...), late)
	if len(r.Leaves) != 7 || len(r.Seal.Refusals) != 5 {
		t.Fatalf("%d leaves, %d refusals", len(r.Leaves), len(r.Seal.Refusals))
	}
	for i, rec := range recs {
		if i%3 != 1 {
			built(t, newest(c), rec, receipt.Options{})
		}
	}
}

func TestNoReceipt(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	for _, i := range []uint64{0, 1, s.c.Last().Size - 1} {
		if _, err := receipt.Build(newest(s.c), i, receipt.Options{}); !errors.Is(err, receipt.ErrNoReceipt) {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

func TestPolicies(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	b, _ := built(t, newest(s.c), s.recs["consent"], receipt.Options{})
	other := ledgertest.New(t, ledgertest.Options{Origin: "other.example/log"}).Policy()
	if _, err := receipt.Verify(b, other); !errors.Is(err, receipt.ErrPolicy) || code(t, err) != "receipt.proof" {
		t.Errorf("another log's policy: %v", err)
	}
	if _, err := receipt.Verify(b); !errors.Is(err, receipt.ErrPolicy) {
		t.Errorf("no policy: %v", err)
	}
	strict := *s.c.Policy()
	strict.K = 4
	if _, err := receipt.Verify(b, &strict); !errors.Is(err, receipt.ErrNotFinal) {
		t.Errorf("four cosignatures: %v", err)
	}
	if _, err := receipt.Verify(b, other, &strict, s.c.Policy()); err != nil {
		t.Errorf("one of several policies: %v", err)
	}
}

func TestWrongOpenings(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	index, _ := s.c.Find(s.recs["provision"].ID)
	o, other := options(s.c, s.recs["provision"]), options(s.c, s.recs["provision2"])
	for i, bad := range []receipt.Options{{Opening: other.Opening}, {Items: other.Items}, {Opening: o.Items}, {Items: o.Opening},
		{Screen: canon.Must(s.c.Screen("a-portal", "2"))}} {
		if _, err := receipt.Build(newest(s.c), index, bad); err == nil {
			t.Errorf("case %d was built", i)
		}
	}
}

func TestStepsAndWhatWasNotChecked(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	b, v := built(t, newest(s.c), s.recs["provision"], receipt.Options{})
	if len(v.Steps) < 9 || slices.ContainsFunc(v.Steps, func(s receipt.Step) bool { return !s.OK }) || len(v.NotChecked) != 4 {
		t.Errorf("steps %+v, not checked %v", v.Steps, v.NotChecked)
	}
	names := map[string]bool{}
	for _, s := range v.Steps {
		if names[s.Name] {
			t.Errorf("two steps are called %s", s.Name)
		}
		names[s.Name] = true
	}
	v, err := receipt.Verify(bytes.Replace(b, []byte("だれが"), []byte("だれか"), 1), s.c.Policy())
	if code(t, err) != "receipt.human" || len(v.Steps) == 0 || v.Steps[len(v.Steps)-1].OK || v.Steps[len(v.Steps)-1].Name != "human" {
		t.Errorf("%v, steps %+v", err, v.Steps)
	}
}

// TestNullIsNoList: a list that is null decodes to an empty one, and would be a
// second spelling of it.
func TestNullIsNoList(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/vectors/receipt-consent.akashi.json")
	if err != nil {
		t.Fatal(err)
	}
	empty := regexp.MustCompile(`"path": \[[^]]*\]`)
	if !empty.Match(b) {
		t.Fatal("the vector has no path")
	}
	_, err = receipt.Verify(empty.ReplaceAll(b, []byte(`"path": null`)))
	if e, ok := errors.AsType[*receipt.Error](err); !ok || e.Part != "submission" || !strings.Contains(e.Error(), "null") {
		t.Errorf("null in place of a list: %v", err)
	}
}
