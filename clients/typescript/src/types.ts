import type { components } from "./schema.js";

/** All types of the API, by the names of its OpenAPI document. */
export type Schemas = components["schemas"];
export type Artefact = Schemas["ArtefactBody"];
export type Edit = Schemas["DownloadableEdit"];
export type Image = Schemas["ImageBody"];
export type Job = Schemas["JobBody"];
/** A state change of a job (`type` such as "prior.running"), or progress ("prior.progress"). */
export interface JobEvent extends Omit<Schemas["EventBody"], "data"> {
  /** Progress has its stage, and `step` of `total` in it. */
  data: { stage?: string; step?: number; total?: number; [fact: string]: unknown };
}
/** The body of a webhook. Verify its signature first, for example by the package `standardwebhooks`. */
export type WebhookEvent = Schemas["WebhookEvent"];
