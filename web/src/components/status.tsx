import type { Job } from "../api/client";
import type { Progress } from "../api/events";
import { duration, stageWords, statusWord, waitingWords } from "../lib/words";

export function StatusBadge({ status }: { status: Job["status"] }) {
  return <span className={`badge badge-${status}`}>{statusWord(status)}</span>;
}

/** The stage of an active job with its bar and the time left, or why it waits. */
export function JobProgress({ job, live }: { job: Job; live: Progress | null }) {
  const progress = live ?? (job.progress as Progress | null);
  if (job.cancel_requested_at) return <p role="status">It stops at the end of this step.</p>;
  if (job.status === "queued") return <p role="status">{waitingWords(job.waiting?.reason ?? "")}</p>;
  if (!progress) return <p role="status">A worker has it and prepares.</p>;
  const { stage, step, total, eta_seconds: left } = progress;
  return (
    <div className="progress">
      <div className="progress-words">
        <strong>{stageWords(stage)}</strong>
        <span>
          {total > 1 && `${step} of ${total}`}
          {left ? ` · about ${duration(left)} left` : ""}
        </span>
      </div>
      <progress
        value={total > 0 ? step : undefined}
        max={Math.max(1, total)}
        aria-label={stageWords(stage)}
      />
    </div>
  );
}
