// LaTeX in a text: found by its delimiters, drawn by the installed MathJax when it comes into view.
// What MathJax does not take is left as it was written.

import { element } from "./dom.js";

const LONGEST = 2000;
const MOST = 3000;
const INLINE = 500;
const ENVIRONMENTS = "equation|align|aligned|gather|gathered|alignat|multline|eqnarray|cases|array|matrix|pmatrix|bmatrix|vmatrix|Vmatrix";
const BEGIN = new RegExp(
  String.raw`\$\$|\$(?=[^\s$])|\\\[|\\\(|\\boxed\s*\{|\\begin\{(${ENVIRONMENTS})\*?\}`, "g");

let isWanted = true;
let loading = null;
let queue = [];
let observer = null;

// Pieces of a text: [text, LaTeX without delimiters or null, whether it stands alone].
export function cutMaths(text) {
  const pieces = [];
  let at = 0;
  let n = 0;
  BEGIN.lastIndex = 0;
  for (let found = BEGIN.exec(text); found && n < MOST; found = BEGIN.exec(text)) {
    const whole = closed(text, found);
    if (!whole || isEscaped(text, found.index)) continue;
    if (found.index > at) pieces.push([text.slice(at, found.index), null, false]);
    pieces.push([text.slice(found.index, whole.end), whole.tex, whole.display]);
    at = whole.end;
    BEGIN.lastIndex = at;
    n += 1;
  }
  if (at < text.length) pieces.push([text.slice(at), null, false]);
  return pieces;
}

function isEscaped(text, at) {
  let n = 0;
  while (at - n > 0 && text[at - n - 1] === "\\") n += 1;
  return n % 2 === 1;
}

function closed(text, found) {
  const opening = found[0];
  const start = found.index;
  const from = start + opening.length;
  const until = (end, display, most) => {
    const at = text.slice(from, from + most + end.length).indexOf(end);
    if (at <= 0) return null;
    return { tex: text.slice(from, from + at), end: from + at + end.length, display };
  };
  if (opening === "$$") return until("$$", true, LONGEST);
  if (opening === "\\[") return until("\\]", true, LONGEST);
  if (opening === "\\(") return until("\\)", false, LONGEST);
  if (opening === "$") return dollars(text, from);
  if (opening.startsWith("\\begin")) {
    const end = opening.replace("begin", "end");
    const inside = until(end, true, LONGEST);
    return inside && { ...inside, tex: text.slice(start, inside.end) };
  }
  return boxed(text, start, from);
}

// One dollar is money as often as maths: the closing one follows no space and precedes no digit.
function dollars(text, from) {
  const line = text.slice(from, from + INLINE).split(/\n\s*\n/)[0];
  for (let at = line.indexOf("$"); at > 0; at = line.indexOf("$", at + 1)) {
    if (isEscaped(line, at)) continue;
    if (/\s/.test(line[at - 1]) || /\d/.test(text[from + at + 1] || "")) return null;
    return { tex: line.slice(0, at), end: from + at + 1, display: false };
  }
  return null;
}

function boxed(text, start, from) {
  let depth = 1;
  for (let at = from; at < Math.min(text.length, from + LONGEST); at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "{") depth += 1;
    else if (text[at] === "}" && (depth -= 1) === 0) {
      if (!text.slice(from, at).trim()) return null; // "put your answer within \boxed{}"
      return { tex: text.slice(start, at + 1), end: at + 1, display: false };
    }
  }
  return null;
}

export function mathsElement(source, tex, display) {
  const made = element("span", { class: display ? "tex display" : "tex", title: source }, source);
  made.tex = { source, tex, display };
  return made;
}

export function setMaths(wanted) { isWanted = wanted; }
export const mathsWanted = () => isWanted;

// Draw what comes into view below an element.
export function watchMaths(root) {
  observer?.disconnect();
  queue = [];
  const found = root.querySelectorAll(".tex");
  if (!isWanted || !found.length) return;
  observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      observer.unobserve(entry.target);
      queue.push(entry.target);
    }
    if (queue.length) load().then(draw, () => {});
  }, { rootMargin: "400px" });
  found.forEach((one) => observer.observe(one));
}

function load() {
  loading ||= new Promise((resolve, reject) => {
    window.MathJax = {
      loader: { load: ["core", "input/tex-full", "output/svg"] },
      startup: { typeset: false, ready() { window.MathJax.startup.defaultReady(); resolve(); } },
      tex: {
        packages: { "[-]": ["noerrors", "noundefined", "require", "autoload", "html", "action", "unicode", "bbox", "setoptions", "textmacros"] },
        maxMacros: 500, maxBuffer: 5000,
        formatError(_, error) { throw error; },
      },
      svg: { fontCache: "none" },
    };
    document.head.append(element("script", { src: "mathjax/startup.js", onerror: reject }));
  });
  return loading;
}

function draw() {
  const ends = performance.now() + 12;
  while (queue.length && performance.now() < ends) drawOne(queue.shift());
  if (queue.length) setTimeout(draw, 0);
}

function drawOne(place) {
  const { source, tex, display } = place.tex;
  try {
    const drawn = window.MathJax.tex2svg(tex, { display }).querySelector("svg");
    if (!drawn || drawn.querySelector("[data-mml-node='merror']")) throw new Error("no maths");
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", source);
    place.replaceChildren(drawn);
    place.classList.add("shown");
  } catch {
    place.classList.add("broken");
    place.title = "MathJax cannot read this; it is shown as it was written";
  }
}
