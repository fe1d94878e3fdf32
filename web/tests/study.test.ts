import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Answer,
  type Candidate,
  itemsOf,
  parseRaterFile,
  parseRatings,
  type Ratings,
  type Study,
  turnsOf,
} from "../src/lib/study";
import { csvOf, resultsOf } from "../src/lib/study-results";

const made = (system: string, seeds: number[], prompt = "jumping"): Candidate => ({
  edit: `edt_${system}`,
  system,
  image: "img_1",
  subject: "sub_1",
  results: seeds.map((seed) => ({ prompt, seed, sha256: `${system}${prompt}${seed}`.padEnd(20, "0") })),
});

function study(mode: "keep" | "ab", seeds = [1, 2, 3, 4, 5, 6]): Study {
  const items = itemsOf([made("NIMA", seeds), made("DDIM", seeds)], mode);
  return { id: "study_1", name: 'A "study", of two', mode, asks: "?", createdAt: "", items };
}

const ratingsOf = (of: Study, rater: string, answer: (k: number) => string): Ratings => ({
  kind: "lipe-ratings",
  version: 1,
  study: of.id,
  rater,
  answers: of.items.map(
    (item, k): Answer => ({
      item: item.id,
      shown: item.results.map((result) => result.sha256),
      answer: answer(k),
      milliseconds: 1000 * (k + 1),
      isRepeat: false,
      at: "2026-01-01T00:00:00Z",
    }),
  ),
});

test("pairs have the same image, prompt and seed, and different systems", () => {
  const items = itemsOf([made("NIMA", [1, 2]), made("DDIM", [2, 3]), made("NIMA", [2], "sitting")], "ab");
  assert.equal(items.length, 1);
  assert.deepEqual(
    items[0]?.results.map((result) => result.system),
    ["NIMA", "DDIM"],
  );
  assert.equal(items[0]?.seed, 2);
  assert.equal(itemsOf([made("NIMA", [1, 2]), made("NIMA", [1])], "keep").length, 2, "the same result once");
});

test("the order and the sides depend on the rater, and repeats exchange the sides", () => {
  const items = Array.from({ length: 40 }, (_, k) => ({
    id: `i${k}`,
    prompt: "",
    source: "",
    references: [],
    results: [
      { sha256: `a${k}`, picture: "" },
      { sha256: `b${k}`, picture: "" },
    ],
  }));
  const ada = turnsOf({ id: "s", items }, "Ada");
  assert.deepEqual(ada, turnsOf({ id: "s", items }, " ada "), "the same after a reload");
  assert.notDeepEqual(ada, turnsOf({ id: "s", items }, "Bob"));
  assert.equal(ada.length, 44);
  const firsts = ada.filter((turn) => !turn.isRepeat);
  const left = firsts.filter((turn) => turn.shown[0]?.sha256.startsWith("a")).length;
  assert.ok(left > 8 && left < 32, `${left} of 40 with the first system on the left`);
  for (const again of ada.filter((turn) => turn.isRepeat)) {
    const first = firsts.find((turn) => turn.item.id === again.item.id);
    assert.deepEqual(again.shown, first?.shown.toReversed());
  }
});

test("shares, ties, agreement and consistency", () => {
  const of = study("ab");
  const nima = (k: number) => of.items[k]?.results[0]?.sha256 ?? "";
  const first = ratingsOf(of, "Ada", nima);
  const second = ratingsOf(of, "Bob", (k) => (k < 3 ? nima(k) : "tie"));
  second.answers.push({ ...(second.answers[0] as Answer), isRepeat: true, answer: "tie" });
  const { systems, kappa, raters, answers } = resultsOf(of, [first, second]);
  assert.deepEqual(
    systems.map((row) => [row.system, row.answers, row.share?.value]),
    [
      ["NIMA", 12, 0.875],
      ["DDIM", 12, 0.125],
    ],
  );
  assert.equal(answers, 12, "repeats do not count twice");
  assert.ok(kappa !== null && kappa < 1);
  assert.deepEqual(
    raters.map((row) => row.sameAgain),
    [null, { same: 0, of: 1 }],
  );
});

test("yes and no", () => {
  const of = study("keep", [1, 2, 3]);
  const isNima = (k: number) => of.items[k]?.results[0]?.system === "NIMA";
  const raters = ["Ada", "Bob", "Eve"].map((name) => ratingsOf(of, name, (k) => (isNima(k) ? "yes" : "no")));
  const { systems, kappa } = resultsOf(of, raters);
  assert.deepEqual(
    systems.map((row) => [row.system, row.share?.value, row.strength]),
    [
      ["NIMA", 1, null],
      ["DDIM", 0, null],
    ],
  );
  assert.equal(kappa, 1);
  assert.deepEqual(
    resultsOf(of, []).systems.map((row) => row.share),
    [null, null],
  );
});

test("files of other studies, broken files and unknown answers are refused in words", () => {
  const of = study("keep");
  const good = ratingsOf(of, "Ada", () => "yes");
  assert.deepEqual(parseRatings(JSON.stringify(good), of), good);
  const wrong: [string, RegExp][] = [
    ["{", /not JSON/],
    ["[]", /no file of ratings/],
    [JSON.stringify({ ...good, study: "other" }), /another study/],
    [JSON.stringify({ ...good, rater: " " }), /incomplete/],
    [JSON.stringify({ ...good, answers: [{ ...good.answers[0], item: "x" }] }), /does not have/],
    [JSON.stringify({ ...good, answers: [{ ...good.answers[0], answer: "maybe" }] }), /does not have/],
    [JSON.stringify({ ...good, answers: [null] }), /does not have/],
  ];
  for (const [text, message] of wrong) assert.throws(() => parseRatings(text, of), message);
  assert.throws(() => parseRaterFile(JSON.stringify(good)), /no study/);
});

test("the table quotes what a spreadsheet would misread", () => {
  const of = study("ab", [1]);
  const text = csvOf(of, [ratingsOf(of, "=cmd()", () => of.items[0]?.results[1]?.sha256 ?? "")]);
  const [head, row, end] = text.split("\r\n");
  assert.equal(head?.split(",").length, 12);
  assert.equal(
    row,
    `"A ""study"", of two",'=cmd(),${of.items[0]?.id},jumping,1,NIMA,DDIM,preferred,DDIM,0,1,2026-01-01T00:00:00Z`,
  );
  assert.equal(end, "");
});
