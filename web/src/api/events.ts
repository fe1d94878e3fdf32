/**
 * The event stream of a job, with a key in the header: EventSource cannot send one. After a lost connection the stream
 * continues after the last event; the events are numbered.
 */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { forgetLosses, type LossPoint, storedLosses, storeLosses, withPoint } from "../lib/losses";
import { type Artefact, BASE } from "./client";
import { currentKey } from "./session";

export interface Progress {
  stage: string;
  step: number;
  total: number;
  loss?: number;
  eta_seconds?: number | null;
  preview?: Artefact | null;
}
interface JobEvent {
  sequence: number;
  type: string;
  data: Record<string, unknown>;
}
export interface Live {
  connected: boolean;
  progress: Progress | null;
  losses: LossPoint[];
  previews: Artefact[];
}

const NOTHING: Live = { connected: false, progress: null, losses: [], previews: [] };
const RETRY_MS = [500, 1000, 2000, 4000];

/** The events in a text of server-sent events, and the rest that is not complete yet. */
export function parseEvents(text: string): { events: JobEvent[]; rest: string } {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  const lines = blocks.flatMap((block) => block.split("\n").filter((line) => line.startsWith("data:")));
  return { events: lines.map((line) => JSON.parse(line.slice(5)) as JobEvent), rest };
}

/** Read the stream once, from the event after `after`, until it ends. Returns whether the job is over. */
async function read(
  jobId: string,
  after: number,
  signal: AbortSignal,
  onEvent: (event: JobEvent) => void,
  onOpen: () => void,
) {
  const headers = { Authorization: `Bearer ${currentKey()}`, "Last-Event-ID": String(after) };
  const response = await fetch(`${BASE}/v1/jobs/${jobId}/events`, { headers, signal });
  if (response.status === 204 || response.status === 404) return true;
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  onOpen();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return false;
    const { events, rest } = parseEvents(text + value);
    text = rest;
    events.forEach(onEvent);
  }
}

const ENDS = /\.(succeeded|failed|canceled|expired)$/;

function withProgress(live: Live, progress: Progress): Live {
  const { loss, step, preview } = progress;
  const isLoss = loss !== undefined && progress.stage === "training";
  const isNewPreview = preview && !live.previews.some((known) => known.sha256 === preview.sha256);
  return {
    ...live,
    progress,
    losses: isLoss ? withPoint(live.losses, step, loss) : live.losses,
    previews: isNewPreview ? [...live.previews, preview] : live.previews,
  };
}

/** The live progress of a job while it is active. Each event that is no progress makes its queries fresh. */
export function useJobEvents(jobId: string | null, isActive: boolean): Live {
  const queries = useQueryClient();
  const [live, setLive] = useState(NOTHING);
  useEffect(() => {
    if (!jobId || !isActive) return;
    const stop = new AbortController();
    let after = 0;
    let isOver = false;
    const onEvent = (event: JobEvent) => {
      after = event.sequence;
      isOver ||= ENDS.test(event.type);
      if (event.type.endsWith(".progress"))
        setLive((now) => withProgress(now, event.data as unknown as Progress));
      else void queries.invalidateQueries({ queryKey: ["job", jobId] });
    };
    const follow = async () => {
      setLive({ ...NOTHING, losses: storedLosses(jobId) });
      for (let failures = 0; !stop.signal.aborted && !isOver; ) {
        try {
          isOver =
            (await read(jobId, after, stop.signal, onEvent, () => {
              failures = 0;
              setLive((now) => ({ ...now, connected: true }));
            })) || isOver;
        } catch {
          if (stop.signal.aborted) return;
        }
        setLive((now) => ({ ...now, connected: false }));
        if (!isOver)
          await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]));
      }
      void queries.invalidateQueries({ queryKey: ["job", jobId] });
    };
    void follow();
    return () => stop.abort();
  }, [jobId, isActive, queries]);
  useEffect(() => {
    if (!jobId || live.losses.length === 0) return;
    if (isActive) storeLosses(jobId, live.losses);
    else forgetLosses(jobId);
  }, [jobId, isActive, live.losses]);
  return live;
}
