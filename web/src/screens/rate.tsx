import { type ReactNode, useState } from "react";
import type { ApiProblem } from "../api/client";
import { isFinal, useRating } from "../api/ratings";
import { Notice } from "../components/notice";
import { RateQuestion } from "../components/rate-question";
import { Mark, ThemeButton } from "../components/shell";

const ENDS: Record<string, { title: string; text: string }> = {
  study_closed: {
    title: "This study is closed",
    text: "It takes no answers any more. Thank you for your help.",
  },
  study_erased: {
    title: "This study was deleted",
    text: "Its answers were deleted with it. Thank you for your help.",
  },
  study_full: {
    title: "This study has enough raters",
    text: "All of its places are taken, so there is nothing left to do for you. Thank you.",
  },
  study_link_invalid: {
    title: "This link is not whole",
    text: "A part of it is missing or was changed. Ask the person who sent it for the whole link.",
  },
};

function Message({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="card" role="status">
      <h1>{title}</h1>
      {children}
    </section>
  );
}

function Rating({ token }: { token: string }) {
  const rating = useRating(token);
  const [hasBegun, setBegun] = useState(false);
  const { study, question, answered, total, waiting, error } = rating;
  if (isFinal(error)) {
    const end = ENDS[(error as ApiProblem).document.code];
    return (
      <Message title={end?.title ?? "This study takes no answers"}>
        <p>{end?.text}</p>
      </Message>
    );
  }
  const offline = rating.isOffline && (
    <Notice tone="warning" title="The connection is lost">
      {waiting === 1 ? "Your last answer is" : `Your last ${waiting} answers are`} kept in this browser and
      sent again by itself. You can go on.
    </Notice>
  );
  if (!question && total > 0 && answered >= total && waiting === 0)
    return (
      <Message title="Thank you">
        <p>You have answered all {total} questions. You can close this page.</p>
        <div className="actions">
          <button
            type="button"
            className="quiet"
            onClick={() => {
              setBegun(false);
              rating.startAnew();
            }}
          >
            Another person answers here
          </button>
        </div>
      </Message>
    );
  if (!question)
    return (
      <>
        {offline}
        {error && !rating.isOffline ? (
          <Notice tone="error" title="The questions cannot be read">
            {error.message}{" "}
            <button type="button" onClick={rating.reload}>
              Try again
            </button>
          </Notice>
        ) : (
          <p className="hint" role="status">
            {waiting > 0 ? "Sending your answers ..." : "Loading ..."}
          </p>
        )}
      </>
    );
  if (!hasBegun)
    return (
      <section className="card">
        <h1>{study}</h1>
        <p>
          {total} questions. Each shows two images: choose the better one, or say that both are the same.
          Answer by what you see. Nothing says who or what made an image, and sides and order are random. Some
          questions come again.
        </p>
        <p className="hint">
          Keys: 1 or ← for the left one, 2 or → for the right one, 0 or ↓ for both the same. The study stores
          your answers and their times, and nothing about you.
        </p>
        <div className="actions">
          <button type="button" className="primary" onClick={() => setBegun(true)}>
            {answered > 0 ? `Go on with question ${answered + 1}` : "Begin"}
          </button>
        </div>
      </section>
    );
  return (
    <>
      {offline}
      <RateQuestion
        key={question.number}
        question={question}
        answered={answered}
        total={total}
        onAnswer={rating.answer}
        onReload={rating.reload}
      />
    </>
  );
}

/** The page of a rater: it needs the token in its address, and no key. */
export default function RatePage({ token }: { token: string }) {
  return (
    <main className="rate">
      <header className="rate-top">
        <span className="brand">
          <Mark /> LIPE study
        </span>
        <ThemeButton />
      </header>
      {token ? (
        <Rating key={token} token={token} />
      ) : (
        <Message title={ENDS.study_link_invalid?.title ?? ""}>
          <p>{ENDS.study_link_invalid?.text}</p>
        </Message>
      )}
    </main>
  );
}
