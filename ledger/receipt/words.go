package receipt

import (
	"fmt"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// kindWords name the kinds of records for people.
var kindWords = map[record.Kind]record.Text{
	record.KindMember:        {Ja: "加盟企業の変更", En: "change of a member"},
	record.KindParty:         {Ja: "参加者の加入・脱退", En: "party that joins or leaves"},
	record.KindKey:           {Ja: "署名鍵の変更", En: "change of a signing key"},
	record.KindService:       {Ja: "サービスの開始", En: "opening of a service"},
	record.KindTerms:         {Ja: "規約の公開", En: "publication of terms"},
	record.KindConsent:       {Ja: "同意", En: "consent"},
	record.KindRevocation:    {Ja: "同意の撤回", En: "revocation"},
	record.KindStop:          {Ja: "利用の停止", En: "stop"},
	record.KindHandleOpen:    {Ja: "保有の開始", En: "start of holding data"},
	record.KindHandleMove:    {Ja: "鍵の引っ越し", En: "move of a handle"},
	record.KindHandleClose:   {Ja: "利用の終了", En: "end of a handle"},
	record.KindProvision:     {Ja: "第三者提供", En: "hand-over"},
	record.KindReceived:      {Ja: "受領", En: "receipt by the recipient"},
	record.KindUndelivered:   {Ja: "受け取られなかった提供", En: "hand-over that was not taken"},
	record.KindOptOut:        {Ja: "オプトアウトによる提供", En: "hand-over under an opt-out filing"},
	record.KindException:     {Ja: "法令による提供", En: "hand-over on a legal ground"},
	record.KindDenial:        {Ja: "提供を断った記録", En: "refused hand-over"},
	record.KindErasure:       {Ja: "消去", En: "erasure"},
	record.KindAttestation:   {Ja: "消去の証明", En: "attestation of an erasure"},
	record.KindSensorApprove: {Ja: "センサーの承認", En: "approval of a sensor"},
	record.KindSensorRetire:  {Ja: "センサーの終了", En: "end of a sensor"},
	record.KindTreeAdvance:   {Ja: "センサー記録の要約", En: "anchor of a commitment tree"},
	record.KindVote:          {Ja: "加盟企業の議決", En: "vote of the members"},
	record.KindTick:          {Ja: "時刻の記録", En: "passing of time"},
	record.KindFiling:        {Ja: "オプトアウトの届出", En: "opt-out filing"},
	record.KindTree:          {Ja: "センサー記録の開始", En: "start of a commitment tree"},
	record.KindCustodian:     {Ja: "鍵の写しの保管", En: "custody of copies of keys"},
	record.KindCustodianLost: {Ja: "鍵の写しの喪失", En: "loss of copies of keys"},
}

// KindWords names a kind of record for people.
func KindWords(k record.Kind) record.Text {
	if t, ok := kindWords[k]; ok {
		return t
	}
	return text(k.String(), k.String())
}

// lines collects the human view in both languages.
type lines struct{ Human }

func (l *lines) add(ja, en string) {
	l.Ja, l.En = append(l.Ja, ja), append(l.En, en)
}

// named adds a line with a text in both languages.
func (l *lines) named(ja, en string, t record.Text) { l.add(ja+"："+t.Ja, en+": "+english(t)) }

// english returns the English text, or the Japanese where there is none.
func english(t record.Text) string {
	if t.En != "" {
		return t.En
	}
	return t.Ja
}

// list joins texts.
func list(ts []record.Text) record.Text {
	ja, en := make([]string, len(ts)), make([]string, len(ts))
	for i, t := range ts {
		ja[i], en[i] = t.Ja, english(t)
	}
	return text(strings.Join(ja, "、"), strings.Join(en, ", "))
}

// clock writes a time in Unix milliseconds in JST, and says so where it is a
// story's.
func clock(ms uint64, story bool) record.Text {
	t := time.UnixMilli(int64(ms)).In(record.JST)
	ja := fmt.Sprintf("%d年%d月%d日 %02d:%02d:%02d（日本時間）", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second())
	en := t.Format("2006-01-02 15:04:05") + " JST"
	if story {
		return text("物語の時刻 "+ja, "story time "+en)
	}
	return text(ja, en)
}

// day writes a day since 1970-01-01.
func day(n uint32) record.Text {
	t := time.Unix(int64(n)*86400, 0).UTC()
	return text(fmt.Sprintf("%d年%d月%d日", t.Year(), t.Month(), t.Day()), t.Format("2006-01-02"))
}
