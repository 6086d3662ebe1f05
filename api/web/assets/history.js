// The history and the list of receipts: it fetches the receipts of all that the page
// is about, not only of the part that it shows, verifies each, and says which lines
// of the page follow from them.
import { $, el, icon, lang, paint, squeeze, t, written } from "./dom.js";

const box = $("#every");
const result = $("#every-res");
const BETWEEN_MS = 50; // the page answers to a person at least so often

// say fills the panel: un, ok or ng.
function say(state, title, ...lines) {
  result.replaceChildren(el("div", "res " + state, icon(state, "res-i"), el("div", "", el("h3", "", title), ...lines)));
}

// receipts are the lines of the server's answer.
async function* receipts(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

// The policies of the epochs that receipts are of, asked for once.
const policies = new Map();

async function policiesFor(bytes, { parsePolicy, policyEpochs }) {
  const epochs = policyEpochs(bytes);
  const name = epochs.join();
  if (!policies.has(name)) {
    const texts = epochs.map(async (e) => {
      const r = await fetch(`/log/policy/${e}`);
      if (!r.ok) throw new Error(`policy ${e}: ${r.status}`);
      return parsePolicy(await r.text());
    });
    policies.set(name, await Promise.all(texts));
  }
  return policies.get(name);
}

// follows reports whether what the page says of a record stands in the words that
// were derived from it.
function follows(row, human) {
  const values = human[lang].map((l) => squeeze(l.slice(l.search(/[：:]/) + 1)));
  return [...row.querySelectorAll("[data-said]")].every((e) => values.includes(written(e)));
}

// mark gives a line of the page its verdict.
function mark(index, state) {
  const at = document.querySelector(`[data-index="${index}"] [data-verdict]`);
  at?.replaceChildren(el("span", "pf " + state, icon(state), el("span", "", t("every." + state))));
}

// badge gives the whole list its verdict.
function badge(state) {
  $(".sec-h .pf")?.replaceWith(el("span", "pf " + state, icon(state), el("span", "", t("every." + state))));
}

async function check() {
  const began = performance.now();
  const all = Number(box.dataset.count);
  const bar = el("progress", "");
  bar.max = all;
  bar.setAttribute("aria-label", t("running"));
  say("un", t("running"), bar);
  const verifier = await import("./verify.js"); // not before somebody asks
  const seen = { matched: 0, differ: [], why: {}, keys: new Set(), sum: 0, told: undefined };
  let painted = began;
  for await (const line of receipts(box.dataset.from)) {
    if (line.count !== undefined) {
      seen.told = line.count;
      continue;
    }
    seen.sum++;
    if (line.why) seen.why[line.why] = (seen.why[line.why] ?? 0) + 1;
    else await one(line, seen, verifier);
    if (performance.now() - painted < BETWEEN_MS) continue;
    bar.value = seen.sum;
    await paint();
    painted = performance.now();
  }
  tell(seen, all, ((performance.now() - began) / 1000).toFixed(2));
}

async function one({ index, file }, seen, verifier) {
  const bytes = new TextEncoder().encode(file);
  const v = await verifier.verify(bytes, await policiesFor(bytes, verifier));
  const row = document.querySelector(`[data-index="${index}"]`);
  const ok = v.result === "match" && v.steps.place.index === index && (!row || follows(row, v.human));
  mark(index, ok ? "ok" : "ng");
  if (!ok) return seen.differ.push({ index, code: v.code ?? "page" });
  seen.matched++;
  return seen.keys.add(v.steps.keys.number);
}

function tell({ matched, differ, why, keys, sum, told }, all, s) {
  const missing = Object.values(why).reduce((n, x) => n + x, 0);
  const took = el("p", "small", t("took", { s }));
  const whys = Object.entries(why).map(([w, n]) => el("p", "", t("every.why." + w, { n })));
  const short = told !== sum || sum < all ? [el("p", "", t("every.short", { n: all, m: sum }))] : [];
  if (differ.length || short.length) {
    const list = differ.slice(0, 20).map((d) => {
      const a = el("a", "link44", `#${d.index.toLocaleString("ja")}`);
      a.href = `/receipts/${d.index}`;
      return el("li", "", a, el("span", "mono", ` ${d.code}`));
    });
    badge("ng");
    return say("ng", t("differ"), ...short, ...(differ.length ? [el("p", "", t("every.ng.p", { n: all, m: differ.length })), el("ul", "", ...list)] : []), took);
  }
  const numbers = [...keys].map((k) => el("p", "code", k));
  if (missing) return say("un", t("every.part", { n: sum, m: matched }), ...whys, took);
  badge("ok");
  return say("ok", t("every.all", { n: matched }), el("p", "", t("every.keys")), ...numbers, took);
}

const go = $("#every-go");
if (go) {
  go.hidden = false;
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      await check();
    } catch {
      say("un", t("nofetch"), el("p", "", t("nofetch.p")));
    }
    go.disabled = false;
  });
}
