import assert from "node:assert/strict";
import { test } from "node:test";
import { cellsOf, MaskDrawing, pixelsOfCells } from "../src/lib/mask";

const shown = (mask: MaskDrawing): string[] =>
  Array.from({ length: mask.height }, (_, y) =>
    Array.from(mask.cells.subarray(y * mask.width, (y + 1) * mask.width), (cell) => (cell ? "#" : ".")).join(
      "",
    ),
  );

function painted(): MaskDrawing {
  const mask = new MaskDrawing(8, 5);
  mask.stroke({ x: 2, y: 2.5 }, { x: 6, y: 2.5 }, 1, 1);
  mask.endStroke();
  return mask;
}

test("a stroke paints the pixels whose middles are within its radius", () => {
  const mask = new MaskDrawing(6, 6);
  mask.stroke({ x: 3, y: 3 }, { x: 3, y: 3 }, 1.6, 1);
  mask.endStroke();
  assert.deepEqual(shown(mask), ["......", "..##..", ".####.", ".####.", "..##..", "......"]);
});

test("a line has no gaps, and the eraser takes from it", () => {
  const mask = painted();
  assert.equal(shown(mask)[2], ".######.");
  mask.stroke({ x: 4, y: 2.5 }, { x: 4, y: 2.5 }, 1, 0);
  mask.endStroke();
  assert.equal(shown(mask)[2], ".##..##.");
});

test("strokes over the edge stay inside the image", () => {
  const mask = new MaskDrawing(4, 4);
  const box = mask.stroke({ x: -5, y: -5 }, { x: 20, y: 20 }, 3, 1);
  mask.endStroke();
  assert.deepEqual(box, { left: 0, top: 0, right: 4, bottom: 4 });
  assert.equal(mask.share, 1);
  assert.doesNotThrow(() => mask.stroke({ x: 90, y: 90 }, { x: 95, y: 99 }, 2, 1));
});

test("each stroke is one step of undo and redo", () => {
  const mask = painted();
  const first = shown(mask);
  mask.stroke({ x: 0, y: 0 }, { x: 1, y: 1 }, 1, 1);
  mask.stroke({ x: 1, y: 1 }, { x: 7, y: 4 }, 1, 1);
  mask.endStroke();
  const second = shown(mask);
  mask.undo();
  assert.deepEqual(shown(mask), first);
  mask.undo();
  assert.ok(mask.isEmpty);
  assert.equal(mask.undo(), null);
  mask.redo();
  mask.redo();
  assert.deepEqual(shown(mask), second);
  assert.equal(mask.redo(), null);
});

test("a new stroke ends what could be redone, and one that changes nothing is no step", () => {
  const mask = painted();
  mask.undo();
  assert.ok(mask.canRedo);
  mask.stroke({ x: 4, y: 2 }, { x: 4, y: 2 }, 1, 0);
  mask.endStroke();
  assert.ok(mask.canRedo, "it erased what was empty");
  mask.stroke({ x: 4, y: 2 }, { x: 4, y: 2 }, 1, 1);
  mask.endStroke();
  assert.ok(!mask.canRedo);
});

test("a canceled stroke leaves no trace", () => {
  const mask = painted();
  const before = shown(mask);
  mask.stroke({ x: 0, y: 0 }, { x: 7, y: 4 }, 2, 1);
  mask.cancelStroke();
  assert.deepEqual(shown(mask), before);
  assert.equal(mask.revision, 1);
});

test("clear, invert and replace are single steps", () => {
  const mask = painted();
  const before = shown(mask);
  const share = mask.share;
  mask.invert();
  assert.ok(Math.abs(mask.share - (1 - share)) < 1e-9);
  mask.clear();
  assert.ok(mask.isEmpty);
  mask.replace(new Uint8Array(40).fill(1));
  for (let step = 0; step < 3; step += 1) mask.undo();
  assert.deepEqual(shown(mask), before);
});

test("undo of many strokes over a random drawing restores each state", () => {
  const mask = new MaskDrawing(23, 17);
  const states = [shown(mask)];
  let seed = 1;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  for (let stroke = 0; stroke < 40; stroke += 1) {
    const point = () => ({ x: random() * 30 - 3, y: random() * 24 - 3 });
    const revision = mask.revision;
    mask.stroke(point(), point(), 0.5 + random() * 4, random() < 0.6 ? 1 : 0);
    mask.endStroke();
    if (mask.revision > revision) states.push(shown(mask));
  }
  for (const state of states.toReversed()) {
    assert.deepEqual(shown(mask), state);
    mask.undo();
  }
});

test("a mask survives its way through an image, and grays count as the nearer end", () => {
  const mask = painted();
  const white = [255, 255, 255, 255] as const;
  const pixels = pixelsOfCells(mask.cells, white, [0, 0, 0, 255]);
  assert.deepEqual(cellsOf(pixels), mask.cells);
  assert.deepEqual([...cellsOf(new Uint8ClampedArray([127, 127, 127, 255, 128, 128, 128, 255]))], [0, 1]);
});
