import type { Job, Schemas } from "./types.js";

/** The service refused a request: an RFC 9457 problem document. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    /** The same request may succeed later. */
    readonly retryable: boolean,
    /** The whole document, if the service itself answered; `errors` names the wrong fields. */
    readonly body: Schemas["ProblemDocument"] | undefined,
  ) {
    super(`${status} ${code}: ${detail}`);
  }

  /** Read a refusal. A proxy may answer without a problem document. */
  static from(response: Response, body: unknown): Problem {
    const { status } = response;
    if (isProblemDocument(body)) {
      return new Problem(status, body.code, body.detail, body.retryable, body);
    }
    const text = typeof body === "string" && body ? body.slice(0, 200) : response.statusText;
    return new Problem(status, "unknown", text, status === 429 || status >= 500, undefined);
  }
}

function isProblemDocument(body: unknown): body is Schemas["ProblemDocument"] {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body && "retryable" in body;
}

/** A job ended without success. `job` is its last state. */
export class JobFailed extends Error {
  override readonly name = "JobFailed";

  constructor(readonly job: Job) {
    super(`job ${job.id} ${job.status}${job.error ? `: ${job.error.code}: ${job.error.detail}` : ""}`);
  }
}
