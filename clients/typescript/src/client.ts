import createClient, { type Client } from "openapi-fetch";

import { bodyOf, readEvents } from "./events.js";
import { JobFailed, Problem } from "./problems.js";
import type { paths } from "./schema.js";
import type { Image, Job, JobEvent } from "./types.js";

export interface Options {
  /** The service's address, such as `http://127.0.0.1:8000`. */
  baseUrl: string;
  /** An API key (`lipe_...`). Keep it on your server: a browser that has it can do everything that the key allows. */
  apiKey: string;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch;
}

/** A response of `api`, before its error is thrown. */
interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** Client of a LIPE service for one API key. */
export class Lipe {
  /** All operations, typed by the OpenAPI document: `lipe.api.POST("/v1/edits", { body })`. */
  readonly api: Client<paths>;
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;

  constructor({ baseUrl, apiKey, fetch: send = (...request) => globalThis.fetch(...request) }: Options) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#headers = { Authorization: `Bearer ${apiKey}` };
    this.#fetch = send;
    this.api = createClient<paths>({ baseUrl: this.#baseUrl, headers: this.#headers, fetch: send });
  }

  /** The data of an operation of `api`. Throws `Problem` if the service refused it. */
  async data<Data>(request: Promise<Answer<Data>>): Promise<Data> {
    const { data, error, response } = await request;
    if (!response.ok) throw Problem.from(response, error);
    return data as Data;
  }

  /** Upload an image file. Throws `Problem` if the service cannot use it. */
  async uploadImage(file: Blob | Uint8Array<ArrayBuffer> | ArrayBuffer): Promise<Image> {
    return this.#createImage(file, "application/octet-stream");
  }

  /** Create an image from the file at a public URL. Throws `Problem` if there is none, or if it cannot be used. */
  async uploadImageFromUrl(url: string): Promise<Image> {
    return this.#createImage(JSON.stringify({ url }), "application/json");
  }

  async #createImage(body: NonNullable<RequestInit["body"]>, type: string): Promise<Image> {
    const headers = { ...this.#headers, "Content-Type": type };
    const response = await this.#fetch(`${this.#baseUrl}/v1/images`, { method: "POST", headers, body });
    const answer = await bodyOf(response);
    if (!response.ok) throw Problem.from(response, answer);
    return answer as Image;
  }

  /** The events of a job, each once, until it ends. Broken connections are reopened. */
  events(job: Job | string, signal?: AbortSignal): AsyncGenerator<JobEvent, void> {
    const id = typeof job === "string" ? job : job.id;
    const url = `${this.#baseUrl}/v1/jobs/${encodeURIComponent(id)}/events`;
    const open = (after: number): Promise<Response> => {
      const headers = { ...this.#headers, Accept: "text/event-stream", "Last-Event-ID": String(after) };
      return this.#fetch(url, { headers, signal: signal ?? null });
    };
    return readEvents(open, signal);
  }

  /** Wait until a job ends, and return it. Throws `JobFailed` unless it succeeded. */
  async wait(
    job: Job | string,
    { onEvent = () => {}, signal }: { onEvent?: (event: JobEvent) => void; signal?: AbortSignal } = {},
  ): Promise<Job> {
    for await (const event of this.events(job, signal)) onEvent(event);
    const job_id = typeof job === "string" ? job : job.id;
    const ended = await this.data(this.api.GET("/v1/jobs/{job_id}", { params: { path: { job_id } } }));
    if (ended.status !== "succeeded") throw new JobFailed(ended);
    return ended;
  }
}
