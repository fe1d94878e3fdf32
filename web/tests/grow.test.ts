import assert from "node:assert/strict";
import { test } from "node:test";
import { grown, shrunk } from "../src/lib/grow";
import { MaskDrawing } from "../src/lib/mask";

const SIDE = 41;
const disk = (radius: number): Uint8Array =>
  Uint8Array.from({ length: SIDE * SIDE }, (_, k) =>
    Math.hypot((k % SIDE) - 20, Math.floor(k / SIDE) - 20) <= radius ? 1 : 0,
  );
const count = (cells: Uint8Array) => cells.reduce((sum, cell) => sum + cell, 0);

test("a point grows to a disk, within a pixel", () => {
  const point = disk(0);
  assert.equal(count(point), 1);
  const cells = grown(point, SIDE, SIDE, 10);
  cells.forEach((cell, k) => {
    const distance = Math.hypot((k % SIDE) - 20, Math.floor(k / SIDE) - 20);
    if (distance <= 9.3) assert.equal(cell, 1, String(distance));
    if (distance >= 10.7) assert.equal(cell, 0, String(distance));
  });
});

test("shrinking takes back what growing added, and the edge of the image takes nothing away", () => {
  const before = disk(8);
  const after = shrunk(grown(before, SIDE, SIDE, 5), SIDE, SIDE, 5);
  assert.ok(before.every((cell, k) => !cell || after[k] === 1));
  assert.ok(count(after) < count(before) * 1.15);
  const full = new Uint8Array(SIDE * SIDE).fill(1);
  assert.equal(count(shrunk(full, SIDE, SIDE, 6)), SIDE * SIDE);
  assert.equal(count(grown(new Uint8Array(SIDE * SIDE), SIDE, SIDE, 6)), 0);
});

test("growing is one step of undo, and a region of another size fills its part", () => {
  const mask = new MaskDrawing(8, 4);
  mask.fill({ cells: Uint8Array.from([1, 0, 0, 0]), width: 2, height: 2 }, 1);
  assert.equal(mask.share, 0.25);
  assert.deepEqual([...mask.scaled(2, 2)], [1, 0, 0, 0]);
  mask.grow(1);
  assert.ok(mask.share > 0.25);
  mask.undo();
  assert.equal(mask.share, 0.25);
  mask.fill({ cells: Uint8Array.from([1, 0, 0, 0]), width: 2, height: 2 }, 0);
  assert.ok(mask.isEmpty);
});
