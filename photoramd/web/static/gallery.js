/** The page with all photos: the grid, the search, facets, the selection, one photo above it. */

import { address, ask, get, queryOf } from "./api.js";
import {
  count, debounce, h, isPhone, one, photos as photosText, show, toast, whyReadOnly,
} from "./dom.js";
import { askForTag, edit, onEdited, startTagDialog, undo } from "./edits.js";
import { showFacets } from "./facets.js";
import { Grid } from "./grid.js";
import { aspectsOf } from "./justify.js";
import { bind } from "./keys.js";
import { on } from "./live.js";
import { startPage } from "./page.js";
import { PhotoView, idIn, photoPage } from "./photo.js";
import { Scrubber } from "./scrubber.js";
import { Selection } from "./selection.js";
import { showChips } from "./search.js";
import { Windows } from "./windows.js";

const grid = new Grid(one("#grid"), {
  open: (rank) => open(rank),
  toggle: (rank, isRange) => toggle(rank, isRange),
  toggleDay: (day, check) => toggleDay(day, check),
  hold: (rank) => {
    navigator.vibrate?.(15);
    toggle(rank);
  },
  moved: () => {},
  seen: () => {
    scrubber.follow();
    remember();
  },
});
const scrubber = new Scrubber(one("#scrubber"), grid);
const selection = new Selection(() => showSelection());
const viewer = one("#viewer");
const facets = one("#facets");
const query = { q: "", sort: "taken" };
let windows;
let loading;
let isLeaving = false; // the step back takes a moment

grid.selected = (id) => id !== undefined && selection.has(id);
grid.link = (photo) => photoPage(photo.id, query);

const view = new PhotoView(one("#view"), query, {
  moved: (id, rank) => {
    if (rank === null || !windows) return;
    grid.current = rank;
    grid.reveal(rank);
    grid.refresh();
  },
  turned: (id) => history.replaceState({ ...history.state, viewed: id }, "", photoPage(id, query)),
  close: () => {
    if (isLeaving) return;
    isLeaving = Boolean(history.state?.isAbove);
    if (isLeaving) history.back();
    else closeView(true);
  },
});
viewer.hasKeys = true;
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  view.on.close();
});

/* What is shown, and the address of it. */

function readAddress() {
  const parameters = new URL(location.href).searchParams;
  query.q = parameters.get("q") ?? "";
  query.sort = parameters.get("sort") ?? "taken";
}

/** Show another query, as a step of its own in the history. */
function go(q, sort = query.sort) {
  saveNow();
  history.pushState({}, "", address("", queryOf(q, sort)));
  readAddress();
  selection.clear();
  grid.current = -1;
  search.set(query.q);
  load({ rank: 0, offset: 1e9 });
}

const remember = debounce(250, saveNow);

function saveNow() {
  if (loading) remember();
  if (!grid.layout || viewer.open || loading) return;
  const at = grid.anchor();
  if (at?.rank !== history.state?.at?.rank || at?.offset !== history.state?.at?.offset) {
    history.replaceState({ ...history.state, at }, "");
  }
}

/** Fetch an order and show it. `keep` is a place from `grid.anchor`; an `id` in it is looked for. */
async function load(keep, isAgain = false) {
  loading?.abort();
  const controller = loading = new AbortController();
  const { q, sort } = query;
  if (!isAgain) {
    one("#sort").value = sort;
    document.title = q ? `${q} · photoramd` : "photoramd";
  }
  askFacets(controller.signal);
  try {
    const values = { ...queryOf(q, sort), anchor: keep?.id };
    const layout = await ask("layout", values, controller.signal);
    if (loading !== controller) return;
    loading = null;
    // It may have taken the place of the first load of another query, with as few photos.
    const isShown = shown.q === query.q && shown.sort === query.sort;
    if (isAgain && isShown && windows?.version === layout.version && grid.layout.total === layout.total) {
      windows.renew(...grid.range);
      return;
    }
    showOrder(layout, isAgain && isShown ? placeIn(layout, keep) : keep);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (loading === controller) loading = null;
    showProblem(problem);
  }
}

/** Return the place in a new order of what one looks at, where `keep` was the place when it was asked for. */
function placeIn(layout, keep) {
  const now = grid.anchor(); // one may have scrolled meanwhile
  if (!now || keep?.id == null || layout.anchor == null) return now;
  return { rank: now.rank + layout.anchor - keep.rank, offset: now.offset };
}

let shown = {};

function showOrder(layout, keep, photos) {
  shown = { ...query };
  if (windows?.version !== layout.version) {
    windows?.stop();
    windows = new Windows(queryOf(query.q, query.sort), layout.version, layout.total, {
      loaded: (from, to) => grid.refresh(from, to),
      stale: () => reload(),
      failed: (problem) => toast(problem.message),
    });
    if (photos) windows.seed(photos);
  }
  const hasDays = query.sort === "taken";
  show(one("#first"), false);
  show(one("#empty"), false);
  show(one("#grid"));
  const aspects = aspectsOf(layout.aspects);
  grid.setOrder({ aspects, days: layout.days, hasDays }, windows, keep);
  // A strip of the first photos alone would lead to other places than that of all.
  scrubber.setLayout(aspects.length === layout.total);
  one("#total").textContent = photosText(layout.total);
  if (!layout.total) showEmpty();
}

/** Fetch the order again; the photo at the top stays where it is. */
async function reload() {
  const at = grid.anchor();
  const photo = at && windows.peek(at.rank);
  await load(at && { ...at, id: photo?.id }, true);
}

async function askFacets(signal) {
  try {
    const found = await ask("facets", { q: query.q }, signal);
    showFacets(one(".groups", facets), found, go, query.sort);
    showChips(one("#chips"), found.chips, go, query.sort);
  } catch (problem) {
    // That a query has an error is said where the photos are asked for.
    if (problem.name !== "AbortError" && problem.status !== 400) toast(problem.message);
  }
}

function showProblem(problem) {
  if (problem.position != null || problem.status === 400) search.showProblem(problem);
  else showEmpty(problem.message, problem.detail);
}

/** Say why there is nothing to see: the server knows, and renders it. */
async function showEmpty(title, detail) {
  const place = one("#empty");
  show(one("#grid"), false);
  show(one("#scrubber"), false);
  if (title) {
    place.replaceChildren(h("h2", {}, title), detail ? h("p", {}, detail) : "");
    show(place);
    return;
  }
  const { q } = query;
  const { sentences } = await get("advice", { q }).catch(() => ({ sentences: [] }));
  if (q !== query.q) return; // another query is shown by now
  place.replaceChildren(
    h("h2", {}, query.q ? "No photo is like that" : "No photos yet"),
    ...(query.q ? sentences.map((text) => h("p", {}, text))
      : [h("p", {}, "Photos appear here as soon as the daemon has found them.")]),
    query.q ? h("button", { type: "button", class: "plain", onclick: () => go("") }, "Show all photos") : "",
  );
  show(place);
}

/* One photo, above the grid. */

async function open(rank) {
  const photo = windows.get(rank) ?? await windows.find(rank);
  if (!photo) return;
  saveNow();
  grid.current = rank;
  history.pushState({ isAbove: true, viewed: photo.id }, "", photoPage(photo.id, query));
  openView(photo.id, photo);
}

function openView(id, photo) {
  if (!viewer.open) viewer.showModal();
  view.listen();
  view.show(id, photo);
}

function closeView(isAddressed = false) {
  if (!viewer.open) return;
  viewer.close();
  view.close();
  if (isAddressed) history.replaceState({}, "", address("", queryOf(query.q, query.sort)));
  if (grid.current >= 0) grid.moveTo(grid.current);
}

addEventListener("popstate", ({ state }) => {
  isLeaving = false;
  const id = idIn(location.href);
  if (id !== null) {
    openView(id);
    return;
  }
  const before = { ...query };
  const wasOpen = viewer.open;
  closeView();
  readAddress();
  if (before.q !== query.q || before.sort !== query.sort) {
    search.set(query.q);
    load(state?.at ?? { rank: 0, offset: 1e9 });
  } else if (!wasOpen && state?.at) grid.scrollTo(state.at.rank, state.at.offset);
});

/* The selection. */

async function toggle(rank, isRange = false) {
  if (isRange) await selection.extend(windows, rank);
  else selection.toggle(windows.get(rank) ?? await windows.find(rank), rank);
}

async function toggleDay(day, check) {
  const isSelected = check.getAttribute("aria-checked") !== "true";
  check.setAttribute("aria-checked", isSelected);
  await selection.range(windows, day.rank, day.rank + day.count, isSelected);
}

function showSelection() {
  const { size } = selection;
  show(one("#selection"), size > 0);
  document.body.classList.toggle("selecting", size > 0);
  one("#selected").textContent = `${count(size)} selected`;
  grid.refresh();
  if (!size) {
    for (const check of document.querySelectorAll(".day .check")) {
      check.setAttribute("aria-checked", "false");
    }
  }
}

/** Return the ids of the selected photos, or of the one that keys are for. */
async function chosen() {
  if (selection.size) return [...selection.ids];
  const photo = await windows.find(grid.here);
  return photo ? [photo.id] : [];
}

async function addTag() {
  const ids = await chosen();
  if (ids.length) askForTag(`Add a tag to ${photosText(ids.length)}`, (tag) => edit(ids, { add: [tag] }));
}

async function rejectTag() {
  const ids = await chosen();
  if (ids.length) {
    askForTag(`Take a tag off ${photosText(ids.length)}`, (tag) => edit(ids, { reject: [tag] }));
  }
}

one("#selection").addEventListener("click", (event) => {
  const action = event.target.closest("button")?.dataset.action;
  if (action === "add") addTag();
  else if (action === "reject") rejectTag();
  else if (action === "undo") undo();
  else if (action === "clear") selection.clear();
});

/* Keys. */

function move(to, isSelecting) {
  const from = grid.here;
  // The first step goes to where one is, to show where that is.
  const rank = grid.current < 0 ? from : Math.max(0, Math.min(to(from), windows.total - 1));
  grid.moveTo(rank);
  if (isSelecting) {
    if (selection.last < 0) selection.last = from;
    selection.extend(windows, rank);
  }
}

const steps = {
  ArrowLeft: (rank) => rank - 1, ArrowRight: (rank) => rank + 1,
  ArrowUp: (rank) => grid.layout.vertical(rank, -1),
  ArrowDown: (rank) => grid.layout.vertical(rank, 1),
};
const keys = {
  Enter: (event) => (event.target === document.body && grid.current >= 0 ? open(grid.current) : false),
  Escape: () => (selection.size ? selection.clear() : false),
  x: () => toggle(grid.here),
  ...(whyReadOnly === null && { t: addTag, r: rejectTag, z: () => undo() }),
  s: async () => {
    const photo = await windows.find(grid.here);
    if (!photo) return;
    const { links } = await ask(`photos/${photo.id}`);
    if (links.like) go(links.like, "score");
  },
  i: () => open(grid.here),
  g: () => one("#date-dialog").showModal(),
  m: () => scrubber.leap(1, 7), M: () => scrubber.leap(-1, 7),
  y: () => scrubber.leap(1, 4), Y: () => scrubber.leap(-1, 4),
};
for (const [key, step] of Object.entries(steps)) {
  for (const isSelecting of [false, true]) {
    keys[isSelecting ? `Shift+${key}` : key] = ({ target }) => (!windows?.total
      || target.closest("header, nav, dialog, #scrubber, #selection, .bar") ? false : move(step, isSelecting));
  }
}
bind(keys);

one("#date-dialog form").addEventListener("submit", (event) => {
  const input = one("#date");
  const isGone = scrubber.goToDate(input.value);
  if (isGone) {
    one("#date-dialog").close();
    return;
  }
  event.preventDefault();
  input.setCustomValidity("Write 2024, 2024-05 or 2024-05-04; photos must be in the order of their dates");
  input.reportValidity();
  input.setCustomValidity("");
});

/* Facets: beside the grid, or a sheet on a phone. */

const isBeside = () => document.documentElement.classList.contains("with-facets");

function toggleFacets() {
  if (isPhone()) {
    if (facets.open) facets.close();
    else facets.showModal();
  } else {
    const is = document.documentElement.classList.toggle("with-facets");
    localStorage.setItem("facets", is ? "on" : "off");
    placeFacets();
  }
  sayFacets();
}

/** Open them beside the grid, without the focus that `show` would take. */
function placeFacets() {
  facets.toggleAttribute("open", !isPhone() && isBeside());
  sayFacets();
}

function sayFacets() {
  one("#facets-toggle").setAttribute("aria-expanded", facets.open);
}

facets.addEventListener("close", sayFacets);
for (const button of document.querySelectorAll("[data-toggles=facets]")) {
  button.addEventListener("click", toggleFacets);
}
matchMedia("(max-width: 760px)").addEventListener("change", () => {
  if (facets.open) facets.close();
  placeFacets();
});

/* Begin. */

const search = startPage((q) => go(q));
startTagDialog();
readAddress();
history.scrollRestoration = "manual";
placeFacets();
one("#sort").addEventListener("change", (event) => go(query.q, event.target.value));
onEdited((ids) => {
  windows?.refresh(ids);
  view.refresh();
});
const changed = debounce(300, () => reload());
on("change", changed);

// The first photos came with the page: they are laid out before anything else is fetched.
const first = one("#given");
const at = history.state?.at;
if (first && !at) {
  const { layout, photos } = JSON.parse(first.textContent);
  if (layout.total) showOrder(layout, null, photos);
}
load(at ?? null);
