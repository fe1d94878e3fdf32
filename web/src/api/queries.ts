/** The reads of the page. Signed URLs live for minutes, so what has them is read again before they expire. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { ask, client, type Job, type Schemas } from "./client";

const URL_LIFE_MS = 8 * 60_000;
const POLL_MS = 2000;
const SLOW_POLL_MS = 15_000;
const MAX_POLLED_PAGES = 4;
export const FINAL = new Set<Job["status"]>(["succeeded", "failed", "canceled", "expired"]);
export const isActive = (job?: Job): boolean => job !== undefined && !FINAL.has(job.status);

export const useModels = () =>
  useQuery({
    queryKey: ["models"],
    queryFn: () => ask(client.GET("/v1/models")),
    // A worker that has just started reports its model some seconds later.
    refetchInterval: ({ state }) => (state.data?.data.length ? SLOW_POLL_MS : POLL_MS),
    select: (answer) => answer.data,
  });

export const useSubjects = () =>
  useInfiniteQuery({
    queryKey: ["subjects"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      ask(client.GET("/v1/subjects", { params: { query: { limit: 24, cursor: pageParam } } })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const useSubject = (id: string) =>
  useQuery({
    queryKey: ["subject", id],
    queryFn: () => ask(client.GET("/v1/subjects/{subject_id}", { params: { path: { subject_id: id } } })),
    enabled: id !== "",
  });

export const usePriors = (subjectId: string) =>
  useQuery({
    queryKey: ["priors", subjectId],
    queryFn: () =>
      ask(
        client.GET("/v1/subjects/{subject_id}/priors", {
          params: { path: { subject_id: subjectId }, query: { limit: 50 } },
        }),
      ),
    enabled: subjectId !== "",
    select: (answer) => answer.data,
  });

export const usePrior = (id: string | null | undefined) =>
  useQuery({
    queryKey: ["prior", id],
    queryFn: () => ask(client.GET("/v1/priors/{prior_id}", { params: { path: { prior_id: id as string } } })),
    enabled: Boolean(id),
    staleTime: URL_LIFE_MS,
    refetchInterval: URL_LIFE_MS,
  });

export const useImage = (id: string | null) =>
  useQuery({
    queryKey: ["image", id],
    queryFn: () => ask(client.GET("/v1/images/{image_id}", { params: { path: { image_id: id as string } } })),
    enabled: id !== null,
    staleTime: URL_LIFE_MS,
    refetchInterval: URL_LIFE_MS,
  });

export const useImages = () =>
  useInfiniteQuery({
    queryKey: ["images"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      ask(client.GET("/v1/images", { params: { query: { limit: 18, cursor: pageParam } } })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

/** A job. Without its event stream it is polled. */
export const useJob = (id: string | null, connected: boolean) =>
  useQuery({
    queryKey: ["job", id],
    queryFn: () => ask(client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: id as string } } })),
    enabled: id !== null,
    refetchInterval: ({ state }) => (isActive(state.data) ? (connected ? SLOW_POLL_MS : POLL_MS) : false),
  });

export const useEdit = (id: string | null | undefined, isReady: boolean) =>
  useQuery({
    queryKey: ["edit", id, isReady],
    queryFn: () => ask(client.GET("/v1/edits/{edit_id}", { params: { path: { edit_id: id as string } } })),
    enabled: Boolean(id),
    staleTime: URL_LIFE_MS,
    refetchInterval: URL_LIFE_MS,
    placeholderData: keepPreviousData,
  });

/** The newest edits, in one request. */
export const useNewestEdits = <T>(select: (edits: Schemas["EditBody"][]) => T) =>
  useQuery({
    queryKey: ["newest-edits"],
    queryFn: () => ask(client.GET("/v1/edits", { params: { query: { limit: 100 } } })),
    select: ({ data }) => select(data),
  });

export interface JobFilter {
  kind?: Job["kind"];
  status?: Job["status"];
}

export const useJobs = (filter: JobFilter) =>
  useInfiniteQuery({
    queryKey: ["jobs", filter],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      ask(client.GET("/v1/jobs", { params: { query: { ...filter, limit: 25, cursor: pageParam } } })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    // All pages are read again: of a list that a person has made long, not by itself.
    refetchInterval: ({ state: { data } }) => {
      if ((data?.pages.length ?? 0) > MAX_POLLED_PAGES) return false;
      return data?.pages.some((page) => page.data.some(isActive)) ? POLL_MS : SLOW_POLL_MS;
    },
  });
