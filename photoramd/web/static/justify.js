/**
 * The exact layout of all photos: rows of one height that fill the width, day after day.
 *
 * Pure: numbers in, numbers out. A million photos take some ten milliseconds, so that no height
 * is ever guessed. Days that are short share a line.
 */

/** What each character of `aspects` stands for: width by height. */
const ASPECTS = Float32Array.from({ length: 128 }, (_, code) =>
  0.25 * 16 ** ((Math.min(126, Math.max(35, code)) - 35) / 91));

/** Return the aspects of photos, given a character for each. */
export function aspectsOf(text) {
  const found = new Float32Array(text.length);
  for (let at = 0; at < text.length; at++) found[at] = ASPECTS[text.charCodeAt(at) & 127];
  return found;
}

/**
 * Lay photos out.
 *
 * @param aspects Width by height of each.
 * @param days Runs of photos: [date or null, count].
 * @param size {width, target, gap, heading}: all in pixels; target is the height that rows are
 *   near to, heading that of a day's heading, 0 for none.
 */
export function justify(aspects, days, size) {
  const rows = new Rows(aspects, size);
  let rank = 0;
  days.forEach(([date, count], index) => {
    rows.addDay(index, date, rank, count);
    rank += count;
  });
  return rows.finish();
}

/** A line is made to fill the width where that changes its height no more than this. */
const LEAST = 0.86;
const MOST = 1.45;

class Rows {
  constructor(aspects, { width, target, gap, heading }) {
    Object.assign(this, { aspects, width, target, gap, heading });
    this.dayGap = gap * 5;
    this.count = 0;
    this.start = new Uint32Array(1024);
    this.y = new Float64Array(1024);
    this.x = new Float32Array(1024);
    this.height = new Float32Array(1024);
    this.days = [];
    this.bottom = 0;
    this.line = []; // short days that share a line
    this.used = 0; // by their photos, at the target's height
    this.between = 0; // by the gaps
  }

  addDay(index, date, rank, count) {
    let sum = 0;
    const end = rank + count;
    const most = (this.width * LEAST) / this.target;
    let at = rank;
    while (at < end && sum < most) sum += this.aspects[at++];
    if (at < end || sum >= most || !this.heading) {
      this.closeLine(false);
      this.addRows(index, date, rank, end);
      return;
    }
    const gaps = (count - 1) * this.gap + (this.line.length ? this.dayGap : 0);
    const all = this.used + sum * this.target;
    if (this.line.length && all * LEAST + this.between + gaps > this.width) {
      this.closeLine(true);
      this.addDay(index, date, rank, count);
      return;
    }
    this.line.push({ index, date, rank, count, sum });
    this.used = all;
    this.between += gaps;
  }

  /** Place the short days that are to share a line. */
  closeLine(isFull) {
    if (!this.line.length) return;
    const wanted = (this.width - this.between) / this.used;
    const factor = wanted < 1 || (isFull && wanted <= MOST) ? wanted : 1;
    const height = this.target * factor;
    const top = this.bottom;
    let x = 0;
    for (const { index, date, rank, count, sum } of this.line) {
      const width = sum * height + (count - 1) * this.gap;
      this.days.push({ index, date, rank, count, x, y: top, width });
      if (index === this.line.at(-1).index) this.days.at(-1).width = Math.max(width, this.width - x);
      this.addRow(rank, x, top + this.heading, height);
      x += width + this.dayGap;
    }
    this.bottom = top + this.heading + height + this.gap;
    this.line = [];
    this.used = this.between = 0;
  }

  /** Place a day that needs the whole width. */
  addRows(index, date, rank, end) {
    const { aspects, width, target, gap } = this;
    this.days.push({ index, date, rank, count: end - rank, x: 0, y: this.bottom, width });
    let y = this.bottom + this.heading;
    let begin = rank;
    let sum = 0;
    for (let at = rank; at < end; at++) {
      sum += aspects[at];
      const with_ = (width - gap * (at - begin)) / sum;
      if (with_ > target) continue;
      let height = with_;
      const without = at > begin
        ? (width - gap * (at - begin - 1)) / (sum - aspects[at]) : Infinity;
      // Whichever of the two heights is nearer to the target.
      if (without * with_ < target * target && without < target * MOST) {
        height = without;
        this.addRow(begin, 0, y, height);
        begin = at;
        sum = aspects[at];
        y += height + gap;
        if ((width / sum) > target) continue;
        height = width / sum;
      }
      this.addRow(begin, 0, y, height);
      begin = at + 1;
      sum = 0;
      y += height + gap;
    }
    if (begin < end) {
      // The rest does not fill a row; a little short of it, it is stretched.
      const full = (width - gap * (end - begin - 1)) / sum;
      const height = full < target * 1.15 ? full : target;
      this.addRow(begin, 0, y, height);
      y += height + gap;
    }
    this.bottom = y;
  }

  addRow(rank, x, y, height) {
    if (this.count === this.start.length) this.grow();
    this.start[this.count] = rank;
    this.x[this.count] = x;
    this.y[this.count] = y;
    this.height[this.count] = height;
    this.count += 1;
  }

  grow() {
    for (const name of ["start", "x", "y", "height"]) {
      const wider = new this[name].constructor(this.count * 2);
      wider.set(this[name]);
      this[name] = wider;
    }
  }

  finish() {
    this.closeLine(false);
    return new Layout(this);
  }
}

/** Where every photo and every day is. */
export class Layout {
  constructor(rows) {
    this.aspects = rows.aspects;
    this.total = rows.aspects.length;
    this.gap = rows.gap;
    this.rows = rows.count;
    for (const name of ["start", "x", "y", "height"]) {
      this[name] = rows[name].slice(0, rows.count);
    }
    this.days = rows.days;
    this.bottom = rows.bottom;
  }

  /** Return the first row that ends below a height. */
  rowAt(y) {
    return firstOf(this.rows, (row) => this.y[row] + this.height[row] > y);
  }

  /** Return the row of a photo. */
  rowOf(rank) {
    return firstOf(this.rows, (row) => this.start[row] > rank) - 1;
  }

  /** Return the rank behind the last photo of a row. */
  endOf(row) {
    return row + 1 < this.rows ? this.start[row + 1] : this.total;
  }

  /** Return the number of the first day that begins below a height. */
  dayBelow(y) {
    return firstOf(this.days.length, (day) => this.days[day].y > y);
  }

  /** Return the number of the day of a photo. */
  dayOf(rank) {
    return firstOf(this.days.length, (day) => this.days[day].rank > rank) - 1;
  }

  /** Call place(rank, x, y, width, height) for each photo of a row; edges are whole pixels. */
  eachOf(row, place) {
    const height = this.height[row];
    const top = Math.round(this.y[row]);
    const bottom = Math.round(this.y[row] + height);
    let x = this.x[row];
    for (let rank = this.start[row]; rank < this.endOf(row); rank++) {
      const left = Math.round(x);
      x += this.aspects[rank] * height;
      place(rank, left, top, Math.round(x) - left, bottom - top);
      x += this.gap;
    }
  }

  /** Return where a photo is. */
  boxOf(rank) {
    let box;
    this.eachOf(this.rowOf(rank), (each, x, y, width, height) => {
      if (each === rank) box = { x, y, width, height };
    });
    return box;
  }

  /** Return the photo above or below (direction -1 or 1) whose middle is nearest; or itself. */
  vertical(rank, direction) {
    const row = this.rowOf(rank);
    const { x, width } = this.boxOf(rank);
    const middle = x + width / 2;
    let other = row + direction;
    while (other >= 0 && other < this.rows && this.y[other] === this.y[row]) other += direction;
    if (other < 0 || other >= this.rows) return rank;
    let best = rank;
    let least = Infinity;
    for (let each = other; this.y[each] === this.y[other]; each += direction) {
      this.eachOf(each, (candidate, left, _, wide) => {
        const distance = Math.abs(left + wide / 2 - middle);
        if (distance < least) [least, best] = [distance, candidate];
      });
    }
    return best;
  }
}

/** Return the first of 0 … count - 1 for which a condition holds from then on, or count. */
export function firstOf(count, isBehind) {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
