package receipt

import (
	"encoding/hex"
	"fmt"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// human returns what a person reads: who, what, for what, until when, how to
// stop. It follows from the record, its openings and the register alone.
func human(r *opened, f *facts) Human {
	l := &lines{}
	k := KindWords(r.rec.Kind)
	l.add(k.Ja+"の控え", "Receipt: "+k.En)
	l.named("だれが", "Who", f.names[r.rec.Issuer])
	if t, ok := f.towardsName(); ok {
		l.named("サービス", "Service", t)
	}
	switch b := r.rec.Body.(type) {
	case *record.Consent:
		l.consent(r, f, b)
	case *record.Revocation:
		l.add("あなたは、次の同意をやめました。", "You have withdrawn this consent.")
		l.scope(f)
	case *record.Stop:
		l.stop(f, b)
	case *record.Provision:
		l.add("あなたの情報を渡すことが記録されました。", "It was recorded that your data is handed over.")
		l.handOver(r, f, b.To, b.DeadlineMs)
		l.howToStop(r, f)
	case *record.OptOut:
		l.add("届出（オプトアウト）にもとづいて、あなたの情報を渡すことが記録されました。",
			"It was recorded that your data is handed over under an opt-out filing.")
		l.add("届出の番号："+b.Filing, "Filing: "+b.Filing)
		l.handOver(r, f, b.To, b.DeadlineMs)
		l.howToStop(r, f)
	case *record.Received:
		l.received(r, f, b)
	case *record.Undelivered:
		l.add("渡されるはずの情報は、受け取られませんでした。", "The data was not taken by its recipient.")
		l.add("提供の記録："+hex.EncodeToString(b.Intent[:]), "Hand-over: "+hex.EncodeToString(b.Intent[:]))
		l.add("理由："+string(b.Reason), "Reason: "+string(b.Reason))
	case *record.Exception:
		l.exception(r, f)
	case *record.Denial:
		l.denial(b)
	case *record.HandleOpen:
		l.add("同意によらず、あなたの情報を持ち始めました（法令の定めなど）。",
			"Your data is held without consent (a legal duty, or an opt-out regime).")
	case *record.HandleMove:
		l.add("あなたの鍵を新しいものに替えました。同意の状態はそのまま引き継がれます。",
			"Your key was replaced. The state of your consents goes with it.")
	case *record.HandleClose:
		l.add("このサービスでの利用を終わりました。", "The use under this service has ended.")
	case *record.Erasure:
		l.add(fmt.Sprintf("鍵%d個の消去を、%d者に求めました。", len(b.Numbers), len(b.Holders)),
			fmt.Sprintf("The destruction of %d keys was asked of %d holders.", len(b.Numbers), len(b.Holders)))
	case *record.Attestation:
		l.add("鍵を消去したと証明しました（保管の種類："+b.Class+"）。", "Keys were destroyed (storage class: "+b.Class+").")
	}
	l.named("記録の時刻", "Recorded at", clock(r.timeMs, f.policy.StoryTime))
	id := hex.EncodeToString(r.rec.ID[:])
	l.add("記録番号："+id, "Record: "+id)
	return l.Human
}

// denial is a refusal of the member's, or the person's own on a consent screen.
func (l *lines) denial(b *record.Denial) {
	switch b.Reason {
	case record.CodeDeclined:
		l.add("あなたは、示された同意に「同意しない」と答えました。", "You did not agree to the consent that you were shown.")
	case record.CodeDeferred:
		l.add("あなたは、示された同意を「あとで決める」としました。", "You put off the consent that you were shown.")
	default:
		l.add("あなたの情報を渡すことを断りました。", "A hand-over of your data was refused.")
		l.add("理由："+string(b.Reason), "Reason: "+string(b.Reason))
	}
}

func (l *lines) consent(r *opened, f *facts, b *record.Consent) {
	l.add("あなたは、次のことに同意しました。", "You have consented to this.")
	l.scope(f)
	l.what(r, f)
	l.recipients(f)
	if b.Expiry == 0 {
		l.add("いつまで：期限はありません", "Until: no end")
	} else {
		d := day(b.Expiry)
		l.add("いつまで："+d.Ja+"の終わりまで（日本時間）", "Until: end of "+d.En+" JST")
	}
	l.howToStop(r, f)
	p, ok := r.part.(*record.ConsentPart)
	if !ok {
		return
	}
	switch p.Keys {
	case "own":
		l.add("鍵：あなたが持っています", "Key: held by you")
	case "assisted":
		l.add("鍵：あなたと、サービスの事業者が預かる控えの両方にあります", "Key: held by you, with a copy in the service's care")
	}
	if len(p.Evidence) > 0 {
		l.add("確かめ方：パスキー（その署名は封じた部分にあります）", "Confirmed by: a passkey (its signature is in the sealed part)")
	}
	if p.Guardian != "" {
		l.add("保護者が同意に加わりました", "A guardian took part")
	}
}

// scope says for what.
func (l *lines) scope(f *facts) {
	l.named("何のために", "For what", f.purposes[f.scope.Purpose])
}

// what says which items, where they are open.
func (l *lines) what(r *opened, f *facts) {
	codes := r.itemCodes()
	if codes == nil && r.items == nil && r.part == nil {
		l.add("何を：項目は封じてあり、この控えには入っていません", "What: the items are sealed and not in this receipt")
		return
	}
	var ts []record.Text
	for _, c := range codes {
		if t, ok := f.items[c]; ok {
			ts = append(ts, t)
		} else {
			ts = append(ts, text(c, c))
		}
	}
	if len(ts) == 0 {
		l.add("何を：項目の指定はありません", "What: no items are named")
		return
	}
	l.named("何を", "What", list(ts))
}

// recipients says to whom data may go under the scope.
func (l *lines) recipients(f *facts) {
	var ts []record.Text
	for _, id := range f.scope.Recipients {
		ts = append(ts, f.names[id])
	}
	for _, c := range f.scope.Categories {
		ts = append(ts, text("同意のときに「"+c+"」に当たる参加者", "parties of the category "+c+" at the time of consent"))
	}
	if len(ts) == 0 {
		l.add("渡す先：ありません", "Recipients: none")
		return
	}
	l.named("渡す先", "Recipients", list(ts))
}

// howToStop says how to stop: in the screen's own words where it is here, else
// where to ask.
func (l *lines) howToStop(r *opened, f *facts) {
	switch {
	case r.screen != nil:
		l.named("やめ方", "How to stop", r.screen.Withdrawal)
	case f.service != nil:
		l.named("やめ方：いつでもやめられます。窓口", "How to stop: at any time. Contact", f.service.Contact)
	}
}

func (l *lines) stop(f *facts, b *record.Stop) {
	l.add("あなたの申し出を受けて、事業者が止めました（あなたの鍵による署名はありません）。",
		"Stopped by the member after you asked (without a signature of your key).")
	if b.Scope == record.ScopeAll {
		l.add("何を止めたか：すべての利用と、届出（オプトアウト）による提供", "What: every use, and hand-overs under an opt-out filing")
		return
	}
	l.scope(f)
}

func (l *lines) handOver(r *opened, f *facts, to string, deadlineMs uint64) {
	l.named("渡す先", "To", f.names[to])
	if p, ok := r.part.(*record.HandOverPart); ok && record.ValidID(p.Purpose) {
		l.named("何のために", "For what", f.purposes[p.Purpose])
	} else if f.scope != nil {
		l.scope(f)
	}
	if r.items == nil {
		l.add("何を：項目は封じてあり、この控えには入っていません", "What: the items are sealed and not in this receipt")
	} else {
		l.what(r, f)
	}
	if p, ok := r.part.(*record.HandOverPart); ok {
		for _, v := range p.Levels {
			name, ok := f.items[v.Item]
			if !ok {
				name = text(v.Item, v.Item)
			}
			l.add("細かさ："+name.Ja+"は「"+v.Level+"」まで", "Level: "+english(name)+" at "+v.Level)
		}
	}
	if p, ok := r.part.(*record.HandOverPart); ok && len(p.Series) > 0 {
		first := hex.EncodeToString(p.Series)
		l.add("続けて渡すうちの一回です。初めの記録："+first+"。まとめて一つの記録として、最後の提供から三年残します。",
			"One of several hand-overs that go on. The first: "+first+". They are kept as one bulk record, until three years after the last.")
	}
	l.named("受け取りの期限", "To be received by", clock(deadlineMs, f.policy.StoryTime))
}

func (l *lines) received(r *opened, f *facts, b *record.Received) {
	l.add("あなたの情報を受け取ったことが記録されました。", "It was recorded that your data was received.")
	if p, ok := r.part.(*record.ReceivedPart); ok {
		name, known := f.names[p.From]
		if !known {
			name = text(p.From, p.From)
		}
		l.named("渡した者", "From", name)
		l.add("相手が得た経緯："+p.HowAcquired, "How they came by it: "+p.HowAcquired)
	}
	if r.items != nil {
		l.what(r, f)
	}
	l.add("提供の記録："+hex.EncodeToString(b.Intent[:]), "Hand-over: "+hex.EncodeToString(b.Intent[:]))
}

func (l *lines) exception(r *opened, f *facts) {
	l.add("法令の定めにもとづいて、あなたの情報を渡すことが記録されました。", "It was recorded that your data is handed over on a legal ground.")
	p, ok := r.part.(*record.HandOverPart)
	if !ok {
		l.add("渡す先・根拠・理由：封じてあり、この控えには入っていません", "To whom, ground, reason: sealed and not in this receipt")
		return
	}
	l.add("渡す先："+p.To, "To: "+p.To)
	l.add("根拠："+p.Basis, "Ground: "+p.Basis)
	if p.Statute != "" {
		l.add("法令："+p.Statute, "Statute: "+p.Statute)
	}
	l.add("理由："+p.Reason, "Reason: "+p.Reason)
	l.what(r, f)
}
