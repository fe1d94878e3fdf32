/** The edit that a person prepares, as texts of the form, and the request that it makes. */
import type { Edit, Job } from "../api/client";
import { parsed, type Texts } from "../components/parameter-fields";
import { type NewEdit, requestOf } from "./request";
import { fieldsOf, kindOf, type ResultKind } from "./result-kind";
import { NO_OTHERS, type Others } from "./variants";

export interface EditDraft {
  subjectId: string;
  priorId: string;
  imageId: string | null;
  prompts: string[];
  preset: NonNullable<NewEdit["preset"]>;
  identity: NonNullable<NewEdit["identity"]>;
  change: NonNullable<NewEdit["change"]>;
  method: NonNullable<NewEdit["method"]>;
  n: string;
  seed: string;
  sourcePrompt: string;
  negativePrompt: string;
  parameters: Texts;
  others: Others;
  results: ResultKind;
  othersConsented: boolean;
}

export function emptyDraft(query: URLSearchParams): EditDraft {
  return {
    subjectId: query.get("subject") ?? "",
    priorId: query.get("prior") ?? "",
    imageId: query.get("image"),
    prompts: [],
    preset: "balanced",
    identity: "normal",
    change: "normal",
    method: "nima",
    n: "1",
    seed: "",
    sourcePrompt: "",
    negativePrompt: "",
    parameters: {},
    others: NO_OTHERS,
    results: "",
    othersConsented: false,
  };
}

/** The settings of an earlier edit, to change and run again. */
export function draftOf(edit: Edit, job: Job): EditDraft {
  const request = requestOf(edit, job);
  const seeds = request.seeds ?? [];
  const given = Object.entries((request.parameters ?? {}) as Record<string, unknown>);
  return {
    subjectId: edit.subject_id,
    priorId: edit.prior_id ?? "",
    imageId: edit.image_id,
    prompts: edit.target_prompts,
    preset: request.preset ?? "balanced",
    identity: request.identity ?? "normal",
    change: request.change ?? "normal",
    method: request.method ?? "nima",
    n: String(seeds.length || 1),
    seed: String(seeds[0] ?? ""),
    sourcePrompt: request.source_prompt ?? "",
    negativePrompt: request.negative_prompt ?? "",
    parameters: Object.fromEntries(given.map(([name, value]) => [name, String(value)])),
    others: NO_OTHERS,
    results: kindOf(request),
    othersConsented: false,
  };
}

export function requestFrom(draft: EditDraft): NewEdit {
  const { method } = draft;
  const body: Record<string, unknown> = {
    ...(draft.priorId ? { prior_id: draft.priorId } : { subject_id: draft.subjectId }),
    image_id: draft.imageId,
    prompts: draft.prompts,
    method,
    preset: draft.preset,
    n: Number(draft.n),
    ...(method === "nima" ? { identity: draft.identity, change: draft.change } : {}),
    ...(draft.seed.trim() ? { seed: Number(draft.seed) } : {}),
    ...(draft.sourcePrompt.trim() ? { source_prompt: draft.sourcePrompt.trim() } : {}),
    ...(draft.negativePrompt.trim() ? { negative_prompt: draft.negativePrompt.trim() } : {}),
    ...fieldsOf(draft.results),
    ...(draft.othersConsented ? { other_people: "consented" } : {}),
    parameters: parsed(method, draft.parameters),
  };
  return body as unknown as NewEdit;
}
