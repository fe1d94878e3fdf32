import assert from "node:assert/strict";
import { test } from "node:test";
import { keepState, readState, stillOpen, withAnswer, withoutAnswer } from "../src/lib/rating-queue";

function store() {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
}
const TOKEN = "sty_1_secret";
const answer = (number: number) => ({ number, answer: "left" as const, seconds: 2 });

test("answers that are on their way survive the page", () => {
  const browser = store();
  const first = readState(browser, TOKEN);
  keepState(browser, TOKEN, withAnswer(withAnswer(first, answer(3)), answer(1)));
  const again = readState(browser, TOKEN);
  assert.equal(again.session, first.session);
  assert.deepEqual(
    again.waiting.map(({ number }) => number),
    [3, 1],
  );
  assert.equal(browser.kept.keys().next().value, "lipe-rater-sty_1", "the secret is not in the name");
  assert.notEqual(readState(browser, "sty_2_secret").session, first.session);
});

test("a question is answered once, and leaves when the service has its answer", () => {
  const state = withAnswer(readState(store(), TOKEN), answer(1));
  const twice = withAnswer(state, { ...answer(1), answer: "right" });
  assert.deepEqual(twice.waiting, [answer(1)]);
  assert.deepEqual(withoutAnswer(twice, 1).waiting, []);
  assert.deepEqual(stillOpen([answer(1), answer(2)], [1]), [answer(2)]);
});

test("what cannot be read begins anew", () => {
  for (const text of ["", "{", "null", "[]", '{"session":"x","waiting":[]}', '{"session":5}']) {
    const browser = store();
    browser.kept.set("lipe-rater-sty_1", text);
    const state = readState(browser, TOKEN);
    assert.match(state.session, /^[0-9a-f]{40}$/);
    assert.deepEqual(state.waiting, []);
  }
  const browser = store();
  const session = "a".repeat(20);
  browser.kept.set(
    "lipe-rater-sty_1",
    JSON.stringify({ session, waiting: [null, { number: "1" }, answer(2)] }),
  );
  assert.deepEqual(readState(browser, TOKEN), { session, waiting: [answer(2)] });
});

test("a browser without room keeps the answers in the page", () => {
  const full = {
    getItem: () => null,
    setItem: () => {
      throw new Error("QuotaExceededError");
    },
  };
  const state = withAnswer(readState(full, TOKEN), answer(1));
  assert.doesNotThrow(() => keepState(full, TOKEN, state));
});
