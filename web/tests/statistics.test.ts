import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers, seedOf, shuffled } from "../src/lib/random";
import { bradleyTerry, clusteredMean, fleissKappa, wilson } from "../src/lib/statistics";

const near = (one: number | undefined, other: number, by = 1e-3) =>
  assert.ok(one !== undefined && Math.abs(one - other) <= by, `${one} is not ${other}`);

test("Wilson intervals have the published values", () => {
  // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  for (const [successes, total, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ] as const) {
    const found = wilson(successes, total);
    near(found?.low, low, 1e-4);
    near(found?.high, high, 1e-4);
  }
  assert.equal(wilson(0, 0), null);
});

test("Fleiss' kappa has the value of the worked example", () => {
  // Fleiss 1971 as in Wikipedia: 10 subjects, 14 raters, 5 categories, kappa 0.210.
  const table = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
  ];
  const rows = table.map((counts) => counts.flatMap((count, k) => Array<string>(count).fill(`c${k}`)));
  near(fleissKappa(rows) ?? undefined, 0.21);
});

test("kappa at its ends, and where it cannot be known", () => {
  assert.equal(
    fleissKappa([
      ["yes", "yes"],
      ["no", "no"],
    ]),
    1,
  );
  near(
    fleissKappa([
      ["yes", "no"],
      ["no", "yes"],
    ]) ?? undefined,
    -1,
  );
  assert.equal(
    fleissKappa([
      ["yes", "yes"],
      ["yes", "yes", "yes"],
    ]),
    null,
  );
  assert.equal(fleissKappa([["yes"], ["no"], []]), null);
  assert.equal(fleissKappa([["yes", "yes"], ["no", "no"], ["no"]]), 1, "a single answer says nothing");
});

test("clusters widen the interval of answers that depend on each other", () => {
  const random = randomNumbers(3);
  const questions = Array.from({ length: 40 }, () => (random() < 0.6 ? 1 : 0));
  const repeated = clusteredMean(questions.map((answer) => Array<number>(10).fill(answer)));
  const single = clusteredMean(questions.map((answer) => [answer]));
  const naive = wilson(10 * questions.filter(Boolean).length, 400);
  assert.deepEqual(repeated, single, "ten raters who always agree are one");
  assert.ok((repeated?.high ?? 0) - (repeated?.low ?? 0) > 2.5 * ((naive?.high ?? 0) - (naive?.low ?? 0)));
  near(repeated?.value, questions.filter(Boolean).length / 40);
  assert.equal(clusteredMean([[1, 0]]), null);
});

test("the bootstrap covers the truth about as often as it says", () => {
  const random = randomNumbers(11);
  let covered = 0;
  for (let run = 0; run < 100; run += 1) {
    const clusters = Array.from({ length: 40 }, () => {
      const share = random();
      return Array.from({ length: 5 }, () => (random() < share ? 1 : 0));
    });
    const found = clusteredMean(clusters, run);
    if (found && found.low <= 0.5 && found.high >= 0.5) covered += 1;
  }
  assert.ok(covered >= 87, `${covered} of 100`);
});

test("Bradley-Terry finds the strengths that made the comparisons", () => {
  const truth = { a: 0.6, b: 0.3, c: 0.1 };
  const random = randomNumbers(5);
  const names = Object.keys(truth) as (keyof typeof truth)[];
  const comparisons = Array.from({ length: 6000 }, () => {
    const [left, right] = shuffled(names, random) as [keyof typeof truth, keyof typeof truth];
    return { left, right, score: random() < truth[left] / (truth[left] + truth[right]) ? 1 : 0 };
  });
  const found = bradleyTerry(comparisons);
  for (const name of names) near(found.get(name), truth[name], 0.03);
  const ties = bradleyTerry([{ left: "a", right: "b", score: 0.5 }]);
  near(ties.get("a"), 0.5);
  const always = bradleyTerry(Array.from({ length: 20 }, () => ({ left: "a", right: "b", score: 1 })));
  assert.ok((always.get("a") ?? 0) > 0.9 && (always.get("b") ?? 0) > 0);
});

test("a seed determines the order, and all items stay", () => {
  const items = Array.from({ length: 30 }, (_, k) => k);
  const order = shuffled(items, randomNumbers(seedOf("Ada study_1")));
  assert.deepEqual(order, shuffled(items, randomNumbers(seedOf("Ada study_1"))));
  assert.notDeepEqual(order, shuffled(items, randomNumbers(seedOf("Bob study_1"))));
  assert.deepEqual(
    order.toSorted((one, other) => one - other),
    items,
  );
});
