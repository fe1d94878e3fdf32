import assert from "node:assert/strict";
import { test } from "node:test";
import type { NewEdit } from "../src/lib/request";
import { NO_OTHERS, variantsOf } from "../src/lib/variants";

const BODY = {
  prior_id: "pri_1",
  image_id: "img_1",
  prompts: ["a photo of sks bear jumping"],
  method: "nima",
  preset: "balanced",
  identity: "high",
  change: "large",
  parameters: { steps: 20 },
} as unknown as NewEdit;

test("one edit alone is sent as it is", () => {
  assert.deepEqual(variantsOf(BODY, NO_OTHERS), [BODY]);
});

test("all variants have the same seed, and only their own settings differ", () => {
  const found = variantsOf(BODY, { presets: ["fast", "balanced"], methods: ["ddim", "nima"] }, () => 0.5);
  assert.equal(found.length, 3, "what is chosen already is no variant");
  assert.equal(new Set(found.map((one) => one.seed)).size, 1);
  assert.deepEqual(found[1], { ...found[0], preset: "fast" });
  const { identity, change, parameters, ...shared } = found[0] as NewEdit;
  assert.deepEqual(found[2], { ...shared, method: "ddim" });
  assert.deepEqual([identity, change, parameters], ["high", "large", { steps: 20 }]);
  assert.equal(variantsOf({ ...BODY, seed: 7 }, { presets: ["best"], methods: [] })[1]?.seed, 7);
});
