// What people read, derived again from proven bytes: the lines of a receipt,
// in both languages, and its payload. The rules are those of docs/spec/
// receipt.md; a receipt whose words differ from these is refused.
import { hex } from "./bytes.js";

export const KIND = {
  consent: ["同意", "consent"],
  revocation: ["同意の撤回", "revocation"],
  stop: ["利用の停止", "stop"],
  "handle.open": ["保有の開始", "start of holding data"],
  "handle.move": ["鍵の引っ越し", "move of a handle"],
  "handle.close": ["利用の終了", "end of a handle"],
  provision: ["第三者提供", "hand-over"],
  "provision.received": ["受領", "receipt by the recipient"],
  "provision.undelivered": ["受け取られなかった提供", "hand-over that was not taken"],
  "provision.optout": ["オプトアウトによる提供", "hand-over under an opt-out filing"],
  "provision.exception": ["法令による提供", "hand-over on a legal ground"],
  denial: ["提供を断った記録", "refused hand-over"],
  erasure: ["消去", "erasure"],
  "tree.advance": ["センサー記録の要約", "anchor of a commitment tree"],
  "erasure.attestation": ["消去の証明", "attestation of an erasure"],
};

export const validID = (s) => typeof s === "string" && /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(s);
const two = (n) => String(n).padStart(2, "0");
export const english = (t) => t.en || t.ja;
const both = (s) => ({ ja: s, en: s });
const jst = (ms) => new Date(ms + 9 * 3600_000);

export function clock(ms, story) {
  const d = jst(ms);
  const hms = [d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()].map(two).join(":");
  const ja = `${d.getUTCFullYear()}年${d.getUTCMonth() + 1}月${d.getUTCDate()}日 ${hms}（日本時間）`;
  const en = `${d.toISOString().slice(0, 10)} ${hms} JST`;
  return story ? { ja: "物語の時刻 " + ja, en: "story time " + en } : { ja, en };
}

export function day(n) {
  const d = new Date(n * 86400_000);
  return { ja: `${d.getUTCFullYear()}年${d.getUTCMonth() + 1}月${d.getUTCDate()}日`, en: d.toISOString().slice(0, 10) };
}

// itemCodes are the item codes that are open.
export const itemCodes = (r) => (r.items ? r.items.items : r.kind === "consent" || "items" in (r.part ?? {}) ? r.part?.items : undefined);

export class Lines {
  ja = [];
  en = [];

  add(ja, en) {
    this.ja.push(ja);
    this.en.push(en);
  }

  named(ja, en, t) {
    this.add(`${ja}：${t.ja}`, `${en}: ${english(t)}`);
  }

  all(ja, en, ts) {
    this.named(ja, en, { ja: ts.map((t) => t.ja).join("、"), en: ts.map(english).join(", ") });
  }

  scope(f) {
    this.named("何のために", "For what", f.purposes.get(f.scope.purpose));
  }

  what(r, f) {
    const codes = itemCodes(r);
    if (!codes && !r.items && !r.part) return this.add("何を：項目は封じてあり、この控えには入っていません", "What: the items are sealed and not in this receipt");
    if (!codes?.length) return this.add("何を：項目の指定はありません", "What: no items are named");
    this.all("何を", "What", codes.map((c) => f.items.get(c) ?? both(c)));
  }

  recipients(f) {
    const ts = (f.scope.recipients ?? []).map((id) => f.names.get(id));
    for (const c of f.scope.categories ?? []) ts.push({ ja: `同意のときに「${c}」に当たる参加者`, en: `parties of the category ${c} at the time of consent` });
    if (!ts.length) return this.add("渡す先：ありません", "Recipients: none");
    this.all("渡す先", "Recipients", ts);
  }

  howToStop(r, f) {
    if (r.screen) this.named("やめ方", "How to stop", r.screen.withdrawal);
    else if (f.service) this.named("やめ方：いつでもやめられます。窓口", "How to stop: at any time. Contact", f.service.contact);
  }

  handOver(r, f, to, deadlineMs) {
    this.named("渡す先", "To", f.names.get(to));
    if (r.part && validID(r.part.purpose)) this.named("何のために", "For what", f.purposes.get(r.part.purpose));
    else if (f.scope) this.scope(f);
    if (r.items) this.what(r, f);
    else this.add("何を：項目は封じてあり、この控えには入っていません", "What: the items are sealed and not in this receipt");
    for (const { item, level } of r.part?.levels ?? []) {
      const name = f.items.get(item) ?? both(item);
      this.add(`細かさ：${name.ja}は「${level}」まで`, `Level: ${english(name)} at ${level}`);
    }
    this.named("受け取りの期限", "To be received by", clock(deadlineMs, f.policy.storyTime));
  }

  consent(r, f) {
    const { expiry } = r.body;
    this.add("あなたは、次のことに同意しました。", "You have consented to this.");
    this.scope(f);
    this.what(r, f);
    this.recipients(f);
    if (!expiry) this.add("いつまで：期限はありません", "Until: no end");
    else this.add(`いつまで：${day(expiry).ja}の終わりまで（日本時間）`, `Until: end of ${day(expiry).en} JST`);
    this.howToStop(r, f);
    if (r.part?.keys === "own") this.add("鍵：あなたが持っています", "Key: held by you");
    if (r.part?.keys === "assisted") this.add("鍵：あなたと、サービスの事業者が預かる控えの両方にあります", "Key: held by you, with a copy in the service's care");
    if (r.part?.evidence?.length) this.add("確かめ方：パスキー（その署名は封じた部分にあります）", "Confirmed by: a passkey (its signature is in the sealed part)");
    if (r.part?.guardian) this.add("保護者が同意に加わりました", "A guardian took part");
  }

  stop(r, f) {
    this.add("あなたの申し出を受けて、事業者が止めました（あなたの鍵による署名はありません）。", "Stopped by the member after you asked (without a signature of your key).");
    if (r.body.scope === 255) this.add("何を止めたか：すべての利用と、届出（オプトアウト）による提供", "What: every use, and hand-overs under an opt-out filing");
    else this.scope(f);
  }

  received(r, f) {
    this.add("あなたの情報を受け取ったことが記録されました。", "It was recorded that your data was received.");
    if (r.part) {
      this.named("渡した者", "From", f.names.get(r.part.from) ?? both(r.part.from));
      this.add("相手が得た経緯：" + r.part.howAcquired, "How they came by it: " + r.part.howAcquired);
    }
    if (r.items) this.what(r, f);
    this.add("提供の記録：" + hex(r.body.intent), "Hand-over: " + hex(r.body.intent));
  }

  exception(r, f) {
    this.add("法令の定めにもとづいて、あなたの情報を渡すことが記録されました。", "It was recorded that your data is handed over on a legal ground.");
    if (!r.part) return this.add("渡す先・根拠・理由：封じてあり、この控えには入っていません", "To whom, ground, reason: sealed and not in this receipt");
    const { to = "", basis = "", statute = "", reason = "" } = r.part;
    this.add("渡す先：" + to, "To: " + to);
    this.add("根拠：" + basis, "Ground: " + basis);
    if (statute) this.add("法令：" + statute, "Statute: " + statute);
    this.add("理由：" + reason, "Reason: " + reason);
    this.what(r, f);
  }
}

// human returns the lines that a record and its facts must give.
export function human(r, f) {
  const l = new Lines();
  const [ja, en] = KIND[r.kind];
  l.add(ja + "の控え", "Receipt: " + en);
  l.named("だれが", "Who", f.names.get(r.issuer));
  const towards = f.service ?? f.party;
  if (towards) l.named("サービス", "Service", towards.name);
  const b = r.body;
  const byKind = {
    consent: () => l.consent(r, f),
    revocation: () => {
      l.add("あなたは、次の同意をやめました。", "You have withdrawn this consent.");
      l.scope(f);
    },
    stop: () => l.stop(r, f),
    provision: () => {
      l.add("あなたの情報を渡すことが記録されました。", "It was recorded that your data is handed over.");
      l.handOver(r, f, b.to, b.deadlineMs);
      l.howToStop(r, f);
    },
    "provision.optout": () => {
      l.add("届出（オプトアウト）にもとづいて、あなたの情報を渡すことが記録されました。", "It was recorded that your data is handed over under an opt-out filing.");
      l.add("届出の番号：" + b.filing, "Filing: " + b.filing);
      l.handOver(r, f, b.to, b.deadlineMs);
      l.howToStop(r, f);
    },
    "provision.received": () => l.received(r, f),
    "provision.undelivered": () => {
      l.add("渡されるはずの情報は、受け取られませんでした。", "The data was not taken by its recipient.");
      l.add("提供の記録：" + hex(b.intent), "Hand-over: " + hex(b.intent));
      l.add("理由：" + b.reason, "Reason: " + b.reason);
    },
    "provision.exception": () => l.exception(r, f),
    denial: () => {
      if (b.reason === "declined") return l.add("あなたは、示された同意に「同意しない」と答えました。", "You did not agree to the consent that you were shown.");
      if (b.reason === "deferred") return l.add("あなたは、示された同意を「あとで決める」としました。", "You put off the consent that you were shown.");
      l.add("あなたの情報を渡すことを断りました。", "A hand-over of your data was refused.");
      l.add("理由：" + b.reason, "Reason: " + b.reason);
    },
    "handle.open": () => l.add("同意によらず、あなたの情報を持ち始めました（法令の定めなど）。", "Your data is held without consent (a legal duty, or an opt-out regime)."),
    "handle.move": () => l.add("あなたの鍵を新しいものに替えました。同意の状態はそのまま引き継がれます。", "Your key was replaced. The state of your consents goes with it."),
    "handle.close": () => l.add("このサービスでの利用を終わりました。", "The use under this service has ended."),
    erasure: () =>
      l.add(`鍵${b.numbers.length}個の消去を、${b.holders.length}者に求めました。`, `The destruction of ${b.numbers.length} keys was asked of ${b.holders.length} holders.`),
    "erasure.attestation": () => l.add(`鍵を消去したと証明しました（保管の種類：${b.class}）。`, `Keys were destroyed (storage class: ${b.class}).`),
  };
  byKind[r.kind]?.();
  l.named("記録の時刻", "Recorded at", clock(r.timeMs, f.policy.storyTime));
  l.add("記録番号：" + hex(r.id), "Record: " + hex(r.id));
  return { ja: l.ja, en: l.en };
}

// Type, legal basis, ground of the APPI and status by kind.
const PAYLOAD = {
  consent: ["dpv:ConsentReceipt", "dpv:ExpressedConsent", "appi:A27-1-consent", "dpv:ConsentGiven"],
  revocation: ["dpv:ConsentReceipt", "dpv:ExpressedConsent", "appi:A27-1-consent", "dpv:ConsentWithdrawn"],
  stop: ["dpv:ConsentReceipt", "", "appi:A35-3-request", "dpv:ConsentRevoked"],
  provision: ["dpv:DataTransferRecord", "dpv:ExpressedConsent", "appi:A29-record", ""],
  "provision.received": ["dpv:DataTransferRecord", "", "appi:A30-record", ""],
  "provision.optout": ["dpv:DataTransferRecord", "", "appi:A27-2-optout", ""],
  "provision.exception": ["dpv:DataTransferRecord", "dpv:LegalObligation", "appi:A29-record", ""],
};

const asText = (t) => (t.en ? { ja: t.ja, en: t.en } : { ja: t.ja });

// payload returns the record in the words of ISO/IEC TS 27560 and W3C DPV.
// Empty fields are left out.
export function payload(r, f) {
  const [type, basis, appi, status] = PAYLOAD[r.kind] ?? ["dpv:DataProcessingRecord"];
  const b = r.body;
  const isConsent = r.kind === "consent";
  const named = (x) => x && { "dct:identifier": x.id, "dpv:hasName": asText(x.name) };
  const out = {
    "@context": { dpv: "https://w3id.org/dpv#", dct: "http://purl.org/dc/terms/", appi: "urn:akashi:appi:v1#" },
    "@type": type,
    "dct:conformsTo": "https://w3id.org/dpv/schema/dpv-27560#receipt",
    "dct:identifier": hex(r.id),
    "dpv:hasDataSubject": b.handle && hex(b.handle),
    "dpv:hasDataController": { "dct:identifier": r.issuer, "dpv:hasName": asText(f.names.get(r.issuer)) },
    "dpv:hasService": named(f.service),
    "dpv:hasPurpose": r.isHandOver && r.part ? r.part.purpose : f.scope?.purpose,
    "dpv:hasPersonalData": itemCodes(r),
    "dpv:hasRecipient": isConsent ? f.scope.recipients : b.to && [b.to],
    "dpv:hasLegalBasis": basis,
    "appi:basis": appi,
    "dpv:hasConsentStatus": status,
    "dpv:isIndicatedAtTime": jst(r.timeMs).toISOString().replace("Z", "+09:00"),
    "dpv:hasDuration": isConsent && b.expiry ? day(b.expiry).en : undefined,
    "dpv:hasStorageCondition": r.screen?.retention,
    "dpv:hasNotice": f.hash && hex(f.hash),
    "dct:language": isConsent ? r.part?.language : undefined,
    "dpv:hasConsentControl": r.screen && asText(r.screen.withdrawal),
  };
  for (const k of Object.keys(out)) if (out[k] === undefined || out[k] === "" || out[k].length === 0) delete out[k];
  return out;
}
