/** Which photos are selected: at most so many as one edit may be about. */

import { toast } from "./dom.js";

export const MOST = 1000;

export class Selection {
  /** @param changed Called after each change. */
  constructor(changed) {
    this.ids = new Set();
    this.changed = changed;
    this.last = -1;
  }

  get size() {
    return this.ids.size;
  }

  has(id) {
    return this.ids.has(id);
  }

  clear() {
    if (!this.ids.size) return;
    this.ids.clear();
    this.last = -1;
    this.changed();
  }

  /** Select a photo, or no longer. */
  toggle(photo, rank) {
    if (!photo) return;
    if (!this.ids.delete(photo.id)) this.add([photo]);
    this.last = rank;
    this.changed();
  }

  /** Select all photos from the last one to this. */
  async extend(windows, rank) {
    const from = this.last < 0 ? rank : this.last;
    await this.range(windows, Math.min(from, rank), Math.max(from, rank) + 1);
    this.last = rank;
  }

  /** Select the photos of some ranks, or none of them. */
  async range(windows, first, end, isSelected = true) {
    const isTooMany = end - first > MOST;
    const last = Math.min(end, first + MOST);
    const photos = [];
    for (let rank = first; rank < last; rank++) {
      const photo = windows.get(rank) ?? await windows.find(rank);
      if (photo) photos.push(photo);
    }
    if (isSelected) this.add(photos, isTooMany);
    else for (const { id } of photos) this.ids.delete(id);
    this.changed();
  }

  add(photos, isTooMany = false) {
    for (const { id } of photos) {
      if (this.ids.size < MOST || this.ids.has(id)) this.ids.add(id);
      else isTooMany = true;
    }
    if (isTooMany) toast("At most 1,000 photos can be edited at once: the first 1,000 are selected");
  }
}
