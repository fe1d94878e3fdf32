import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { unpacked } from "../api/study-file";
import { DropZone } from "../components/drop-zone";
import { TextField } from "../components/fields";
import { Notice } from "../components/notice";
import { RateQuestion } from "../components/rate-question";
import { Mark, ThemeButton } from "../components/shell";
import { asFileName, download } from "../lib/download";
import { type Answer, parseRaterFile, type RaterFile, type Ratings, turnsOf } from "../lib/study";
import { storeRatings, takePrepared } from "../lib/study-store";

const ratingsOf = (study: string, rater: string, answers: Answer[]): Ratings => ({
  kind: "lipe-ratings",
  version: 1,
  study,
  rater,
  answers,
});

function Start({ file, onStart }: { file: RaterFile; onStart: (rater: string) => void }) {
  const [name, setName] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) onStart(name.trim());
  };
  return (
    <form className="card" onSubmit={submit}>
      <h1>{file.name}</h1>
      <p>
        {file.items.length} questions: <strong>{file.asks}</strong> Answer by what you see. Nothing says which
        system made an image, and sides and order are random. A few questions come again at the end.
      </p>
      <TextField
        label="Your name"
        value={name}
        maxLength={60}
        autoComplete="off"
        hint="A name or a pseudonym. It stands beside your answers, which stay on this machine until you send them."
        onChange={(event) => setName(event.target.value)}
      />
      <button type="submit" className="primary" disabled={!name.trim()}>
        Begin
      </button>
    </form>
  );
}

function Finished({ file, ratings }: { file: RaterFile; ratings: Ratings }) {
  const name = `ratings-${asFileName(file.name)}-${asFileName(ratings.rater)}.json`;
  return (
    <section className="card">
      <h1>Thank you, {ratings.rater}</h1>
      <p>
        You have answered all {ratings.answers.length} questions. Download your ratings, and send the file to
        the person who asked you. In the browser of that person they are there already.
      </p>
      <div className="actions">
        <button type="button" className="primary" onClick={() => download(name, JSON.stringify(ratings))}>
          Download the ratings
        </button>
        <a className="button quiet" href={`#/study/${file.id}`}>
          To the study
        </a>
      </div>
    </section>
  );
}

function Session({ file, rater }: { file: RaterFile; rater: string }) {
  const turns = useMemo(() => turnsOf(file, rater), [file, rater]);
  const pictures = useMemo(
    () => Object.fromEntries(Object.entries(file.pictures).map(([name, base64]) => [name, unpacked(base64)])),
    [file],
  );
  useEffect(() => () => Object.values(pictures).forEach(URL.revokeObjectURL), [pictures]);
  const [answers, setAnswers] = useState<Answer[]>([]);
  const [error, setError] = useState<Error | null>(null);
  const turn = turns[answers.length];
  const began = useRef(performance.now());
  const answer = (text: string) => {
    if (!turn) return;
    const one: Answer = {
      item: turn.item.id,
      shown: turn.shown.map((result) => result.sha256),
      answer: text,
      milliseconds: Math.round(performance.now() - began.current),
      isRepeat: turn.isRepeat,
      at: new Date().toISOString(),
    };
    began.current = performance.now();
    const all = [...answers, one];
    setAnswers(all);
    if (all.length < turns.length) return;
    try {
      storeRatings(ratingsOf(file.id, rater, all));
    } catch (failure) {
      setError(failure as Error);
    }
  };
  const back = () => {
    began.current = performance.now();
    setAnswers((now) => now.slice(0, -1));
  };
  if (!turn)
    return (
      <>
        {error && <Notice tone="warning">{error.message} Download the ratings now.</Notice>}
        <Finished file={file} ratings={ratingsOf(file.id, rater, answers)} />
      </>
    );
  return (
    <RateQuestion
      key={answers.length}
      file={file}
      turn={turn}
      number={answers.length + 1}
      count={turns.length}
      pictures={pictures}
      onAnswer={answer}
      onBack={answers.length > 0 ? back : null}
    />
  );
}

/** The page of a rater. It needs no key: the questions and their pictures are in a file. */
export default function RatePage() {
  const [file, setFile] = useState<RaterFile | null>(takePrepared);
  const [rater, setRater] = useState("");
  const [error, setError] = useState("");
  const open = async (chosen: File | undefined) => {
    try {
      if (chosen) setFile(parseRaterFile(await chosen.text()));
      setError("");
    } catch (failure) {
      setError((failure as Error).message);
    }
  };
  return (
    <main className="rate">
      <header className="rate-top">
        <span className="brand">
          <Mark /> LIPE study
        </span>
        <ThemeButton />
      </header>
      {!file && (
        <section className="card">
          <h1>Judge images</h1>
          <p>Open the file of the study that you were sent. Your answers stay on this machine.</p>
          <DropZone
            label="Drop the file of the study here, or choose it"
            hint="It ends with .json"
            multiple={false}
            accept="application/json,.json"
            onFiles={([chosen]) => void open(chosen)}
          />
          {error && <Notice tone="error">{error}</Notice>}
        </section>
      )}
      {file && !rater && <Start file={file} onStart={setRater} />}
      {file && rater && <Session file={file} rater={rater} />}
    </main>
  );
}
