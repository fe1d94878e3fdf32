// Compiled, not run: requests that the types must accept, and mistakes that they must refuse.
import type { Job, Schemas, paths } from "lipe-client";

const minimal: Schemas["NewEdit"] = { subject_id: "sub_1", image_id: "img_1", prompt: "a photo of sks dog" };
export const nima: Schemas["NewEdit"] = { ...minimal, parameters: { steps: 20, renoise: 0.5 }, n: 2 };
export const sdedit: Schemas["NewEdit"] = { ...minimal, method: "sdedit", parameters: { strength: 0.5 } };
export const training: Schemas["NewPrior"] = {};
export const subject: Schemas["NewSubject"] = { name: "Rex", class_noun: "dog", references: ["a", "b", "c"] };
export const endpoint: Schemas["NewEndpoint"] = { url: "https://example.org/hook" };
export const body: paths["/v1/edits"]["post"]["requestBody"]["content"]["application/json"] = minimal;
export const accepted: paths["/v1/edits"]["post"]["responses"][202]["content"]["application/json"] = {} as Job;
export function result(job: Job): string {
  return job.urls.result;
}
// @ts-expect-error a field that does not exist
export const misspelled: Schemas["NewEdit"] = { ...minimal, promt: "x" };
// @ts-expect-error no image
export const incomplete: Schemas["NewEdit"] = { prompt: "x" };
