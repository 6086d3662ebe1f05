// The page around verify.js: it draws each step as it is computed, and is the
// only thing that ever says that something matches.
import { STEPS, parsePolicy, verify } from "./verify.js";

const lang = document.documentElement.lang === "en" ? "en" : "ja";
const { default: texts } = await import(`./text-${lang}.js`);
const t = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const pick = (text) => (lang === "en" && text.en) || text.ja;
const $ = (selector) => document.querySelector(selector);

function el(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

function icon(name, className = "i") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#i-" + name);
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

const paint = () => new Promise((done) => setTimeout(done));

// The steps as the server wrote them, to begin again with.
const fresh = new Map([...document.querySelectorAll("#steps>li")].map((li) => [li.dataset.step, [...li.childNodes].map((n) => n.cloneNode(true))]));
const items = (name) => $(`#steps>li[data-step="${name}"]`);

// result sets the panel: un, running, ok, ng.
function result(state, title, ...lines) {
  $("#check").dataset.state = state;
  const panel = $(".res");
  panel.className = "res " + (state === "running" ? "un" : state);
  panel.querySelector("svg").replaceWith(icon(state === "running" ? "un" : state, "res-i"));
  $("#h-res").textContent = title;
  $("#res-p").replaceChildren(...lines.flatMap((l, i) => (i ? [el("br"), l] : [l])));
}

// step replaces a step's drawing.
function step(name, state, title, ...body) {
  const disc = el("span", "st " + state, icon({ ok: "tick", ng: "cross", un: "bar" }[state]));
  const word = state === "un" ? [] : [el("span", "vh", t(state) + " ")];
  items(name).replaceChildren(disc, el("div", "", el("h3", "", ...word, title), ...body));
}

const draw = {
  form: (v) => step("form", "ok", t("form.ok"), el("p", "", t(v.opened || !v.commitment ? "form.p" : "form.sealed")), el("p", "mono", v.leafHash)),
  place(v) {
    const row = (label, value, className) => el("li", className, el("span", "", label), el("span", "mono", value));
    const walk = el("ol", "walk", row(t("place.top"), v.root, "top"), ...v.path.map((h, i) => row(t("place.next", { i: i + 1 }), h, "sib")).reverse(), row(t("place.rec"), v.leafHash, "rec"));
    const more = el("details", "small", el("summary", "", t("place.more")), walk);
    step("place", "ok", t("place.ok", { n: (v.index + 1).toLocaleString("ja") }), el("p", "", t("place.p", { h: v.hashes })), more);
  },
  signed(v) {
    const n = v.members.filter((m) => m.time).length;
    step("signed", "ok", t("signed.ok", { n }), el("p", "", t("signed.p", { m: v.members.length, k: v.k })), chips(v.members));
  },
  state(v) {
    const lines = [t("state.p", { name: pick(v.issuer) }), v.personSigned && t("state.person")];
    if (v.status) lines.push(t("state.status", { time: pick(v.status.asOf), state: t("state." + v.status.state) }));
    step("state", "ok", t("state.ok"), el("p", "", lines.filter(Boolean).join(lang === "en" ? " " : "")));
  },
};

function chips(members) {
  return el("ul", "cos", ...members.map((m) => el("li", m.time ? "ok" : "no", icon(m.time ? "ok" : "un"), el("span", "", m.member + (m.time ? "" : t("signed.no"))))));
}

function keys(v, fromServer, seconds) {
  const same = el("button", "btn sm", t("keys.same"));
  same.type = "button";
  same.addEventListener("click", () => {
    step("keys", "ok", t("keys.compared"), el("p", "code", v.number));
    result("ok", t("genuine"), t("genuine.p"), t("took", { s: seconds }));
    items("keys").querySelector("h3").tabIndex = -1;
    items("keys").querySelector("h3").focus();
  });
  step("keys", "un", t("keys.ok"), el("p", "", t(fromServer ? "keys.server" : "keys.given")), el("p", "code", v.number), same);
}

const shipped = [...document.querySelectorAll("#nc>li")];

function notChecked(v) {
  const more = [];
  if (!v.hasStatus) more.push(t("nc.status"));
  more.push(v.opened && v.itemsOpen ? t("nc.truth") : t("nc.sealed"));
  $("#nc").replaceChildren(...shipped, ...more.map((line) => el("li", "", line)));
}

function reset() {
  for (const [name, nodes] of fresh) items(name).replaceChildren(...nodes.map((n) => n.cloneNode(true)));
  $("#nc").replaceChildren(...shipped);
}

// run verifies and draws; it returns the verdict.
async function run(bytes, policy, fromServer) {
  reset();
  result("running", t("running"));
  const began = performance.now();
  const v = await verify(bytes, [policy], async (name, values) => {
    draw[name]?.(values);
    await paint();
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  if (v.result === "match") {
    keys(v.steps.keys, fromServer, seconds);
    result("ok", t("match"), t("match.p"), t("took", { s: seconds }));
    notChecked(v);
    return v;
  }
  const n = STEPS.indexOf(v.step) + 1;
  const h = items(v.step).querySelector("h3").textContent;
  const code = el("p", "small", el("span", "mono", t("code", { code: v.code })));
  if (v.result === "differ") {
    step(v.step, "ng", h, el("p", "", t("differ")), code);
    result("ng", t("differ"), t("differ.p", { n }));
  } else {
    step(v.step, "un", h, el("p", "", t(v.result)), ...(v.result === "notfinal" ? [chips(v.members)] : []), code);
    result("un", t(v.result), t(v.result + ".p"));
  }
  return v;
}

// policyOf reads a policy, or says that it is none.
function policyOf(text) {
  try {
    return parsePolicy(text);
  } catch {
    result("un", t("badpolicy"), t("badpolicy.p"));
    return null;
  }
}

async function fetched(path) {
  const r = await fetch(path, { credentials: "same-origin" });
  if (!r.ok) throw new Error(`${path}: ${r.status}`);
  return new Uint8Array(await r.arrayBuffer());
}

async function receiptPage(path) {
  const claim = $("#claim");
  let bytes;
  let text;
  try {
    [bytes, text] = await Promise.all([fetched(path), fetched("/log/policy")]);
  } catch {
    return result("un", t("nofetch"), t("nofetch.p"));
  }
  const policy = policyOf(new TextDecoder().decode(text));
  if (!policy) return;
  const v = await run(bytes, policy, true);
  const same = v.result === "match" && sameWords(v.human[lang]);
  if (same) claim.textContent = t("claim");
  if (v.result === "differ") claim.textContent = t("claim.ng");
  if (v.result === "match" && !same) {
    claim.textContent = t("claim.ng");
    step("state", "ng", items("state").querySelector("h3").textContent, el("p", "", t("claim.ng")));
    result("ng", t("differ"), t("differ.p", { n: 4 }));
  }
}

// sameWords reports whether the slip, which the server drew, says what was
// derived: the same characters in the same order.
function sameWords(lines) {
  const squeeze = (s) => s.replace(/[\s：:]/g, "");
  const shown = [...document.querySelectorAll(".slip .rows>div")].map((d) => {
    const copy = d.cloneNode(true);
    copy.querySelectorAll(".vh").forEach((e) => e.remove());
    copy.querySelectorAll(".inv").forEach((e) => e.replaceWith(String.fromCodePoint(parseInt(e.textContent.slice(2), 16))));
    return squeeze(copy.textContent);
  });
  const title = squeeze($("#h-slip").textContent);
  return squeeze(lines[0]).endsWith(title) && title !== "" && JSON.stringify(shown) === JSON.stringify(lines.slice(1).map(squeeze));
}

function verifyPage(form) {
  const file = $("#file");
  const policy = $("#policy");
  const words = $("#words");
  let bytes = null;
  let fromServer = false;
  for (const e of form.querySelectorAll("[disabled]")) e.disabled = false;

  const choose = async (f) => {
    const b = new Uint8Array(await f.arrayBuffer());
    const head = new TextDecoder().decode(b.subarray(0, 400));
    if (/^\s*(#|log |witness |group )/.test(head)) {
      policy.value = new TextDecoder().decode(b);
      fromServer = false;
    } else {
      bytes = b;
    }
    if (bytes && policy.value.trim()) await go();
  };
  const go = async () => {
    words.hidden = true;
    if (!bytes || !policy.value.trim()) return result("un", t("choose"));
    const p = policyOf(policy.value);
    if (!p) return;
    const v = await run(bytes, p, fromServer);
    if (v.result !== "match") return;
    words.hidden = false;
    words.querySelector("ul").replaceChildren(...v.human[lang].map((line) => el("li", "", line)));
  };
  file.addEventListener("change", () => file.files[0] && choose(file.files[0]));
  $("#policyfile").addEventListener("change", async (e) => {
    if (!e.target.files[0]) return;
    policy.value = await e.target.files[0].text();
    fromServer = false;
    if (bytes) await go();
  });
  policy.addEventListener("input", () => (fromServer = false));
  $("#ask").addEventListener("click", async () => {
    try {
      policy.value = new TextDecoder().decode(await fetched("/log/policy"));
      fromServer = true;
    } catch {
      result("un", t("nofetch"), t("nofetch.p"));
    }
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    go();
  });
  document.addEventListener("dragover", (e) => {
    e.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", () => form.classList.remove("over"));
  document.addEventListener("drop", async (e) => {
    e.preventDefault();
    form.classList.remove("over");
    for (const f of e.dataTransfer.files) await choose(f);
  });
}

const form = $("#drop");
if (form) verifyPage(form);
else await receiptPage($("[data-check]").dataset.check);

