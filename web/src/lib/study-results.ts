/** What the ratings of a study say: one row for each system, agreement, raters, and a table for other programs. */
import { bradleyTerry, clusteredMean, fleissKappa, type Interval, wilson } from "./statistics";
import type { Answer, Item, Ratings, Study } from "./study";

export interface SystemRow {
  system: string;
  answers: number;
  /** The share of "yes"; or of comparisons won, where a tie counts half: from 0 to 1. */
  share: Interval | null;
  /** Strength of the Bradley-Terry model; only for comparisons of three or more systems. */
  strength: number | null;
}
export interface RaterRow {
  rater: string;
  answers: number;
  medianSeconds: number;
  /** How many of the repeated questions got the same answer; null if none was repeated. */
  sameAgain: { same: number; of: number } | null;
}
export interface StudyResults {
  systems: SystemRow[];
  kappa: number | null;
  raters: RaterRow[];
  answers: number;
}

/** The score of an answer for a result: 1, 0, or 0.5 for a tie. */
const scoreOf = (answer: string, sha256: string): number => {
  if (answer === "yes" || answer === sha256) return 1;
  return answer === "tie" ? 0.5 : 0;
};

const firstOnly = (answers: Answer[]): Answer[] => answers.filter((one) => !one.isRepeat);

function rowOf(system: string, items: Item[], byItem: Map<string, Answer[]>): SystemRow {
  const clusters = items.flatMap((item) => {
    const mine = item.results.filter((result) => result.system === system);
    const answers = byItem.get(item.id) ?? [];
    return mine.map((result) => answers.map((one) => scoreOf(one.answer, result.sha256)));
  });
  const scores = clusters.flat();
  const yes = scores.reduce((sum, score) => sum + score, 0);
  const share = clusteredMean(clusters) ?? wilson(yes, scores.length);
  return { system, answers: scores.length, share, strength: null };
}

function raterRow({ rater, answers }: Ratings): RaterRow {
  const seconds = answers.map((one) => one.milliseconds / 1000).sort((one, other) => one - other);
  const first = new Map(firstOnly(answers).map((one) => [one.item, one.answer]));
  const repeats = answers.filter((one) => one.isRepeat);
  const same = repeats.filter((one) => first.get(one.item) === one.answer).length;
  return {
    rater,
    answers: first.size,
    medianSeconds: seconds[Math.floor(seconds.length / 2)] ?? 0,
    sameAgain: repeats.length > 0 ? { same, of: repeats.length } : null,
  };
}

export function resultsOf(study: Study, ratings: Ratings[]): StudyResults {
  const byItem = new Map<string, Answer[]>();
  for (const one of ratings.flatMap((rater) => firstOnly(rater.answers)))
    byItem.set(one.item, [...(byItem.get(one.item) ?? []), one]);
  const names = [...new Set(study.items.flatMap((item) => item.results.map((result) => result.system)))];
  const comparisons = study.items.flatMap(({ id, results: [left, right] }) =>
    left && right
      ? (byItem.get(id) ?? []).map((one) => ({
          left: left.system,
          right: right.system,
          score: scoreOf(one.answer, left.sha256),
        }))
      : [],
  );
  const strengths = names.length > 2 && comparisons.length > 0 ? bradleyTerry(comparisons) : null;
  const systems = names
    .map((name) => ({ ...rowOf(name, study.items, byItem), strength: strengths?.get(name) ?? null }))
    .sort((one, other) => (other.share?.value ?? 0) - (one.share?.value ?? 0));
  return {
    systems,
    kappa: fleissKappa([...byItem.values()].map((answers) => answers.map((one) => one.answer))),
    raters: ratings.map(raterRow),
    answers: [...byItem.values()].flat().length,
  };
}

/** A field of a CSV file (RFC 4180). A leading sign that a spreadsheet would run as a formula gets an apostrophe. */
function field(value: string | number | null): string {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const COLUMNS = [
  "study", "rater", "item", "prompt", "seed", "left_system", "right_system", "answer", "preferred_system",
  "is_repeat", "seconds", "answered_at",
] as const; // biome-ignore format: one line is easier to read

/** All answers, one on each line. */
export function csvOf(study: Study, ratings: Ratings[]): string {
  const items = new Map(study.items.map((item) => [item.id, item]));
  const lines = ratings.flatMap(({ rater, answers }) =>
    answers.map((one) => {
      const item = items.get(one.item);
      const system = (sha256?: string) =>
        item?.results.find((result) => result.sha256 === sha256)?.system ?? "";
      const preferred = system(one.answer);
      return [
        study.name,
        rater,
        one.item,
        item?.prompt ?? "",
        item?.seed ?? null,
        system(one.shown[0]),
        system(one.shown[1]),
        preferred ? "preferred" : one.answer,
        preferred,
        one.isRepeat ? 1 : 0,
        one.milliseconds / 1000,
        one.at,
      ];
    }),
  );
  return [[...COLUMNS], ...lines].map((line) => `${line.map(field).join(",")}\r\n`).join("");
}
