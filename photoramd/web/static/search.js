/** The search box: completion, the parts of the query, and errors marked at their place. */

import { address, ask, queryOf } from "./api.js";
import { Complete } from "./complete.js";
import { all, debounce, h, icon, one, show } from "./dom.js";

export class Search {
  /** @param go Called with a query to show it; without it, the page with photos is opened. */
  constructor(form, go) {
    this.form = form;
    this.input = one("#q", form);
    this.mark = one(".mark", form);
    this.error = one("#q-error");
    this.go = go ?? ((q) => location.assign(address("", queryOf(q, ""))));
    this.later = debounce(900, (problem) => this.showProblem(problem));
    this.complete = new Complete(this.input, {
      find: async (text, cursor, signal) => {
        const { completions, problem } = await ask("complete", { text, cursor }, signal);
        this.later(problem);
        return completions;
      },
      choose: (completion) => this.insert(completion),
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.complete.close();
      this.go(this.input.value.trim());
    });
    one(".clear", form).addEventListener("click", () => {
      this.input.value = "";
      this.input.focus();
      this.go("");
    });
    this.input.addEventListener("input", () => {
      this.later(null);
      this.showProblem(null);
    });
    this.input.addEventListener("scroll", () => { this.mark.scrollLeft = this.input.scrollLeft; });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.input.blur();
    });
  }

  /** Show a query that is in force. */
  set(q) {
    this.input.value = q;
    this.showProblem(null);
  }

  insert({ start, end, text }) {
    const letters = [...this.input.value];
    const rest = letters.slice(end).join("");
    const isOpen = /[:<>=@/]$/.test(text);
    const before = letters.slice(0, start).join("") + text + (isOpen || rest.startsWith(" ") ? "" : " ");
    this.input.value = before + rest;
    this.input.focus();
    this.input.setSelectionRange(before.length, before.length);
    this.complete.ask();
  }

  /** Mark where an error is, and say it; null: there is none. */
  showProblem(problem) {
    const text = this.input.value;
    show(this.error, Boolean(problem));
    this.mark.replaceChildren();
    this.input.toggleAttribute("aria-invalid", Boolean(problem));
    if (problem) this.input.setAttribute("aria-invalid", "true");
    if (!problem) {
      this.input.removeAttribute("aria-describedby");
      return;
    }
    this.input.setAttribute("aria-describedby", "q-error");
    this.error.replaceChildren(
      h("span", {}, problem.title || problem.message),
      problem.detail ? h("span", { class: "detail" }, problem.detail) : "",
    );
    if (problem.position != null) {
      const letters = [...text];
      const at = Math.min(problem.position, letters.length);
      let end = at + 1;
      while (end < letters.length && !/[\s()]/.test(letters[end])) end++;
      this.mark.append(letters.slice(0, at).join(""),
        h("u", {}, letters.slice(at, end).join("") || "\u00a0"));
      this.mark.scrollLeft = this.input.scrollLeft;
    }
  }
}

/** Show the parts of a query, each of which can be taken out. */
export function showChips(place, chips, go, sort) {
  const items = chips.map(({ text, without }) => h("a", {
    class: "chip", href: address("", queryOf(without, sort)), "aria-label": `Remove ${text}`,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      go(without);
      (all(".chip", place)[0] ?? one("#q")).focus?.({ preventScroll: true });
    },
  }, h("span", {}, text), icon("close")));
  place.replaceChildren(...items);
  show(place, items.length > 0);
}
