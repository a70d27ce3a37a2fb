// Elements from data: every text is set as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function vector(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Characters that reorder or hide what is read are shown by their number.
const HIDDEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff])/;

export function visible(text) {
  return text.replace(/\r\n/g, "\n").split(HIDDEN).map((piece, i) => (i % 2 ? mark(piece) : piece));
}

function mark(character) {
  const code = "U+" + character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return element("span", { class: "ctl", title: `invisible character ${code}` }, code);
}

export const plural = (n, one, more = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

export function verdictClass(verdict) {
  if (verdict === "correct") return "good";
  return verdict === "incorrect" ? "bad" : "open";
}

let toastTimer = 0;

export function toast(text) {
  byId("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId("toast").textContent = ""; }, 3000);
}
