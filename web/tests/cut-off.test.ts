import assert from "node:assert/strict";
import { test } from "node:test";
import { referenceDoubts, sourceDoubt } from "../src/lib/cut-off";

const bear = { category: "animal", class_noun: "bear" } as const;
const woman = { category: "person", class_noun: "woman" } as const;

test("a reference names the sides at which the subject is cut off", () => {
  assert.deepEqual(referenceDoubts({ cut_off: [], share: 0.2 }, bear), []);
  assert.match(referenceDoubts({ cut_off: ["left"], share: 0.2 }, bear)[0] ?? "", /^Cut off at the left\./);
  const [words] = referenceDoubts({ cut_off: ["left", "top", "bottom"], share: 0.2 }, bear);
  assert.match(words ?? "", /left, top and bottom\./);
});

test("a portrait of a person ends at the bottom, and this is no fault", () => {
  assert.deepEqual(referenceDoubts({ cut_off: ["bottom"], share: 0.4 }, woman), []);
  assert.match(referenceDoubts({ cut_off: ["bottom", "top"], share: 0.4 }, woman)[0] ?? "", /at the top\./);
  assert.equal(sourceDoubt({ cut_off: ["bottom"], share: 0.4 }, woman, "Ada"), null);
  assert.match(
    sourceDoubt({ cut_off: ["bottom"], share: 0.4 }, bear, "Mira") ?? "",
    /^Mira is cut off at the bottom\./,
  );
});

test("an image without the subject says so, and a mask that is not there yet says nothing", () => {
  assert.deepEqual(referenceDoubts({ cut_off: [], share: 0 }, bear), ["LIPE sees no bear here."]);
  assert.deepEqual(referenceDoubts({ cut_off: [], share: null }, bear), []);
});
