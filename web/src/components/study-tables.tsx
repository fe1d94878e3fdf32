import type { StudyResults } from "../api/studies";
import { duration } from "../lib/words";

type Question = StudyResults["questions"][number];
type Estimate = Question["systems"][number]["share"];

const QUESTIONS: Record<string, string> = {
  identity: "Identity",
  background: "Background",
  satisfaction: "Satisfaction",
};
const RULES: Record<string, string> = {
  min_answers: "too few answers",
  max_failed_checks: "failed attention checks",
  min_repeat_agreement: "other answers to repeats",
  min_median_seconds: "too fast",
  max_same_answer_share: "always the same answer",
};
export const questionWord = (question: string): string => QUESTIONS[question] ?? question;

function agreementWords(alpha: number | null): string {
  if (alpha === null) return "not known: it needs two raters of the same question, and answers that differ";
  const bounds: [number, string][] = [
    [0, "none beyond chance"],
    [0.2, "slight"],
    [0.4, "fair"],
    [0.6, "moderate"],
    [0.8, "good"],
  ];
  const words = bounds.find(([bound]) => alpha <= bound)?.[1] ?? "very good";
  return `${alpha.toFixed(2)} (${words})`;
}

const interval = ({ low, high }: Estimate): string =>
  low === null || high === null ? "–" : `${low.toFixed(2)} to ${high.toFixed(2)}`;

/** A share with its interval, as a line from 0 to 1. */
function ShareBar({ share: { value, low, high } }: { share: Estimate }) {
  const [from, to] = [low ?? value, high ?? value];
  return (
    <svg className="share-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect className="share-track" width="100" height="10" />
      <rect className="share-range" x={from * 100} width={Math.max(0.5, (to - from) * 100)} height="10" />
      <rect
        className="share-value"
        x={Math.min(98.5, Math.max(0, value * 100 - 0.75))}
        width="1.5"
        height="10"
      />
    </svg>
  );
}

function QuestionTable({ result }: { result: Question }) {
  return (
    <section className="card" aria-labelledby={`results-${result.question}`}>
      <h2 id={`results-${result.question}`}>{questionWord(result.question)}</h2>
      <div className="table-scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">System</th>
              <th scope="col">Preferred, 0 to 1</th>
              <th scope="col">95 % interval</th>
              <th scope="col">Score</th>
              <th scope="col">95 % interval</th>
              <th scope="col">Comparisons</th>
            </tr>
          </thead>
          <tbody>
            {result.systems.map(({ system, share, score, comparisons }) => (
              <tr key={system}>
                <th scope="row">{system}</th>
                <td>{share.value.toFixed(2)}</td>
                <td>
                  <ShareBar share={share} />
                  <span className="hint">{interval(share)}</span>
                </td>
                <td>{score.value.toFixed(2)}</td>
                <td>{interval(score)}</td>
                <td>{comparisons}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p>
        Agreement of the raters (Krippendorff’s alpha): <strong>{agreementWords(result.agreement)}</strong>
      </p>
    </section>
  );
}

/** How the systems did in each question, how far the raters agree, and who was left out. */
export function StudyTables({ results }: { results: StudyResults }) {
  return (
    <>
      {results.questions.map((result) => (
        <QuestionTable key={result.question} result={result} />
      ))}
      <p className="hint">
        A tie counts half for each. The score is the logarithm of the strength in the model of Bradley and
        Terry. The intervals come from a bootstrap that draws raters and cases anew, as answers by one rater,
        and answers about one case, depend on each other.
      </p>
      <section className="card" aria-labelledby="results-raters">
        <h2 id="results-raters">Raters</h2>
        <div className="table-scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Rater</th>
                <th scope="col">Answers</th>
                <th scope="col">Time for each</th>
                <th scope="col">Checks passed</th>
                <th scope="col">Same again</th>
                <th scope="col">Counts</th>
              </tr>
            </thead>
            <tbody>
              {results.raters.map((rater) => (
                <tr key={rater.number}>
                  <th scope="row">{rater.number}</th>
                  <td>{rater.answers}</td>
                  <td>{duration(rater.median_seconds)}</td>
                  <td>{rater.checks ? `${rater.checks - rater.checks_failed} of ${rater.checks}` : "–"}</td>
                  <td>{rater.repeats ? `${rater.repeats_agreed} of ${rater.repeats}` : "–"}</td>
                  <td>
                    {rater.excluded.length === 0
                      ? "yes"
                      : `no: ${rater.excluded.map((rule) => RULES[rule] ?? rule).join(", ")}`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
}
