export { Lipe, type Options } from "./client.js";
export { JobFailed, Problem } from "./problems.js";
export type { components, operations, paths } from "./schema.js";
export type { Artefact, Edit, Image, Job, JobEvent, Schemas, WebhookEvent } from "./types.js";
export { VERSION } from "./version.js";
