import { useQueries } from "@tanstack/react-query";
import { memo, useState } from "react";
import { ask, client, type Job, type Schemas } from "../api/client";
import { type JobFilter, useEdit, useJobs, useSubject } from "../api/queries";
import { Empty } from "../components/empty";
import { SelectField, TextField } from "../components/fields";
import { JobActions } from "../components/job-actions";
import { Refusal } from "../components/notice";
import { StatusBadge } from "../components/status";
import { ago, duration, statusWord, waitingWords, workSeconds } from "../lib/words";

const STATES: Job["status"][] = ["queued", "running", "succeeded", "failed", "canceled", "expired"];

const promptsOf = (edits: Schemas["EditBody"][]): [string, string][] =>
  edits.map((edit) => [edit.id, edit.target_prompts.join(" · ")]);

/** The prompts of the edits around each page of jobs, by id: one request for each page. `isWhole`: all are here. */
function usePrompts(pages: { data: Job[] }[]): { prompts: Map<string, string>; isWhole: boolean } {
  const starts = pages.flatMap(({ data }) => (data[0] ? [Date.parse(data[0].created_at)] : []));
  return useQueries({
    queries: starts.map((start) => ({
      queryKey: ["prompts", start],
      queryFn: () => {
        const query = { limit: 100, created_before: new Date(start + 1000).toISOString() };
        return ask(client.GET("/v1/edits", { params: { query } }));
      },
      staleTime: 60_000,
    })),
    combine: (found) => ({
      prompts: new Map(found.flatMap((one) => promptsOf(one.data?.data ?? []))),
      isWhole: found.every((one) => one.isSuccess),
    }),
  });
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
          {job.kind === "edit"
            ? (prompt ?? "Edit")
            : `${job.kind === "prior" ? "Training" : "Captions"} of ${subject?.name ?? "a subject"}`}
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

export default function History() {
  const [filter, setFilter] = useState<JobFilter>({});
  const [search, setSearch] = useState("");
  const jobs = useJobs(filter);
  const { prompts, isWhole } = usePrompts(jobs.data?.pages ?? []);
  const all = jobs.data?.pages.flatMap((page) => page.data) ?? [];
  const words = search.trim().toLowerCase();
  const shown = words
    ? all.filter((job) =>
        prompts
          .get(job.edit_id ?? "")
          ?.toLowerCase()
          .includes(words),
      )
    : all;
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
      {jobs.isSuccess && shown.length === 0 && (
        <Empty title={isFiltered || words ? "Nothing fits these filters" : "Nothing has run yet"}>
          <p>
            {isFiltered || words
              ? "Choose other filters, or show more of the list."
              : "Every training and every edit appears here, with its result or with what went wrong."}
          </p>
        </Empty>
      )}
      <ul className="rows card">
        {shown.map((job) => (
          <JobRow
            key={job.id}
            job={job}
            known={prompts.get(job.edit_id ?? "") ?? (isWhole ? null : undefined)}
          />
        ))}
      </ul>
      {jobs.hasNextPage && (
        <button type="button" disabled={jobs.isFetchingNextPage} onClick={() => void jobs.fetchNextPage()}>
          Show more
        </button>
      )}
    </>
  );
}
