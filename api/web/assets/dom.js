// What the modules of pages have in common: the language, its texts, and elements.
export const lang = document.documentElement.lang === "en" ? "en" : "ja";
const wording = document.documentElement.dataset.texts;
const { default: texts } = await import(`./text-${wording}.js`);
export const t = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
export const pick = (text) => (lang === "en" && text.en) || text.ja;
export const $ = (selector) => document.querySelector(selector);

export function el(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

export function icon(name, className = "i") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#i-" + name);
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const paint = () => new Promise((done) => setTimeout(done));

// squeeze leaves out what texts are laid out with.
export const squeeze = (s) => s.replace(/[\s：:]/g, "");

// written is what an element says, with the characters that the server only names.
export function written(e) {
  const copy = e.cloneNode(true);
  copy.querySelectorAll(".vh, rp, rt").forEach((x) => x.remove());
  copy.querySelectorAll(".inv").forEach((x) => x.replaceWith(String.fromCodePoint(parseInt(x.textContent.slice(2), 16))));
  return squeeze(copy.textContent);
}
