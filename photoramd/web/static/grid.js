/** The grid: only what is near the screen is in the page, and its elements are used again. */

import { address } from "./api.js";
import { count, h, icon, isPhone, photos as photosText } from "./dom.js";
import { justify } from "./justify.js";
import { Scale } from "./scale.js";

const OVERSCAN = 0.6; // of a screen, above and below
const BASE = 100_000; // positions are given from a multiple of this, to stay exact

const LONG = new Intl.DateTimeFormat("en-GB",
  { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const SHORT = new Intl.DateTimeFormat("en-GB",
  { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const SHORTEST = new Intl.DateTimeFormat("en-GB",
  { day: "numeric", month: "short", year: "2-digit", timeZone: "UTC" });

/**
 * Return a day as people write it.
 *
 * "Saturday, 4 May 2024"; "4 May 2024" and "4 May 24" where it is so many pixels narrow.
 */
export function dayText(date, width = Infinity) {
  if (date === null) return width < 300 ? "No date" : "Without a date";
  const day = new Date(`${date.slice(0, 10)}T00:00:00Z`);
  return (width < 140 ? SHORTEST : width < 300 ? SHORT : LONG).format(day).replace(/^(\w+day) /, "$1, ");
}

export class Grid {
  /**
   * @param root The element that photos are shown in.
   * @param on {open(rank), toggle(rank, isRange), toggleDay(day), hold(rank), moved(rank), seen()}
   */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.scale = new Scale();
    this.spacer = h("div", { class: "spacer" });
    this.layer = h("div", { class: "layer" });
    this.spacer.append(this.layer);
    this.tiles = new Map(); // rank -> element
    this.headings = new Map(); // day -> element
    this.spare = [];
    this.current = -1;
    this.base = 0;
    this.covered = 0;
    this.range = [0, 0];
    this.direction = 1;
    this.isFlying = false;
    this.frame = 0;
    this.selected = () => false;
    this.link = (photo) => `p/${photo.id}`;
    root.replaceChildren(this.spacer);
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    addEventListener("scrollend", () => this.rest());
    new ResizeObserver(() => this.resized()).observe(root);
    addEventListener("resize", () => this.resized());
    this.listen();
  }

  /** Show an order of photos; `keep` is a place from `anchor`, with the rank it has now. */
  setOrder({ aspects, days, hasDays }, windows, keep) {
    Object.assign(this, { aspects, days, hasDays, windows });
    this.current = Math.min(this.current, aspects.length - 1);
    this.arrange(keep);
  }

  arrange(keep) {
    const isFocused = this.root.contains(document.activeElement?.closest?.(".tile") ?? null);
    this.width = this.root.clientWidth;
    const phone = isPhone();
    const target = phone ? Math.max(110, this.width / 3.4) : this.width < 1100 ? 190 : 224;
    const size = {
      width: this.width, target, gap: phone ? 3 : 5, heading: this.hasDays ? (phone ? 44 : 50) : 0,
    };
    this.layout = justify(this.aspects, this.days, size);
    this.clear();
    this.measure();
    if (keep) this.scrollTo(keep.rank, keep.offset);
    else this.follow();
    // The tile that had the focus is another photo's now, or nobody's.
    if (isFocused) this.tiles.get(this.current)?.firstChild.focus({ preventScroll: true });
  }

  /** Take the heights of the page and the screen. */
  measure() {
    this.scale.height = Math.ceil(this.layout.bottom);
    this.scale.view = innerHeight;
    // What the bar at the top covers. To ask for it while scrolling would cost a layout each time.
    this.covered = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    this.spacer.style.height = `${this.scale.spacer}px`;
    this.top = Math.round(this.root.getBoundingClientRect().top + scrollY);
    this.scale.beside = document.documentElement.scrollHeight - this.scale.spacer;
  }

  resized() {
    if (!this.layout) return;
    if (this.root.clientWidth === this.width) {
      this.measure();
      this.draw();
    } else if (this.root.clientWidth) this.arrange(this.anchor());
  }

  /** Return {rank, offset} of the photo at the top of the screen; offset is in pixels. */
  anchor() {
    if (!this.layout?.rows || this.scale.whole < 4) return null;
    const y = this.scale.whole - this.top + this.covered;
    const row = Math.min(this.layout.rowAt(y), this.layout.rows - 1);
    return { rank: this.layout.start[row], offset: this.layout.y[row] - y };
  }

  /** Scroll so that a photo is so many pixels below the bar. */
  scrollTo(rank, offset = 8) {
    if (!this.layout.rows) return;
    const row = this.layout.rowOf(Math.max(0, Math.min(rank, this.layout.total - 1)));
    this.goTo(this.layout.y[row] + this.top - this.covered - offset);
  }

  /** Note a step: while one flies over photos, none of them is fetched. */
  note(step) {
    if (step) this.direction = Math.sign(step);
    if (Math.abs(step) < this.scale.view) return;
    this.isFlying = true;
    clearTimeout(this.landing);
    this.landing = setTimeout(() => {
      this.isFlying = false;
      this.draw();
      this.refresh();
    }, 80);
  }

  /** Scroll to a height in the whole. */
  goTo(whole) {
    this.note(whole - this.scale.whole);
    scrollTo({ top: this.scale.go(whole), behavior: "instant" });
    this.draw();
  }

  /** Scroll no further than needed to show a photo whole. */
  reveal(rank) {
    const { y, height } = this.layout.boxOf(rank);
    const from = this.scale.whole - this.top + this.covered;
    const until = this.scale.whole - this.top + this.scale.view - (isPhone() ? 76 : 16);
    const above = this.hasDays ? 56 : 8;
    if (y < from + above) this.goTo(this.scale.whole + y - from - above);
    else if (y + height > until) this.goTo(this.scale.whole + y + height - until);
  }

  scrolled() {
    if (!this.layout) return;
    const before = this.scale.whole;
    if (scrollY !== this.scale.real) this.scale.follow(scrollY);
    this.note(this.scale.whole - before);
    if (this.scale.isStuck) this.rest();
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  follow() {
    this.scale.follow(scrollY);
    this.draw();
  }

  /** Bring the browser's place and that in the whole together; nothing moves on the screen. */
  rest() {
    if (this.layout && this.scale.isApart) this.goTo(this.scale.whole);
  }

  /** Draw what is near the screen. */
  draw() {
    const { layout, scale } = this;
    const y = scale.whole - this.top;
    const margin = scale.view * OVERSCAN;
    this.base = Math.floor(Math.max(0, y) / BASE) * BASE;
    // In the spacer, the whole is shifted by how far the browser's place is from that in it.
    const shift = `${Math.round(this.base + scale.real - scale.whole)}px`;
    if (this.layer.style.top !== shift) this.layer.style.top = shift;
    const first = layout.rowAt(y - margin);
    let end = first;
    while (end < layout.rows && layout.y[end] < y + scale.view + margin) end++;
    const from = layout.start[first] ?? layout.total;
    const to = first < end ? layout.endOf(end - 1) : from;
    this.range = [from, to];
    this.drawTiles(from, to, first, end);
    this.drawDays(y - margin, y + scale.view + margin);
    if (from < to && !this.isFlying) this.windows.want(from, to, this.direction);
    this.on.seen();
  }

  drawTiles(from, to, first, end) {
    const focused = document.activeElement?.closest?.(".tile");
    for (const [rank, tile] of this.tiles) {
      if ((rank < from || rank >= to) && tile !== focused) this.drop(rank, tile);
    }
    for (let row = first; row < end; row++) {
      this.layout.eachOf(row, (rank, x, y, width, height) => {
        const tile = this.tiles.get(rank) ?? this.add(rank);
        const place = `translate(${x}px,${y - this.base}px)`;
        if (tile.place !== place) {
          tile.place = tile.style.transform = place;
          tile.style.width = `${width}px`;
          tile.style.height = `${height}px`;
        }
      });
    }
    if (focused) {
      const { x, y } = this.layout.boxOf(focused.rank);
      focused.place = focused.style.transform = `translate(${x}px,${y - this.base}px)`;
    }
  }

  add(rank) {
    const tile = this.spare.pop() ?? this.make();
    tile.rank = rank;
    tile.place = "";
    this.tiles.set(rank, tile);
    this.fill(tile);
    // In the order of the photos, for those who read or tab through the page.
    const before = this.tiles.get(rank - 1);
    if (before) before.after(tile);
    else this.layer.prepend(tile);
    return tile;
  }

  make() {
    const image = h("img", { alt: "", decoding: "async", draggable: "false" });
    const link = h("a", { class: "picture", tabindex: "-1" }, image);
    const check = h("button", {
      type: "button", class: "check", role: "checkbox", tabindex: "-1", "aria-checked": "false",
    }, icon("check"));
    const tile = h("div", { class: "tile" }, link, check, h("span", { class: "note" }));
    image.addEventListener("load", () => tile.classList.add("ready"));
    image.addEventListener("error", () => {
      if (image.hasAttribute("src")) tile.classList.add("broken");
    });
    return tile;
  }

  /** Put what is known of its photo into a tile. */
  fill(tile) {
    const photo = this.windows.peek(tile.rank);
    const [link, check, note] = tile.children;
    const image = link.firstChild;
    const is = this.selected(photo?.id);
    tile.classList.toggle("selected", is);
    link.tabIndex = tile.rank === Math.max(0, this.current) ? 0 : -1;
    check.setAttribute("aria-checked", is);
    if (!photo) {
      link.removeAttribute("href");
      link.setAttribute("aria-label", `Photo ${count(tile.rank + 1)}`);
      check.setAttribute("aria-label", `Select photo ${count(tile.rank + 1)}`);
      note.textContent = "";
      return;
    }
    const source = address(photo.thumbnail);
    if (image.src !== source && !this.isFlying) {
      tile.classList.remove("ready", "broken");
      image.src = source;
      if (image.complete && image.naturalWidth) tile.classList.add("ready");
    }
    link.href = this.link(photo);
    link.setAttribute("aria-label", nameOf(photo));
    check.setAttribute("aria-label", `Select ${photo.name}`);
    tile.dataset.name = photo.name;
    note.textContent = photo.pending ? "pending" : photo.state === "failed" ? "failed" : "";
    note.className = `note ${note.textContent}`;
  }

  drop(rank, tile) {
    this.tiles.delete(rank);
    tile.remove();
    tile.classList.remove("ready", "broken", "selected");
    tile.querySelector("img").removeAttribute("src");
    delete tile.dataset.name;
    if (this.spare.length < 200) this.spare.push(tile);
  }

  clear() {
    // Backwards, so that what is drawn next gets its own element again: one may just be clicked.
    for (const [rank, tile] of [...this.tiles].reverse()) this.drop(rank, tile);
    for (const heading of this.headings.values()) heading.remove();
    this.headings.clear();
  }

  drawDays(from, to) {
    if (!this.hasDays) return;
    const { days } = this.layout;
    const first = Math.max(0, this.layout.dayBelow(from) - 1);
    const shown = new Set();
    for (let at = first; at < days.length && days[at].y < to; at++) {
      shown.add(at);
      const day = days[at];
      let heading = this.headings.get(at);
      if (!heading) {
        heading = this.makeDay(day, at);
        this.headings.set(at, heading);
        this.layer.append(heading);
      }
      heading.style.transform = `translate(${Math.round(day.x)}px,${Math.round(day.y - this.base)}px)`;
    }
    for (const [at, heading] of this.headings) {
      if (!shown.has(at)) {
        heading.remove();
        this.headings.delete(at);
      }
    }
  }

  makeDay(day, at) {
    const check = h("button", {
      type: "button", class: "check", role: "checkbox", "aria-checked": "false", tabindex: "-1",
      "aria-label": `Select ${photosText(day.count)}: ${dayText(day.date)}`,
      onclick: () => this.on.toggleDay(this.layout.days[at], check),
    }, icon("check"));
    const heading = h("div", { class: "day" }, check,
      h("h2", {}, dayText(day.date, day.width)));
    heading.style.width = `${Math.floor(day.width)}px`;
    return heading;
  }

  /** Show photos that have been fetched, or whose selection changed. */
  refresh(from = 0, to = Infinity) {
    for (const [rank, tile] of this.tiles) if (rank >= from && rank < to) this.fill(tile);
  }

  /** Make a photo the one that keys are for; focus it. */
  moveTo(rank) {
    if (!this.layout.total) return;
    rank = Math.max(0, Math.min(rank, this.layout.total - 1));
    const before = this.tiles.get(Math.max(0, this.current));
    this.current = rank;
    if (before) before.firstChild.tabIndex = -1;
    this.reveal(rank);
    const link = this.tiles.get(rank)?.firstChild;
    if (link) {
      link.tabIndex = 0;
      link.focus({ preventScroll: true });
    }
    this.on.moved(rank);
  }

  /** Return the rank of the photo that keys are for: the focused one, or the first to be seen. */
  get here() {
    if (this.current >= 0) return this.current;
    return this.anchor()?.rank ?? 0;
  }

  listen() {
    const rankOf = (event) => event.target.closest?.(".tile")?.rank;
    this.root.addEventListener("click", (event) => {
      const rank = rankOf(event);
      if (rank === undefined || event.ctrlKey || event.metaKey || event.button) return;
      event.preventDefault();
      if (this.held) { this.held = false; return; }
      if (event.target.closest(".check") || event.shiftKey) this.on.toggle(rank, event.shiftKey);
      else this.on.open(rank);
    });
    this.root.addEventListener("focusin", (event) => {
      const rank = rankOf(event);
      if (rank === undefined || rank === this.current) return;
      const before = this.tiles.get(Math.max(0, this.current));
      if (before) before.firstChild.tabIndex = -1;
      this.current = rank;
      this.tiles.get(rank).firstChild.tabIndex = 0;
    });
    // A long touch selects.
    let timer;
    const end = () => clearTimeout(timer);
    this.root.addEventListener("pointerdown", (event) => {
      const rank = rankOf(event);
      this.held = false;
      if (event.pointerType !== "touch" || rank === undefined) return;
      timer = setTimeout(() => { this.held = true; this.on.hold(rank); }, 450);
    });
    for (const name of ["pointerup", "pointercancel", "pointermove"]) {
      this.root.addEventListener(name, (event) => {
        if (name !== "pointermove" || Math.hypot(event.movementX, event.movementY) > 6) end();
      });
    }
    this.root.addEventListener("contextmenu", (event) => { if (this.held) event.preventDefault(); });
  }
}

/** Return what a photo is called for those who do not see it. */
export function nameOf(photo) {
  const tags = [...photo.user_tags, ...photo.tags.map((tag) => tag.name)];
  const date = photo.taken ? `, ${dayText(photo.taken)}` : "";
  return `${photo.name}${date}${tags.length ? `: ${tags.slice(0, 6).join(", ")}` : ""}`;
}
