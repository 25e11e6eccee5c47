/** The pages with lists: tags, folders, what failed, and how things are. */

import { ROOT, address, ask, send } from "./api.js";
import { all, count, debounce, h, one, show, toast } from "./dom.js";
import { on } from "./live.js";
import { startPage } from "./page.js";
import { tagQuery } from "./photo.js";

startPage();

/* Tags: filtered while one types, and fetched further as one scrolls. */

const filter = one("#filter");
if (filter) {
  const list = one("#tags");
  const more = one("#more");
  const order = one("#order");
  let next = more.dataset.next || null;
  let controller;
  const item = (tag) => h("li", {}, h("a", { href: address("", { q: tagQuery(tag.name) }) },
    h("span", { class: "label" }, tag.name), h("span", { class: "count" }, count(tag.photos))));
  const load = async (isNew) => {
    controller?.abort();
    controller = new AbortController();
    const values = {
      prefix: filter.value.trim(), sort: order.value, limit: 200, after: isNew ? null : next,
    };
    try {
      const found = await ask("tags", values, controller.signal);
      if (isNew) list.replaceChildren();
      list.append(...found.tags.map(item));
      next = found.next;
      show(more, next !== null);
      show(one("#no-tags"), !list.children.length);
    } catch (problem) {
      if (problem.name !== "AbortError") toast(problem.message);
    }
  };
  filter.form.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("input", debounce(120, () => load(true)));
  order.addEventListener("change", () => load(true));
  more.addEventListener("click", () => load(false));
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting && next !== null) load(false);
  }, { rootMargin: "600px" }).observe(more);
  show(more, next !== null);
}

/* Failed: tried again by reason, or all. */

for (const button of all("[data-retry]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    const { reason } = button.dataset;
    try {
      await send("retry", reason === undefined ? {} : { reason });
      toast(reason === undefined ? "All of them are tried again" : "They are tried again");
      button.textContent = "Waits for the daemon";
    } catch (problem) {
      button.disabled = false;
      toast([problem.message, problem.detail].filter(Boolean).join(": "));
    }
  });
}

/* Status: shown again whenever it changes. */

const figures = one("#figures");
if (figures) {
  const refresh = async () => {
    const response = await fetch(new URL("status?part=1", ROOT)).catch(() => null);
    if (!response?.ok) return;
    const values = await response.json();
    for (const [name, value] of Object.entries(values)) {
      const place = document.getElementById(name);
      if (place && place.textContent !== value) place.textContent = value;
    }
  };
  on("status", refresh);
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
}

/* Log in and out. */

/** Return where to go after logging in: what was asked for, but nowhere outside this gallery. */
function wanted() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  const url = URL.canParse(next, ROOT) ? new URL(next, ROOT) : ROOT;
  return url.href.startsWith(ROOT.href) ? url : ROOT;
}

const login = one("#login");
if (login) {
  login.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = one("#login-error");
    try {
      await send("login", { token: login.elements.token.value.trim() });
      location.assign(wanted());
    } catch (problem) {
      error.textContent = problem.status === 401 ? "This is not the token."
        : [problem.message, problem.detail].filter(Boolean).join(": ");
      show(error);
      login.elements.token.select();
    }
  });
}

one("#logout")?.addEventListener("click", async () => {
  try {
    await send("logout", {});
    location.assign(address("login"));
  } catch (problem) {
    toast(problem.message);
  }
});
