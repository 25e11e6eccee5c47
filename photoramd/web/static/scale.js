/**
 * Scrolling through more than a browser can scroll.
 *
 * Browsers stop at 33.5 million pixels of the screen, some at 17.9. What is taller is shown in a
 * spacer of 7.5 million: a small step moves by as much as was scrolled, a leap goes to the same
 * fraction of the whole, and at rest the two are brought together. Below that height nothing
 * differs from ordinary scrolling.
 */

/** The most pixels that a spacer has. */
export const MOST = 7_500_000;

/** So near to an end, pixels of the browser are pixels of the whole: ends are reached like any. */
const NEAR = 20_000;

export class Scale {
  /** Positions in pixels: `real` is the browser's, `whole` where one is in the whole. */
  constructor() {
    this.height = 0;
    this.view = 1;
    this.beside = 0; // of the page, above and below the spacer
    this.real = 0;
    this.whole = 0;
  }

  get spacer() {
    return Math.min(this.height, MOST);
  }

  get isMapped() {
    return this.height > MOST;
  }

  get realEnd() {
    return Math.max(0, this.spacer + this.beside - this.view);
  }

  get wholeEnd() {
    return Math.max(0, this.height + this.beside - this.view);
  }

  /** Return where the browser is to be for a place in the whole. */
  realOf(whole) {
    return this.isMapped ? Math.round(mapped(whole, this.wholeEnd, this.realEnd)) : whole;
  }

  /** Return the place in the whole for one of the browser. */
  wholeOf(real) {
    return this.isMapped ? mapped(real, this.realEnd, this.wholeEnd) : real;
  }

  /** Take up that the browser has scrolled. */
  follow(real) {
    const step = real - this.real;
    this.real = real;
    if (this.isMapped && Math.abs(step) < 3 * this.view) this.whole += step;
    else this.whole = this.wholeOf(real);
    this.whole = Math.max(0, Math.min(this.whole, this.wholeEnd));
  }

  /** Tell whether the browser's position is not that of the whole. */
  get isApart() {
    return this.isMapped && Math.abs(this.real - this.realOf(this.whole)) > 1;
  }

  /** Tell whether the browser is at an end that the whole is not at: it can go no further. */
  get isStuck() {
    if (!this.isMapped) return false;
    const room = this.view / 2;
    return (this.real < room && this.whole > this.view)
      || (this.real > this.realEnd - room && this.whole < this.wholeEnd - this.view);
  }

  /** Go to a place in the whole; returns where the browser is to be. */
  go(whole) {
    this.whole = Math.max(0, Math.min(whole, this.wholeEnd));
    this.real = this.realOf(this.whole);
    return this.real;
  }
}

/** Return a place on a scale for one on another: alike near the ends, in proportion between. */
function mapped(at, end, otherEnd) {
  if (at < NEAR) return at;
  if (at > end - NEAR) return otherEnd - (end - at);
  return NEAR + ((at - NEAR) / (end - 2 * NEAR)) * (otherEnd - 2 * NEAR);
}
