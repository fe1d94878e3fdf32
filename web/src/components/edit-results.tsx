import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Job } from "../api/client";
import type { Live } from "../api/events";
import { isActive, useEdit, useImage } from "../api/queries";
import { Refusal } from "./notice";
import { Picture } from "./picture";
import { ResultCard } from "./result-card";

/** The stage in which a worker stores one result after the other. */
const STORING = "storing";

/** The results of an edit, as they are stored; before the first, while it runs, its source and the newest preview. */
export function EditResults({ job, live }: { job: Job; live: Live }) {
  const queries = useQueryClient();
  const edit = useEdit(job.edit_id, job.status === "succeeded");
  const { stage, step = 0 } = live.progress ?? {};
  const stored = stage === STORING ? step : 0;
  useEffect(() => {
    if (stored > 0) void queries.invalidateQueries({ queryKey: ["edit", job.edit_id] });
  }, [stored, job.edit_id, queries]);
  const source = useImage(edit.data?.image_id ?? null).data;
  if (edit.error) return <Refusal error={edit.error} />;
  if (!edit.data) return null;
  const { results, target_prompts: prompts, image_id: imageId } = edit.data;
  const wanted = prompts.length * ((job.resolved as { seeds?: number[] }).seeds?.length ?? 1);
  if (results.length > 0 && source)
    return (
      <>
        {isActive(job) && (
          <p role="status">
            {results.length} of {Math.max(wanted, results.length)} results are here. The others follow.
          </p>
        )}
        <div className={results.length > 1 ? "results" : "results results-one"}>
          {results.map((result) => (
            <ResultCard
              key={`${result.prompt} ${result.seed}`}
              job={job}
              edit={edit.data}
              result={result}
              source={source}
            />
          ))}
        </div>
      </>
    );
  const preview = live.previews.at(-1);
  return (
    <section className="card pending-edit">
      <figure>
        <Picture id={imageId} alt="The image to edit" />
        <figcaption className="hint">The image to edit</figcaption>
      </figure>
      {preview && (
        <figure>
          <img className="picture" src={preview.url} alt="Newest preview of the result" />
          <figcaption className="hint">Newest preview</figcaption>
        </figure>
      )}
      <ul className="chips">
        {prompts.map((prompt) => (
          <li key={prompt} className="chip">
            {prompt}
          </li>
        ))}
      </ul>
    </section>
  );
}
