/** A text field with a list of completions, by the pattern "combobox" of ARIA. */

import { debounce, h, show } from "./dom.js";

export class Complete {
  /**
   * @param input role=combobox; `aria-controls` names its list.
   * @param options {find(text, cursor, signal) -> [{text, meaning, start, end}],
   *   choose(completion), problem(error)}
   */
  constructor(input, options) {
    this.input = input;
    this.options = options;
    this.list = document.getElementById(input.getAttribute("aria-controls"));
    this.found = [];
    this.at = -1;
    const later = debounce(60, () => this.ask());
    input.addEventListener("input", () => {
      this.expire();
      later();
    });
    input.addEventListener("focus", later);
    input.addEventListener("click", later);
    input.addEventListener("blur", () => setTimeout(() => this.close(), 120));
    input.addEventListener("keydown", (event) => this.press(event));
    // Not a click: that comes after the field has lost the focus.
    this.list.addEventListener("pointerdown", (event) => {
      const item = event.target.closest("[role=option]");
      if (!item) return;
      event.preventDefault();
      this.choose([...this.list.children].indexOf(item));
    });
  }

  async ask() {
    if (document.activeElement !== this.input) return;
    this.controller?.abort();
    this.controller = new AbortController();
    const text = this.input.value;
    const cursor = [...text.slice(0, this.input.selectionStart ?? text.length)].length;
    try {
      this.show(await this.options.find(text, cursor, this.controller.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.close();
    }
  }

  show(found) {
    if (document.activeElement !== this.input) return;
    this.found = found;
    this.at = -1;
    this.list.replaceChildren(...found.map((each, index) => h("li", {
      role: "option", id: `${this.list.id}-${index}`, "aria-selected": "false",
    }, h("span", {}, each.text), h("span", { class: "meaning" }, each.meaning ?? ""))));
    show(this.list, found.length > 0);
    this.input.setAttribute("aria-expanded", found.length > 0);
    this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    this.expire();
    show(this.list, false);
  }

  /** What was found is of another text, and would replace the wrong part of this one. */
  expire() {
    this.controller?.abort();
    this.mark(-1);
    this.found = [];
    this.input.setAttribute("aria-expanded", "false");
  }

  mark(at) {
    const items = this.list.children;
    items[this.at]?.setAttribute("aria-selected", "false");
    this.at = at;
    const item = items[at];
    if (!item) {
      this.input.removeAttribute("aria-activedescendant");
      return;
    }
    item.setAttribute("aria-selected", "true");
    item.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", item.id);
  }

  press(event) {
    const last = this.found.length - 1;
    const isOpen = this.found.length > 0;
    if (event.key === "ArrowDown" && isOpen) this.mark(this.at >= last ? -1 : this.at + 1);
    else if (event.key === "ArrowUp" && isOpen) this.mark(this.at < 0 ? last : this.at - 1);
    else if (event.key === "Enter" && isOpen && this.at >= 0) this.choose(this.at);
    else if (event.key === "Tab" && isOpen && this.at >= 0) this.choose(this.at);
    else if (event.key === "Escape" && isOpen) this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(at) {
    const completion = this.found[at];
    if (!completion) return;
    this.close();
    this.options.choose(completion);
  }
}
