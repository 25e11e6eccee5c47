/** The photos of an order, fetched by rank in windows, near where one looks first. */

import { ask } from "./api.js";

const SIZE = 200;
const KEPT = 40;

export class Windows {
  /**
   * @param query {q, sort}
   * @param version Of the layout that ranks are of.
   * @param on {loaded(first, end), stale(), failed(problem)}
   */
  constructor(query, version, total, on) {
    Object.assign(this, { query, version, total, on });
    this.loaded = new Map(); // window -> photos; the order of the map is that of use
    this.asked = new Map(); // window -> AbortController
  }

  /** Return a photo, or undefined if it has not been fetched. */
  get(rank) {
    return this.loaded.get(Math.floor(rank / SIZE))?.[rank % SIZE];
  }

  /** Take photos that came with the page: the first ones. */
  seed(photos) {
    if (photos.length === this.total || photos.length >= SIZE) this.loaded.set(0, photos);
    else this.first = photos;
  }

  /** Return a photo as far as anything of it is known. */
  peek(rank) {
    return this.get(rank) ?? this.first?.[rank];
  }

  /** Fetch what is missing of some ranks, and a window ahead; give up what is far from them. */
  want(first, end, direction = 1) {
    const from = Math.floor(first / SIZE);
    const to = Math.floor(Math.max(first, end - 1) / SIZE);
    for (const [number, controller] of this.asked) {
      if (number < from - 1 || number > to + 1) {
        controller.abort();
        this.asked.delete(number);
      }
    }
    for (let number = from; number <= to; number++) this.fetch(number);
    this.fetch(direction < 0 ? from - 1 : to + 1);
  }

  /** Return a photo, fetched if need be. */
  async find(rank) {
    if (!this.get(rank)) await this.fetch(Math.floor(rank / SIZE));
    return this.get(rank);
  }

  /** Forget what is known of some photos, and fetch it again where it is looked at. */
  refresh(ids) {
    const wanted = new Set(ids);
    for (const [number, photos] of this.loaded) {
      if (photos.some((photo) => wanted.has(photo.id))) this.fetch(number, true);
    }
  }

  /** Fetch again what is near some ranks, and forget the rest: photos may have other tags. */
  renew(first, end) {
    const from = Math.floor(first / SIZE);
    const to = Math.floor(Math.max(first, end - 1) / SIZE);
    for (const number of [...this.loaded.keys()]) {
      if (number < from || number > to) this.loaded.delete(number);
      else this.fetch(number, true);
    }
  }

  stop() {
    for (const controller of this.asked.values()) controller.abort();
    this.asked.clear();
  }

  async fetch(number, isAgain = false) {
    if (number < 0 || number * SIZE >= this.total) return;
    if (this.loaded.has(number) && !isAgain) {
      const photos = this.loaded.get(number);
      this.loaded.delete(number);
      this.loaded.set(number, photos);
      return;
    }
    if (this.asked.has(number)) {
      await this.asked.get(number).done;
      return;
    }
    const controller = new AbortController();
    this.asked.set(number, controller);
    const at = number * SIZE;
    const values = { ...this.query, at, limit: SIZE, version: this.version };
    controller.done = ask("photos", values, controller.signal).then(
      ({ photos }) => {
        this.loaded.set(number, photos);
        if (this.loaded.size > KEPT) this.loaded.delete(this.loaded.keys().next().value);
        this.asked.delete(number);
        this.on.loaded(at, at + photos.length);
      },
      (problem) => {
        if (problem.name === "AbortError") return;
        this.asked.delete(number);
        if (problem.status === 409) this.on.stale();
        else this.on.failed(problem);
      },
    );
    await controller.done;
  }
}
