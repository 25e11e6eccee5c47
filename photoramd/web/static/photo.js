/** One photo: the picture, its tags and what can be done with them, and what its file says. */

import { ROOT, address, ask, previewOf, queryOf } from "./api.js";
import { count, h, icon, isCalm, one, show, whyReadOnly } from "./dom.js";
import { askForTag, edit, undo } from "./edits.js";
import { dayText } from "./grid.js";
import { bind } from "./keys.js";
import { pageOf } from "./live.js";

export class PhotoView {
  /**
   * @param root The element of the view: as the server sends it for a page, empty in the grid.
   * @param query {q, sort}
   * @param on {moved(id, rank), close()}
   */
  constructor(root, query, on) {
    Object.assign(this, { root, query, on });
    this.build();
  }

  build() {
    this.blur = h("img", { class: "blur", alt: "", "aria-hidden": "true" });
    this.image = h("img", { class: "full", alt: "" });
    this.image.addEventListener("load", () => this.stage.classList.add("ready"));
    this.image.addEventListener("error", () => {
      if (this.image.hasAttribute("src")) this.stage.classList.add("broken");
    });
    const button = (name, label, run, kind) => h("button", {
      type: "button", class: `round ${kind ?? ""}`, "aria-label": label, title: label, onclick: run,
    }, icon(name));
    this.previous = button("left", "Previous photo", () => this.go("previous"), "previous");
    this.next = button("right", "Next photo", () => this.go("next"), "next");
    this.similar = h("a", { class: "round", "aria-label": "Similar photos", title: "Similar photos (s)" },
      icon("similar"));
    this.original = h("a", {
      class: "round", download: "", "aria-label": "Download the original", title: "Download the original",
    }, icon("download"));
    this.info = button("info", "Details", () => this.toggleDetails(), "info");
    this.info.title = "Details (i)";
    this.place = h("span", { class: "place" });
    this.stage = h("div", { class: "stage" },
      h("div", { class: "tools" },
        button("back", "Back to all photos", () => this.on.close(), "back"), this.place,
        this.root.closest("dialog") && daemonNote(),
        this.similar, this.original, this.info),
      h("div", { class: "frame" }, this.blur, this.image,
        h("p", { class: "no-picture" }, "There is no picture to show")),
      this.previous, this.next);
    this.panel = h("aside", { class: "panel", "aria-label": "Details" });
    this.root.replaceChildren(this.stage, this.panel);
    this.root.classList.toggle("folded", localStorage.getItem("details") === "off");
    this.info.setAttribute("aria-expanded", !this.root.classList.contains("folded"));
    let from;
    this.stage.addEventListener("pointerdown", (event) => {
      from = event.pointerType === "touch" ? event.clientX : null;
    });
    this.stage.addEventListener("pointerup", (event) => {
      if (from == null) return;
      const way = event.clientX - from;
      if (Math.abs(way) > 60) this.go(way < 0 ? "next" : "previous");
      from = null;
    });
  }

  get keys() {
    return {
      ArrowLeft: () => this.go("previous"), ArrowRight: () => this.go("next"),
      Escape: () => this.on.close(),
      ...(whyReadOnly === null && {
        t: () => this.add(), r: () => this.choose(), z: () => undo([this.id]),
      }),
      s: () => this.similar.click(), i: () => this.toggleDetails(),
    };
  }

  /** Handle keys until `close`. */
  listen() {
    this.unbind ??= bind(this.keys);
  }

  close() {
    this.unbind?.();
    this.unbind = null;
    this.id = null;
    this.image.removeAttribute("src");
    this.blur.removeAttribute("src");
  }

  /** Show a photo; `known` is what is known of it already: a photo of the grid, or all. */
  async show(id, known) {
    this.id = id;
    this.around = null;
    this.stage.classList.remove("ready", "broken");
    this.previous.disabled = this.next.disabled = true;
    if (known) this.showPicture(known);
    if (known?.path) this.showDetails(known);
    const neighbours = ask(`photos/${id}/neighbours`, queryOf(this.query.q, this.query.sort));
    try {
      const details = known?.path ? known : await ask(`photos/${id}`);
      if (this.id !== id) return;
      if (!known) this.showPicture(details);
      this.showDetails(details);
    } catch (problem) {
      if (this.id === id) this.panel.replaceChildren(h("p", { role: "alert" }, problem.message));
    }
    this.showNeighbours(id, await neighbours.catch(() => null));
  }

  showPicture(photo) {
    const ratio = photo.width && photo.height ? `${photo.width} / ${photo.height}` : "4 / 3";
    const frame = this.blur.parentElement;
    frame.style.setProperty("--ratio", ratio);
    frame.style.setProperty("--wide", photo.width && photo.height ? photo.width / photo.height : 4 / 3);
    this.blur.src = address(photo.thumbnail);
    this.image.src = previewOf(photo.thumbnail);
    this.image.alt = [...photo.user_tags, ...photo.tags.map((tag) => tag.name)].join(", ")
      || photo.name;
    if (this.image.complete && this.image.naturalWidth) this.stage.classList.add("ready");
  }

  showNeighbours(id, around) {
    if (this.id !== id || !around) return;
    this.around = around;
    this.previous.disabled = around.previous === null;
    this.next.disabled = around.next === null;
    this.place.textContent = around.rank === null
      ? "" : `${count(around.rank + 1)} of ${count(around.total)}`;
    this.on.moved(id, around.rank);
    // The pictures that will be looked at next are fetched now.
    for (const other of [around.next, around.previous]) {
      if (other !== null) {
        ask(`photos/${other}`).then((photo) => {
          new Image().src = previewOf(photo.thumbnail);
        }, () => {});
      }
    }
  }

  async go(direction) {
    const id = this.around?.[direction];
    if (id == null) return;
    this.around = null;
    this.on.turned?.(id);
    if (document.startViewTransition && !isCalm()) {
      document.startViewTransition(() => { this.show(id); });
    } else await this.show(id);
  }

  toggleDetails() {
    const isFolded = this.root.classList.toggle("folded");
    localStorage.setItem("details", isFolded ? "off" : "on");
    this.info.setAttribute("aria-expanded", !isFolded);
  }

  /** Look again, after an edit. */
  async refresh() {
    const { id } = this;
    if (id == null) return;
    const details = await ask(`photos/${id}`).catch(() => null);
    if (details && this.id === id) this.showDetails(details);
  }

  add() {
    const { id } = this;
    askForTag("Add a tag", (tag) => edit([id], { add: [tag] }));
  }

  reject(tag) {
    edit([this.id], { reject: [tag] });
  }

  /** Have the next digit reject the tag with this number. */
  choose() {
    this.root.classList.add("choosing");
    const keys = {};
    const end = () => {
      unbind();
      this.root.classList.remove("choosing");
    };
    const unbind = bind(keys);
    for (let digit = 1; digit <= 9; digit++) {
      keys[digit] = () => {
        end();
        const button = one(`[data-digit="${digit}"]`, this.panel);
        button?.click();
      };
    }
    keys.Escape = keys.r = end;
    setTimeout(() => { if (this.root.classList.contains("choosing")) end(); }, 5000);
  }

  showDetails(photo) {
    this.details = photo;
    const held = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    this.original.href = address(`api/v1/photos/${photo.id}/original`);
    show(this.similar, Boolean(photo.links?.like));
    if (photo.links?.like) this.similar.href = pageOf(photo.links.like, "score");
    this.panel.replaceChildren(...[
      h("h1", {}, photo.name),
      h("p", { class: "when" }, photo.links?.taken
        ? h("a", { href: pageOf(photo.links.taken) }, when(photo)) : when(photo)),
      photo.state === "failed" || photo.reason ? problemOf(photo) : null,
      this.tagsOf(photo),
      h("h2", {}, "About"), factsOf(photo),
      h("h2", {}, "File"), fileOf(photo),
    ].filter(Boolean));
    if (held) one(`[data-key="${CSS.escape(held)}"]`, this.panel)?.focus();
    document.dispatchEvent(new CustomEvent("photo-shown", { detail: photo }));
  }

  tagsOf(photo) {
    const edits = photo.edits ?? [];
    const stateOf = (tag, kind) => edits.find((each) => each.tag.toLowerCase() === tag.toLowerCase()
      && each.kind === kind && each.state !== "done");
    let digit = 0;
    const row = (name, detail, confidence) => {
      const change = stateOf(name, "reject") ?? stateOf(name, "add") ?? stateOf(name, "undo");
      digit += 1;
      return h("li", { class: change ? change.state : null },
        h("a", { href: pageOf(tagQuery(name)), "data-key": `tag-${name}` }, name),
        detail, change ? pending(change) : null,
        whyReadOnly === null && h("button", {
          type: "button", class: "remove", "aria-label": `Take “${name}” off`,
          title: `Take “${name}” off${digit <= 9 ? ` (r, then ${digit})` : ""}`,
          "data-key": `remove-${name}`,
          "data-digit": digit <= 9 ? digit : null, onclick: () => this.reject(name),
        }, h("kbd", { "aria-hidden": "true" }, digit <= 9 ? String(digit) : ""), icon("close")),
        confidence);
    };
    const given = photo.user_tags.map((name) => row(name, h("span", { class: "by" }, "you")));
    const seen = photo.tags.map(({ name, confidence }) => row(name,
      h("span", { class: "by" }, `${Math.round(confidence * 100)} %`),
      h("meter", {
        min: 0, max: 1, value: confidence, "aria-label": `How sure the model is of ${name}`,
      })));
    const shown = new Set([...photo.user_tags, ...photo.tags.map((tag) => tag.name)]
      .map((name) => name.toLowerCase()));
    const coming = edits.filter((each) => each.kind !== "reject" && each.state !== "done"
      && !shown.has(each.tag.toLowerCase()))
      .map((each) => h("li", { class: each.state }, h("span", {}, each.tag), pending(each)));
    const rejected = (photo.rejected ?? []).length ? h("p", { class: "rejected" }, "Rejected: ",
      photo.rejected.map((name, at) => [at ? ", " : "", h("s", {}, name)]).flat()) : null;
    return h("section", { class: "tags", "aria-label": "Tags" },
      h("h2", {}, "Tags"),
      h("ul", {}, given, seen, coming),
      given.length + seen.length + coming.length ? null : h("p", { class: "quiet" },
        photo.state === "pending" ? "Not tagged yet" : "No tag was certain enough"),
      rejected,
      whyReadOnly !== null ? h("p", { class: "quiet" }, `Tags cannot be changed here: ${whyReadOnly}.`)
      : h("div", { class: "actions" },
        h("button", {
          type: "button", class: "add", "data-key": "add", title: "Add a tag (t)",
          onclick: () => this.add(),
        }, icon("plus"), "Add a tag"),
        h("button", {
          type: "button", "data-key": "undo", title: "Undo the last edit (z)",
          onclick: () => undo([this.id]),
        }, icon("undo"), "Undo")));
  }
}

/** How the daemon is, above the grid too; "live.js" keeps it up to date. */
function daemonNote() {
  const note = one("#daemon").cloneNode(true);
  note.removeAttribute("id");
  return note;
}

const pending = ({ state, kind, reason }) => h("span", { class: `change ${state}`, title: reason },
  state === "failed" ? `failed: ${reason ?? ""}`
    : kind === "undo" ? "undo pending" : kind === "reject" ? "removal pending" : "pending");

/** Return a tag as it is written in a query. */
export const tagQuery = (name) => (/^[\p{L}\p{N}][\p{L}\p{N}_'.]*$/u.test(name)
  && !/^(and|or|not)$/i.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`);

function when({ taken, tz }) {
  if (!taken) return "No date";
  const offset = tz == null ? ""
    : ` (UTC${tz < 0 ? "−" : "+"}${Math.floor(Math.abs(tz) / 60)}${tz % 60 ? `:${Math.abs(tz % 60)}` : ""})`;
  return `${dayText(taken)}, ${taken.slice(11, 16)}${offset}`;
}

function problemOf({ state, reason }) {
  return h("p", { class: "problem", role: "status" }, icon("warning"),
    `${state === "failed" ? "Could not be tagged" : "Waits"}: ${reason ?? ""}`);
}

function list(entries, links = {}) {
  return h("dl", {}, entries.filter(([, value]) => value != null && value !== "").map(
    ([key, value, link]) => [h("dt", {}, key),
      h("dd", {}, links[link] ? h("a", { href: pageOf(links[link]), "data-key": link }, value) : value)],
  ).flat());
}

function factsOf(photo) {
  const { links = {} } = photo;
  const exposure = photo.exposure && (photo.exposure < 0.4
    ? `1/${Math.round(1 / photo.exposure)} s` : `${+photo.exposure.toFixed(1)} s`);
  const megapixels = photo.width && photo.height
    ? `${photo.width} × ${photo.height} (${(photo.width * photo.height / 1e6).toFixed(1)} MP)` : null;
  return list([
    ["Camera", photo.camera, "camera"], ["Lens", photo.lens, "lens"],
    ["Aperture", photo.f && `f/${+photo.f.toFixed(1)}`, "f"], ["Exposure", exposure, "exposure"],
    ["ISO", photo.iso && String(photo.iso), "iso"],
    ["Focal length", photo.mm && `${+photo.mm.toFixed(1)} mm`, "mm"],
    ["Place", photo.lat != null && photo.lon != null
      ? `${photo.lat.toFixed(4)}, ${photo.lon.toFixed(4)}` : null, "place"],
    ["Size", megapixels],
    ["Tagged by", photo.model && `${photo.model} ${photo.revision ?? ""}`.trim(), "model"],
  ], links);
}

function fileOf(photo) {
  const { links = {} } = photo;
  const bytes = photo.size == null ? null
    : photo.size < 1e6 ? `${Math.round(photo.size / 1e3)} kB` : `${(photo.size / 1e6).toFixed(1)} MB`;
  return list([
    ["Folder", photo.folder, "folder"], ["Path", photo.path], ["Format", photo.format, "format"],
    ["Bytes", bytes], ["Sidecar", photo.sidecar],
    ["Copies", photo.copies ? `${photo.copies} more of this picture` : null, "same"],
  ], links);
}

/** Return the address of a photo's page. */
export function photoPage(id, { q, sort }) {
  return address(`p/${id}`, queryOf(q, sort));
}

/** Return the id in the address of a photo's page, or null. */
export function idIn(href) {
  const url = new URL(href);
  const found = /^p\/(\d+)$/.exec(url.pathname.slice(ROOT.pathname.length));
  return found ? Number(found[1]) : null;
}
