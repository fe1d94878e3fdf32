/** The studies and ratings that this browser keeps. */
import type { RaterFile, Ratings, Study } from "./study";

const STUDIES = "lipe-studies";
const ratingsKey = (study: string) => `lipe-ratings-${study}`;

function read<T>(key: string): T[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    throw new Error("This browser has no room for it: delete a study that you have exported.");
  }
}

export const storedStudies = (): Study[] => read<Study>(STUDIES);

export const storeStudy = (study: Study): void =>
  write(STUDIES, [study, ...storedStudies().filter((other) => other.id !== study.id)]);

export function deleteStudy(id: string): void {
  write(
    STUDIES,
    storedStudies().filter((study) => study.id !== id),
  );
  localStorage.removeItem(ratingsKey(id));
}

export const storedRatings = (study: string): Ratings[] => read<Ratings>(ratingsKey(study));

/** Keep the ratings of one rater, in place of earlier ones of the same name. */
export function storeRatings(ratings: Ratings): void {
  const isSame = (other: Ratings) => other.rater.toLowerCase() === ratings.rater.toLowerCase();
  write(ratingsKey(ratings.study), [
    ...storedRatings(ratings.study).filter((other) => !isSame(other)),
    ratings,
  ]);
}

let prepared: RaterFile | null = null;

/** Hand a study over to the page of the rater in this tab. */
export function prepare(file: RaterFile): void {
  prepared = file;
}

export const takePrepared = (): RaterFile | null => prepared;
