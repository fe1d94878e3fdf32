import assert from "node:assert/strict";
import { test } from "node:test";
import { costWords, together } from "../src/lib/estimate";

test("the cost of a set is the sum of its requests, and its place that of the first", () => {
  const cost = together([
    { seconds: 20, images: 4, position: 3 },
    { seconds: 40, images: 2, position: 3 },
  ]);
  assert.deepEqual(cost, { seconds: 60, images: 6, position: 3 });
  assert.equal(costWords(cost), "Takes about 60 s of work for 6 images. 2 of your jobs come first.");
});

test("one request without an estimate leaves the time of the set open", () => {
  const cost = together([
    { seconds: 20, images: 1, position: 1 },
    { seconds: null, images: 1, position: 1 },
  ]);
  assert.equal(cost.seconds, null);
  assert.match(costWords(cost), /^2 images\. The first job of its kind/);
  assert.equal(costWords({ seconds: 20, images: 0, position: null }), "Takes about 20 s of work.");
});
