// A search tree as a drawing: steps to the right, dead branches grey, the path of a row thick.

import { byId, element, plural, vector, verdictClass, visible } from "./dom.js";
import { withMaths } from "./row.js";
import { watchMaths } from "./latex.js";

const WIDE = 236;
const HIGH = 54;
const BOX = { width: 196, height: 44 };
const LETTERS = 27;
const SIZES = ["100", "60", "35"];
let shown = null;
let size = "100";

export function showTree(tree, state, actions) {
  shown = { tree, current: null, row: pickRow(tree, state.nodes) };
  const reader = byId("reader");
  const picture = element("div", { class: "tree-box" });
  reader.replaceChildren(
    element("h2", {}, ...visible(`Search tree of ${tree.id}`)),
    tools(tree, state, actions),
    legend(),
    picture,
    element("div", { class: "columns" }, element("div", { id: "step" }), aside(tree)),
  );
  draw(picture);
  reader.scrollTop = 0;
  const first = tree.selected ?? 0;
  if (tree.nodes.length) {
    select(first, false);
    centre(picture, tree.nodes[first]);
  }
  else picture.append(element("p", { class: "empty" }, "The search has no steps."));
}

// A large tree opens where its answer is.
function centre(picture, node) {
  const scale = Number(size) / 100;
  picture.scrollTo(scale * (node.x * WIDE + BOX.width / 2) - picture.clientWidth / 2,
    scale * (node.y * HIGH + BOX.height / 2) - picture.clientHeight / 2);
}

function pickRow(tree, nodes) {
  const wanted = nodes.map(Number);
  const holds = (row) => wanted.length && wanted.every((n) => row.nodes.some((i) => tree.nodes[i].numbers.includes(n)));
  return tree.rows.find(holds) || tree.rows.find((row) => row.nodes.length) || null;
}

function tools(tree, state, actions) {
  const rows = tree.rows.filter((row) => row.nodes.length);
  const pick = element("select", { id: "tree-row", onchange: (event) => {
    shown.row = event.target.value === "" ? null : rows[Number(event.target.value)];
    draw(byId("reader").querySelector(".tree-box"));
  } }, element("option", { value: "" }, "no row"), ...rows.map((row, i) => element("option",
    { value: i, selected: row === shown.row }, `${row.collection}: ${row.id}`)));
  const zoom = element("select", { id: "tree-size", onchange: (event) => {
    size = event.target.value;
    const picture = byId("reader").querySelector(".tree-box");
    draw(picture);
    centre(picture, tree.nodes[shown.current]);
  } }, ...SIZES.map((one) => element("option", { value: one, selected: one === size }, `${one} %`)));
  const open = element("button", { type: "button", onclick: () => shown.row && actions.follow(shown.row) }, "Open this row");
  return element("div", { class: "tools" },
    element("button", { type: "button", onclick: actions.copy }, "Copy link ", element("kbd", {}, "c")),
    element("label", {}, element("input", { type: "checkbox", checked: !state.whole, onchange: actions.merge }), " equal steps as one"),
    element("label", { for: "tree-size" }, "Size ", zoom),
    rows.length ? element("label", { for: "tree-row" }, "Path of row ", pick) : element("span", { class: "empty" }, "no published row grew from it"),
    rows.length ? open : null,
    tree.n_drawn < tree.n_nodes ? element("span", { class: "notice" }, `the first ${tree.n_drawn} of ${tree.n_nodes} steps are drawn`) : null);
}

function legend() {
  const said = [["wrong_branch", "✗ wrong"], ["answer", "✓ right"]];
  return element("div", { class: "text" }, element("ul", { class: "legend" },
    ...said.map(([role, text]) => element("li", {}, element("span", { "data-role": role }, text))),
    element("li", {}, "★ the search's answer"), element("li", {}, "grey, dashed: dead branch"),
    element("li", {}, "thick: became the row"), element("li", {}, "number: process reward")));
}

function draw(picture) {
  const { tree, row } = shown;
  const onPath = new Set(row ? row.nodes : []);
  const width = WIDE * (1 + Math.max(0, ...tree.nodes.map((node) => node.x)));
  const height = HIGH * (1 + Math.max(0, ...tree.nodes.map((node) => node.y))) + 12;
  const svg = vector("svg", { width: width * Number(size) / 100, height: height * Number(size) / 100, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Search tree; arrow keys go from step to step" });
  for (const node of tree.nodes) if (node.parent !== null) svg.append(edge(node, tree.nodes[node.parent], onPath));
  for (const node of tree.nodes) svg.append(box(node, onPath));
  picture.replaceChildren(svg);
  if (shown.current !== null) mark(shown.current, false);
}

function edge(node, parent, onPath) {
  const x0 = parent.x * WIDE + 8 + BOX.width;
  const y0 = parent.y * HIGH + 8 + BOX.height / 2;
  const x1 = node.x * WIDE + 8;
  const y1 = node.y * HIGH + 8 + BOX.height / 2;
  const bend = (x0 + x1) / 2;
  const isRow = onPath.has(node.id) && onPath.has(parent.id);
  return vector("path", { d: `M${x0} ${y0}C${bend} ${y0} ${bend} ${y1} ${x1} ${y1}`, class: isRow ? "row" : node.dead ? "dead" : "live" });
}

function box(node, onPath) {
  const kinds = [node.verdict === "correct" ? "right" : node.verdict === "incorrect" ? "wrong" : "", node.dead ? "dead" : "", onPath.has(node.id) ? "row" : ""];
  const text = node.text.trim().replace(/\s+/g, " ").replace(/[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "·") || "(empty)";
  const short = [...text].length > LETTERS ? [...text].slice(0, LETTERS - 1).join("") + "…" : text;
  const mark = (node.verdict === "correct" ? "✓ " : node.verdict === "incorrect" ? "✗ " : "") + (node.selected ? "★ " : "");
  const score = node.score === null ? "–" : node.score.toFixed(3);
  const times = node.n > 1 ? ` ×${node.n}` : "";
  const group = vector("g", {
    transform: `translate(${node.x * WIDE + 8} ${node.y * HIGH + 8})`, class: kinds.filter(Boolean).join(" "), role: "button", tabindex: "-1",
    "data-node": node.id, "aria-label": `step ${node.x + 1}: ${text.slice(0, 100)}. Score ${score}. ${fates(node)}${node.dead ? ", dead branch" : ""}${onPath.has(node.id) ? ", became the row" : ""}`,
  },
  vector("rect", { class: "box", rx: 6, ...BOX }),
  vector("rect", { class: "bar", x: 8, y: BOX.height - 6, height: 3, rx: 1, width: Math.max(1, (BOX.width - 16) * (node.score ?? 0)) }),
  vector("text", { x: 8, y: 16 }, short),
  vector("text", { x: 8, y: 32, class: "score" }, `${mark}${score}${node.dead ? "" : times} ${node.dead ? fates(node) : ""}`.slice(0, 30)));
  group.addEventListener("click", () => select(node.id, true));
  return group;
}

const fates = (node) => Object.entries(node.fates).map(([fate, n]) => (node.n > 1 ? `${n} ${fate}` : fate)).join(", ");

function mark(id, focus) {
  const picture = byId("reader").querySelector(".tree-box");
  for (const group of picture.querySelectorAll("g[data-node]")) {
    const isIt = Number(group.dataset.node) === id;
    group.setAttribute("tabindex", isIt ? "0" : "-1");
    group.setAttribute("aria-current", String(isIt));
    if (isIt && focus) {
      group.focus({ preventScroll: true });
      group.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }
}

function select(id, focus) {
  shown.current = id;
  mark(id, focus);
  const node = shown.tree.nodes[id];
  const before = [];
  for (let at = node.parent; at !== null; at = shown.tree.nodes[at].parent) before.unshift(shown.tree.nodes[at]);
  const facts = [["score of the prefix", node.score], ["score of the step", node.step_score], ["log-weight", node.log_weight],
    ["log-probability", node.log_prob], ["tokens", node.n_tokens], ["fate", fates(node)], ["extracted", node.extracted],
    ["nodes", node.numbers.join(", ")]].filter(([, value]) => value !== null && value !== "");
  byId("step").replaceChildren(
    element("h3", {}, `Step ${node.x + 1} and what it continues`),
    element("div", { class: "text", dir: "auto" },
      ...before.map((one) => element("span", { class: "plain" }, ...withMaths(one.text))),
      element("span", { "data-role": node.verdict === "incorrect" ? "wrong_branch" : node.verdict === "correct" ? "answer" : "path" }, ...withMaths(node.text))),
    element("p", { class: verdictClass(node.verdict || "") }, node.verdict || ""),
    element("p", { class: "empty" }, facts.map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`).join(" · ")));
  watchMaths(byId("reader"));
}

function aside(tree) {
  const votes = element("dl", { class: "facts" });
  for (const vote of tree.votes) votes.append(element("dt", {}, `${(100 * vote.weight).toFixed(1)} %, ${vote.n} ×`), element("dd", {}, ...withMaths(vote.answer)));
  const about = element("dl", { class: "origin" });
  for (const [name, value] of tree.about) about.append(element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, ...visible(String(value))));
  return element("aside", { "aria-label": "Question, votes and provenance" },
    tree.question ? element("h3", {}, "Question") : null,
    tree.question ? element("div", { class: "question", dir: "auto" }, ...withMaths(tree.question)) : null,
    element("h3", {}, "Gold answer"), element("div", {}, ...(tree.gold === null ? ["not known here"] : withMaths(String(tree.gold)))),
    element("h3", {}, "Votes"), votes, element("h3", {}, `Search of ${plural(tree.n_nodes, "step")}`), about);
}

// Arrow keys inside the drawing; returns whether the key meant something.
export function treeKey(key) {
  const at = document.activeElement?.closest?.("g[data-node]");
  if (!at || !shown) return false;
  const node = shown.tree.nodes[Number(at.dataset.node)];
  const children = shown.tree.nodes.filter((one) => one.parent === node.id);
  const level = shown.tree.nodes.filter((one) => one.x === node.x).sort((a, b) => a.y - b.y);
  const place = level.indexOf(node);
  const target = { ArrowLeft: shown.tree.nodes[node.parent], ArrowRight: children[0], ArrowUp: level[place - 1], ArrowDown: level[place + 1] }[key];
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)) return false;
  if (target) select(target.id, true);
  return true;
}

export function focusTree() {
  byId("reader").querySelector("g[data-node][tabindex='0']")?.focus({ preventScroll: true });
}
