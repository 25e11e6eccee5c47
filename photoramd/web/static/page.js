/** What every page has: theme, keys, search, and how the daemon is. */

import { one } from "./dom.js";
import { startKeys } from "./keys.js";
import { start } from "./live.js";
import { Search } from "./search.js";

function startTheme() {
  const root = document.documentElement;
  const button = one("#theme");
  const isDark = () => (root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const say = () => button.setAttribute("aria-pressed", isDark());
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    const isSystems = matchMedia(`(prefers-color-scheme: ${theme})`).matches;
    // Chosen as the system has it: it may follow the system again.
    if (isSystems) {
      delete root.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      root.dataset.theme = theme;
      localStorage.setItem("theme", theme);
    }
    say();
  });
  say();
}

/** Start; returns the search box. */
export function startPage(go) {
  startTheme();
  startKeys();
  const search = one("#search") && new Search(one("#search"), go);
  // Where one has to log in first, the server says nothing.
  if (one("#daemon")) start();
  return search;
}
