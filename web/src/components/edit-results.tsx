import type { Job } from "../api/client";
import type { Live } from "../api/events";
import { useEdit, useImage } from "../api/queries";
import { Refusal } from "./notice";
import { Picture } from "./picture";
import { ResultCard } from "./result-card";

/** The results of an edit; while it runs, its source and the newest preview. */
export function EditResults({ job, live }: { job: Job; live: Live }) {
  const edit = useEdit(job.edit_id, job.status === "succeeded");
  const source = useImage(edit.data?.image_id ?? null).data;
  if (edit.error) return <Refusal error={edit.error} />;
  if (!edit.data) return null;
  const { results, target_prompts: prompts, image_id: imageId } = edit.data;
  if (results.length > 0 && source)
    return (
      <div className={results.length > 1 ? "results" : "results results-one"}>
        {results.map((result) => (
          <ResultCard
            key={result.image.sha256 + result.seed}
            job={job}
            edit={edit.data}
            result={result}
            source={source}
          />
        ))}
      </div>
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
