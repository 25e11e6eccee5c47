/** What the server says by itself: how the daemon is, that photos changed, how edits go. */

import { ROOT, address } from "./api.js";
import { all, count, one } from "./dom.js";

const listeners = { status: [], change: [], edit: [] };
let source;
let wait = 1000;

/** Call a function with what comes with an event: "status", "change" or "edit". */
export function on(name, call) {
  listeners[name].push(call);
}

function connect() {
  if (source || document.hidden) return;
  source = new EventSource(new URL("api/v1/events", ROOT));
  source.addEventListener("open", () => { wait = 1000; });
  for (const name of Object.keys(listeners)) {
    source.addEventListener(name, (event) => {
      const value = JSON.parse(event.data);
      for (const call of listeners[name]) call(value);
    });
  }
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    // Refused, as where too many listen: the browser does not try that again, but this does.
    source = null;
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 60_000);
  });
}

function disconnect() {
  source?.close();
  source = null;
}

/** Listen while the page is looked at: browsers have six connections to a server for all tabs. */
export function start() {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
  on("status", showStatus); // the first one came with the page
}

/** Return how the daemon is: {state, text, title}. */
export function statusText(status) {
  if (!status.running) {
    return {
      state: "off", text: "not running",
      title: document.body.dataset.stopped, // how to start it depends on where it runs
    };
  }
  if (!status.pending) {
    return { state: "idle", text: "up to date", title: "Every photo is tagged" };
  }
  const rate = status.photos_a_minute ? ` · ${count(Math.round(status.photos_a_minute))}/min` : "";
  return {
    state: "busy", text: `${count(status.pending)} waiting${rate}`,
    title: "The daemon is tagging photos",
  };
}

let spoken = "";

function showStatus(status) {
  const { state, text, title } = statusText(status);
  for (const place of all(".daemon")) {
    place.dataset.state = state;
    place.title = title;
    one(".text", place).textContent = text;
  }
  // Said aloud only when it begins or ends, not with each photo.
  if (spoken !== state) {
    if (spoken) one("#said").textContent = `The daemon is ${text}`;
    spoken = state;
  }
  const failed = one("#failed-count");
  if (failed) {
    failed.textContent = status.failed ? count(status.failed) : "";
    failed.hidden = !status.failed;
  }
}

/** Return the address of a page that shows a query. */
export const pageOf = (q, sort) => address("", { q, sort: sort === "taken" ? "" : sort });
