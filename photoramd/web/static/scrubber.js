/** The strip at the right: all years, sized by their photos; one can leap to any month. */

import { h, show } from "./dom.js";

const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });

export class Scrubber {
  /** @param grid The grid that it scrolls. */
  constructor(root, grid) {
    this.root = root;
    this.grid = grid;
    this.height = 0;
    this.marks = h("div", { class: "marks", "aria-hidden": "true" });
    this.thumb = h("div", { class: "thumb" });
    this.bubble = h("div", { class: "bubble", "aria-hidden": "true" });
    root.replaceChildren(this.marks, this.thumb, this.bubble);
    root.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      root.setPointerCapture(event.pointerId);
      this.isHeld = true;
      root.classList.add("held");
      this.drag(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (this.isHeld) this.drag(event);
      else if (event.pointerType === "mouse") this.showBubble(this.fractionOf(event));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      root.addEventListener(name, () => {
        this.isHeld = false;
        root.classList.remove("held");
      });
    }
    root.addEventListener("keydown", (event) => this.press(event));
    // Known beforehand: to ask for it while scrolling would cost a layout each time.
    new ResizeObserver(() => {
      if (this.height && root.clientHeight !== this.height) this.setLayout();
    }).observe(root);
    root.addEventListener("focus", () => this.showBubble(this.fraction));
  }

  get fraction() {
    const { scale } = this.grid;
    return scale.wholeEnd ? scale.whole / scale.wholeEnd : 0;
  }

  fractionOf(event) {
    const box = this.root.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientY - box.top - 8) / (box.height - 16)));
  }

  drag(event) {
    const fraction = this.fractionOf(event);
    this.grid.goTo(fraction * this.grid.scale.wholeEnd);
    this.showBubble(fraction);
    event.preventDefault();
  }

  /** Return the day at a fraction of the whole. */
  dayAt(fraction) {
    const { layout, scale, top } = this.grid;
    const y = fraction * scale.wholeEnd - top + this.grid.covered + 60;
    return layout.days[Math.max(0, layout.dayBelow(y) - 1)];
  }

  textAt(fraction) {
    const day = this.dayAt(fraction);
    if (!day) return "";
    if (!this.grid.hasDays) return `${Math.round(fraction * 100)} %`;
    return day.date === null ? "No date" : MONTH.format(new Date(`${day.date.slice(0, 10)}T00:00Z`));
  }

  showBubble(fraction) {
    this.bubble.textContent = this.textAt(fraction);
    this.bubble.style.transform = `translateY(${this.pixels(fraction)}px)`;
  }

  pixels(fraction) {
    return Math.round(8 + fraction * (this.height - 16));
  }

  /** Draw the years of a new layout; of a part of one, nothing. */
  setLayout(isWhole = true) {
    const { layout, scale } = this.grid;
    show(this.root, isWhole && scale.wholeEnd > scale.view);
    if (!isWhole) return;
    this.height = this.root.clientHeight;
    const marks = [];
    let year;
    let lowest = -100;
    if (this.grid.hasDays) {
      for (const day of layout.days) {
        const own = day.date === null ? "–" : day.date.slice(0, 4);
        if (own === year) continue;
        year = own;
        const at = this.pixels(Math.min(1, day.y / Math.max(1, scale.wholeEnd)));
        const isText = at - lowest > 22;
        if (isText) lowest = at;
        if (!isText && marks.length > 300) continue;
        const mark = h("span", { class: isText ? "year" : "tick" }, isText ? year : "");
        mark.style.transform = `translateY(${at}px)`;
        marks.push(mark);
      }
    }
    this.marks.replaceChildren(...marks);
    this.follow();
  }

  /** Show where one is. */
  follow() {
    if (this.root.hidden) return;
    const { fraction } = this;
    this.thumb.style.transform = `translateY(${this.pixels(fraction)}px)`;
    this.root.setAttribute("aria-valuenow", Math.round(fraction * 1000) / 10);
    this.root.setAttribute("aria-valuetext", this.textAt(fraction));
    if (this.isHeld || document.activeElement === this.root) this.showBubble(fraction);
    if (fraction === this.shown || this.shown === undefined) {
      this.shown = fraction;
      return;
    }
    this.shown = fraction;
    this.root.classList.add("moving");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.root.classList.remove("moving"), 1500);
  }

  press(event) {
    const { grid } = this;
    const step = {
      ArrowDown: () => this.leap(1, 7), ArrowUp: () => this.leap(-1, 7),
      PageDown: () => this.leap(1, 4), PageUp: () => this.leap(-1, 4),
      Home: () => grid.goTo(0), End: () => grid.goTo(grid.scale.wholeEnd),
    }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    step();
  }

  /** Go to the next (1) or previous (-1) month (letters 7) or year (4), by the order shown. */
  leap(direction, letters) {
    const { grid } = this;
    const { days } = grid.layout;
    if (!grid.hasDays || !days.length) {
      grid.goTo(grid.scale.whole + direction * grid.scale.view * (letters === 7 ? 1 : 10));
      return;
    }
    const partOf = (day) => (day.date === null ? "" : day.date.slice(0, letters));
    let at = days.indexOf(this.dayAt(this.fraction));
    const here = partOf(days[at]);
    if (direction > 0) {
      while (at < days.length && partOf(days[at]) === here) at++;
      if (at === days.length) return;
    } else {
      // First to the begin of the part that one is in, then to the one before.
      const begin = (from) => {
        while (from > 0 && partOf(days[from - 1]) === partOf(days[from])) from--;
        return from;
      };
      const own = begin(at);
      at = own < at || own === 0 ? own : begin(own - 1);
    }
    this.goToDay(days[at]);
  }

  goToDay(day) {
    this.grid.current = day.rank;
    this.grid.goTo(day.y + this.grid.top - this.grid.covered);
    this.grid.refresh();
  }

  /** Go to a date as it was typed: 2024, 2024-05 or 2024-05-04; false if it is none. */
  goToDate(text) {
    const parts = /^\s*(\d{4})(?:[-./](\d{1,2})(?:[-./](\d{1,2}))?)?\s*$/.exec(text);
    if (!parts || !this.grid.hasDays) return false;
    const wanted = parts.slice(1).filter(Boolean).map((part) => part.padStart(2, "0")).join("-");
    const { days } = this.grid.layout;
    // Days are in the order of the latest first: the first that is not later than asked.
    const day = days.find(({ date }) => date !== null && date.slice(0, wanted.length) <= wanted)
      ?? days.at(-1);
    if (day) this.goToDay(day);
    return true;
  }
}

