// The page: what is shown follows the address, and every action changes the address.

import { ask } from "./api.js";
import { byId, element, plural, toast } from "./dom.js";
import { mathsWanted, setMaths } from "./latex.js";
import * as list from "./list.js";
import { showRow } from "./row.js";
import { filterKey, permalink, readState, writeHash } from "./state.js";
import { focusTree, showTree, treeKey } from "./tree.js";

let overview = null;
let state = readState();
let shown = { collection: null, filter: null, row: null };
let links = [];

const about = () => overview.collections.find((one) => one.name === state.collection);
// The state changes at once: the address tells of it later, and the next key may come before that.
const go = (change) => {
  state = { ...state, nodes: [], ...change };
  location.hash = writeHash(state);
};

const actions = {
  copy: async () => {
    const link = permalink(state);
    try {
      await navigator.clipboard.writeText(link);
      toast("Link copied: it works on this machine while this server runs");
    } catch {
      window.prompt("Link to this row", link);
    }
  },
  maths: () => {
    setMaths(!mathsWanted());
    toast(mathsWanted() ? "Maths is drawn" : "Maths is shown as LaTeX");
    shown.row = null;
    refreshRow();
  },
  follow: (link) => {
    const row = link.shard === undefined ? null : { shard: link.shard, row: link.row };
    const isTree = link.label === "Search tree";
    const filter = link.question ? { question: link.question } : {};
    go({ collection: link.collection, filter, row, nodes: isTree ? link.nodes : [] });
  },
  merge: () => go({ nodes: state.nodes, whole: !state.whole }),
};

async function refresh() {
  state = readState();
  if (!about()) state.collection = overview.collections[0].name;
  byId("collection").value = state.collection;
  if (shown.collection !== state.collection) {
    shown = { collection: state.collection, filter: null, row: null };
    const { n_rows, n_shards } = about();
    byId("about").textContent = `${plural(n_rows, "row")} in ${plural(n_shards, "file")}`;
    await list.buildChoices(about(), state);
  }
  list.fillFilter(state);
  const key = filterKey(state);
  const isNewList = shown.filter !== key;
  shown.filter = key;
  const rows = isNewList ? list.findRows(state) : null;
  list.markRow(state.row);
  await refreshRow();
  await rows;
  if (isNewList && !state.row && list.firstRow() && key === shown.filter) openFirst();
}

function openFirst() {
  const { shard, row } = list.firstRow();
  history.replaceState(null, "", writeHash({ ...state, row: { shard, row } }));
  state = readState();
  list.markRow(state.row);
  refreshRow();
}

async function refreshRow() {
  const key = JSON.stringify([state.collection, state.row, state.nodes, state.whole]);
  if (shown.row === key) return;
  shown.row = key;
  if (!state.row) {
    links = [];
    byId("reader").replaceChildren(element("p", { class: "empty" }, "No row is open: choose one, or press j."));
    return;
  }
  byId("reader").setAttribute("aria-busy", "true");
  try {
    const parameters = { collection: state.collection, ...state.row };
    const isTree = about().kind === "tree";
    const found = isTree ? await ask("tree", { ...parameters, merge: state.whole ? "0" : "1" }) : await ask("row", parameters);
    if (shown.row !== key) return; // another row was opened meanwhile
    links = found.links || [];
    if (isTree) showTree(found, state, actions);
    else showRow(found, actions);
    document.title = `${found.id} · ${overview.title}`;
  } catch (error) {
    if (shown.row === key) byId("reader").replaceChildren(element("p", { class: "notice" }, error.message));
  } finally {
    byId("reader").removeAttribute("aria-busy");
  }
}

async function step(by) {
  let next = list.neighbour(state.row, by);
  if (!next && await list.turnPage(state, by)) next = list.firstRow();
  if (next) go({ row: { shard: next.shard, row: next.row } });
}

function turn(by) {
  list.turnPage(state, by).then((turned) => {
    const first = turned && list.firstRow();
    if (first) go({ row: { shard: first.shard, row: first.row } });
  });
}

function escape() {
  if (list.stopScan()) return;
  if (document.activeElement !== document.body) document.activeElement.blur();
}

const KEYS = [
  ["j", "next row", () => step(1)],
  ["k", "previous row", () => step(-1)],
  ["n", "next page", () => turn(1)],
  ["p", "previous page", () => turn(-1)],
  ["/", "search", () => byId("text").select()],
  ["Enter", "read the open row; in the filter: apply it", () => (about().kind === "tree" ? focusTree() : byId("reader").focus())],
  ["t", "search tree of the row; arrow keys go from step to step", () => {
    const link = links.find((one) => one.label === "Search tree");
    if (link) actions.follow(link);
    else if (about().kind === "tree") focusTree();
    else toast("this row has no search tree");
  }],
  ["m", "maths drawn, or as LaTeX", actions.maths],
  ["c", "copy a link to the row", actions.copy],
  ["Esc", "leave a field, stop a scan", escape],
  ["?", "these keys", () => byId("help").showModal()],
];
const ALSO = { ArrowDown: "j", ArrowUp: "k", Escape: "Esc" };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const isField = event.target.closest?.("input, select, textarea");
  if (isField && event.key !== "Escape") return;
  if (treeKey(event.key)) { event.preventDefault(); return; }
  const inReader = event.target.closest?.("#reader");
  if (inReader && event.key.startsWith("Arrow")) return; // scrolls
  if (event.key === "Enter" && event.target.closest?.("button, a, summary, [role='button']")) return;
  const wanted = ALSO[event.key] || event.key;
  const found = KEYS.find(([key]) => key === wanted);
  if (found) { event.preventDefault(); found[2](); }
}

function listen() {
  addEventListener("hashchange", refresh);
  addEventListener("keydown", onKey);
  list.onOpen((row) => {
    go({ row });
    // In a narrow window the row stands below the list.
    if (matchMedia("(max-width: 760px)").matches) byId("reader").scrollIntoView();
  });
  byId("collection").addEventListener("change", (event) => go({ collection: event.target.value, filter: {}, row: null }));
  const apply = () => go({ filter: list.readFilter(state), row: null });
  byId("filter").addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  byId("filter").addEventListener("change", (event) => { if (event.target.id !== "text") apply(); });
  byId("clear").addEventListener("click", () => go({ filter: {}, row: null }));
  byId("question-clear").addEventListener("click", () => {
    const { question: _, ...filter } = state.filter;
    go({ filter, row: null });
  });
  byId("next").addEventListener("click", () => turn(1));
  byId("previous").addEventListener("click", () => turn(-1));
  byId("stop").addEventListener("click", list.stopScan);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("reader").focus(); });
}

function showNotes() {
  const notes = [...overview.notes];
  if (!overview.has_maths) {
    setMaths(false);
    notes.push("MathJax is not installed (pip install 'butwait[view]'): LaTeX is shown as it is written");
  }
  byId("notes").hidden = !notes.length;
  byId("notes").querySelector("summary").textContent = notes.length === 1 ? notes[0] : `${notes.length} notes: ${notes[0]}`;
  byId("notes").querySelector("ul").replaceChildren(...notes.slice(notes.length === 1 ? 1 : 0, 200).map((note) => element("li", {}, note)));
}

async function start() {
  listen();
  byId("keys").append(...KEYS.flatMap(([key, meaning]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, meaning)]));
  try {
    overview = await ask("overview");
  } catch (error) {
    list.showError(error.message);
    return;
  }
  document.title = byId("title").textContent = overview.title;
  byId("collection").append(...overview.collections.map((one) => element("option", { value: one.name }, `${one.name} (${one.n_rows.toLocaleString("en")})`)));
  showNotes();
  await refresh();
}

start();
