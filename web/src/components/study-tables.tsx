import type { Study } from "../lib/study";
import type { StudyResults, SystemRow } from "../lib/study-results";

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function kappaWords(kappa: number | null): string {
  if (kappa === null) return "not known: it needs two raters who differ in some answer";
  const words =
    kappa <= 0
      ? "none beyond chance"
      : kappa < 0.2
        ? "slight"
        : kappa < 0.4
          ? "fair"
          : kappa < 0.6
            ? "moderate"
            : kappa < 0.8
              ? "good"
              : "very good";
  return `${kappa.toFixed(2)} (${words})`;
}

/** A share with its interval, as a line from 0 to 1. */
function ShareBar({ share }: { share: NonNullable<SystemRow["share"]> }) {
  const { value, low, high } = share;
  return (
    <svg className="share-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect className="share-track" width="100" height="10" />
      <rect className="share-range" x={low * 100} width={Math.max(0.5, (high - low) * 100)} height="10" />
      <rect
        className="share-value"
        x={Math.min(98.5, Math.max(0, value * 100 - 0.75))}
        width="1.5"
        height="10"
      />
    </svg>
  );
}

/** How the systems did, how far the raters agree, and what each rater has answered. */
export function StudyTables({ study, results }: { study: Study; results: StudyResults }) {
  const hasStrength = results.systems.some((row) => row.strength !== null);
  return (
    <>
      <div className="table-scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">System</th>
              <th scope="col">{study.mode === "keep" ? "Would be kept" : "Preferred"}</th>
              <th scope="col">95 % interval</th>
              <th scope="col">Answers</th>
              {hasStrength && <th scope="col">Bradley-Terry</th>}
            </tr>
          </thead>
          <tbody>
            {results.systems.map((row) => (
              <tr key={row.system}>
                <th scope="row">{row.system}</th>
                <td>{row.share ? percent(row.share.value) : "–"}</td>
                <td>
                  {row.share && (
                    <>
                      <ShareBar share={row.share} />
                      <span className="hint">
                        {percent(row.share.low)} to {percent(row.share.high)}
                      </span>
                    </>
                  )}
                </td>
                <td>{row.answers}</td>
                {hasStrength && <td>{row.strength?.toFixed(2)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="hint">
        {study.mode === "ab" ? "A tie counts half for each. " : ""}
        {study.items.length > 1
          ? "The intervals come from a bootstrap over questions, as answers to the same question depend on each other."
          : "With a single question, the intervals (Wilson) say nothing about other images."}
      </p>
      <p>
        Agreement of the raters (Fleiss’ kappa): <strong>{kappaWords(results.kappa)}</strong>
      </p>
      {results.raters.length > 0 && (
        <div className="table-scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Rater</th>
                <th scope="col">Answers</th>
                <th scope="col">Time for each</th>
                <th scope="col">Same answer again</th>
              </tr>
            </thead>
            <tbody>
              {results.raters.map((row) => (
                <tr key={row.rater}>
                  <th scope="row">{row.rater}</th>
                  <td>{row.answers}</td>
                  <td>{row.medianSeconds.toFixed(1)} s</td>
                  <td>{row.sameAgain ? `${row.sameAgain.same} of ${row.sameAgain.of}` : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
