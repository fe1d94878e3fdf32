import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback, keyId, keyOfFragment, needsQuestion } from "../src/lib/key-link";

const MINE = "lipe_aaaa_1111";
const OTHER = "lipe_bbbb_2222";

test("only a whole key in the fragment counts", () => {
  assert.equal(keyOfFragment(`#key=${MINE}`), MINE);
  for (const wrong of [
    "",
    "#key=",
    "#key=lipe_a",
    `#/subjects?key=${MINE}`,
    `#key=${MINE}&x=1`,
    `#key=${MINE}\n`,
  ])
    assert.equal(keyOfFragment(wrong), null, wrong);
  assert.equal(keyId(MINE), "aaaa");
});

test("a foreign key is never used silently", () => {
  const ask = (key: string, inUse: string | null, known: string[], isLocal: boolean) =>
    needsQuestion(key, { inUse, known, isLocal });
  assert.ok(ask(OTHER, MINE, ["aaaa"], true), "another key is in use");
  assert.ok(ask(OTHER, MINE, ["aaaa", "bbbb"], true), "another key is in use, also if both are known");
  assert.ok(ask(OTHER, null, ["aaaa"], true), "the browser knows another key");
  assert.ok(ask(OTHER, null, [], false), "a first key on a public page");
  assert.ok(!ask(OTHER, null, [], true), "the first key on this machine");
  assert.ok(!ask(OTHER, null, ["aaaa", "bbbb"], false), "used before");
  assert.ok(!ask(MINE, MINE, [], false), "the key in use");
});

test("loopback addresses", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"]) assert.ok(isLoopback(host), host);
  for (const host of ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", ""])
    assert.ok(!isLoopback(host), host);
});
