import { useEffect, useState } from "react";
import type { Job } from "../api/client";
import { type Live, useJobEvents } from "../api/events";
import { isActive, useJob, usePrior, useSubject } from "../api/queries";
import { EditResults } from "../components/edit-results";
import { ThenEdit } from "../components/first-try";
import { MaskResult } from "../components/found-mask";
import { JobActions } from "../components/job-actions";
import { JobFigures, JobOutcome } from "../components/job-outcome";
import { LossPlot } from "../components/loss-plot";
import { Refusal } from "../components/notice";
import { Picture } from "../components/picture";
import { WritersOnly } from "../components/rights";
import { Snapshots } from "../components/snapshots";
import { JobProgress, StatusBadge } from "../components/status";
import { useCaptions } from "../components/write-captions";
import { usePlace } from "../lib/router";
import { ago } from "../lib/words";

function Training({ job, live }: { job: Job; live: Live }) {
  const prior = usePrior(job.status === "succeeded" ? job.prior_id : null).data;
  const stored = (prior?.manifest as { losses?: number[] } | null | undefined)?.losses;
  const points = stored?.map((loss, k) => ({ step: k + 1, loss })) ?? live.losses;
  const total =
    stored?.length ??
    (live.progress?.stage === "training" ? live.progress.total : (points.at(-1)?.step ?? 1));
  const previews = prior?.artefacts.filter((artefact) => artefact.role === "preview") ?? live.previews;
  return (
    <>
      {prior?.manifest && <Snapshots prior={prior} />}
      {points.length > 1 && (
        <section className="card">
          <h2>Loss</h2>
          <LossPlot points={points} total={total} />
        </section>
      )}
      {previews.length > 0 && (
        <section className="card">
          <h2>Previews, step by step</h2>
          <ul className="previews">
            {previews.map((preview) => (
              <li key={preview.sha256}>
                <img
                  className="picture"
                  src={preview.url}
                  alt={`Preview after step ${preview.details.step}: ${preview.details.prompt}`}
                />
                <p className="hint">Step {String(preview.details.step)}</p>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

const TITLES = { prior: "Training", edit: "Edit", captions: "Captions", mask: "Mask" } as const;

function Captions({ job }: { job: Job }) {
  const captions = useCaptions(job.id, job.status === "succeeded").data ?? [];
  return (
    <ul className="references">
      {captions.map((one) => (
        <li key={one.image_id} className="reference">
          <Picture id={one.image_id} alt="The described image" />
          <p>{one.caption}</p>
          {one.target_prompt && <p className="hint">{one.target_prompt}</p>}
        </li>
      ))}
    </ul>
  );
}

export function JobPage({ id }: { id: string }) {
  const place = usePlace();
  const [isLive, setLive] = useState(false);
  const { data: job, error } = useJob(id, isLive);
  const live = useJobEvents(id, isActive(job));
  useEffect(() => setLive(live.connected), [live.connected]);
  const subject = useSubject(job?.subject_id ?? "").data;
  if (error && !job) return <Refusal error={error} />;
  if (!job) return <p className="hint">Loading ...</p>;
  const isFirstTry = job.kind === "prior" && place.query.get("then") === "edit";
  const isReady = job.kind === "prior" && job.status === "succeeded";
  return (
    <>
      <div className="page-head">
        <div>
          <p className="crumb">
            <a href={`#/subjects/${job.subject_id}`}>{subject?.name ?? "Subject"}</a>
          </p>
          <h1>
            {TITLES[job.kind]} <StatusBadge status={job.status} />
          </h1>
          <p className="hint">
            Started {ago(job.created_at)}
            {job.attempt > 1 ? ` · attempt ${job.attempt}` : ""}
          </p>
        </div>
        <JobActions job={job} />
      </div>
      {isActive(job) && (
        <section className="card" aria-live="off">
          <JobProgress job={job} live={live.progress} />
          {!live.connected && (
            <p className="hint" role="status">
              Connecting to live progress. Until then this page asks every two seconds.
            </p>
          )}
        </section>
      )}
      <JobOutcome job={job} />
      {isFirstTry && <ThenEdit subjectId={job.subject_id} isReady={isReady} />}
      {isReady && !isFirstTry && (
        <section className="card ready">
          <h2>{subject?.name ?? "The subject"} is learned</h2>
          <p>Choose an image of it and say what should change.</p>
          <WritersOnly what="edit an image">
            <div className="actions">
              <a className="button primary" href={`#/edit?subject=${job.subject_id}&prior=${job.prior_id}`}>
                Edit an image
              </a>
            </div>
          </WritersOnly>
        </section>
      )}
      {job.kind === "prior" && <Training job={job} live={live} />}
      {job.kind === "edit" && <EditResults job={job} live={live} />}
      {job.kind === "captions" && <Captions job={job} />}
      {job.kind === "mask" && subject && <MaskResult job={job} subject={subject} />}
      <JobFigures job={job} />
    </>
  );
}
