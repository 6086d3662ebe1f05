package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Format names the report's JSON.
const Format = "akashi-audit/v1"

// The checks of which the report has totals.
const (
	CheckCheckpoint  = "checkpoint"  // the signed checkpoint
	CheckPolicy      = "policy"      // the log's own policy is the one given
	CheckRoot        = "root"        // leaves lead to the root
	CheckTiles       = "tiles"       // leaves by hash tiles
	CheckSeal        = "seal"        // batches
	CheckHeader      = "header"      // leaders' signatures
	CheckCosignature = "cosignature" // cited ones
	CheckSubmission  = "submission"  // issuers' signatures
	CheckRules       = "rules"       // records
	CheckRefusal     = "refusal"     // refused records: their content is not in the log
	CheckTrees       = "trees"       // commitment trees: their advances against their leaves
	CheckIntent      = "intent"      // hand-overs: closed, waiting or overdue
	CheckSealed      = "sealed"      // sealed parts against their commitments
	CheckContent     = "content"     // what sealed parts say, against consent and screen
	CheckPasskey     = "passkey"     // consents that passkeys confirmed
)

var checkOrder = []string{CheckCheckpoint, CheckPolicy, CheckRoot, CheckTiles, CheckSeal, CheckHeader, CheckCosignature,
	CheckSubmission, CheckRules, CheckRefusal, CheckTrees, CheckIntent, CheckSealed, CheckContent, CheckPasskey}

var checkWords = map[string]record.Text{
	CheckCheckpoint:  {Ja: "チェックポイントの署名", En: "signed checkpoint"},
	CheckPolicy:      {Ja: "方針", En: "policy"},
	CheckRoot:        {Ja: "台帳の根", En: "root of the log"},
	CheckTiles:       {Ja: "葉とハッシュのタイル", En: "leaves by hash tiles"},
	CheckSeal:        {Ja: "束の封印", En: "seals of batches"},
	CheckHeader:      {Ja: "束の署名", En: "headers' signatures"},
	CheckCosignature: {Ja: "引用された共同署名", En: "cited cosignatures"},
	CheckSubmission:  {Ja: "提出の署名", En: "submissions' signatures"},
	CheckRules:       {Ja: "記録と規則", En: "records by the rules"},
	CheckRefusal:     {Ja: "断られた記録", En: "refused records"},
	CheckTrees:       {Ja: "コミットメント木", En: "commitment trees"},
	CheckIntent:      {Ja: "提供の受け取り", En: "hand-overs received"},
	CheckSealed:      {Ja: "封じた部分", En: "sealed parts"},
	CheckContent:     {Ja: "封じた中身と同意", En: "sealed content by consent"},
	CheckPasskey:     {Ja: "パスキーで確かめた同意", En: "consents confirmed by a passkey"},
}

// CheckWords names a check for people.
func CheckWords(name string) record.Text { return checkWords[name] }

// A Finding is something that does not hold, and where.
type Finding struct {
	Code   string      `json:"code"`
	Index  uint64      `json:"index"`  // of the leaf
	Height uint64      `json:"height"` // of the batch, as counted by the audit
	Member string      `json:"member,omitempty"`
	Detail record.Text `json:"detail"`
}

// A Check is the total of one kind of check.
type Check struct {
	Name      string `json:"name"`
	Holds     int    `json:"holds"`
	Broken    int    `json:"broken"`
	Waiting   int    `json:"waiting"`
	Unchecked int    `json:"unchecked"`
}

// A Count is how often a name occurred.
type Count struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// A MemberCount is what one member or party did.
type MemberCount struct {
	ID          string `json:"id"`
	Records     int    `json:"records"`
	Refused     int    `json:"refused"`
	Submissions int    `json:"submissions"`
	Batches     int    `json:"batches"` // led
}

// Provisions counts hand-overs by how much of their items can be known.
type Provisions struct {
	Opened   int `json:"opened"`   // the items were opened
	Attested int `json:"attested"` // not opened, but both sides signed the same commitment
	Erased   int `json:"erased"`   // the openings were destroyed
	Unopened int `json:"unopened"`
}

// Overdue is a hand-over that its recipient did not close in time, or cannot
// close any more.
type Overdue struct {
	ID         string `json:"id"`
	Index      uint64 `json:"index"`
	From       string `json:"from"`
	To         string `json:"to"`
	DeadlineMs uint64 `json:"deadlineMs"`
	Left       bool   `json:"left,omitempty"` // the recipient takes no part any more: only the handle's end closes it
}

// Words says why it is listed.
func (o *Overdue) Words() record.Text {
	if o.Left {
		return text("受け取り先が脱退", "recipient has left")
	}
	return text("期限切れ", "overdue")
}

// A Report is what an audit found.
type Report struct {
	Format       string        `json:"format"`
	OK           bool          `json:"ok"` // nothing is broken; what was unchecked is counted
	Origin       string        `json:"origin"`
	Size         uint64        `json:"size"`
	Root         string        `json:"root"`
	FinalMs      uint64        `json:"finalMs"`
	Batches      uint64        `json:"batches"`
	LastMs       uint64        `json:"lastMs"` // time of the last batch; 0: none could be read
	StoryTime    bool          `json:"storyTime,omitempty"`
	LostAt       *uint64       `json:"lostAt,omitempty"` // height from which the rules could not be checked
	Checks       []Check       `json:"checks"`
	Kinds        []Count       `json:"kinds"`
	Members      []MemberCount `json:"members"`
	Refusals     []Count       `json:"refusals"` // by code
	Provisions   Provisions    `json:"provisions"`
	Overdue      []Overdue     `json:"overdue"`
	Findings     []Finding     `json:"findings"`
	MoreFindings int           `json:"moreFindings,omitempty"`
	Unchecked    []record.Text `json:"unchecked"`
}

func newReport() *Report {
	return &Report{Format: Format, Overdue: []Overdue{}, Findings: []Finding{}, Unchecked: []record.Text{}}
}

// JSON returns the report's one rendering.
func (r *Report) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		panic("audit: " + err.Error()) // strings and numbers only
	}
	return b.Bytes()
}

// Text returns the report for people, in Japanese or else English.
func (r *Report) Text(japanese bool) string {
	var b strings.Builder
	say := func(t record.Text) {
		if japanese {
			b.WriteString(t.Ja + "\n")
		} else {
			b.WriteString(t.En + "\n")
		}
	}
	if say(text("台帳の監査："+r.Origin, "Audit of "+r.Origin)); r.OK {
		say(text("結果：破れはありません", "Result: nothing is broken"))
	} else {
		say(text("結果：破れがあります", "Result: broken"))
	}
	last := text("", "")
	if r.LastMs > 0 {
		last = text("、最後の束 "+stamp(r.LastMs), ", last batch "+stamp(r.LastMs))
	}
	say(text(fmt.Sprintf("葉%d、束%d%s", r.Size, r.Batches, last.Ja),
		fmt.Sprintf("leaves: %d, batches: %d%s", r.Size, r.Batches, last.En)))
	for _, c := range r.Checks {
		w := CheckWords(c.Name)
		say(text(fmt.Sprintf("- %s：成立%d 破れ%d 待ち%d 未確認%d", w.Ja, c.Holds, c.Broken, c.Waiting, c.Unchecked),
			fmt.Sprintf("- %s: holds %d, broken %d, waiting %d, unchecked %d", w.En, c.Holds, c.Broken, c.Waiting, c.Unchecked)))
	}
	p := r.Provisions
	say(text(fmt.Sprintf("提供した項目：開いた%d、双方が証明%d、消去%d、開いていない%d", p.Opened, p.Attested, p.Erased, p.Unopened),
		fmt.Sprintf("items handed over: opened %d, attested by both sides %d, erased %d, unopened %d", p.Opened, p.Attested, p.Erased, p.Unopened)))
	for _, o := range r.Overdue {
		w := o.Words()
		say(text(fmt.Sprintf("%s：%sから%sへ（葉%d、期限 %s）", w.Ja, o.From, o.To, o.Index, stamp(o.DeadlineMs)),
			fmt.Sprintf("%s: %s to %s (leaf %d, due %s)", w.En, o.From, o.To, o.Index, stamp(o.DeadlineMs))))
	}
	for _, f := range r.Findings {
		who := ""
		if f.Member != "" {
			who = " " + f.Member
		}
		say(text(fmt.Sprintf("破れ %s%s 葉%d 束%d：%s", f.Code, who, f.Index, f.Height, f.Detail.Ja),
			fmt.Sprintf("broken %s%s leaf %d batch %d: %s", f.Code, who, f.Index, f.Height, f.Detail.En)))
	}
	for _, u := range r.Unchecked {
		say(text("未確認："+u.Ja, "not checked: "+u.En))
	}
	return b.String()
}

func stamp(ms uint64) string {
	return time.UnixMilli(int64(ms)).In(record.JST).Format("2006-01-02 15:04:05 JST")
}

// counts are totals on their way.
type counts struct {
	checks   map[string]*Check
	kinds    map[string]int
	members  map[string]*MemberCount
	refusals map[string]int
}

func newCounts() *counts {
	return &counts{map[string]*Check{}, map[string]int{}, map[string]*MemberCount{}, map[string]int{}}
}

func (c *counts) check(name string) *Check {
	k := c.checks[name]
	if k == nil {
		k = &Check{Name: name}
		c.checks[name] = k
	}
	return k
}

func (c *counts) member(id string) *MemberCount {
	m := c.members[id]
	if m == nil {
		m = &MemberCount{ID: id}
		c.members[id] = m
	}
	return m
}

func (a *auditor) holds(check string, n int)     { a.count.check(check).Holds += n }
func (a *auditor) unchecked(check string, n int) { a.count.check(check).Unchecked += n }

func (a *auditor) breaks(check string, f Finding) {
	a.count.check(check).Broken++
	if len(a.report.Findings) == a.MaxFindings {
		a.report.MoreFindings++
		return
	}
	a.report.Findings = append(a.report.Findings, f)
}

// tally counts the records of a batch by kind, without decoding them.
func (a *auditor) tally(leaves [][]byte) {
	for _, l := range leaves {
		a.count.kinds[kindOf(l).String()]++
	}
}

// kindOf reads a leaf's kind: map header, 1: version, 2: kind in one or two
// bytes. It is 0 for other bytes.
func kindOf(leaf []byte) record.Kind {
	switch {
	case len(leaf) < 6 || leaf[0]>>5 != 5 || leaf[1] != 1 || leaf[3] != 2:
		return 0
	case leaf[4] < 24:
		return record.Kind(leaf[4])
	case leaf[4] == 24:
		return record.Kind(leaf[5])
	}
	return 0
}

// tallySeal counts a batch by member.
func (a *auditor) tallySeal(seal *record.Seal) {
	if seal.Header == nil {
		return
	}
	a.report.LastMs = seal.Header.TimeMs
	a.count.member(seal.Header.Leader).Batches++
	for i := range seal.Submissions {
		s := &seal.Submissions[i]
		m := a.count.member(s.Issuer)
		m.Submissions++
		m.Records += int(s.Count)
	}
	for i := range seal.Refusals {
		r := &seal.Refusals[i]
		n := 1
		if r.All {
			n = int(seal.Submissions[r.Sub].Count)
		}
		m := a.count.member(seal.Submissions[r.Sub].Issuer)
		m.Records -= n
		m.Refused += n
		a.count.refusals[string(r.Code)] += n
		a.unchecked(CheckRefusal, n)
	}
}

// tallySubmissions counts the signatures that a replay has checked: those of
// submissions that were not refused before it came to the signature.
func (a *auditor) tallySubmissions(seal *record.Seal) {
	whole := map[int]record.Code{}
	for i := range seal.Refusals {
		if r := &seal.Refusals[i]; r.All {
			whole[int(r.Sub)] = r.Code
		}
	}
	for i := range seal.Submissions {
		switch whole[i] {
		case "", record.CodeBatchFull, record.CodeSignature, record.CodeSubmissionRoot, record.CodeSubmissionReplayed:
			a.holds(CheckSubmission, 1)
		default:
			a.unchecked(CheckSubmission, 1)
		}
	}
}

// finish puts the totals into the report.
func (a *auditor) finish(c sign.Checkpoint) *Report {
	r := a.report
	r.Origin, r.Size, r.Root = c.Origin, c.Size, hex.EncodeToString(c.Root[:])
	r.OK = true
	for _, name := range checkOrder {
		k := a.count.check(name)
		r.Checks = append(r.Checks, *k)
		r.OK = r.OK && k.Broken == 0
	}
	r.Kinds, r.Refusals = sorted(a.count.kinds), sorted(a.count.refusals)
	r.Members = []MemberCount{}
	for _, m := range a.count.members {
		r.Members = append(r.Members, *m)
	}
	slices.SortFunc(r.Members, func(a, b MemberCount) int { return strings.Compare(a.ID, b.ID) })
	a.say()
	return r
}

func sorted(m map[string]int) []Count {
	out := []Count{}
	for k, n := range m {
		out = append(out, Count{k, n})
	}
	slices.SortFunc(out, func(a, b Count) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// say lists what was not checked, in words.
func (a *auditor) say() {
	r := a.report
	add := func(ja, en string) { r.Unchecked = append(r.Unchecked, text(ja, en)) }
	if r.LostAt != nil {
		add(fmt.Sprintf("束%dからあとは、状態を導けないので、規則を確かめていません", *r.LostAt),
			fmt.Sprintf("from batch %d on the register cannot be derived: rules were not checked", *r.LostAt))
	}
	if n := a.count.check(CheckRefusal).Unchecked; n > 0 {
		add(fmt.Sprintf("断られた記録%d件の中身は台帳にありません", n), "the content of "+counted(n, "refused record")+" is not in the log")
	}
	if n := a.count.check(CheckSealed).Unchecked; n > 0 {
		add(fmt.Sprintf("封じた部分%d件は開いていません", n), "not opened: "+counted(n, "sealed part"))
	}
	if n := a.count.check(CheckTrees).Unchecked; n > 0 {
		add(fmt.Sprintf("コミットメント木の根%d件は、葉とくらべていません", n), "not compared with leaves: "+counted(n, "root")+" of commitment trees")
	}
	add("封じた中身が事実かどうか、だれも記録しなかったこと", "whether sealed content tells the truth, and what nobody recorded")
}

// counted is a number of things, in English.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func text(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }
