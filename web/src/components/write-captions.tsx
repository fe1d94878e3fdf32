import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ask, client, type Schemas, type Subject } from "../api/client";
import { isActive, useJob } from "../api/queries";
import { Refusal } from "./notice";
import { JobProgress } from "./status";

export type ImageCaption = Schemas["ImageCaption"];

/** The captions that a job has written, once it is ready. */
export const useCaptions = (jobId: string | null, isReady: boolean) =>
  useQuery({
    queryKey: ["captions", jobId],
    queryFn: () =>
      ask(client.GET("/v1/captions/{job_id}", { params: { path: { job_id: jobId as string } } })),
    enabled: jobId !== null && isReady,
    select: ({ captions }) => captions,
  });

const saved = (subject: Subject, captions: ImageCaption[]) =>
  ask(
    client.PATCH("/v1/subjects/{subject_id}", {
      params: { path: { subject_id: subject.id } },
      body: { captions: Object.fromEntries(captions.map((one) => [one.image_id, one.caption])) },
    }),
  );

/** A button that has the service describe the references without a caption, and what it wrote, by image id. */
export function useWrittenCaptions(subject: Subject) {
  const queries = useQueryClient();
  const [jobId, setJobId] = useState<string | null>(null);
  const job = useJob(jobId, false).data;
  const missing = subject.references.filter((reference) => !reference.caption).map((one) => one.image_id);
  const request = useMutation({
    mutationFn: () =>
      ask(client.POST("/v1/captions", { body: { subject_id: subject.id, image_ids: missing } })),
    onSuccess: (created) => setJobId(created.id),
  });
  const { mutate: keep, ...keeping } = useMutation({
    mutationFn: (captions: ImageCaption[]) => saved(subject, captions),
    onSuccess: (changed) => queries.setQueryData(["subject", subject.id], changed),
  });
  const captions = useCaptions(jobId, job?.status === "succeeded").data;
  useEffect(() => {
    if (captions) keep(captions);
  }, [captions, keep]);
  const controls = (
    <>
      {(missing.length > 0 || isActive(job)) && (
        <div className="actions">
          <button
            type="button"
            disabled={request.isPending || isActive(job)}
            onClick={() => request.mutate()}
          >
            Write the missing captions
          </button>
        </div>
      )}
      {job && isActive(job) && <JobProgress job={job} live={null} />}
      {job?.error && <p className="field-error">{job.error.detail}</p>}
      <Refusal error={request.error ?? keeping.error} />
    </>
  );
  return { written: new Map(captions?.map((one) => [one.image_id, one])), controls };
}
