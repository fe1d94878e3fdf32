import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Prior, type Schemas } from "../api/client";
import { usePrior, usePriors, useSubject } from "../api/queries";
import { ConsentCard } from "../components/consent-card";
import { Confirm } from "../components/dialog";
import { Refusal } from "../components/notice";
import { ReferenceList } from "../components/reference-list";
import { ForWriters, WritersOnly } from "../components/rights";
import { TrainingForm } from "../components/training-form";
import { go } from "../lib/router";
import { ago } from "../lib/words";

/** The captions that the newest training used, by image id. */
function learnedCaptions(prior: Prior | undefined): Record<string, string> {
  const captions = (prior?.manifest as { captions?: string[] } | null | undefined)?.captions ?? [];
  return Object.fromEntries((prior?.reference_ids ?? []).map((id, k) => [id, captions[k] ?? ""]));
}

function PriorRow({ prior }: { prior: Schemas["PriorBody"] }) {
  const whole = usePrior(prior.id).data;
  const job = whole?.job_id;
  return (
    <li className="row">
      <span className={`badge badge-${prior.ready_at ? "succeeded" : "running"}`}>
        {prior.ready_at ? "Ready" : "Not ready"}
      </span>
      <span className="row-main">Training of {ago(prior.created_at)}</span>
      {job && <a href={`#/jobs/${job}`}>Details</a>}
      {prior.ready_at && (
        <ForWriters>
          <a href={`#/edit?prior=${prior.id}&subject=${prior.subject_id}`}>Edit with it</a>
        </ForWriters>
      )}
    </li>
  );
}

function EraseSubject({ id, name }: { id: string; name: string }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const erase = useMutation({
    mutationFn: () =>
      ask(client.DELETE("/v1/subjects/{subject_id}", { params: { path: { subject_id: id } } })),
    onSuccess: () => {
      void queries.invalidateQueries();
      go("subjects");
    },
  });
  return (
    <>
      <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
        Erase
      </button>
      <Refusal error={erase.error} />
      {isAsking && (
        <Confirm
          title={`Erase ${name}?`}
          action="Erase everything"
          onConfirm={() => erase.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>
            Its references, its trainings and all edits of it are deleted from the database and from the
            storage. This cannot be undone.
          </p>
        </Confirm>
      )}
    </>
  );
}

export function SubjectPage({ id }: { id: string }) {
  const subject = useSubject(id);
  const trainings = usePriors(id);
  const priors = trainings.data ?? [];
  const newest = priors.find((prior) => prior.ready_at);
  const learned = learnedCaptions(usePrior(newest?.id).data);
  if (subject.error) return <Refusal error={subject.error} />;
  if (!subject.data) return <p className="hint">Loading ...</p>;
  const { name, class_noun: noun, token, created_at: created } = subject.data;
  return (
    <>
      <div className="page-head">
        <div>
          <p className="crumb">
            <a href="#/subjects">Subjects</a>
          </p>
          <h1>{name}</h1>
          <p className="hint">
            Prompts call it{" "}
            <code>
              {token} {noun}
            </code>{" "}
            · created {ago(created)}
          </p>
        </div>
        <div className="actions">
          <ForWriters>
            <EraseSubject id={id} name={name} />
            {newest && (
              <a className="button primary" href={`#/edit?subject=${id}`}>
                Edit an image
              </a>
            )}
          </ForWriters>
        </div>
      </div>
      <section className="card">
        <h2>References</h2>
        <ReferenceList
          subject={subject.data}
          learned={learned}
          isLearned={!trainings.isSuccess || newest !== undefined}
        />
      </section>
      <ConsentCard subject={subject.data} />
      {priors.length > 0 && (
        <section className="card">
          <h2>Trainings</h2>
          <ul className="rows">
            {priors.map((prior) => (
              <PriorRow key={prior.id} prior={prior} />
            ))}
          </ul>
        </section>
      )}
      <WritersOnly what={`teach LIPE ${name} again`}>
        <TrainingForm subject={subject.data} />
      </WritersOnly>
    </>
  );
}
