import { Problem } from "./problems.js";
import type { JobEvent } from "./types.js";

const RECONNECT_MILLISECONDS = 1000;
/** The service sends an event or a comment at least every 15 seconds. */
const SILENCE_MILLISECONDS = 45_000;
const MAX_EMPTY_CONNECTIONS = 10;
const TERMINAL = new Set(["succeeded", "failed", "canceled", "expired"]);

/** Open the event stream after the event with this number. */
export type OpenEvents = (after: number) => Promise<Response>;

/**
 * Yield a job's events, each once, until the job ends. Broken connections are reopened.
 *
 * Throws the failure that a retry cannot mend, or that of ten connections in a row without a new event.
 */
export async function* readEvents(open: OpenEvents, signal?: AbortSignal): AsyncGenerator<JobEvent, void> {
  let after = 0;
  for (let empty = 0; empty < MAX_EMPTY_CONNECTIONS; empty += 1) {
    let failure: unknown = new Error("the event stream keeps ending before the job is over");
    try {
      const response = await open(after);
      if (response.status === 204) return;
      for await (const event of parse(response)) {
        if (event.sequence <= after) continue;
        [after, empty] = [event.sequence, -1];
        yield event;
        if (TERMINAL.has(event.type.slice(event.type.lastIndexOf(".") + 1))) return;
      }
    } catch (error) {
      if (signal?.aborted || (error instanceof Problem && !error.retryable)) throw error;
      failure = error;
    }
    if (empty === MAX_EMPTY_CONNECTIONS - 1) throw failure;
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MILLISECONDS));
  }
}

/** The events of one stream of server-sent events. Comments, and an event that was cut off, are ignored. */
async function* parse(response: Response): AsyncGenerator<JobEvent, void> {
  if (!response.ok || !response.body) throw Problem.from(response, await bodyOf(response));
  let rest = "";
  for await (const chunk of chunks(response.body)) {
    const blocks = (rest + chunk).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      const data = lines.map((line) => line.slice("data:".length)).join("\n");
      if (data) yield JSON.parse(data) as JobEvent;
    }
  }
}

/** Browsers cannot iterate over a stream directly. */
async function* chunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  try {
    for (let read = await inTime(reader.read()); !read.done; read = await inTime(reader.read())) {
      yield decoder.decode(read.value, { stream: true });
    }
  } finally {
    await reader.cancel();
  }
}

/** The result of a read. Throws if none comes: a connection may break without an error. */
async function inTime<Result>(read: Promise<Result>): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the event stream is silent")), SILENCE_MILLISECONDS);
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** The body of a refusal: parsed if it is JSON, otherwise its text. */
export async function bodyOf(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
