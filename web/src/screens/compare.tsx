import { useState } from "react";
import type { Edit, EditResult, Image, Job } from "../api/client";
import { isActive, useEdit, useImage, useJob } from "../api/queries";
import { Choice } from "../components/fields";
import { JobOutcome } from "../components/job-outcome";
import { Refusal } from "../components/notice";
import { JobProgress, StatusBadge } from "../components/status";
import { ZoomControls, ZoomFrame, zoomByKey } from "../components/zoom-frame";
import { type Method, variantName } from "../lib/variants";
import { duration, workSeconds } from "../lib/words";
import { WHOLE, type Zoom } from "../lib/zoom";

const SHOWN = [
  { value: "after", text: "After" },
  { value: "before", text: "Before" },
  { value: "mask", text: "Mask" },
] as const;
type Shown = (typeof SHOWN)[number]["value"];

interface ViewState {
  shown: Shown;
  zoom: Zoom;
  onZoom: (change: (now: Zoom) => Zoom) => void;
}

function Cell({ result, source, state }: { result: EditResult; source: Image; state: ViewState }) {
  const { shown, zoom, onZoom } = state;
  const mask = result.edit_mask?.url;
  return (
    <figure>
      <ZoomFrame zoom={zoom} onZoom={onZoom} width={source.width} height={source.height}>
        <img
          src={shown === "after" ? result.image.url : source.url}
          alt={shown === "after" ? `Result: ${result.prompt}` : "Before the edit"}
          draggable={false}
        />
        {shown === "mask" && mask && (
          <img className="mask-overlay" src={mask} alt="Bright: what may change" draggable={false} />
        )}
      </ZoomFrame>
      <figcaption className="hint">
        {result.prompt} · seed {result.seed ?? "none"}
      </figcaption>
    </figure>
  );
}

/** The preset of a job, from the choices of its request. */
const presetOf = (job: Job): string =>
  (job.parameters as { choices?: { preset?: string } }).choices?.preset ?? "balanced";

function Column({ job, edit, state }: { job: Job; edit: Edit; state: ViewState }) {
  const source = useImage(edit.image_id).data;
  const work = workSeconds(job.metrics);
  return (
    <section className="card" aria-label={variantName(edit.method as Method, presetOf(job))}>
      <div>
        <h2>
          <a href={`#/jobs/${job.id}`}>{variantName(edit.method as Method, presetOf(job))}</a>
        </h2>
        <p className="hint">
          <StatusBadge status={job.status} /> {work > 0 ? `${duration(work)} of work` : ""}
        </p>
      </div>
      {isActive(job) && <JobProgress job={job} live={null} />}
      {job.error && <JobOutcome job={job} />}
      {source &&
        edit.results.map((result) => (
          <Cell key={`${result.prompt} ${result.seed}`} result={result} source={source} state={state} />
        ))}
    </section>
  );
}

function LoadedColumn({ jobId, state }: { jobId: string; state: ViewState }) {
  const { data: job, error } = useJob(jobId, false);
  const edit = useEdit(job?.edit_id, job?.status === "succeeded").data;
  if (error) return <Refusal error={error} />;
  if (!job || !edit) return <section className="card hint">Loading ...</section>;
  return <Column job={job} edit={edit} state={state} />;
}

/** Several edits of one image beside each other. Their images are enlarged and moved in step. */
export default function ComparePage({ query }: { query: URLSearchParams }) {
  const ids = (query.get("jobs") ?? "").split(",").filter(Boolean);
  const [shown, setShown] = useState<Shown>("after");
  const [zoom, setZoom] = useState(WHOLE);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys of the zoom work anywhere in it.
    <div className="compare-page" onKeyDown={(event) => zoomByKey(event, setZoom)}>
      <div className="page-head">
        <h1>Compare</h1>
        <div className="view-controls">
          <Choice label="Show" value={shown} options={SHOWN} onChange={setShown} />
          <ZoomControls zoom={zoom} onZoom={setZoom} />
        </div>
      </div>
      <div className="compare-columns">
        {ids.map((id) => (
          <LoadedColumn key={id} jobId={id} state={{ shown, zoom, onZoom: setZoom }} />
        ))}
      </div>
    </div>
  );
}
