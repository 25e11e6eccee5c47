/** Keys: one listener, which asks the uppermost of what is open. Single keys can be switched off. */

import { all, one } from "./dom.js";

const layers = [];
const LEAP = { h: "ArrowLeft", j: "ArrowDown", k: "ArrowUp", l: "ArrowRight" };

/** Return whether keys without a modifier do something (WCAG 2.1.4). */
export const hasSingleKeys = () => localStorage.getItem("single-keys") !== "off";

/**
 * Have keys handled until the returned function is called; the latest comes first.
 *
 * @param keys Functions by name of the key; "Shift+ArrowLeft" with the modifier. One that
 *   returns false leaves the key to the browser.
 */
export function bind(keys) {
  layers.push(keys);
  return () => layers.splice(layers.indexOf(keys), 1);
}

function isWriting(target) {
  return target.isContentEditable || target.closest("input:not([type=checkbox]), textarea, select");
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.defaultPrevented || isWriting(event.target)) return;
  const isSingle = event.key.length === 1;
  if (isSingle && event.key !== " " && !hasSingleKeys()) return;
  const key = LEAP[event.key] ?? event.key;
  const dialog = all("dialog:modal").at(-1);
  if (dialog && !dialog.hasKeys) return; // its own keys only
  const name = event.shiftKey && !isSingle ? `Shift+${key}` : key;
  const action = layers.at(-1)?.[name] ?? (dialog ? null : COMMON[name]) ?? COMMON_ALWAYS[name];
  if (action && action(event) !== false) event.preventDefault();
});

const COMMON = {
  "/": () => {
    const box = one("#q");
    box?.focus();
    box?.select();
  },
};
const COMMON_ALWAYS = { "?": () => help() };

/** Show which keys there are. */
export function help() {
  const dialog = one("#help");
  one("#single-keys").checked = hasSingleKeys();
  dialog.showModal();
}

/** Make the elements work that every page has. */
export function startKeys() {
  one("#single-keys")?.addEventListener("change", (event) => {
    localStorage.setItem("single-keys", event.target.checked ? "on" : "off");
  });
  for (const button of all("[data-opens]")) {
    button.addEventListener("click", () => {
      if (button.dataset.opens === "help") help();
      else one(`#${button.dataset.opens}`).showModal();
    });
  }
  for (const dialog of all("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog && dialog.matches(":modal")) dialog.close();
      else if (event.target.closest("[data-closes]")) dialog.close();
    });
  }
}
