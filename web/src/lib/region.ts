/**
 * The region under a click: the connected pixels whose colour is near that of the place which was clicked.
 *
 * A flood, as the magic wand of image editors: it needs no model and answers at once. Areas of a drawing have one colour;
 * in a photo the colour drifts over a surface, so a small step to a neighbour may lead further away than a large one.
 */

import { grown } from "./grow";

export interface Pixels {
  data: Uint8ClampedArray;
  width: number;
  height: number;
}

/** Regions are found at most at this shorter side: a photo's noise is smaller than a pixel then. */
export const REGION_SIDE = 512;
const SMALL_STEP = 1 / 5; // of the reach: the drift from one pixel to the next
const FURTHEST = 2; // times the reach: how far a colour may have drifted
const LARGEST_HOLE = 0.002; // share of the image: smaller holes, such as an eye, belong to the region
const RIM = 1; // pixels: the blended colours of an outline belong to the region
const AROUND = 1; // the colour is the mean of so many pixels to each side

/** The width and height at which regions of an image are found. */
export function regionSize(width: number, height: number): { width: number; height: number } {
  const scale = Math.min(1, REGION_SIDE / Math.min(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The largest difference of red, green and blue. */
function differs(data: Uint8ClampedArray, k: number, red: number, green: number, blue: number): number {
  return Math.max(
    Math.abs((data[4 * k] ?? 0) - red),
    Math.abs((data[4 * k + 1] ?? 0) - green),
    Math.abs((data[4 * k + 2] ?? 0) - blue),
  );
}

function meanColor({ data, width, height }: Pixels, x: number, y: number): [number, number, number] {
  const sum: [number, number, number] = [0, 0, 0];
  let count = 0;
  for (let row = Math.max(0, y - AROUND); row <= Math.min(height - 1, y + AROUND); row += 1)
    for (let column = Math.max(0, x - AROUND); column <= Math.min(width - 1, x + AROUND); column += 1) {
      const k = 4 * (row * width + column);
      for (const channel of [0, 1, 2] as const) sum[channel] += data[k + channel] ?? 0;
      count += 1;
    }
  return [sum[0] / count, sum[1] / count, sum[2] / count];
}

/** The connected cells that `isIn` accepts, from `start` on; `from` is the neighbour that leads to the cell. */
function flood(
  width: number,
  height: number,
  start: number,
  isIn: (cell: number, from: number) => boolean,
): number[] {
  const seen = new Uint8Array(width * height);
  seen[start] = 1;
  const found = [start];
  for (let next = 0; next < found.length; next += 1) {
    const cell = found[next] as number;
    const column = cell % width;
    const visit = (other: number) => {
      if (seen[other] || !isIn(other, cell)) return;
      seen[other] = 1;
      found.push(other);
    };
    if (column > 0) visit(cell - 1);
    if (column < width - 1) visit(cell + 1);
    if (cell >= width) visit(cell - width);
    if (cell < width * (height - 1)) visit(cell + width);
  }
  return found;
}

/** Small areas that the region surrounds become part of it. */
function fillHoles(region: Uint8Array, isOpen: Uint8Array, width: number, height: number): void {
  const known = new Uint8Array(region.length);
  for (let cell = 0; cell < region.length; cell += 1) {
    if (region[cell] || known[cell]) continue;
    const hole = flood(width, height, cell, (other) => region[other] === 0);
    let isHole = hole.length <= LARGEST_HOLE * region.length;
    for (const other of hole) {
      known[other] = 1;
      const column = other % width;
      if (column === 0 || column === width - 1 || other < width || other >= width * (height - 1))
        isHole = false;
      if (!isOpen[other]) isHole = false;
    }
    if (isHole) for (const other of hole) region[other] = 1;
  }
}

/**
 * Ones for the region under the pixel (x, y). `reach`, from 0 to 255, is the difference that still counts as the same
 * colour. The region stays where `isOpen` is 1, so that a click on what is marked never leaves the mark.
 */
export function regionAt(image: Pixels, isOpen: Uint8Array, x: number, y: number, reach: number): Uint8Array {
  const { data, width, height } = image;
  const region = new Uint8Array(width * height);
  const start = y * width + x;
  if (!isOpen[start]) return region;
  const [red, green, blue] = meanColor(image, x, y);
  const found = flood(width, height, start, (cell, from) => {
    if (!isOpen[cell]) return false;
    const distance = differs(data, cell, red, green, blue);
    if (distance <= reach) return true;
    const [r, g, b] = [data[4 * from] ?? 0, data[4 * from + 1] ?? 0, data[4 * from + 2] ?? 0];
    return distance <= FURTHEST * reach && differs(data, cell, r, g, b) <= SMALL_STEP * reach;
  });
  for (const cell of found) region[cell] = 1;
  const whole = grown(region, width, height, RIM).map((cell, k) => cell & (isOpen[k] as number));
  fillHoles(whole, isOpen, width, height);
  return whole;
}
