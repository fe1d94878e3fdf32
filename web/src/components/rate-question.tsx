import { useEffect, useRef } from "react";
import type { RaterFile, Turn } from "../lib/study";

interface RateQuestionProps {
  file: RaterFile;
  turn: Turn;
  number: number;
  count: number;
  pictures: Record<string, string>;
  onAnswer: (answer: string) => void;
  onBack: (() => void) | null;
}

interface Option {
  answer: string;
  text: string;
  key: string;
  sign: string;
}

function optionsOf({ mode }: RaterFile, { shown }: Turn): Option[] {
  if (mode === "keep")
    return [
      { answer: "no", text: "No", key: "n", sign: "N" },
      { answer: "yes", text: "Yes", key: "y", sign: "Y" },
    ];
  return [
    { answer: shown[0]?.sha256 ?? "", text: "The left one", key: "ArrowLeft", sign: "←" },
    { answer: "tie", text: "Both the same", key: "ArrowDown", sign: "↓" },
    { answer: shown[1]?.sha256 ?? "", text: "The right one", key: "ArrowRight", sign: "→" },
  ];
}

/** One question: the images to judge, and beside them the references, the image before the edit, and the prompt. */
export function RateQuestion(props: RateQuestionProps) {
  const { file, turn, number, count, pictures, onAnswer, onBack } = props;
  const { item, shown } = turn;
  const options = optionsOf(file, turn);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const chosen = options.find(
        (option) => option.key === event.key || option.key === event.key.toLowerCase(),
      );
      if (chosen) onAnswer(chosen.answer);
      else if (event.key === "Backspace" && onBack) onBack();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  return (
    <section className="card rate-card" aria-labelledby="asks">
      <div className="rate-head">
        <h1 id="asks" ref={heading} tabIndex={-1}>
          {file.asks}
        </h1>
        <span className="hint">
          {number} of {count}
        </span>
      </div>
      <progress value={number - 1} max={count} aria-label="Answered questions" />
      <div className={`rate-shown rate-shown-${shown.length}`}>
        {shown.map((result, k) => (
          <img
            key={result.sha256}
            className="picture"
            src={pictures[result.picture]}
            alt={shown.length === 1 ? "The image to judge" : k === 0 ? "The left image" : "The right image"}
          />
        ))}
      </div>
      <div className="rate-options">
        {options.map((option) => (
          <button key={option.text} type="button" onClick={() => onAnswer(option.answer)}>
            {option.text}{" "}
            <span className="key" aria-hidden="true">
              {option.sign}
            </span>
          </button>
        ))}
      </div>
      <div className="rate-facts">
        <p>
          Asked for: <strong>{item.prompt}</strong>
        </p>
        <ul className="rate-references">
          <li>
            <img className="picture" src={pictures[item.source]} alt="Before the edit" />
            <p className="hint">Before</p>
          </li>
          {item.references.map((name, k) => (
            <li key={name}>
              <img className="picture" src={pictures[name]} alt={`The subject, reference ${k + 1}`} />
              <p className="hint">Subject</p>
            </li>
          ))}
        </ul>
      </div>
      {onBack && (
        <button type="button" className="quiet rate-back" onClick={onBack}>
          Back to the last one
        </button>
      )}
    </section>
  );
}
