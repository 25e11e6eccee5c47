/** What the photos found have in common: tags, years, cameras, folders … with counts. */

import { address, queryOf } from "./api.js";
import { count, h, icon } from "./dom.js";

const TITLES = {
  tags: "Tags", years: "Years", cameras: "Cameras", folders: "Folders", states: "State",
  given_by: "Tagged by",
};

/**
 * Show facets.
 *
 * @param go Called with the query to show.
 */
export function showFacets(place, { groups }, go, sort) {
  const closed = new Set([...place.querySelectorAll("details:not([open])")].map((d) => d.id));
  const held = document.activeElement?.dataset?.facet;
  place.replaceChildren(...groups.filter(({ entries }) => entries.length).map((group) => {
    const id = `facet-${group.name}`;
    return h("details", { id, open: !closed.has(id) },
      h("summary", {}, TITLES[group.name] ?? group.name, icon("down")),
      h("ul", {}, group.entries.map((entry) => row(group.name, entry, go, sort))));
  }));
  if (held) place.querySelector(`[data-facet="${CSS.escape(held)}"]`)?.focus();
}

function row(group, entry, go, sort) {
  const { label, count: number, exclude, remove, is_active: isActive } = entry;
  const add = isActive ? remove : entry.add;
  const choose = (event) => {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(event.altKey ? exclude : add);
  };
  return h("li", { class: isActive ? "active" : null },
    h("a", {
      href: address("", queryOf(add, sort)), onclick: choose, "data-facet": `${group}:${label}`,
      "aria-current": isActive ? "true" : null,
    }, h("span", { class: "label" }, label), h("span", { class: "count" }, count(number))),
    h("button", {
      type: "button", class: "minus", title: "Leave these out (Alt-click)",
      "aria-label": `Leave out ${label}`, onclick: () => go(exclude),
    }, icon("minus")));
}
