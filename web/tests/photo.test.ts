import assert from "node:assert/strict";
import { test } from "node:test";
import { flatShare, looksLikePhoto, PHOTO_SIDE } from "../src/lib/photo";
import { randomNumbers } from "./random";

function image(colour: (x: number, y: number) => number): Uint8ClampedArray {
  const pixels = new Uint8ClampedArray(4 * PHOTO_SIDE * PHOTO_SIDE);
  for (let k = 0; k < PHOTO_SIDE * PHOTO_SIDE; k += 1) {
    const grey = colour(k % PHOTO_SIDE, Math.floor(k / PHOTO_SIDE));
    pixels.set([grey, grey, grey, 255], 4 * k);
  }
  return pixels;
}

test("areas of one colour are a drawing, and texture is a photo", () => {
  const random = randomNumbers(1);
  assert.ok(
    !looksLikePhoto(
      image((x, y) => (x > 20 && y > 30 ? 200 : 40)),
      PHOTO_SIDE,
    ),
  );
  assert.ok(
    looksLikePhoto(
      image(() => 100 + 40 * random()),
      PHOTO_SIDE,
    ),
  );
  assert.ok(
    looksLikePhoto(
      image((x) => 3 * x),
      PHOTO_SIDE,
    ),
  );
});

test("the end of a row is no neighbour of the next one", () => {
  const rows = image((x) => (x < PHOTO_SIDE / 2 ? 0 : 255));
  assert.equal(flatShare(rows, PHOTO_SIDE), (PHOTO_SIDE - 2) / (PHOTO_SIDE - 1));
  assert.equal(flatShare(new Uint8ClampedArray(4), 1), 1);
});
