// Questions to the server that served this page; there is no other.

export async function ask(name, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(key, one);
    }
  }
  let response;
  try {
    response = await fetch(`api/${name}?${query}`, { signal, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer: is `butwait view` still running?");
  }
  if (response.status === 403) {
    throw new Error("this link is of an earlier `butwait view`: use the one it printed now");
  }
  const answer = await response.json();
  if (answer.error) throw new Error(answer.error);
  return answer;
}
