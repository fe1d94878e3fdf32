/** The client of the contract. A refusal is thrown as an ApiProblem, a lost connection as a ConnectionLost. */
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";
import { currentKey, setKey } from "./session";

export type Schemas = components["schemas"];
export type ProblemDocument = Schemas["ProblemDocument"];
export type Job = Schemas["JobBody"];
export type Subject = Schemas["SubjectBody"];
export type Prior = Schemas["DownloadablePrior"];
export type Edit = Schemas["DownloadableEdit"];
export type EditResult = Schemas["EditResult"];
export type Artefact = Schemas["ArtefactBody"];
export type Image = Schemas["DownloadableImage"];
export type Model = Schemas["ModelBody"];

/** The folder of this page: the API is there, also behind a proxy that serves it below a path. */
export const BASE = new URL(".", location.href.split("#")[0]).href.replace(/\/$/, "");

export class ApiProblem extends Error {
  constructor(
    readonly document: Pick<ProblemDocument, "code" | "title" | "detail" | "status" | "errors" | "param">,
  ) {
    super(document.detail);
  }

  /** The description of what is wrong with a field, if the problem is about it. */
  about(param: string): string | undefined {
    const { errors = [], param: first, detail } = this.document;
    const found = errors.find((error) => error.param === param || error.param.startsWith(`${param}[`));
    return found?.detail ?? (first === param ? detail : undefined);
  }
}

export class ConnectionLost extends Error {
  constructor() {
    super("The service does not answer. This page tries again by itself; check that LIPE is running.");
  }
}

/** Whether the same request may succeed soon: the connection is lost, the server is busy, or too many were sent. */
export const isTemporary = (error: unknown): boolean =>
  !(error instanceof ApiProblem) || error.document.status >= 500 || error.document.status === 429;

/** The problem of an answer that is no success. A key that is not valid any more ends the session. */
export async function problemOf(response: Response, { endsSession = true } = {}): Promise<ApiProblem> {
  const text = await response.text();
  let document: ProblemDocument;
  try {
    document = JSON.parse(text);
  } catch {
    document = {
      type: "",
      title: "The service failed",
      status: response.status,
      code: "internal",
      retryable: true,
      detail: `The answer has the status ${response.status} and no explanation.`,
      errors: [],
      request_id: null,
    };
  }
  if (response.status === 401 && endsSession) setKey(null);
  return new ApiProblem(document);
}

const keyed: Middleware = {
  onRequest({ request }) {
    const key = currentKey();
    if (key) request.headers.set("Authorization", `Bearer ${key}`);
    if (request.method === "POST")
      request.headers.set("Idempotency-Key", crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`);
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok && response.status !== 304) throw await problemOf(response);
  },
  onError() {
    return new ConnectionLost();
  },
};

export const client = createClient<paths>({ baseUrl: BASE });
client.use(keyed);

/** The data of an answer, which the middleware has checked. */
export async function ask<T>(request: Promise<{ data?: T }>): Promise<T> {
  return (await request).data as T;
}
