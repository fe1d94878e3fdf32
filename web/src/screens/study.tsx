import { useMutation } from "@tanstack/react-query";
import { useReducer, useState } from "react";
import { raterFile } from "../api/study-file";
import { Confirm } from "../components/dialog";
import { DropZone } from "../components/drop-zone";
import { NewStudy } from "../components/new-study";
import { Notice, Refusal } from "../components/notice";
import { StudyTables } from "../components/study-tables";
import { asFileName, download } from "../lib/download";
import { go } from "../lib/router";
import { parseRatings, type Study } from "../lib/study";
import { csvOf, resultsOf } from "../lib/study-results";
import { deleteStudy, prepare, storedRatings, storedStudies, storeRatings } from "../lib/study-store";
import { ago } from "../lib/words";

const questions = ({ items }: Study): string =>
  items.length === 1 ? "1 question" : `${items.length} questions`;

/** Take the files of ratings; the errors name the files that are no ratings of this study. */
async function importRatings(study: Study, files: File[]): Promise<string[]> {
  const errors: string[] = [];
  for (const file of files) {
    try {
      storeRatings(parseRatings(await file.text(), study));
    } catch (error) {
      errors.push(`${file.name}: ${(error as Error).message}`);
    }
  }
  return errors;
}

function Raters({ study, onChange }: { study: Study; onChange: () => void }) {
  const [errors, setErrors] = useState<string[]>([]);
  const rate = useMutation({
    mutationFn: () => raterFile(study),
    onSuccess: (file) => {
      prepare(file);
      go("rate");
    },
  });
  const send = useMutation({
    mutationFn: () => raterFile(study),
    onSuccess: (file) => download(`study-${asFileName(study.name)}.json`, JSON.stringify(file)),
  });
  const isBusy = rate.isPending || send.isPending;
  return (
    <section className="card">
      <h2>Raters</h2>
      <p>
        Judge here, with people who sit at this machine. Others get the file of the study and open it at{" "}
        <code>{`${location.origin}${location.pathname}#/rate`}</code>: they need no key, and the file does not
        say which system made an image. They send back a file of ratings.
      </p>
      <div className="actions">
        <button type="button" className="primary" disabled={isBusy} onClick={() => rate.mutate()}>
          {rate.isPending ? "Collecting the images ..." : "Judge here"}
        </button>
        <button type="button" disabled={isBusy} onClick={() => send.mutate()}>
          {send.isPending ? "Collecting the images ..." : "Download for raters"}
        </button>
      </div>
      <Refusal error={rate.error ?? send.error} />
      <DropZone
        label="Drop files of ratings here, or choose them"
        hint="Ratings of the same name replace earlier ones"
        multiple
        accept="application/json,.json"
        onFiles={(files) =>
          void importRatings(study, files).then((found) => {
            setErrors(found);
            onChange();
          })
        }
      />
      {errors.map((error) => (
        <Notice key={error} tone="error">
          {error}
        </Notice>
      ))}
    </section>
  );
}

function StudyDetail({ study }: { study: Study }) {
  const [, refresh] = useReducer((count: number) => count + 1, 0);
  const [isAsking, setAsking] = useState(false);
  const ratings = storedRatings(study.id);
  const results = resultsOf(study, ratings);
  const save = () => download(`${asFileName(study.name)}.csv`, csvOf(study, ratings), "text/csv");
  return (
    <>
      <div className="page-head">
        <div>
          <p className="crumb">
            <a href="#/study">Studies</a>
          </p>
          <h1>{study.name}</h1>
          <p className="hint">
            {study.asks} · {questions(study)} · made {ago(study.createdAt)}
          </p>
        </div>
        <div className="actions">
          <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
            Delete
          </button>
          <button type="button" disabled={ratings.length === 0} onClick={save}>
            Export as CSV
          </button>
        </div>
      </div>
      <Raters study={study} onChange={refresh} />
      <section className="card">
        <h2>Results</h2>
        {ratings.length === 0 ? (
          <p className="hint">No ratings yet.</p>
        ) : (
          <StudyTables study={study} results={results} />
        )}
      </section>
      {isAsking && (
        <Confirm
          title={`Delete ${study.name}?`}
          action="Delete"
          onConfirm={() => {
            deleteStudy(study.id);
            go("study");
          }}
          onClose={() => setAsking(false)}
        >
          <p>
            The study and its ratings are deleted from this browser. Files that you have downloaded or sent
            stay where they are.
          </p>
        </Confirm>
      )}
    </>
  );
}

/** The studies of this browser, or one of them. */
export default function StudyPage({ id }: { id: string }) {
  const studies = storedStudies();
  const study = studies.find((one) => one.id === id);
  if (study) return <StudyDetail key={study.id} study={study} />;
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Studies</h1>
          <p className="hint">
            People judge results without knowing which method made them. Studies and ratings stay in this
            browser and in the files that you send; the service stores none.
          </p>
        </div>
      </div>
      {id && <Notice tone="warning">This browser does not have that study.</Notice>}
      {studies.length > 0 && (
        <ul className="rows card">
          {studies.map((one) => (
            <li key={one.id} className="row">
              <div className="row-main">
                <a href={`#/study/${one.id}`}>{one.name}</a>
                <p className="hint">
                  {questions(one)} · {storedRatings(one.id).length} raters · {ago(one.createdAt)}
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
      <NewStudy onMade={(made) => go(`study/${made.id}`)} />
    </>
  );
}
