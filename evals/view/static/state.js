// What is shown, kept in the address after the `#`: the address is the permalink.

export const FILTERS = ["text", "question", "length_min", "length_max", "pass_min", "pass_max"];

export function readState() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const state = { collection: parameters.get("in") || "", filter: {}, row: null, nodes: [] };
  for (const [key, value] of parameters) {
    if (FILTERS.includes(key) || key.startsWith("is.")) state.filter[key] = value;
  }
  const [shard, row] = (parameters.get("row") || "").split(/:(?=\d+$)/);
  if (shard && row !== undefined) state.row = { shard, row: Number(row) };
  state.nodes = (parameters.get("nodes") || "").split(",").filter(Boolean);
  state.whole = parameters.get("steps") === "all";
  return state;
}

export function writeHash(state) {
  const parameters = new URLSearchParams();
  if (state.collection) parameters.set("in", state.collection);
  for (const [key, value] of Object.entries(state.filter)) if (value) parameters.set(key, value);
  if (state.row) parameters.set("row", `${state.row.shard}:${state.row.row}`);
  if (state.nodes?.length) parameters.set("nodes", state.nodes.join(","));
  if (state.whole) parameters.set("steps", "all");
  return "#" + parameters.toString();
}

// A row by itself, without the filter that led to it.
export function permalink(state) {
  return location.href.split("#")[0] + writeHash({ ...state, filter: {} });
}

export function filterKey(state) {
  return writeHash({ collection: state.collection, filter: state.filter });
}

// The server's names: `is.verdict` is the filter by value `verdict`.
export function toQuery(state) {
  const query = { collection: state.collection };
  for (const [key, value] of Object.entries(state.filter)) query[key.replace(/^is\./, "")] = value;
  return query;
}
