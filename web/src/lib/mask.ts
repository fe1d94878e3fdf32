/** A mask that a person draws: strokes of a round brush, each of which can be undone. 1 = the edit may change it. */

import { grown, shrunk } from "./grow";

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}
interface Point {
  x: number;
  y: number;
}
interface Step {
  box: Box;
  before: Uint8Array;
  after: Uint8Array;
}

const MAX_HISTORY_BYTES = 64e6;
const HALF = 128;

const union = (one: Box | null, other: Box): Box =>
  one
    ? {
        left: Math.min(one.left, other.left),
        top: Math.min(one.top, other.top),
        right: Math.max(one.right, other.right),
        bottom: Math.max(one.bottom, other.bottom),
      }
    : other;

/** The squared distance of a point to the line from `a` to `b`. */
function squaredDistance(x: number, y: number, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / length));
  return (x - a.x - along * dx) ** 2 + (y - a.y - along * dy) ** 2;
}

export class MaskDrawing {
  readonly cells: Uint8Array<ArrayBuffer>;
  /** Grows with each change, so that a stored copy can be known to be old. */
  revision = 0;
  private done: Step[] = [];
  private undone: Step[] = [];
  private start: Uint8Array | null = null;
  private dirty: Box | null = null;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.cells = new Uint8Array(width * height);
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  get isEmpty(): boolean {
    return !this.cells.includes(1);
  }

  /** The share of the image that may change, from 0 to 1. */
  get share(): number {
    return this.cells.reduce((sum, cell) => sum + cell, 0) / this.cells.length;
  }

  private get whole(): Box {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  /** Paint (1) or erase (0) along a line, with a radius in pixels. Returns what changed; `endStroke` makes it a step. */
  stroke(from: Point, to: Point, radius: number, value: 0 | 1): Box {
    this.start ??= this.cells.slice();
    const box = {
      left: Math.max(0, Math.floor(Math.min(from.x, to.x) - radius)),
      top: Math.max(0, Math.floor(Math.min(from.y, to.y) - radius)),
      right: Math.min(this.width, Math.ceil(Math.max(from.x, to.x) + radius)),
      bottom: Math.min(this.height, Math.ceil(Math.max(from.y, to.y) + radius)),
    };
    for (let y = box.top; y < box.bottom; y += 1)
      for (let x = box.left; x < box.right; x += 1)
        if (squaredDistance(x + 0.5, y + 0.5, from, to) <= radius * radius)
          this.cells[y * this.width + x] = value;
    this.dirty = union(this.dirty, box);
    return box;
  }

  endStroke(): void {
    const { start, dirty } = this;
    this.start = this.dirty = null;
    if (!start || !dirty) return;
    const step = { box: dirty, before: this.cut(start, dirty), after: this.cut(this.cells, dirty) };
    if (step.before.every((cell, k) => cell === step.after[k])) return;
    this.done.push(step);
    this.undone = [];
    this.revision += 1;
    let bytes = this.done.reduce((sum, one) => sum + 2 * one.after.length, 0);
    while (bytes > MAX_HISTORY_BYTES && this.done.length > 1)
      bytes -= 2 * (this.done.shift()?.after.length ?? 0);
  }

  /** Take back the stroke that has not ended. */
  cancelStroke(): Box | null {
    const { start, dirty } = this;
    this.start = this.dirty = null;
    if (start) this.cells.set(start);
    return dirty;
  }

  /** Replace the whole mask, as one step. */
  replace(cells: Uint8Array): Box {
    this.endStroke();
    this.start = this.cells.slice();
    this.cells.set(cells);
    this.dirty = this.whole;
    this.endStroke();
    return this.whole;
  }

  /** Set all pixels to `value` that a region of any size, ones and zeros over the whole image, covers. */
  fill(region: { cells: Uint8Array; width: number; height: number }, value: 0 | 1): Box {
    const columns = Uint32Array.from({ length: this.width }, (_, x) =>
      Math.floor(((x + 0.5) * region.width) / this.width),
    );
    const filled = this.cells.slice();
    for (let y = 0; y < this.height; y += 1) {
      const row = Math.floor(((y + 0.5) * region.height) / this.height) * region.width;
      for (let x = 0; x < this.width; x += 1)
        if (region.cells[row + (columns[x] as number)]) filled[y * this.width + x] = value;
    }
    return this.replace(filled);
  }

  /** The cells at another size, as `fill` reads a region. */
  scaled(width: number, height: number): Uint8Array {
    return Uint8Array.from({ length: width * height }, (_, k) => {
      const x = Math.floor((((k % width) + 0.5) * this.width) / width);
      const y = Math.floor(((Math.floor(k / width) + 0.5) * this.height) / height);
      return this.cells[y * this.width + x] as number;
    });
  }

  /** Grow by so many pixels to all sides. */
  grow(radius: number): Box {
    return this.replace(grown(this.cells, this.width, this.height, radius));
  }

  shrink(radius: number): Box {
    return this.replace(shrunk(this.cells, this.width, this.height, radius));
  }

  clear(): Box {
    return this.replace(new Uint8Array(this.cells.length));
  }

  invert(): Box {
    return this.replace(this.cells.map((cell) => 1 - cell));
  }

  /** Returns what changed; null if there is nothing to undo. */
  undo(): Box | null {
    this.endStroke();
    return this.move(this.done, this.undone, "before");
  }

  redo(): Box | null {
    return this.move(this.undone, this.done, "after");
  }

  private move(from: Step[], to: Step[], side: "before" | "after"): Box | null {
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    const { box } = step;
    const width = box.right - box.left;
    for (let y = box.top; y < box.bottom; y += 1) {
      const row = step[side].subarray((y - box.top) * width, (y - box.top + 1) * width);
      this.cells.set(row, y * this.width + box.left);
    }
    this.revision += 1;
    return box;
  }

  private cut(cells: Uint8Array, box: Box): Uint8Array {
    const width = box.right - box.left;
    const part = new Uint8Array(width * (box.bottom - box.top));
    for (let y = box.top; y < box.bottom; y += 1) {
      const start = y * this.width + box.left;
      part.set(cells.subarray(start, start + width), (y - box.top) * width);
    }
    return part;
  }
}

/** The cells of a mask image: 1 where it is nearer to white, as the service counts grays. */
export const cellsOf = (rgba: Uint8ClampedArray): Uint8Array =>
  Uint8Array.from({ length: rgba.length / 4 }, (_, k) => ((rgba[4 * k] ?? 0) >= HALF ? 1 : 0));

/** The cells as pixels of one colour where they are 1, and of another where they are 0. */
export function pixelsOfCells(
  cells: Uint8Array,
  marked: readonly number[],
  rest: readonly number[],
): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(4 * cells.length);
  cells.forEach((cell, k) => {
    pixels.set(cell ? marked : rest, 4 * k);
  });
  return pixels;
}
