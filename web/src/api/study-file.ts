/** The parts of a study that come from the service: finished edits to choose from, and the pictures for raters. */
import { randomNumbers, seedOf, shuffled } from "../lib/random";
import type { Candidate, RaterFile, Study } from "../lib/study";
import { type Method, variantName } from "../lib/variants";
import { ask, client, type Edit, type Job } from "./client";

const SIDE = 1024;
const QUALITY = 0.95;
const REFERENCES = 4;

const readEdit = (id: string): Promise<Edit> =>
  ask(client.GET("/v1/edits/{edit_id}", { params: { path: { edit_id: id } } }));

/** The system that made an edit: its method and preset. */
export function systemOf(edit: Edit, job: Job): string {
  const { choices } = job.parameters as { choices?: { preset?: string } };
  return variantName(edit.method as Method, choices?.preset ?? "balanced");
}

/** What a study needs to know of finished edits. If they use several trainings, the systems name them. */
export async function candidatesOf(editIds: string[]): Promise<Candidate[]> {
  const edits = await Promise.all(editIds.map(readEdit));
  const jobs = await Promise.all(
    edits.map((edit) =>
      ask(client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: edit.job_id ?? "" } } })),
    ),
  );
  const priors = new Set(edits.map((edit) => edit.prior_id));
  return edits.map((edit, k) => ({
    edit: edit.id,
    system:
      systemOf(edit, jobs[k] as Job) +
      (priors.size > 1 && edit.prior_id ? ` · training ${edit.prior_id.slice(-4)}` : ""),
    image: edit.image_id,
    subject: edit.subject_id,
    results: edit.results.map((result) => ({
      prompt: result.prompt ?? "",
      seed: result.seed ?? null,
      sha256: result.image.sha256,
    })),
  }));
}

/** A picture as base64 of a WebP file, at most SIDE pixels on its longer side. */
async function packed(url: string): Promise<string> {
  const bitmap = await createImageBitmap(await (await fetch(url)).blob());
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const file = await canvas.convertToBlob({ type: "image/webp", quality: QUALITY });
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192)
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return btoa(text);
}

/** The URL of a picture in this tab. */
export function unpacked(base64: string): string {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
}

/** The file for raters: the questions with their pictures, and nothing that tells the systems apart. */
export async function raterFile(study: Study): Promise<RaterFile> {
  const pictures: Record<string, string> = {};
  const edits = new Map<string, Promise<Edit>>();
  const names = new Map<string, Promise<string>>();
  const add = (key: string, url: () => Promise<string>): Promise<string> => {
    const known = names.get(key);
    if (known) return known;
    const name = `p${names.size}`;
    const added = url()
      .then(packed)
      .then((base64) => {
        pictures[name] = base64;
        return name;
      });
    names.set(key, added);
    return added;
  };
  const addImage = (id: string) =>
    add(id, async () => {
      const path = { image_id: id };
      return (await ask(client.GET("/v1/images/{image_id}", { params: { path } }))).url;
    });
  const addResult = (id: string, sha256: string) =>
    add(sha256, async () => {
      edits.set(id, edits.get(id) ?? readEdit(id));
      const found = (await edits.get(id))?.results.find((result) => result.image.sha256 === sha256);
      if (!found)
        throw new Error("A result of this study was erased: delete the study, and make another one.");
      return found.image.url;
    });
  const subjects = new Map<string, Promise<string[]>>();
  const addReferences = (id: string) => {
    const path = { subject_id: id };
    const added =
      subjects.get(id) ??
      ask(client.GET("/v1/subjects/{subject_id}", { params: { path } })).then(({ references }) =>
        Promise.all(references.slice(0, REFERENCES).map((reference) => addImage(reference.image_id))),
      );
    subjects.set(id, added);
    return added;
  };
  const random = randomNumbers(seedOf(study.id));
  const items = await Promise.all(
    study.items.map(async (item) => ({
      id: item.id,
      prompt: item.prompt,
      source: await addImage(item.image),
      references: await addReferences(item.subject),
      results: await Promise.all(
        item.results.map(async ({ edit, sha256 }) => ({ sha256, picture: await addResult(edit, sha256) })),
      ),
    })),
  );
  const blind = items.map((item) => ({ ...item, results: shuffled(item.results, random) }));
  const { id, name, mode, asks } = study;
  return { kind: "lipe-study", version: 1, id, name, mode, asks, items: blind, pictures };
}
