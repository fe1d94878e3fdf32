import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ask, client, type Schemas } from "../api/client";
import { barLength, percent, type Snapshot, shareOfBest, tradeOff } from "../lib/snapshots";
import { Refusal } from "./notice";
import { ForWriters } from "./rights";

type Prior = Schemas["DownloadablePrior"];

function Score({ name, value, length }: { name: string; value: number | null; length: number }) {
  return (
    <div className="score">
      <dt>{name}</dt>
      <dd>
        {percent(value)}
        <span className="score-bar" aria-hidden="true">
          <span style={{ inlineSize: `${100 * length}%` }} />
        </span>
      </dd>
    </div>
  );
}

interface CardProps {
  snapshot: Snapshot;
  all: readonly Snapshot[];
  isBusy: boolean;
  onChoose: (step: number) => void;
}

function Card({ snapshot, all, isBusy, onChoose }: CardProps) {
  const { step, preview, is_chosen: isChosen } = snapshot;
  const change = tradeOff(all, snapshot);
  return (
    <li className={isChosen ? "snapshot is-chosen" : "snapshot"} aria-current={isChosen ? "true" : undefined}>
      {preview ? (
        <img
          className="picture"
          src={preview.url}
          alt={`Preview after step ${step}: ${preview.details.prompt}`}
        />
      ) : (
        <div className="picture missing">No preview at this step</div>
      )}
      <h3>Step {step}</h3>
      <p className="snapshot-marks">
        {isChosen && <span className="snapshot-mark is-chosen">In use</span>}
        {snapshot.is_recommended && <span className="snapshot-mark">Recommended</span>}
      </p>
      <dl className="scores">
        <Score name="Identity" value={snapshot.identity} length={shareOfBest(all, snapshot.identity)} />
        <Score name="Flexibility" value={snapshot.flexibility} length={barLength(snapshot.flexibility)} />
      </dl>
      {change && <p className="hint">{change}</p>}
      {!isChosen && (
        <ForWriters>
          <button
            type="button"
            disabled={isBusy}
            onClick={() => onChoose(step)}
            aria-label={`Use this one: step ${step}`}
          >
            Use this one
          </button>
        </ForWriters>
      )}
    </li>
  );
}

/** The prior after several steps of its training, beside each other, and the choice of the one that edits use. */
export function Snapshots({ prior }: { prior: Prior }) {
  const queries = useQueryClient();
  const all = prior.snapshots;
  const choose = useMutation({
    mutationFn: (step: number) =>
      ask(
        client.POST("/v1/priors/{prior_id}/choose", {
          params: { path: { prior_id: prior.id } },
          body: { step },
        }),
      ),
    onSuccess: (answer) => {
      queries.setQueryData(["prior", prior.id], answer);
      void queries.invalidateQueries({ queryKey: ["priors", prior.subject_id] });
    },
  });
  const chosen = all.find((one) => one.is_chosen);
  return (
    <section className="card" aria-labelledby="snapshots">
      <h2 id="snapshots">Which step is best?</h2>
      {all.length < 2 ? (
        <p className="hint">
          This training kept its last step alone, so there is nothing to choose from. A new training keeps
          earlier steps if you ask for snapshots.
        </p>
      ) : (
        <>
          <p>
            A longer training knows the subject better and follows prompts less. Look at the previews first;
            the scores only help. Edits use the step that is marked “In use”.
          </p>
          <ul className="snapshots">
            {all.map((snapshot) => (
              <Card
                key={snapshot.step}
                snapshot={snapshot}
                all={all}
                isBusy={choose.isPending}
                onChoose={choose.mutate}
              />
            ))}
          </ul>
          <details>
            <summary>What the scores mean</summary>
            <p className="hint">
              Identity: how well it denoises the references, compared with the base model; the longest bar is
              the best of this training. Flexibility: how close it stays to what the base model knows of the
              class. Neither says whether an image is good.
            </p>
          </details>
        </>
      )}
      <Refusal error={choose.error} />
      <p role="status" className="hint">
        {choose.isSuccess && chosen ? `New edits use step ${chosen.step}.` : ""}
      </p>
    </section>
  );
}
