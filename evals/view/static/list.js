// The filter and the list of one page of rows; a scan goes on until the page is full.

import { ask } from "./api.js";
import { byId, element, plural, verdictClass, visible } from "./dom.js";
import { toQuery } from "./state.js";

const PAGE = 50;
let page = { rows: [], next: null, cursors: [null], scanned: 0, total: 0 };
let running = null;
let open = () => {};

export function onOpen(callback) { open = callback; }

export function stopScan() {
  if (!running) return false;
  running.abort();
  return true;
}

export async function buildChoices(about, state) {
  const values = await ask("values", { collection: about.name });
  const box = byId("choices");
  box.replaceChildren();
  for (const name of about.choices) {
    const known = values.known[name];
    const id = `choice-${name}`;
    let field;
    if (known) {
      field = element("select", { id, name: `is.${name}` }, element("option", { value: "" }, "any"),
        ...known.map((value) => element("option", { value }, value.replaceAll("_", " "))));
    } else {
      field = element("input", { id, name: `is.${name}`, list: `${id}-list`, placeholder: "any" });
    }
    const seen = element("datalist", { id: `${id}-list` },
      ...(values.seen[name] || []).map((value) => element("option", { value })));
    const label = name[0].toUpperCase() + name.slice(1);
    box.append(element("label", { for: id }, label, field, known ? null : seen));
  }
  byId("length").hidden = !about.has_length;
  byId("pass").hidden = !about.has_pass_rate;
  fillFilter(state);
}

export function fillFilter(state) {
  for (const field of byId("filter").elements) {
    if (field.name) field.value = state.filter[field.name] || "";
  }
  byId("question-only").hidden = !state.filter.question;
  byId("question-only").querySelector("code").textContent = state.filter.question || "";
}

export function readFilter(state) {
  const filter = {};
  for (const field of byId("filter").elements) {
    if (field.name && field.value.trim()) filter[field.name] = field.value.trim();
  }
  if (state.filter.question) filter.question = state.filter.question;
  return filter;
}

export async function findRows(state, cursors = [null]) {
  stopScan();
  const mine = new AbortController();
  running = mine;
  const cursor = cursors[cursors.length - 1];
  page = { rows: [], next: cursor, cursors, scanned: 0, total: 0 };
  byId("list").replaceChildren();
  byId("stop").hidden = false;
  const notes = new Set();
  try {
    do {
      const parameters = { ...toQuery(state), cursor: page.next, limit: PAGE - page.rows.length };
      const found = await ask("rows", parameters, mine.signal);
      found.notes.forEach((note) => notes.add(note));
      page.rows.push(...found.rows);
      Object.assign(page, { next: found.next, scanned: found.scanned, total: found.total });
      found.rows.forEach((row) => byId("list").append(item(row, state)));
      tellStatus(true, notes);
    } while (page.next && page.rows.length < PAGE);
    tellStatus(false, notes);
  } catch (error) {
    if (running !== mine) return; // another scan has begun
    if (error.name === "AbortError") tellStatus(false, notes, "stopped");
    else showError(error.message);
  } finally {
    if (running === mine) {
      running = null;
      byId("stop").hidden = true;
      byId("progress").hidden = true;
    }
  }
  byId("previous").disabled = page.cursors.length < 2;
  byId("next").disabled = !page.next;
  markRow(state.row);
}

export function showError(text) {
  byId("status").className = "error";
  byId("status").textContent = text;
}

function tellStatus(goesOn, notes, more = "") {
  const { rows, scanned, total, cursors } = page;
  const which = cursors.length > 1 ? `Page ${cursors.length}: ` : "";
  const found = page.next || cursors.length > 1 ? plural(rows.length, "row") : `${plural(rows.length, "row")} in all`;
  const said = [`${which}${found}`, `scanned ${scanned.toLocaleString("en")} of ${total.toLocaleString("en")} rows`];
  if (more) said.push(more);
  byId("status").className = notes.size ? "error" : "";
  byId("status").textContent = [said.join(", "), ...notes].join(" · ");
  byId("progress").hidden = !goesOn;
  byId("progress").value = total ? scanned / total : 1;
}

function item(row, state) {
  const tags = [];
  if (row.values.verdict) {
    tags.push(element("span", { class: `tag ${verdictClass(row.values.verdict)}` }, row.values.verdict.replaceAll("_", " ")));
  }
  for (const [name, value] of Object.entries(row.values)) {
    if (name !== "verdict") tags.push(element("span", { class: "tag", title: name }, ...visible(value.replaceAll("_", " ").slice(0, 60))));
  }
  if (row.pass_rate !== null) tags.push(element("span", { class: "tag" }, `pass ${row.pass_rate.toFixed(2)}`));
  if (row.length !== null) tags.push(element("span", { class: "tag" }, `${row.length.toLocaleString("en")} ch.`));
  for (const [name, value] of Object.entries(row.badges)) {
    const said = name === "n_transitions" ? plural(value, "transition") : name === "sample_index" ? `#${value}` : String(value);
    if (!Object.values(row.values).includes(value)) tags.push(element("span", { class: "tag", title: name }, ...visible(said.slice(0, 60))));
  }
  const id = `row-${row.shard}-${row.row}`;
  return element("li", {
    id, role: "option", "aria-selected": "false", "data-shard": row.shard, "data-row": row.row,
    onclick: () => open({ shard: row.shard, row: row.row }),
  }, element("div", { class: "label", dir: "auto" }, ...visible(row.label || row.id)),
  element("div", { class: "tags" }, ...tags));
}

export function markRow(row) {
  byId("list").removeAttribute("aria-activedescendant");
  for (const line of byId("list").children) {
    const isIt = Boolean(row) && line.dataset.shard === row.shard && Number(line.dataset.row) === row.row;
    line.setAttribute("aria-selected", String(isIt));
    if (isIt) {
      byId("list").setAttribute("aria-activedescendant", line.id);
      line.scrollIntoView({ block: "nearest" });
    }
  }
}

// The row before or after the marked one; null at the end of the page.
export function neighbour(row, step) {
  const at = row ? page.rows.findIndex((r) => r.shard === row.shard && r.row === row.row) : -1;
  if (at < 0) return step > 0 ? page.rows[0] || null : null;
  return page.rows[at + step] || null;
}

export const firstRow = () => page.rows[0] || null;

export async function turnPage(state, step) {
  if (running) return false;
  if (step > 0 && page.next) await findRows(state, [...page.cursors, page.next]);
  else if (step < 0 && page.cursors.length > 1) await findRows(state, page.cursors.slice(0, -1));
  else return false;
  return true;
}
