import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_SCALE, panBy, toImage, WHOLE, type Zoom, zoomAt } from "../src/lib/zoom";

const near = (one: number, other: number) =>
  assert.ok(Math.abs(one - other) < 1e-9, `${one} is not ${other}`);

test("the point under the pointer stays there", () => {
  const start = zoomAt(WHOLE, 3, 0.4, 0.6);
  const before = toImage(start, 0.5, 0.5);
  const after = toImage(zoomAt(start, 1.7, 0.5, 0.5), 0.5, 0.5);
  near(before.x, after.x);
  near(before.y, after.y);
});

test("no gap appears between the image and its frame", () => {
  let zoom: Zoom = WHOLE;
  for (const [factor, x, y] of [
    [4, 0, 0],
    [0.3, 1, 1],
    [9, 0.9, 0.1],
    [0.5, 0, 1],
  ] as const) {
    zoom = panBy(zoomAt(zoom, factor, x, y), x - 0.7, y + 0.4);
    const [start, end] = [toImage(zoom, 0, 0), toImage(zoom, 1, 1)];
    assert.ok(start.x >= -1e-9 && start.y >= -1e-9 && end.x <= 1 + 1e-9 && end.y <= 1 + 1e-9);
  }
});

test("the scale stays between the whole image and the largest", () => {
  assert.deepEqual(zoomAt(WHOLE, 0.01), WHOLE);
  near(zoomAt(WHOLE, 1e6).scale, MAX_SCALE);
});
