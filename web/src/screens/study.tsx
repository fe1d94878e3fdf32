import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { ApiProblem } from "../api/client";
import {
  linkOf,
  readTable,
  type Study,
  useCloseStudy,
  useDeleteStudy,
  useStudies,
  useStudy,
  useStudyResults,
} from "../api/studies";
import { CopyButton } from "../components/copy-button";
import { Confirm } from "../components/dialog";
import { NewStudy } from "../components/new-study";
import { Notice, Refusal } from "../components/notice";
import { ForWriters, WritersOnly } from "../components/rights";
import { questionWord, StudyTables } from "../components/study-tables";
import { asFileName, download } from "../lib/download";
import { go } from "../lib/router";
import { ago } from "../lib/words";

const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;

function Raters({ study }: { study: Study }) {
  const [isAsking, setAsking] = useState(false);
  const close = useCloseStudy(study.id);
  const link = study.rater_token ? linkOf(study.rater_token) : null;
  return (
    <section className="card" aria-labelledby="raters">
      <h2 id="raters">Raters</h2>
      <p role="status">
        {counted(study.raters, "rater")} of at most {study.max_raters} {study.raters === 1 ? "has" : "have"}{" "}
        begun, {study.finished_raters} {study.finished_raters === 1 ? "has" : "have"} finished.{" "}
        {counted(study.answers, "answer")} so far.
      </p>
      {link && (
        <>
          <p>
            Send this link to raters. They need no key, and see nothing but the questions. Who has the link
            can answer.
          </p>
          <p className="study-link">
            <a href={link} target="_blank" rel="noreferrer">
              {link}
            </a>
          </p>
          <div className="actions">
            <CopyButton label="Copy the link" text={link} />
            <button type="button" className="primary" onClick={() => setAsking(true)}>
              Close the study
            </button>
          </div>
          <p className="hint">
            The results are here once the study is closed, so that they cannot change who is asked.
          </p>
        </>
      )}
      <Refusal error={close.error} />
      {isAsking && (
        <Confirm
          title={`Close ${study.name}?`}
          action="Close the study"
          onConfirm={() => close.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>Raters cannot answer any more, and you see the results. It cannot be opened again.</p>
        </Confirm>
      )}
    </section>
  );
}

function Results({ study }: { study: Study }) {
  const { data, error, isPending } = useStudyResults(study);
  const table = useMutation({
    mutationFn: () => readTable(study.id),
    onSuccess: (text) => download(`${asFileName(study.name)}.csv`, text, "text/csv"),
  });
  if (study.answers === 0) return <Notice tone="info">The study was closed without an answer.</Notice>;
  return (
    <>
      <div className="actions">
        <button type="button" disabled={table.isPending} onClick={() => table.mutate()}>
          Download all answers as CSV
        </button>
      </div>
      <Refusal error={error ?? table.error} />
      {isPending && !error && <p className="hint">Computing the results ...</p>}
      {data?.answers_used === 0 && (
        <Notice tone="warning" title="No answer counts">
          The rules that were fixed with the study leave every rater out. The table below says why.
        </Notice>
      )}
      {data && <StudyTables results={data} />}
    </>
  );
}

function StudyDetail({ study }: { study: Study }) {
  const [isAsking, setAsking] = useState(false);
  const remove = useDeleteStudy(study.id, () => go("study"));
  return (
    <>
      <div className="page-head">
        <div>
          <p className="crumb">
            <a href="#/study">Studies</a>
          </p>
          <h1>{study.name}</h1>
          <p className="hint">
            {study.state === "open" ? "Open" : "Closed"} · {study.systems.join(", ")} ·{" "}
            {study.questions.map(questionWord).join(", ").toLowerCase()} · {counted(study.items, "case")},{" "}
            {counted(study.questions_per_rater, "question")} to each rater · made {ago(study.created_at)}
          </p>
        </div>
        <ForWriters>
          <div className="actions">
            <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
              Delete
            </button>
          </div>
        </ForWriters>
      </div>
      <Refusal error={remove.error} />
      {study.state === "open" ? <Raters study={study} /> : <Results study={study} />}
      {isAsking && (
        <Confirm
          title={`Delete ${study.name}?`}
          action="Delete"
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>The study is erased with all of its answers. Its images and edits stay.</p>
        </Confirm>
      )}
    </>
  );
}

function OneStudy({ id }: { id: string }) {
  const { data, error } = useStudy(id);
  if (data) return <StudyDetail study={data} />;
  if (error instanceof ApiProblem && error.document.status === 404)
    return (
      <Notice tone="warning" title="This study is not there">
        It was deleted, or it belongs to another project. <a href="#/study">All studies</a>
      </Notice>
    );
  return error ? <Refusal error={error} /> : <p className="hint">Loading ...</p>;
}

/** The studies of the project, or one of them. */
export default function StudyPage({ id }: { id: string }) {
  const studies = useStudies();
  if (id) return <OneStudy id={id} />;
  const rows = studies.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Studies</h1>
          <p className="hint">
            People compare results without knowing which system made them. They get a link, and need no key.
          </p>
        </div>
      </div>
      <Refusal error={studies.error} />
      {rows.length > 0 && (
        <ul className="rows card">
          {rows.map((one) => (
            <li key={one.id} className="row">
              <div className="row-main">
                <a href={`#/study/${one.id}`}>{one.name}</a>
                <p className="hint">
                  {one.state} · {one.systems.join(", ")} · {counted(one.raters, "rater")} ·{" "}
                  {counted(one.answers, "answer")} · {ago(one.created_at)}
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
      {studies.hasNextPage && (
        <button type="button" className="quiet" onClick={() => void studies.fetchNextPage()}>
          Show more
        </button>
      )}
      <WritersOnly what="make a study">
        <NewStudy onMade={(made) => go(`study/${made.id}`)} />
      </WritersOnly>
    </>
  );
}
