// One row: its texts with coloured parts, and beside them what was compared and where it is from.

import { byId, element, plural, verdictClass, visible } from "./dom.js";
import { cutMaths, mathsElement, mathsWanted, watchMaths } from "./latex.js";

const ROLES = { path: "path", wrong_branch: "wrong branch", transition: "transition", answer: "answer", shared: "shared beginning" };

export function showRow(row, actions) {
  const reader = byId("reader");
  const main = element("div", {});
  row.notes.forEach((note) => main.append(element("p", { class: "notice" }, note)));
  if (row.question) {
    main.append(element("h3", {}, "Question"),
      element("div", { class: "question", dir: "auto" }, ...withMaths(row.question)));
  }
  main.append(...row.texts.flatMap((text) => textBlock(text)));
  const parts = [element("h2", {}, ...visible(String(row.id))), buttons(row, actions),
    element("div", { class: "columns" }, main, aside(row))];
  reader.replaceChildren(...parts);
  reader.scrollTop = 0;
  watchMaths(reader);
}

export function withMaths(text) {
  if (!mathsWanted()) return visible(text);
  return cutMaths(text).flatMap(([source, tex, display]) => (
    tex === null ? visible(source) : [mathsElement(source, tex, display)]));
}

function buttons(row, actions) {
  return element("div", { class: "actions" },
    element("button", { type: "button", onclick: actions.copy }, "Copy link ", element("kbd", {}, "c")),
    element("button", { type: "button", onclick: actions.maths, "aria-pressed": String(mathsWanted()) }, "Maths ", element("kbd", {}, "m")),
    ...row.links.map((link) => element("button", { type: "button", class: "link", onclick: () => actions.follow(link) },
      `${link.label} `, link.label === "Search tree" ? element("kbd", {}, "t") : null)));
}

function textBlock(text) {
  const roles = [...new Set(text.parts.map((part) => part.role).filter((role) => role))];
  const block = element("div", { class: "text", dir: "auto" }, ...text.parts.map((part) => partElement(part, roles.length > 0)));
  return [element("h3", {}, `${text.title} · ${plural(text.length, "character")}`),
    roles.length > 1 ? legend(roles) : null, block,
    text.cut ? element("p", { class: "notice" }, `The text goes on: it has ${plural(text.length, "character")}.`) : null,
  ].filter(Boolean);
}

function legend(roles) {
  return element("div", { class: "text" }, element("ul", { class: "legend" },
    ...roles.map((role) => element("li", {}, element("span", { "data-role": role }, ROLES[role] || role)))));
}

function partElement(part, isLabelled) {
  const isStep = part.note !== undefined;
  return element("span", {
    "data-role": part.role, class: [part.role || !isLabelled ? "" : "plain", isStep ? "step" : ""].join(" ").trim() || null,
    title: part.role ? ROLES[part.role] : null,
  }, isStep && part.note ? element("span", { class: "note" }, ...visible(part.note)) : null, ...withMaths(part.text));
}

function aside(row) {
  const facts = element("dl", { class: "facts" });
  for (const [name, label, value] of row.facts) {
    facts.append(element("dt", {}, label), element("dd", { class: name === "verdict" ? verdictClass(value) : null }, ...factValue(name, value)));
  }
  const origin = element("dl", { class: "origin" });
  for (const [name, value] of row.provenance) {
    origin.append(element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, ...visible(String(value))));
  }
  const place = element("dl", { class: "origin" }, element("dt", {}, "file"), element("dd", {}, row.shard),
    element("dt", {}, "row"), element("dd", {}, String(row.row)));
  return element("aside", { "aria-label": "Answers and provenance" },
    row.facts.length ? element("h3", {}, "Answers") : null, facts,
    row.provenance.length ? element("h3", {}, "Provenance") : null, origin, element("h3", {}, "Place"), place);
}

function factValue(name, value) {
  if (name === "pass_rate" && typeof value === "number") return [value.toFixed(3)];
  if (["verdict", "flow", "reason", "failure"].includes(name)) return visible(String(value).replaceAll("_", " "));
  const text = String(value);
  const isMaths = ["answer", "gold", "extracted", "first_answer"].includes(name) && /[\\^_{]/.test(text) && !text.includes("$");
  if (isMaths && mathsWanted() && text.length < 500) return [mathsElement(text, text, false)];
  return withMaths(text);
}
