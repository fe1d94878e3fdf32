/** The request that makes a result again. */
import { BASE, type Edit, type EditResult, type Job, type Schemas } from "../api/client";

export type NewEdit = Schemas["NewEdit"];

export function requestOf(edit: Edit, job: Job, result?: EditResult): NewEdit {
  const { choices, [edit.method]: parameters } = job.parameters as Record<string, object | undefined>;
  const { negative_prompt: negative, seeds } = job.resolved as {
    negative_prompt?: string | null;
    seeds?: number[];
  };
  const text: Record<string, unknown> = {
    ...(edit.prior_id ? { prior_id: edit.prior_id } : { subject_id: edit.subject_id, use_prior: false }),
    image_id: edit.image_id,
    prompts: result?.prompt ? [result.prompt] : edit.target_prompts,
    method: edit.method,
    ...choices,
    seeds: result?.seed != null ? [result.seed] : seeds,
  };
  if (edit.source_prompt) text.source_prompt = edit.source_prompt;
  if (negative) text.negative_prompt = negative;
  if (edit.mask_image_id) text.mask_image_id = edit.mask_image_id;
  const { result_kind: kind, visible_label: isLabelled } = job.parameters as Record<string, unknown>;
  if (kind) text.result_kind = kind;
  if (isLabelled != null) text.visible_label = isLabelled;
  if (parameters && Object.keys(parameters).length > 0) text.parameters = parameters;
  return text as unknown as NewEdit;
}

/** A line for a shell. The key is a variable: it belongs into no history and no document. */
export function asCurl(request: NewEdit): string {
  const body = JSON.stringify(request).replaceAll("'", `'\\''`);
  return `curl -X POST '${BASE}/v1/edits' -H "Authorization: Bearer $LIPE_API_KEY" -H 'Content-Type: application/json' -d '${body}'`;
}
