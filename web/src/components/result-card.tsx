import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Edit, type EditResult, type Image, type Job, problemOf } from "../api/client";
import { storeImage } from "../api/upload";
import { countChanged } from "../lib/pixels";
import { asCurl, requestOf } from "../lib/request";
import { go } from "../lib/router";
import { duration, workSeconds } from "../lib/words";
import { WHOLE } from "../lib/zoom";
import { CopyButton } from "./copy-button";
import { Choice } from "./fields";
import { Refusal } from "./notice";
import { ForWriters } from "./rights";
import { VIEWS, type View, Viewer } from "./viewer";
import { ZoomControls, zoomByKey } from "./zoom-frame";

function Figures({ job, result, source }: { job: Job; result: EditResult; source: Image }) {
  const { sha256 } = result.image;
  const mask = result.edit_mask?.url;
  const changed = useQuery({
    queryKey: ["changed", sha256],
    queryFn: () => countChanged({ source: source.url, result: result.image.url, mask: mask as string }),
    enabled: mask !== undefined && result.image.content_type === "image/png",
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  }).data;
  return (
    <dl className="facts">
      <div>
        <dt>Seed</dt>
        <dd>{result.seed ?? "none"}</dd>
      </div>
      <div>
        <dt>Size</dt>
        <dd>
          {source.width} × {source.height}
        </dd>
      </div>
      <div>
        <dt>Work of the job</dt>
        <dd>{duration(workSeconds(job.metrics))}</dd>
      </div>
      {changed != null && (
        <div>
          <dt>Pixels changed outside the mask</dt>
          <dd>{changed.toLocaleString()}</dd>
        </div>
      )}
    </dl>
  );
}

/** The file of a signed URL. A storage of another origin lets scripts read it only if its CORS rule has this page. */
async function fileOf(url: string): Promise<Blob> {
  const answer = await fetch(url).catch(() => {
    throw new Error(
      `The browser may not read files of ${new URL(url).origin} from this page. Download the result, and choose the file under Edit.`,
    );
  });
  if (!answer.ok) throw await problemOf(answer);
  return answer.blob();
}

export function ResultCard({
  job,
  edit,
  result,
  source,
}: {
  job: Job;
  edit: Edit;
  result: EditResult;
  source: Image;
}) {
  const [view, setView] = useState<View>("slider");
  const [zoom, setZoom] = useState(WHOLE);
  const further = useMutation({
    mutationFn: async () => storeImage(await fileOf(result.image.url)),
    onSuccess: (image) =>
      go(`edit?subject=${edit.subject_id}&prior=${edit.prior_id ?? ""}&image=${image.id}`),
  });
  const views = result.edit_mask ? VIEWS : VIEWS.filter((one) => one.value !== "mask");
  return (
    <article className="card result" onKeyDown={(event) => zoomByKey(event, setZoom)}>
      <Viewer view={view} result={result} source={source} zoom={zoom} onZoom={setZoom} />
      <div className="result-words">
        <h2>{result.prompt ?? "Result"}</h2>
        <div className="view-controls">
          <Choice label="View" value={view} options={views} onChange={setView} />
          <ZoomControls zoom={zoom} onZoom={setZoom} />
        </div>
        <Figures job={job} result={result} source={source} />
        <div className="actions">
          <a className="button" href={result.image.url} download={result.image.name}>
            Download
          </a>
          <ForWriters>
            <button type="button" disabled={further.isPending} onClick={() => further.mutate()}>
              Edit this result further
            </button>
            {result.edit_mask && (
              <a className="button" href={`#/edit?from=${edit.id}&mask=found`}>
                Correct the mask
              </a>
            )}
            <a className="button quiet" href={`#/edit?from=${edit.id}`}>
              Same settings again
            </a>
          </ForWriters>
          <CopyButton label="Copy as curl" text={asCurl(requestOf(edit, job, result))} />
        </div>
        <Refusal error={further.error} />
      </div>
    </article>
  );
}
