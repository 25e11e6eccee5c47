/** Questions to the server. Its address is known from this file's, whatever the page's is. */

/** Where the gallery is: this file is at static/DIGEST/api.js below it. */
export const ROOT = new URL("../../", import.meta.url);

/** Where the token is exchanged for a cookie. */
const LOGIN = "api/v1/login";

/** What went wrong, as the server says it. */
export class Problem extends Error {
  constructor(status, { title, detail, position } = {}) {
    super(title || "The gallery does not answer");
    this.status = status;
    this.detail = detail ?? (status ? "" : "Is it running? It is tried again on the next step.");
    this.position = position ?? null;
  }
}

/** Return an address below the gallery; values that are null or empty are left out. */
export function address(path, values = {}) {
  const url = new URL(path, ROOT);
  for (const [key, value] of Object.entries(values)) {
    if (value != null && value !== "") url.searchParams.set(key, value);
  }
  return url.href;
}

async function answer(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  // A wrong token is said where it was typed.
  if (response.status === 401 && url !== address(LOGIN)) location.assign(address("login", { next: next() }));
  const text = await response.text();
  let value = null;
  try {
    value = text && JSON.parse(text);
  } catch { /* a proxy's answer, perhaps */ }
  if (!response.ok) throw new Problem(response.status, value || {});
  return value;
}

function next() {
  return location.href.startsWith(ROOT.href) ? location.href.slice(ROOT.href.length) : "";
}

/** Ask the API. Raises Problem, or AbortError if the signal says so. */
export function ask(path, values, signal) {
  return get(`api/v1/${path}`, values, signal);
}

/** Ask for something beside the API; raises as `ask` does. */
export function get(path, values, signal) {
  return answer(address(path, values), { signal });
}

/** Have something done. Raises Problem. */
export function send(path, body) {
  return answer(address(`api/v1/${path}`), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Return the part of an address that asks: of the query and the order, as they are. */
export function queryOf(q, sort) {
  return { q, sort: sort === "taken" ? "" : sort };
}

/** Return the address of a preview, given that of the thumbnail. */
export function previewOf(thumbnail) {
  return address(thumbnail.replace("/thumbnail", "/preview"));
}
