// Drives a prior and an edit against the running service of LIPE_URL: `node service.js REFERENCE... SOURCE`.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { JobFailed, Lipe, Problem, type Job, type JobEvent } from "lipe-client";

const lipe = new Lipe({ baseUrl: process.env["LIPE_URL"] ?? "", apiKey: process.env["LIPE_API_KEY"] ?? "" });
const files = await Promise.all(process.argv.slice(2).map((file) => readFile(file)));
const images = await Promise.all(files.map((file) => lipe.uploadImage(new Blob([file]))));
const [source] = images.splice(-1);
assert(source);

const rex = await lipe.data(
  lipe.api.POST("/v1/subjects", {
    body: { name: "Rex", class_noun: "dog", references: images.map((image) => image.id) },
  }),
);
const path = { subject_id: rex.id };

const events: JobEvent[] = [];
const training = await lipe.wait(await train(4), {
  onEvent: (event) => events.push(event),
});
assert.equal(training.status, "succeeded");
assert(events.every((event, place) => event.sequence > (events[place - 1]?.sequence ?? 0)));
// Only the newest progress is kept, so that a quick training may show none of its steps.
assert(events.some(({ type }) => type === "prior.running"));
assert.equal(events.at(-1)?.type, "prior.succeeded");

const prompt = `a photo of ${rex.token} dog jumping`;
const edit = await lipe.wait(
  await lipe.data(
    lipe.api.POST("/v1/edits", {
      body: { subject_id: rex.id, image_id: source.id, prompt, seed: 7, parameters: { steps: 2 } },
    }),
  ),
);
assert(edit.edit_id);
const edited = await lipe.data(lipe.api.GET("/v1/edits/{edit_id}", { params: { path: { edit_id: edit.edit_id } } }));
const [result] = edited.results;
assert(result);
assert.deepEqual([result.prompt, result.seed], [prompt, 7]);
const download = await fetch(result.image.url);
const png = new Uint8Array(await download.arrayBuffer());
assert.deepEqual([png.length, [...png.slice(1, 4)]], [result.image.size, [..."PNG"].map((c) => c.charCodeAt(0))]);

const canceled = await train(5000);
await lipe.data(lipe.api.POST("/v1/jobs/{job_id}/cancel", { params: { path: { job_id: canceled.id } } }));
await assert.rejects(lipe.wait(canceled), (error) => error instanceof JobFailed && error.job.status === "canceled");
await assert.rejects(
  lipe.uploadImage(new TextEncoder().encode("no image")),
  (error) => error instanceof Problem && error.code === "image_format_unsupported" && !error.retryable,
);
await assert.rejects(
  lipe.uploadImageFromUrl(""),
  (error) => error instanceof Problem && error.code === "invalid_request",
);
await assert.rejects(lipe.wait("job_unknown"), (error) => error instanceof Problem && error.status === 404);
console.log(`${training.id} ${edit.id}`);

async function train(count: number): Promise<Job> {
  const body = { parameters: { steps: count, rank: 2 }, regularization: { count: 2, steps: 2 } };
  return lipe.data(lipe.api.POST("/v1/subjects/{subject_id}/priors", { params: { path }, body }));
}
