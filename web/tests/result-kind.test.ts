import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldsOf, kindOf, type ResultKind } from "../src/lib/result-kind";

test("a form that chooses nothing leaves the kind of results to the project", () => {
  assert.deepEqual(fieldsOf(""), {});
});

test("the request of each kind gives the kind back", () => {
  for (const kind of ["", "archival", "published", "labelled"] as ResultKind[]) {
    assert.equal(kindOf(fieldsOf(kind)), kind);
  }
  assert.deepEqual(fieldsOf("labelled"), { result_kind: "published", visible_label: true });
  assert.equal(fieldsOf("published").visible_label, false);
});
