/** Facts in words. */
import type { Job } from "../api/client";

const STATUS: Record<Job["status"], string> = {
  queued: "Waiting",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  canceled: "Canceled",
  expired: "Expired",
};
const STAGES: Record<string, string> = {
  loading: "Loading the model",
  checking: "Checking the images",
  captioning: "Describing the images",
  writing: "Writing the texts",
  regularizing: "Generating images of the class",
  training: "Learning the subject",
  finding: "Finding the subject",
  inverting: "Analysing the image",
  editing: "Editing",
  decoding: "Decoding",
  uploading: "Storing the result",
  storing: "Storing the result",
};
const WAITING: Record<string, string> = {
  no_worker_serves_it: "No worker takes jobs of this kind now. Start one, or wait until it is back.",
  no_worker_has_its_base_model:
    "No worker has the base model that this job needs. Start one with it, or wait until it is back.",
  quota: "The project already runs as many jobs as it may. This one starts when another ends.",
  jobs_before_it: "Older jobs of this project come first.",
  workers_busy: "All workers are busy. This job starts when one is free.",
};

export const statusWord = (status: Job["status"]): string => STATUS[status];
export const waitingWords = (reason: string): string => WAITING[reason] ?? "It waits for a worker.";
export const stageWords = (stage: string): string =>
  STAGES[stage] ?? stage.charAt(0).toUpperCase() + stage.slice(1);

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function ago(moment: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export function bytes(size: number): string {
  if (size < 1e6) return `${Math.max(1, Math.round(size / 1e3))} kB`;
  return size < 1e9 ? `${(size / 1e6).toFixed(1)} MB` : `${(size / 1e9).toFixed(1)} GB`;
}

/** The seconds of work on a worker, from the figures of a finished job. */
export function workSeconds(metrics: Job["metrics"]): number {
  const isWork = ([name, value]: [string, unknown]) =>
    name.startsWith("seconds_") && name !== "seconds_queued" && typeof value === "number";
  return Object.entries(metrics)
    .filter(isWork)
    .reduce((sum, [, value]) => sum + (value as number), 0);
}
