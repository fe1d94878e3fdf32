import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { memo, useState } from "react";
import { ask, client, type Job, type Schemas } from "../api/client";
import { type JobFilter, useEdit, useJobs, useSubject } from "../api/queries";
import { Empty } from "../components/empty";
import { SelectField, TextField } from "../components/fields";
import { JobActions } from "../components/job-actions";
import { Refusal } from "../components/notice";
import { RowsPart } from "../components/rows-part";
import { StatusBadge } from "../components/status";
import { ago, duration, statusWord, waitingWords, workSeconds } from "../lib/words";

const STATES: Job["status"][] = ["queued", "running", "succeeded", "failed", "canceled", "expired"];

const KINDS = { prior: "Training", edit: "Edit", captions: "Captions", mask: "Mask" } as const;

const promptsOf = (edits: Schemas["EditBody"][]): [string, string][] =>
  edits.map((edit) => [edit.id, edit.target_prompts.join(" · ")]);

/** The edits around a page of jobs, in one request. */
const promptsQuery = (page: { data: Job[] }) => {
  const start = page.data[0] ? Date.parse(page.data[0].created_at) : 0;
  return {
    queryKey: ["prompts", start],
    queryFn: () => {
      const query = { limit: 100, created_before: new Date(start + 1000).toISOString() };
      return ask(client.GET("/v1/edits", { params: { query } }));
    },
    enabled: start > 0,
    placeholderData: keepPreviousData, // a new job moves the start of every page
    staleTime: 60_000,
    gcTime: Number.POSITIVE_INFINITY, // a search reads those of all pages
  };
};

/** The ids of the edits of these pages whose prompts have the words; null without words. */
function useMatches(pages: { data: Job[] }[], words: string): Set<string> | null {
  const found = useQueries({ queries: words ? pages.map(promptsQuery) : [] });
  if (!words) return null;
  const edits = found.flatMap((one) => promptsOf(one.data?.data ?? []));
  return new Set(edits.filter(([, prompt]) => prompt.toLowerCase().includes(words)).map(([id]) => id));
}

/** A row is drawn again only if its job has changed: the list may be long. */
const JobRow = memo(function JobRow({ job, known }: { job: Job; known: string | null | undefined }) {
  // The edit of a job that was tried again may be much older than the job.
  const older = useEdit(known === null ? job.edit_id : null, true).data;
  const prompt = known ?? older?.target_prompts.join(" · ");
  const subject = useSubject(job.subject_id).data;
  const work = workSeconds(job.metrics);
  return (
    <li className="row">
      <StatusBadge status={job.status} />
      <div className="row-main">
        <a href={`#/jobs/${job.id}`}>
          {job.kind === "edit" ? (prompt ?? "Edit") : `${KINDS[job.kind]} of ${subject?.name ?? "a subject"}`}
        </a>
        <p className="hint">
          {job.kind === "edit" && subject ? `${subject.name} · ` : ""}
          {ago(job.created_at)}
          {work > 0 ? ` · ${duration(work)}` : ""}
        </p>
        {job.error && <p className="field-error">{job.error.detail}</p>}
        {job.status === "queued" && job.waiting && <p className="hint">{waitingWords(job.waiting.reason)}</p>}
      </div>
      <JobActions job={job} />
    </li>
  );
});

/** The rows of one page, those that fit a search. */
function JobRows({ page, matches }: { page: { data: Job[] }; matches: Set<string> | null }) {
  const edits = useQuery(promptsQuery(page));
  const prompts = new Map(promptsOf(edits.data?.data ?? []));
  return page.data
    .filter((job) => !matches || matches.has(job.edit_id ?? ""))
    .map((job) => (
      <JobRow
        key={job.id}
        job={job}
        known={
          prompts.get(job.edit_id ?? "") ?? (edits.isSuccess && !edits.isPlaceholderData ? null : undefined)
        }
      />
    ));
}

export default function History() {
  const [filter, setFilter] = useState<JobFilter>({});
  const [search, setSearch] = useState("");
  const jobs = useJobs(filter);
  const words = search.trim().toLowerCase();
  const pages = jobs.data?.pages ?? [];
  const matches = useMatches(pages, words);
  const counts = pages.map(
    ({ data }) => data.filter((job) => !matches || matches.has(job.edit_id ?? "")).length,
  );
  const isEmpty = counts.every((count) => count === 0);
  const isFiltered = Boolean(filter.kind || filter.status);
  return (
    <>
      <h1>History</h1>
      <div className="filters">
        <SelectField
          label="Kind"
          value={filter.kind ?? ""}
          onChange={(event) =>
            setFilter({ ...filter, kind: (event.target.value || undefined) as JobFilter["kind"] })
          }
        >
          <option value="">All</option>
          <option value="prior">Trainings</option>
          <option value="edit">Edits</option>
          <option value="captions">Captions</option>
          <option value="mask">Masks</option>
        </SelectField>
        <SelectField
          label="State"
          value={filter.status ?? ""}
          onChange={(event) =>
            setFilter({ ...filter, status: (event.target.value || undefined) as JobFilter["status"] })
          }
        >
          <option value="">All</option>
          {STATES.map((state) => (
            <option key={state} value={state}>
              {statusWord(state)}
            </option>
          ))}
        </SelectField>
        <TextField
          label="Prompt"
          type="search"
          placeholder="jumping"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      <Refusal error={jobs.error} />
      {jobs.isSuccess && isEmpty && (
        <Empty title={isFiltered || words ? "Nothing fits these filters" : "Nothing has run yet"}>
          <p>
            {isFiltered || words
              ? "Choose other filters, or show more of the list."
              : "Every training and every edit appears here, with its result or with what went wrong."}
          </p>
        </Empty>
      )}
      {!isEmpty && (
        <div className="rows card">
          {pages.map((page, number) => (
            <RowsPart
              // biome-ignore lint/suspicious/noArrayIndexKey: new jobs move the rows from page to page.
              key={`${number} ${words}`}
              label={`Jobs, part ${number + 1}`}
              count={counts[number] ?? 0}
            >
              {() => <JobRows page={page} matches={matches} />}
            </RowsPart>
          ))}
        </div>
      )}
      {jobs.hasNextPage && (
        <button type="button" disabled={jobs.isFetchingNextPage} onClick={() => void jobs.fetchNextPage()}>
          Show more
        </button>
      )}
    </>
  );
}
