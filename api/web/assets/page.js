// The page around verify.js: it draws each step as it is computed, and is the
// only thing that ever says that something matches.
import { $, el, icon, lang, paint, pick, squeeze, t, written } from "./dom.js";
import { keyNumber, parsePolicy, policyEpochs, verify } from "./verify.js";
import { clock } from "./words.js";

// The steps of each form as the server wrote them, to begin again with.
const fresh = new Map([...document.querySelectorAll("template[data-form]")].map((e) => [e.dataset.form, e.content]));
const items = (name) => $(`#steps>li[data-step="${name}"]`);
let shown = $("#steps").dataset.form;

function useSteps(form) {
  shown = form;
  $("#steps").replaceChildren(fresh.get(form).cloneNode(true));
}

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

// heading takes a step's heading with its readings, without what became of the step.
function heading(name) {
  const h = new DocumentFragment();
  h.append(...items(name).querySelector("h3").childNodes);
  h.querySelector(".vh")?.remove();
  return h;
}

const draw = {
  form(v) {
    if (shown !== "receipt" && shown !== "slip") return step("form", "ok", t("file.ok"), el("p", "", t("file.p")));
    step("form", "ok", t("form.ok"), el("p", "", t(v.opened || !v.commitment ? "form.p" : "form.sealed")), el("p", "mono", v.leafHash));
  },
  place(v) {
    if (shown === "handle" || shown === "completeness") return step("place", "ok", t("last.ok"), el("p", "", t("last.p", { n: v.size.toLocaleString("ja"), h: v.hashes })), el("p", "mono", v.leafHash));
    const row = (label, value, className) => el("li", className, el("span", "", label), el("span", "mono", value));
    const walk = el("ol", "walk", row(t("place.top"), v.root, "top"), ...v.path.map((h, i) => row(t("place.next", { i: i + 1 }), h, "sib")).reverse(), row(t("place.rec"), v.leafHash, "rec"));
    const more = el("details", "small", el("summary", "", t("place.more")), walk);
    step("place", "ok", t("place.ok", { n: v.index.toLocaleString("ja") }), el("p", "", t("place.p", { h: v.hashes })), more);
  },
  signed(v) {
    const n = v.members.filter((m) => m.time).length;
    const asOf = el("p", "asof", t("signed.fresh", { time: pick(clock(v.timeMs, v.story)), k: v.k }));
    step("signed", "ok", t("signed.ok", { n }), el("p", "", t("signed.p", { m: v.members.length, k: v.k })), asOf, chips(v.members));
  },
  state(v) {
    const lines = [t("state.p", { name: pick(v.issuer) }), v.personSigned && t("state.person"), v.passkey && t("state.passkey", v.passkey)];
    if (v.status) lines.push(t("state.status", { time: pick(v.status.asOf), state: t("state." + v.status.state) }));
    step("state", "ok", t("state.ok"), el("p", "", lines.filter(Boolean).join(lang === "en" ? " " : "")));
  },
  handles(v) {
    const n = new Set(v.handles.map((h) => h.for)).size;
    const e = v.handles.reduce((sum, h) => sum + h.events, 0);
    step("handles", "ok", t("handles.ok"), el("p", "", t("handles.p", { n, e })), el("p", "", t(v.own ? "handles.own" : "handles.given")));
  },
  handle(v) {
    const [h] = v.handles;
    step("handle", "ok", t(h.kinds || !h.present ? "handle.ok" : "handle.state"), el("p", "", t("handle.p", { e: h.events })));
  },
  conflict() {
    step("conflict", "ok", t("conflict.ok"), el("p", "", t("conflict.p")));
  },
  named(v) {
    step("named", "ok", t("named.ok"), el("p", "", v.signers.length ? t("named.p", { who: v.signers.join(lang === "en" ? ", " : "、") }) : t("named.nobody")));
  },
  erased(v) {
    step("erased", "ok", t("erased.ok"), el("p", "", t("erased.p", { n: v.done.length, m: v.done.length + v.pending.length, k: v.numbers })));
  },
};

function chips(members) {
  return el("ul", "cos", ...members.map((m) => el("li", m.time ? "ok" : "no", icon(m.time ? "ok" : "un"), el("span", "", m.member + (m.time ? "" : t("signed.no"))))));
}

// keys asks the reader to compare: where the keys came from (server, given, or
// given with a chain that leads on from them), and their number.
function keys(number, source, seconds) {
  const same = el("button", "btn sm", t("keys.same"));
  same.type = "button";
  same.addEventListener("click", () => {
    step("keys", "ok", t("keys.compared"), el("p", "code", number));
    result("ok", t("genuine"), t("genuine.p"), t("took", { s: seconds }));
    items("keys").querySelector("h3").tabIndex = -1;
    items("keys").querySelector("h3").focus();
  });
  step("keys", "un", t("keys.ok"), el("p", "", t("keys." + source)), el("p", "code", number), same);
}

const shipped = [...document.querySelectorAll("#nc>li")];

function notChecked(v) {
  const more = [];
  if (v.form === "receipt") {
    if (v.passkey) more.push(t("nc.passkey", v.passkey));
    if (v.passkey?.position) more.push(t("nc.place"));
    if (!v.hasStatus) more.push(t("nc.status"));
    more.push(v.opened && v.itemsOpen ? t("nc.truth") : t("nc.sealed"));
  } else {
    more.push(t("nc." + v.form));
    if (v.form === "completeness" && !v.ownHandles) more.push(t("nc.given"));
  }
  $("#nc").replaceChildren(...shipped, ...more.map((line) => el("li", "", line)));
}

function reset() {
  useSteps(shown);
  $("#nc").replaceChildren(...shipped);
  $("#rows")?.replaceChildren();
}

// run verifies and draws; it returns the verdict.
async function run(bytes, policies, source, secret) {
  reset();
  result("running", t("running"));
  const began = performance.now();
  const onStep = async (name, values, form) => {
    if (form !== shown) useSteps(form);
    draw[name]?.(values);
    await paint();
  };
  const v = await verify(bytes, policies, onStep, secret);
  if (v.form !== shown) useSteps(v.form);
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  if (v.result === "match") {
    keys(source === "chain" ? keyNumber(policies[0]) : v.steps.keys.number, source, seconds);
    result("ok", t("match"), t(v.form === "receipt" ? "match.p" : "match.file"), t("took", { s: seconds }));
    notChecked(v);
    if (v.handles) (await import("./rows.js")).drawHandles($("#rows"), v, { t, pick, el });
    return v;
  }
  const n = v.order.indexOf(v.step) + 1;
  const h = heading(v.step);
  const code = el("p", "small", el("span", "mono", t("code", { code: v.about ? `${v.code} · ${v.about}` : v.code })));
  if (v.result === "differ") {
    const why = v.about ? t("differ.at", { name: v.name ? pick(v.name) : v.about }) : t("differ");
    const later = v.step === "signed" && source !== "server" ? [el("p", "", t("later"))] : [];
    step(v.step, "ng", h, el("p", "", why), ...later, code);
    result("ng", t("differ"), v.about ? why : t("differ.p", { n }));
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

// What a kept file has inside, in the place of a server.
const kept = $("#kept") && JSON.parse($("#kept").textContent);

async function fetched(path) {
  if (kept) return Uint8Array.from(atob(kept[path.startsWith("/log/policy") ? "policy" : "file"]), (c) => c.charCodeAt(0));
  const r = await fetch(path, { credentials: "same-origin" });
  if (!r.ok) throw new Error(`${path}: ${r.status}`);
  return new Uint8Array(await r.arrayBuffer());
}

// policiesFor asks for the policies of a file's own epochs: a later one does not
// count for it.
async function policiesFor(bytes) {
  const epochs = bytes ? policyEpochs(bytes) : [];
  const paths = epochs.length ? epochs.map((e) => `/log/policy/${e}`) : ["/log/policy"];
  return (await Promise.all(paths.map(fetched))).map((b) => new TextDecoder().decode(b));
}

// secretOf reads the person's secret from the page's field: undefined where it
// is empty, null where it is no secret.
function secretOf() {
  const text = $("#secret")?.value.replace(/\s/g, "") ?? "";
  if (!text) return undefined;
  if (/^[0-9a-f]{64}$/i.test(text)) return Uint8Array.from(text.match(/../g), (h) => parseInt(h, 16));
  result("un", t("badsecret"), t("badsecret.p"));
  return null;
}

async function receiptPage(path) {
  const claim = $("#claim");
  let bytes;
  let texts;
  try {
    bytes = await fetched(path);
    texts = await policiesFor(bytes);
  } catch {
    return result("un", t("nofetch"), t("nofetch.p"));
  }
  const policies = texts.map((text) => policyOf(text));
  if (!policies.every(Boolean)) return;
  const again = async () => {
    const secret = secretOf();
    if (secret === null) return;
    const v = await run(bytes, policies, "server", secret);
    if (!grown(path, v)) settle(v, claim);
  };
  $("#own")?.addEventListener("submit", (e) => {
    e.preventDefault();
    again();
  });
  await again();
}

// grown loads the page once more where an erasure's certificate is newer than the
// page: holders attest while a person reads.
function grown(path, v) {
  const key = `grown ${path}`;
  const before = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  if (before || !path.startsWith("/erasures/") || v.result !== "match" || sameWords(v.human[lang])) return false;
  sessionStorage.setItem(key, "1");
  location.reload();
  return true;
}

// settle says whether the words that the server drew are those that were derived.
function settle(v, claim) {
  const same = v.result === "match" && sameWords(v.human[lang]);
  if (same) claim.textContent = t("claim");
  if ($("#said")) $("#said").open = !same && v.result !== "differ"; // what was computed comes first
  if (v.result === "differ") claim.textContent = t("claim.ng");
  if (v.result === "match" && !same) {
    claim.textContent = t("claim.ng");
    const last = v.order.at(-2);
    step(last, "ng", heading(last), el("p", "", t("claim.ng")));
    result("ng", t("differ"), t("differ.p", { n: 4 }));
    $("#rows")?.replaceChildren();
  }
}

// sameWords reports whether the slip, which the server drew, says what was
// derived: the same characters in the same order.
function sameWords(lines) {
  const shown = [...document.querySelectorAll(".slip .rows>div")].map(written);
  const title = squeeze($("#h-slip").dataset.title ?? $("#h-slip").textContent);
  return squeeze(lines[0]).endsWith(title) && title !== "" && JSON.stringify(shown) === JSON.stringify(lines.slice(1).map(squeeze));
}

function verifyPage(form) {
  import("./complete.js"); // now, since this page goes on working without a network
  import("./evidence.js");
  import("./passkey.js");
  import("./slip.js");
  import("./rows.js");
  const chained = import("./chain.js");
  const file = $("#file");
  const policy = $("#policy");
  const slip = $("#slip");
  const words = $("#words");
  let bytes = null;
  let chain = null;
  let fromServer = false;
  const isChain = (b) => /^\s*\{\s*"format":\s*"akashi-policy-chain\//.test(new TextDecoder().decode(b.subarray(0, 200)));
  for (const e of form.querySelectorAll("[disabled]")) e.disabled = false;

  // named says which file is in one of the two places, or that there is none.
  const nameless = $("#n-file").textContent;
  const named = (place, f) => ($("#n-" + place).textContent = f?.name ?? nameless);

  const choose = async (f) => {
    const b = new Uint8Array(await f.arrayBuffer());
    const head = new TextDecoder().decode(b.subarray(0, 400));
    if (/^\s*(#|log |witness |group )/.test(head)) {
      policy.value = new TextDecoder().decode(b);
      fromServer = false;
      named("policyfile", f);
    } else if (isChain(b)) {
      chain = b;
      named("policyfile", f);
    } else {
      bytes = b;
      slip.value = "";
      named("file", f);
    }
    if (bytes && policy.value.trim()) await go();
  };
  const go = async () => {
    words.hidden = true;
    if (!bytes || !policy.value.trim()) return result("un", t("choose"));
    const p = policyOf(policy.value);
    if (!p) return;
    const secret = secretOf();
    if (secret === null) return;
    let policies = [p];
    if (chain) {
      try {
        policies = await (await chained).followChain(chain, policies);
      } catch {
        return result("un", t("badchain"), t("badchain.p"));
      }
    }
    const v = await run(bytes, policies, chain ? "chain" : fromServer ? "server" : "given", secret);
    if (v.result !== "match") return;
    words.hidden = false;
    words.querySelector("ul").replaceChildren(...v.human[lang].map((line) => el("li", "", line)));
  };
  file.addEventListener("change", () => file.files[0] && choose(file.files[0]));
  slip.addEventListener("input", async () => {
    file.value = "";
    named("file");
    const text = slip.value.replace(/[\r\n]/g, ""); // where a field broke its line
    bytes = text ? new TextEncoder().encode(text) : null;
    if (bytes && policy.value.trim()) await go();
  });
  $("#policyfile").addEventListener("change", async (e) => {
    if (!e.target.files[0]) return;
    const b = new Uint8Array(await e.target.files[0].arrayBuffer());
    named("policyfile", e.target.files[0]);
    if (isChain(b)) chain = b;
    else {
      policy.value = new TextDecoder().decode(b);
      fromServer = false;
    }
    if (bytes) await go();
  });
  policy.addEventListener("input", () => (fromServer = false));
  $("#ask").addEventListener("click", async () => {
    try {
      [policy.value] = await policiesFor(bytes);
      fromServer = true;
      if (!chain) named("policyfile");
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

