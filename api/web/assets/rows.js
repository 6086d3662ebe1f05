// Rows of a person's handles, drawn from what was derived: one square for each
// record, and a dashed one for the next, which is proven not to exist.

const MANY = 60; // records; beyond, one bar with the number

export function drawHandles(into, v, { t, pick, el }) {
  if (!into) return;
  const groups = Map.groupBy ? Map.groupBy(v.handles, (h) => h.for) : group(v.handles);
  const rows = [...groups.values()].map((handles) => row(handles, { t, pick, el }));
  const order = (li) => (li.classList.contains("none") ? 1 : 0);
  into.replaceChildren(...rows.sort((a, b) => order(a) - order(b)));
}

function group(handles) {
  const out = new Map();
  for (const h of handles) out.set(h.for, [...(out.get(h.for) ?? []), h]);
  return out;
}

// row draws one service or party with all generations of the handle.
function row(handles, { t, pick, el }) {
  const events = handles.reduce((n, h) => n + h.events, 0);
  const kinds = handles.flatMap((h) => h.kinds ?? []);
  const now = handles.findLast((h) => h.present);
  const name = pick(handles[0].name ?? { ja: t("row.handle"), en: t("row.handle") });
  const li = el("li", events ? "" : "none", el("div", "row-h", el("h2", "", el("bdi", "", name)), el("p", "num", events ? t("row.events", { n: events }) : t("row.none"))));
  li.append(squares(events, kinds, { t, el }));
  if (now && now.state !== "active") li.append(el("p", "small muted", t("state." + now.state)));
  for (const s of now?.scopes ?? []) {
    const until = s.state === "active" && s.expiry ? t("row.until", { day: new Date(s.expiry * 86400_000).toISOString().slice(0, 10) }) : "";
    li.append(el("p", "scope small", el("span", "", el("bdi", "", pick(s.label))), el("b", s.state === "active" ? "on" : "off", t("state." + s.state) + until)));
  }
  return li;
}

function squares(n, kinds, { t, el }) {
  const box = el("p", n > MANY ? "sqs bar" : "sqs");
  if (n > MANY) box.append(el("i", "long"));
  else for (let i = 0; i < n; i++) box.append(Object.assign(el("i", ""), { title: kinds[i] ?? "" }));
  box.append(el("i", "next"), el("span", "vh", t("row.squares", { n })));
  return box;
}
