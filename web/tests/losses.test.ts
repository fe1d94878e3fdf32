import assert from "node:assert/strict";
import { test } from "node:test";
import { smoothed } from "../src/components/loss-plot";
import { forgetLosses, storedLosses, storeLosses, withPoint } from "../src/lib/losses";

function memory(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
    clear: () => items.clear(),
    key: () => null,
    length: 0,
  };
}

test("points come in order, and a resumed training replaces those from its step on", () => {
  let points = [1, 2, 3, 4].reduce(
    (all, step) => withPoint(all, step, step / 10),
    [] as { step: number; loss: number }[],
  );
  points = withPoint(points, 4, 9);
  assert.deepEqual(
    points.map((point) => point.loss),
    [0.1, 0.2, 0.3, 0.4],
  );
  points = withPoint(points, 3, 7);
  assert.deepEqual(
    points.map((point) => point.step),
    [1, 2, 3],
  );
  assert.equal(points.at(-1)?.loss, 7);
});

test("losses survive a reload, and broken ones are no error", () => {
  const storage = memory();
  const points = [
    { step: 1, loss: 0.5 },
    { step: 3, loss: 0.25 },
  ];
  storeLosses("job_1", points, storage);
  assert.deepEqual(storedLosses("job_1", storage), points);
  assert.deepEqual(storedLosses("job_2", storage), []);
  for (const broken of ["{", "{}", '["x"]', "null"]) {
    storage.setItem("lipe-losses-job_1", broken);
    assert.deepEqual(storedLosses("job_1", storage), []);
  }
  forgetLosses("job_1", storage);
  assert.equal(storage.getItem("lipe-losses-job_1"), null);
});

test("the moving average of a constant is the constant, from the first step on", () => {
  for (const value of smoothed([2, 2, 2, 2])) assert.ok(Math.abs(value - 2) < 1e-12);
  const falling = smoothed([4, 3, 2, 1]);
  assert.equal(falling[0], 4);
  assert.ok(falling.every((value, k) => k === 0 || value < (falling[k - 1] ?? 0)));
});
