import assert from "node:assert/strict";
import { test } from "node:test";
import { type Pixels, REGION_SIDE, regionAt, regionSize } from "../src/lib/region";

type Color = [number, number, number];
const BACK: Color = [200, 220, 240];
const BODY: Color = [120, 80, 40];

/** An image from rows of letters, one colour for each. */
function imageOf(rows: string[], colors: Record<string, Color>): Pixels {
  const letters = rows.join("");
  const data = new Uint8ClampedArray(4 * letters.length);
  [...letters].forEach((letter, k) => {
    data.set([...(colors[letter] as Color), 255], 4 * k);
  });
  return { data, width: rows[0]?.length ?? 0, height: rows.length };
}

const shown = (region: Uint8Array, width: number): string[] =>
  Array.from({ length: region.length / width }, (_, y) =>
    Array.from(region.subarray(y * width, (y + 1) * width), (cell) => (cell ? "#" : ".")).join(""),
  );

const open = ({ width, height }: Pixels): Uint8Array => new Uint8Array(width * height).fill(1);

test("a click takes the area of one colour with its rim, and no area of the same colour elsewhere", () => {
  const rows = [
    "bbbbbbbbbbbbbbb",
    "bBBBBBbbbbbbbBb",
    "bBBBBBbbbbbbbBb",
    "bBBBBBbbbbbbbBb",
    "bBBBBBbbbbbbbBb",
    "bbbbbbbbbbbbbbb",
  ];
  const image = imageOf(rows, { b: BACK, B: BODY });
  const region = shown(regionAt(image, open(image), 3, 2, 30), image.width);
  assert.equal(region[2], "#######........");
  assert.ok(region.every((row) => row.slice(8) === "......."));
});

test("a reach beyond the difference takes everything, and one of 0 the colour alone", () => {
  const image = imageOf(["bbBB", "bbBB", "bbBB", "bbBB"], { b: BACK, B: BODY });
  assert.equal(regionAt(image, open(image), 0, 0, 255).indexOf(0), -1);
  assert.deepEqual(shown(regionAt(image, open(image), 0, 1, 0), 4)[0], "###.");
});

test("a click stays inside what is open, and on a closed pixel takes nothing", () => {
  const image = imageOf(["bbbbbb", "bbbbbb", "bbbbbb"], { b: BACK });
  const left = open(image).map((_, k) => (k % 6 < 3 ? 1 : 0));
  assert.deepEqual(shown(regionAt(image, left, 0, 0, 9), 6), ["###...", "###...", "###..."]);
  assert.equal(regionAt(image, left, 5, 1, 9).indexOf(1), -1);
});

test("shading that drifts belongs to a surface, and a sharp edge of the same difference ends it", () => {
  const width = 60;
  const row = (value: (x: number) => number) =>
    imageOf(
      Array.from({ length: 8 }, () =>
        Array.from({ length: width }, (_, x) => String.fromCharCode(256 + value(x))).join(""),
      ),
      Object.fromEntries(
        Array.from({ length: 256 }, (_, k) => [String.fromCharCode(256 + k), [k, k, k] as Color]),
      ),
    );
  const shaded = row((x) => 100 + x);
  const sharp = row((x) => (x < 30 ? 100 : 150));
  assert.ok(regionAt(shaded, open(shaded), 2, 4, 32).slice(4 * width, 5 * width)[55]);
  assert.ok(!regionAt(sharp, open(sharp), 2, 4, 32).slice(4 * width, 5 * width)[40]);
});

test("a small hole such as an eye belongs to the region, and a large one does not", () => {
  const side = 60;
  const rows = Array.from({ length: side }, (_, y) =>
    Array.from({ length: side }, (_, x) => {
      if (x >= 20 && x < 24 && y === 30) return "e";
      return x >= 35 && x < 50 && y >= 30 && y < 45 ? "w" : "B";
    }).join(""),
  );
  const image = imageOf(rows, { B: BODY, e: [0, 0, 0], w: [255, 255, 255] });
  const region = regionAt(image, open(image), 5, 5, 30);
  assert.equal(region[30 * side + 21], 1);
  assert.equal(region[37 * side + 42], 0);
});

test("large images are searched at a smaller size of the same shape", () => {
  assert.deepEqual(regionSize(128, 96), { width: 128, height: 96 });
  assert.deepEqual(regionSize(4000, 3000), {
    width: Math.round((4000 * REGION_SIDE) / 3000),
    height: REGION_SIDE,
  });
});
