import assert from "node:assert/strict";
import { test } from "node:test";
import { barLength, percent, type Snapshot, shareOfBest, tradeOff } from "../src/lib/snapshots";

const snapshot = (step: number, identity: number, flexibility: number | null, is_chosen = false) =>
  ({
    step,
    identity,
    flexibility,
    is_chosen,
    is_recommended: false,
    adapter_sha256: "a",
    preview: null,
  }) as Snapshot;

const EARLY = snapshot(15, 0.2, 0.9);
const LAST = snapshot(60, 0.4, 0.7, true);

test("a bar stays within its frame", () => {
  assert.deepEqual([-0.4, 0.5, 1.2, null].map(barLength), [0, 0.5, 1, 0]);
  assert.equal(shareOfBest([EARLY, LAST], 0.2), 0.5);
  assert.equal(shareOfBest([snapshot(1, -0.2, 1)], -0.2), 0, "no snapshot is better than the base model");
});

test("a score that was not measured is no zero", () => {
  assert.equal(percent(null), "not measured");
  assert.equal(percent(0), "0 %");
  assert.equal(percent(0.345), "35 %");
});

test("a snapshot is compared with the chosen one", () => {
  assert.equal(
    tradeOff([EARLY, LAST], EARLY),
    "Against the chosen one: 20 points less identity, 20 points more flexibility.",
  );
  assert.equal(tradeOff([EARLY, LAST], LAST), null);
  assert.equal(
    tradeOff([snapshot(1, 0.4, null), LAST], snapshot(1, 0.4, null)),
    "Against the chosen one: the same identity.",
  );
});
