import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type CSSProperties, useEffect, useRef } from "react";
import { ask, client, type Image, type Job, type Schemas, type Subject } from "../api/client";
import { isActive, useImage, useJob, useModels } from "../api/queries";
import { sourceDoubt } from "../lib/cut-off";
import { MaskDrawing } from "../lib/mask";
import { takeMask, veilAround } from "../lib/mask-image";
import { JobProgress } from "./status";

/** Nobody waits longer for a mask: the person draws it, or leaves it to the edit. */
const DEADLINE_SECONDS = 300;
const URL_LIFE_MS = 8 * 60_000;
const USABLE = new Set(["queued", "running", "succeeded"]);

export interface Wanted {
  subjectId: string;
  priorId: string;
  imageId: string;
}

/** The job that finds the subject in the image: one that there is already, or a new one. */
async function jobOf({ subjectId, priorId, imageId }: Wanted): Promise<string> {
  const query = { kind: "mask" as const, limit: 100 };
  const { data } = await ask(client.GET("/v1/jobs", { params: { query } }));
  const known = data.find(
    ({ subject_id, parameters, status }) =>
      subject_id === subjectId && parameters.image_id === imageId && USABLE.has(status),
  );
  if (known) return known.id;
  const subject = priorId ? { prior_id: priorId } : { subject_id: subjectId };
  const body = {
    ...subject,
    image_id: imageId,
    deadline_seconds: DEADLINE_SECONDS,
    priority: 0,
    metadata: {},
  };
  return (await ask(client.POST("/v1/masks", { body }))).id;
}

const maskOf = (id: string) => ask(client.GET("/v1/masks/{job_id}", { params: { path: { job_id: id } } }));

async function drawingOf(mask: Schemas["MaskBody"], image: Image): Promise<MaskDrawing> {
  const drawing = new MaskDrawing(image.width, image.height);
  if (mask.mask) await takeMask(drawing, mask.mask.url);
  return drawing;
}

/** The mask that a job has found, once it is ready. */
function useMaskOf(jobId: string | null, image: Image | undefined) {
  const job = useJob(jobId, false).data;
  const mask = useQuery({
    queryKey: ["mask", jobId],
    queryFn: () => maskOf(jobId as string),
    enabled: job?.status === "succeeded",
    staleTime: URL_LIFE_MS,
  });
  const drawing = useQuery({
    queryKey: ["mask-drawing", jobId],
    queryFn: () => drawingOf(mask.data as Schemas["MaskBody"], image as Image),
    enabled: Boolean(mask.data && image),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0, // one byte for each pixel of the image
    retry: false,
  });
  return { job, mask, drawing };
}

/** The subject in an image, which the service looks for as soon as both are chosen. */
export function useFoundMask(wanted: Wanted, image: Image | undefined, isWanted: boolean) {
  const models = useModels();
  const hasWorker = models.data?.some(({ kinds }) => kinds.includes("mask")) ?? false;
  const queries = useQueryClient();
  const queryKey = ["mask-job", wanted.subjectId, wanted.imageId];
  const request = useQuery({
    queryKey,
    queryFn: () => jobOf(wanted),
    enabled: isWanted && wanted.subjectId !== "" && hasWorker,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const { job, mask, drawing } = useMaskOf(request.data ?? null, image);
  const isWithoutWorker = models.isSuccess && !hasWorker && !request.data;
  const problem = isWithoutWorker
    ? "No worker runs that could look for it now."
    : (request.error?.message ??
      job?.error?.detail ??
      (job && !USABLE.has(job.status) ? "The search was stopped." : null) ??
      mask.error?.message ??
      (drawing.error ? "The page cannot read the file of the mask." : null));
  const again = isWithoutWorker || !problem ? null : () => void queries.invalidateQueries({ queryKey });
  return { job, mask: mask.data, drawing: problem ? undefined : drawing.data, problem, again };
}

export type FoundMask = ReturnType<typeof useFoundMask>;

/** The image, with what was found in it. */
export function FoundPicture({
  image,
  drawing,
  onExpired,
}: {
  image: Image;
  drawing: MaskDrawing | undefined;
  onExpired: () => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (drawing && !drawing.isEmpty) veilAround(canvas.current, drawing);
  }, [drawing]);
  return (
    <div className="found-picture" style={{ "--ratio": image.width / image.height } as CSSProperties}>
      <img
        src={image.url}
        width={image.width}
        height={image.height}
        alt={drawing ? "To edit, with the subject marked" : "To edit"}
        className="picture"
        onError={onExpired}
      />
      {drawing && <canvas ref={canvas} width={image.width} height={image.height} />}
    </div>
  );
}

/** What was found, in words: what the mask means, and what is doubtful about it. */
export function FoundWords({ found, subject }: { found: FoundMask; subject: Subject }) {
  const { name } = subject;
  const { job, mask, problem, again } = found;
  if (problem)
    return (
      <div className="found-words">
        <p className="hint" role="status">
          {problem} The edit looks for {name} itself, or you draw it.
        </p>
        {again && (
          <button type="button" className="quiet" onClick={again}>
            Look again
          </button>
        )}
      </div>
    );
  if (!job) return null;
  if (isActive(job)) return <JobProgress job={job} live={null} />;
  if (!mask) return null;
  const doubt = sourceDoubt(mask, subject, name);
  const percent = Math.max(1, Math.round((mask.share ?? 0) * 100));
  return (
    <div className="found-words">
      <p className="hint" role="status">
        {mask.share
          ? `Bright: ${name}, ${percent} % of the image. The edit finds this itself, and it may also change the place where ${name} will be.`
          : `LIPE does not find ${name} in this image.`}
      </p>
      {doubt && <p className="doubt">{doubt}</p>}
      {mask.warnings.map((warning) => (
        <p key={warning.code} className="doubt">
          {warning.message}
        </p>
      ))}
    </div>
  );
}

/** The result of a job that finds a mask. */
export function MaskResult({ job, subject }: { job: Job; subject: Subject }) {
  const image = useImage(String(job.parameters.image_id)).data;
  const { mask, drawing } = useMaskOf(job.id, image);
  if (!image || !mask.data) return null;
  return (
    <section className="card">
      <FoundPicture image={image} drawing={drawing.data} onExpired={() => undefined} />
      <FoundWords
        found={{ job, mask: mask.data, drawing: drawing.data, problem: null, again: null }}
        subject={subject}
      />
    </section>
  );
}
