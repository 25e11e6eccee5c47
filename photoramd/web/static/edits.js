/** Edits of tags: asked for here, done by the daemon, and followed until they are. */

import { ask, send } from "./api.js";
import { Complete } from "./complete.js";
import { one, photos as photosText, toast } from "./dom.js";
import { on } from "./live.js";

const followed = new Map(); // edit -> ids of its photos
const listeners = [];

/** Call a function with the ids of photos whose edits were asked for, done or refused. */
export function onEdited(call) {
  listeners.push(call);
}

function tell(ids) {
  for (const call of listeners) call(ids);
}

/** Add tags to photos, or reject tags of theirs. */
export async function edit(ids, { add = [], reject = [] }) {
  const what = add.length ? `“${add.join(", ")}” is added to` : `“${reject.join(", ")}” is taken off`;
  const whom = ids.length === 1 ? "the photo" : photosText(ids.length);
  await begin(() => send("edits", { photos: ids, add, reject }), ids, `${what} ${whom}`, true);
}

/** Undo the last edit that can be. */
export async function undo(ids = []) {
  let last;
  try {
    last = await ask("edits/latest");
  } catch (problem) {
    toast(problem.status === 404 ? "There is nothing to undo" : problem.message);
    return;
  }
  await undoEdit(last.id, followed.get(last.id) ?? ids);
}

function undoEdit(id, ids) {
  return begin(() => send(`edits/${id}/undo`, {}), ids, "The edit is undone", false);
}

async function begin(request, ids, text, canUndo) {
  try {
    const { id } = await request();
    followed.set(id, ids);
    toast(text, canUndo ? { label: "Undo", run: () => undoEdit(id, ids) } : null);
    tell(ids);
    setTimeout(() => follow(id), 2500);
  } catch (problem) {
    toast([problem.message, problem.detail].filter(Boolean).join(": "));
  }
}

/** Ask how an edit is: events may not come, and tell of the last few edits only. */
async function follow(id) {
  if (!followed.has(id)) return;
  const progress = await ask(`edits/${id}`).catch(() => null);
  if (progress) note(progress);
  if (followed.has(id)) setTimeout(() => follow(id), 5000);
}

function note({ id, pending, failed, failures }) {
  const ids = followed.get(id);
  if (!ids) return;
  tell(ids);
  if (pending) return;
  followed.delete(id);
  if (!failed) return;
  if (failures?.length) toast(`${failures[0].name}: ${failures[0].reason}`);
  else ask(`edits/${id}`).then(({ failures: all }) => {
    if (all.length) toast(`${all[0].name}: ${all[0].reason}`);
  }, () => {});
}

on("edit", note);

/**
 * Ask which tag to add or to reject.
 *
 * @param title What will be done.
 * @param choose Called with the tag.
 */
export function askForTag(title, choose) {
  const dialog = one("#tag-dialog");
  const input = one("input", dialog);
  one("h2", dialog).textContent = title;
  input.value = "";
  asking = (tag) => {
    dialog.close();
    choose(tag);
  };
  dialog.showModal();
  input.focus();
}

let asking = () => {};

/** Make the dialog work that asks for a tag. */
export function startTagDialog() {
  const dialog = one("#tag-dialog");
  if (!dialog) return; // nothing can be changed here
  const input = one("input", dialog);
  new Complete(input, {
    find: async (prefix, _, signal) => {
      const { tags } = await ask("tags", { prefix: prefix.trim(), limit: 8 }, signal);
      return tags.map((tag) => ({ text: tag.name, meaning: photosText(tag.photos) }));
    },
    choose: ({ text }) => asking(text),
  });
  one("form", dialog).addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) asking(input.value.trim());
  });
}
