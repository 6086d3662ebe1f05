// What people read of handle proofs, completeness proofs and erasure
// certificates, derived again from proven bytes in both languages.
import { Lines, clock, day, english } from "./words.js";

const STATUS = {
  active: ["有効です", "active"],
  revoked: ["本人が撤回しました", "revoked by the subject"],
  stopped: ["申し出を受けて止められました", "stopped on request"],
  moved: ["鍵が新しいものに替わりました", "moved to another handle"],
  closed: ["利用は終わりました", "closed"],
};

// standingLines writes a handle: what is on, and how many records there are.
function standingLines(l, s) {
  let ja = s.name.ja;
  let en = english(s.name);
  if (s.generation > 0) {
    ja += `（${s.generation + 1}代目の鍵）`;
    en += ` (key number ${s.generation + 1})`;
  }
  if (s.state !== "active") l.add(`${ja}：${STATUS[s.state][0]}`, `${en}: ${STATUS[s.state][1]}`);
  for (const sc of s.scopes) {
    let [wja, wen] = STATUS[sc.said];
    if (sc.said === "active" && sc.expiry) {
      wja += `（${day(sc.expiry).ja}まで）`;
      wen += ` (until ${day(sc.expiry).en})`;
    }
    l.add(`${ja}・${sc.label.ja}（規約 ${sc.version}）：${wja}`, `${en}, ${english(sc.label)} (terms ${sc.version}): ${wen}`);
  }
  l.add(`${ja}：記録${s.events}件（うち同意・撤回・停止・鍵の引っ越し${s.consents}件）`, `${en}: records ${s.events} (consents, revocations, stops and moves: ${s.consents})`);
}

export function completeWords(handles) {
  const l = new Lines();
  const total = handles.reduce((n, s) => n + s.events, 0);
  if (total) l.add("これで全部です", "This is all");
  else l.add("これで全部です：記録は一件もありません", "This is all: there are no records");
  for (const s of handles) if (s.present) standingLines(l, s);
  const none = handles.filter((s) => !s.present && s.generation === 0).map((s) => s.name);
  if (none.length) l.all("記録がないことを示したサービスと参加者", "Shown to have no records", none);
  l.add(`あわせて${total}件。示した鍵のもとには、どのサービスや参加者についても、ほかに記録はありません。`, `In all: ${total}. Under the handles shown there are no others, towards any service or party.`);
  l.add("分からないこと：だれも記録しなかったこと、あなたの知らない別の鍵で記録されたこと。", "Not shown: what nobody recorded, and what was recorded under another key that you do not know.");
  return { ja: l.ja, en: l.en };
}

export function handleWords(s) {
  const l = new Lines();
  l.add("一つの鍵の、いまの状態と記録", "State and records of one handle");
  l.add("鍵：" + s.handle, "Handle: " + s.handle);
  if (!s.present) {
    l.add("この鍵のもとに、記録は一件もありません。", "There are no records under this handle.");
    return { ja: l.ja, en: l.en };
  }
  standingLines(l, s);
  if (s.kinds) l.add("記録は、これで全部です。", "These are all the records.");
  else l.add("記録そのものは、このファイルに入っていません。", "The records themselves are not in this file.");
  l.add("記録の鎖の先頭：" + s.head, "Head of the chain of records: " + s.head);
  return { ja: l.ja, en: l.en };
}

const CAUSE = {
  request: { ja: "本人の求め", en: "request of the person" },
  withdrawal: { ja: "撤回・退会", en: "withdrawal" },
  retention: { ja: "保存期間の終わり", en: "end of the retention period" },
};

function keptLine(l, { kept, name }) {
  if (!kept) return;
  if (!kept.records) {
    l.add("法律で残す記録はない：" + name.ja, "Keeps no records: " + english(name));
    return;
  }
  const until = day(kept.records).en;
  l.add(`法律で残す記録（提供の記録など）：${name.ja}、${until} の終わりまで`, `Records kept by law (of hand-overs): ${english(name)}, until the end of ${until}`);
}

// copyLine says what became of copies at a custodian.
function copyLine(l, x, story) {
  const who = `${x.memberName.ja}の鍵の写し（保管：${x.name.ja}）`;
  const at = `${english(x.name)}, for ${english(x.memberName)}`;
  if (x.timeMs) {
    const t = clock(x.timeMs, story);
    l.add(`消去した：${who}（${t.ja}、保管の種類 ${x.class}）`, `Copies destroyed: ${at} (${t.en}, storage class ${x.class})`);
  } else if (x.lost === "stolen") l.add(`例外：盗まれたと届け出た：${who}。写しが残っているおそれがあります。`, `Exception: copies reported stolen: ${at}. Somebody may still have them.`);
  else if (x.lost) l.add("例外：失われたと届け出た：" + who, "Exception: copies reported destroyed without attestation: " + at);
  else l.add("まだ答えていない：" + who, "Has not answered: " + at);
}

export function erasureWords(e) {
  const l = new Lines();
  l.add("消去の証明書", "Certificate of erasure");
  l.named("消去を求めた者", "Asked for by", e.by);
  l.named("きっかけ", "Cause", CAUSE[e.cause]);
  l.named("求めた時刻", "Asked at", clock(e.timeMs, e.story));
  l.add(`対象の鍵：${e.numbers}個（番号は台帳に残り、古い写しを見分けられます）`, `Keys: ${e.numbers} (their numbers stay in the ledger, so that a stale copy is recognised)`);
  for (const d of e.done) {
    const t = clock(d.timeMs, e.story);
    l.add(`消去した：${d.name.ja}（${t.ja}、保管の種類 ${d.class}）`, `Destroyed: ${english(d.name)} (${t.en}, storage class ${d.class})`);
    keptLine(l, d);
  }
  for (const name of e.pending) l.add("まだ答えていない：" + name.ja, "Has not answered: " + english(name));
  for (const x of e.copies) copyLine(l, x, e.story);
  if (e.complete) l.add("すべての保管者が消去しました。", "Every holder has destroyed its copies.");
  l.add(
    "証明できないこと：記憶装置や仮想マシンの控えに残った写し、すでに渡された平文、うそをつく保管者、だれかが手元に残した控え。",
    "Not proven: copies left by storage remapping or machine snapshots, plaintext already handed out, a holder that lies, a receipt that somebody kept.",
  );
  return { ja: l.ja, en: l.en };
}
