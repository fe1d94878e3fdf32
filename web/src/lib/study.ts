/**
 * A blind study of results. The owner's browser keeps the study, with the system that made each result. Raters get a
 * file without the systems, and send back a file of ratings. So no rater needs a key, and the service stores nothing
 * about raters.
 */
import { randomNumbers, seedOf, shuffled } from "./random";

export type Mode = "keep" | "ab";

export interface StudyResult {
  system: string;
  edit: string;
  sha256: string;
}
/** One question: a single result to keep or not, or two results of different systems to choose from. */
export interface Item {
  id: string;
  prompt: string;
  seed: number | null;
  image: string;
  subject: string;
  results: StudyResult[];
}
export interface Study {
  id: string;
  name: string;
  mode: Mode;
  asks: string;
  createdAt: string;
  items: Item[];
}

/** `answer`: "yes" or "no"; or the SHA-256 of the better result, or "tie". `shown`: the results from left to right. */
export interface Answer {
  item: string;
  shown: string[];
  answer: string;
  milliseconds: number;
  isRepeat: boolean;
  at: string;
}
export interface Ratings {
  kind: "lipe-ratings";
  version: 1;
  study: string;
  rater: string;
  answers: Answer[];
}

export interface RaterItem {
  id: string;
  prompt: string;
  source: string;
  references: string[];
  results: { sha256: string; picture: string }[];
}
/** The file for raters. `pictures` has base64 by name; no system is named. */
export interface RaterFile {
  kind: "lipe-study";
  version: 1;
  id: string;
  name: string;
  mode: Mode;
  asks: string;
  items: RaterItem[];
  pictures: Record<string, string>;
}

export const QUESTIONS: Record<Mode, string> = {
  keep: "Would you keep this image?",
  ab: "Which of the two is better?",
};

/** A finished edit that can be part of a study. */
export interface Candidate {
  edit: string;
  system: string;
  image: string;
  subject: string;
  results: { prompt: string; seed: number | null; sha256: string }[];
}

interface Made extends StudyResult {
  prompt: string;
  seed: number | null;
  image: string;
  subject: string;
}

const single = (made: Made): Item => ({
  id: made.sha256.slice(0, 16),
  prompt: made.prompt,
  seed: made.seed,
  image: made.image,
  subject: made.subject,
  results: [{ system: made.system, edit: made.edit, sha256: made.sha256 }],
});

/** Pairs of results of different systems that had the same image, prompt and seed. */
function pairs(all: Made[]): Item[] {
  const found: Item[] = [];
  all.forEach((one, k) => {
    for (const other of all.slice(k + 1)) {
      const isSame = one.image === other.image && one.prompt === other.prompt && one.seed === other.seed;
      if (!isSame || one.system === other.system || one.sha256 === other.sha256) continue;
      const [first, second] = [single(one), single(other)];
      found.push({
        ...first,
        id: `${first.id}-${second.id}`,
        results: [...first.results, ...second.results],
      });
    }
  });
  return found;
}

export function itemsOf(candidates: Candidate[], mode: Mode): Item[] {
  const all = candidates.flatMap(({ results, ...shared }) =>
    results.map((result) => ({ ...shared, ...result })),
  );
  if (mode === "ab") return pairs(all);
  const seen = new Set<string>();
  return all.filter(({ sha256 }) => !seen.has(sha256) && seen.add(sha256)).map(single);
}

export interface Turn {
  item: RaterItem;
  /** The results from left to right. */
  shown: { sha256: string; picture: string }[];
  isRepeat: boolean;
}

const REPEATED = 10; // one question of ten comes again, with the sides exchanged
const MIN_FOR_REPEATS = 5;

/** The questions of a rater in random order with random sides; some come again at the end. */
export function turnsOf(file: Pick<RaterFile, "id" | "items">, rater: string): Turn[] {
  const random = randomNumbers(seedOf(`${file.id} ${rater.trim().toLowerCase()}`));
  const turns = shuffled(file.items, random).map((item) => ({
    item,
    shown: random() < 0.5 ? item.results : item.results.toReversed(),
    isRepeat: false,
  }));
  const count = turns.length < MIN_FOR_REPEATS ? 0 : Math.max(1, Math.round(turns.length / REPEATED));
  const repeats = shuffled(turns.slice(0, Math.ceil(turns.length / 2)), random).slice(0, count);
  return [
    ...turns,
    ...repeats.map(({ item, shown }) => ({ item, shown: shown.toReversed(), isRepeat: true })),
  ];
}

/** The ratings in a file. Throws an Error that says what is wrong with it. */
export function parseRatings(text: string, study: Study): Ratings {
  const found = parseFile(text) as Partial<Ratings>;
  if (found.kind !== "lipe-ratings")
    throw new Error("This is no file of ratings: a rater downloads it at the end.");
  if (found.study !== study.id) throw new Error("These ratings belong to another study.");
  if (typeof found.rater !== "string" || !found.rater.trim() || !Array.isArray(found.answers))
    throw new Error("The file is incomplete: ask the rater to download it again.");
  const known = new Map(study.items.map((item) => [item.id, item]));
  for (const one of found.answers) {
    const item = known.get(one?.item);
    const allowed =
      study.mode === "keep" ? ["yes", "no"] : [...(item?.results ?? []).map((r) => r.sha256), "tie"];
    if (
      !item ||
      !allowed.includes(one.answer) ||
      typeof one.milliseconds !== "number" ||
      !Array.isArray(one.shown)
    )
      throw new Error("The file has answers to questions that the study does not have.");
  }
  return found as Ratings;
}

/** The study in a file for raters. Throws an Error that says what is wrong with it. */
export function parseRaterFile(text: string): RaterFile {
  const found = parseFile(text) as Partial<RaterFile>;
  const isWhole =
    Array.isArray(found.items) && found.items.length > 0 && found.pictures && found.id && found.asks;
  if (found.kind !== "lipe-study" || !isWhole)
    throw new Error("This is no study: the person who asked you has its file.");
  return found as RaterFile;
}

function parseFile(text: string): object {
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === "object" && found !== null) return found;
  } catch {
    // What follows says it.
  }
  throw new Error("The file is broken: it is not JSON.");
}
