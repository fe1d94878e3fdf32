import type { Job } from "../api/client";
import { duration, stageWords, workSeconds } from "../lib/words";
import { Notice } from "./notice";

/** The error of a failed job and the warnings of any, in words. */
export function JobOutcome({ job }: { job: Job }) {
  return (
    <>
      {job.error && (
        <Notice tone="error" title={`It failed: ${job.error.code.replaceAll("_", " ")}`}>
          {job.error.detail}
        </Notice>
      )}
      {job.warnings.map((warning) => (
        <Notice key={warning.code} tone="warning" title="The result may be poor">
          {warning.message}
        </Notice>
      ))}
    </>
  );
}

/** How long each stage took, and the memory that the job needed. */
export function JobFigures({ job }: { job: Job }) {
  const stages = Object.entries(job.metrics).filter(
    (entry): entry is [string, number] =>
      entry[0].startsWith("seconds_") && typeof entry[1] === "number" && entry[1] >= 0.1,
  );
  if (stages.length === 0) return null;
  const memory = job.metrics.peak_memory_bytes;
  return (
    <details className="figures">
      <summary>{duration(workSeconds(job.metrics))} of work, stage by stage</summary>
      <dl>
        {stages.map(([name, seconds]) => {
          const stage = name.replace("seconds_", "");
          return (
            <div key={name}>
              <dt>{stage === "queued" ? "In the queue" : stageWords(stage)}</dt>
              <dd>{duration(seconds)}</dd>
            </div>
          );
        })}
        {typeof memory === "number" && (
          <div>
            <dt>Peak memory</dt>
            <dd>{(memory / 1e9).toFixed(2)} GB</dd>
          </div>
        )}
      </dl>
    </details>
  );
}
