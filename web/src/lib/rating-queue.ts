/**
 * The answers of a rater that the service does not have yet. They are kept in the browser, so that a lost connection or a
 * closed page loses none, and are sent in order.
 */
import type { Schemas } from "../api/client";

export type Answer = Schemas["NewRating"];

export interface RaterState {
  /** The random text that tells this rater from others. */
  session: string;
  waiting: Answer[];
}

interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const keyOf = (token: string): string => `lipe-rater-${token.split("_").slice(0, 2).join("_")}`;

export function newSession(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isAnswer = (one: Answer): boolean =>
  typeof one?.number === "number" && typeof one.seconds === "number" && typeof one.answer === "string";

/** The state of the rater in this browser; a new one if there is none that can be read. */
export function readState(store: Store, token: string): RaterState {
  try {
    const found = JSON.parse(store.getItem(keyOf(token)) ?? "");
    if (/^[\w-]{20,64}$/.test(found.session) && Array.isArray(found.waiting))
      return { session: found.session, waiting: found.waiting.filter(isAnswer) };
  } catch {
    // What follows begins anew.
  }
  return { session: newSession(), waiting: [] };
}

/** Without room in the browser's storage the answers stay in the page alone. */
export function keepState(store: Store, token: string, state: RaterState): void {
  try {
    store.setItem(keyOf(token), JSON.stringify(state));
  } catch {
    // They are sent as long as the page is open.
  }
}

/** Add an answer, unless the question has one. */
export const withAnswer = (state: RaterState, answer: Answer): RaterState =>
  state.waiting.some(({ number }) => number === answer.number)
    ? state
    : { ...state, waiting: [...state.waiting, answer] };

export const withoutAnswer = (state: RaterState, number: number): RaterState => ({
  ...state,
  waiting: state.waiting.filter((one) => one.number !== number),
});

/** The questions that are still to be answered: those that the service gave, without the answers on their way. */
export const stillOpen = <T extends { number: number }>(questions: T[], done: Iterable<number>): T[] => {
  const answered = new Set(done);
  return questions.filter(({ number }) => !answered.has(number));
};
