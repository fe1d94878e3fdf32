import { useEffect, useRef, useState } from "react";
import { pictureUrl, type RatingQuestion } from "../api/ratings";
import type { Answer } from "../lib/rating-queue";
import { Notice } from "./notice";

const ASKS: Record<RatingQuestion["question"], string> = {
  identity: "Which one is more like the subject?",
  background: "Which one keeps the background better?",
  satisfaction: "Which one answers the request better?",
};
const OPTIONS = [
  { answer: "left", text: "The left one", keys: ["ArrowLeft", "1"], sign: "1" },
  { answer: "tie", text: "Both the same", keys: ["ArrowDown", "0"], sign: "0" },
  { answer: "right", text: "The right one", keys: ["ArrowRight", "2"], sign: "2" },
] as const;
const MAX_SECONDS = 3600;

interface RateQuestionProps {
  question: RatingQuestion;
  answered: number;
  total: number;
  onAnswer: (answer: Answer) => void;
  /** The pictures' addresses have expired, or the connection was lost. */
  onReload: () => void;
}

/** One question: two images to judge, and below them the references, the image before the edit, and the prompt. */
export function RateQuestion({ question, answered, total, onAnswer, onReload }: RateQuestionProps) {
  const { number, prompt, source, references } = question;
  const heading = useRef<HTMLHeadingElement>(null);
  const began = useRef(0);
  const [loaded, setLoaded] = useState<ReadonlySet<string>>(new Set());
  const [isBroken, setBroken] = useState(false);
  const isReady = loaded.has("left") && loaded.has("right");
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (isReady) began.current = performance.now();
  }, [isReady]);
  const answer = (side: Answer["answer"]) => {
    if (!isReady) return;
    const seconds = Math.min(MAX_SECONDS, Math.round(performance.now() - began.current) / 1000);
    onAnswer({ number, answer: side, seconds });
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const chosen = OPTIONS.find(({ keys }) => (keys as readonly string[]).includes(event.key));
      if (!chosen) return;
      event.preventDefault();
      answer(chosen.answer);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  return (
    <section className="card rate-card" aria-labelledby="asks">
      <div className="rate-head">
        <h1 id="asks" ref={heading} tabIndex={-1}>
          {ASKS[question.question]}
        </h1>
        <span className="hint">
          {answered + 1} of {total}
        </span>
      </div>
      <progress value={answered} max={total} aria-label="Answered questions" />
      <div className="rate-shown">
        {(["left", "right"] as const).map((side) => (
          <img
            key={side}
            className="picture"
            src={pictureUrl(question[side])}
            alt={side === "left" ? "The left image" : "The right image"}
            onLoad={() => setLoaded((now) => new Set([...now, side]))}
            onError={() => setBroken(true)}
          />
        ))}
      </div>
      {isBroken && !isReady && (
        <Notice tone="warning">
          An image did not arrive. Your answers are kept.{" "}
          <button
            type="button"
            onClick={() => {
              setBroken(false);
              onReload();
            }}
          >
            Load it again
          </button>
        </Notice>
      )}
      <div className="rate-options">
        {OPTIONS.map((option) => (
          <button key={option.answer} type="button" disabled={!isReady} onClick={() => answer(option.answer)}>
            {option.text}{" "}
            <span className="key" aria-hidden="true">
              {option.sign}
            </span>
          </button>
        ))}
      </div>
      <div className="rate-facts">
        {prompt && (
          <p>
            Asked for: <strong>{prompt}</strong>
          </p>
        )}
        <ul className="rate-references">
          {source && (
            <li>
              <img className="picture" src={pictureUrl(source)} alt="Before the edit" />
              <p className="hint">Before</p>
            </li>
          )}
          {references.map((path, k) => (
            <li key={path}>
              <img className="picture" src={pictureUrl(path)} alt={`The subject, reference ${k + 1}`} />
              <p className="hint">Subject</p>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
