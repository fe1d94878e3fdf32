/** The service as a rater sees it: by the token of a link, without an API key. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import {
  type Answer,
  keepState,
  newSession,
  type RaterState,
  readState,
  stillOpen,
  withAnswer,
  withoutAnswer,
} from "../lib/rating-queue";
import { ApiProblem, BASE, ConnectionLost, isTemporary, problemOf, type Schemas } from "./client";

export type RatingQuestion = Schemas["RatingQuestion"];
type NextRatings = Schemas["NextRatings"];

const RETRY_MS = 3000;
const URL_LIFE_MS = 8 * 60_000;
/** The study takes no answer of this rater any more, whatever is sent. */
const FINAL_CODES = new Set(["study_closed", "study_erased", "study_full", "study_link_invalid"]);
export const isFinal = (error: unknown): boolean =>
  error instanceof ApiProblem && FINAL_CODES.has(error.document.code);

export const pictureUrl = (path: string): string => `${BASE}/v1/${path}`;

async function call<T>(token: string, session: string, path: string, answer?: Answer): Promise<T> {
  const headers: Record<string, string> = { "X-Study-Token": token, "X-Rater-Session": session };
  if (answer) headers["Content-Type"] = "application/json";
  const options = answer ? { method: "POST", headers, body: JSON.stringify(answer) } : { headers };
  const response = await fetch(`${BASE}/v1/${path}`, options).catch(() => {
    throw new ConnectionLost();
  });
  if (!response.ok) throw await problemOf(response, { endsSession: false });
  return response.json();
}

/** Load the pictures of questions, so that they are there when their turn comes. */
function usePreloaded(questions: RatingQuestion[]): void {
  const kept = useRef(new Map<string, HTMLImageElement>());
  useEffect(() => {
    for (const { left, right, source, references } of questions)
      for (const path of [left, right, ...(source ? [source] : []), ...references]) {
        if (kept.current.has(path)) continue;
        const image = new Image();
        image.src = pictureUrl(path);
        kept.current.set(path, image);
      }
  }, [questions]);
}

/** The questions of a rater. An answer shows the next question at once, and is sent until the service has it. */
export function useRating(token: string) {
  const [state, setState] = useState<RaterState>(() => readState(localStorage, token));
  const [sent, setSent] = useState<ReadonlySet<number>>(new Set());
  const [isOffline, setOffline] = useState(false);
  const [refusal, setRefusal] = useState<Error | null>(null);
  useEffect(() => keepState(localStorage, token, state), [token, state]);
  const next = useQuery({
    queryKey: ["ratings", token, state.session],
    queryFn: () => call<NextRatings>(token, state.session, "ratings/next"),
    staleTime: URL_LIFE_MS,
    refetchInterval: URL_LIFE_MS,
    retry: (failures, error) => !(error instanceof ApiProblem) && failures < 6,
  });
  const { refetch } = next;
  const first = state.waiting[0];
  const { session } = state;
  const send = useCallback(
    async (answer: Answer) => {
      try {
        await call(token, session, "ratings", answer);
        setSent((now) => new Set([...now, answer.number]));
      } catch (error) {
        const isKept = isTemporary(error);
        setOffline(isKept);
        if (isKept) return false;
        if (isFinal(error)) setRefusal(error as Error);
        // The service does not have this question: what it asks now is read again.
      }
      setOffline(false);
      setState((now) => withoutAnswer(now, answer.number));
      return true;
    },
    [token, session],
  );
  useEffect(() => {
    if (!first) return;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const attempt = async () => {
      if (!(await send(first)) && !isOver) timer = setTimeout(attempt, RETRY_MS);
    };
    void attempt();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [first, send]);

  const questions = next.data?.questions;
  const open = useMemo(
    () => stillOpen(questions ?? [], [...sent, ...state.waiting.map(({ number }) => number)]),
    [questions, sent, state.waiting],
  );
  usePreloaded(questions ?? []);
  // Fetched before the last one is answered, so that nobody waits.
  const isShort = questions !== undefined && open.length < 2 && open.length < questions.length;
  const isIdle = state.waiting.length === 0;
  useEffect(() => {
    if (isShort && isIdle) void refetch();
  }, [isShort, isIdle, refetch]);
  return {
    study: next.data?.study ?? "",
    total: next.data?.total ?? 0,
    answered: (next.data?.answered ?? 0) + (questions?.length ?? 0) - open.length,
    question: open[0],
    waiting: state.waiting.length,
    isLoading: next.isPending,
    isOffline,
    error: refusal ?? next.error,
    answer: (answer: Answer) => setState((now) => withAnswer(now, answer)),
    reload: () => void refetch(),
    /** Another person at the same browser. */
    startAnew: () => {
      setSent(new Set());
      setState({ session: newSession(), waiting: [] });
    },
  };
}
