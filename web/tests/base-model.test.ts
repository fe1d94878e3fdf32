import assert from "node:assert/strict";
import { test } from "node:test";
import { type BaseModel, methodsFor, modelFor, trainable } from "../src/lib/base-model";
import { METHODS } from "../src/lib/variants";

const model = (name: string, ...sections: string[]) =>
  ({
    name,
    fingerprint: `of ${name}`,
    kinds: ["prior", "edit"],
    recipe: Object.fromEntries(sections.map((one) => [one, {}])),
  }) as BaseModel;
const KLEIN = model("klein", "prior", "regularization", "nima", "reference_tokens");
const SDXL = model("sdxl", "prior", "regularization", "nima", "masactrl");

test("only the methods of the prior's base model are offered", () => {
  assert.deepEqual(methodsFor(modelFor([SDXL, KLEIN], "of klein")), ["nima", "reference_tokens"]);
  assert.deepEqual(methodsFor(modelFor([SDXL, KLEIN], "of sdxl")), ["nima", "masactrl"]);
});

test("without a prior, the service's default is the first", () => {
  assert.equal(modelFor([KLEIN, SDXL]), KLEIN);
});

test("a base model that is not known offers all methods", () => {
  assert.deepEqual(methodsFor(undefined), Object.keys(METHODS));
  assert.deepEqual(methodsFor(model("new")), Object.keys(METHODS));
});

test("a training is offered each base model with workers of trainings, once and in the service's order", () => {
  const editing = { ...model("edits"), kinds: ["edit"] } as BaseModel;
  const again = { ...SDXL, recipe: {} };
  assert.deepEqual(trainable([editing, SDXL, again, KLEIN]), [SDXL, KLEIN]);
  assert.deepEqual(trainable(undefined), []);
});
