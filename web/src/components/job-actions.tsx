import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Job } from "../api/client";
import { isActive } from "../api/queries";
import { go } from "../lib/router";
import { Confirm } from "./dialog";
import { Refusal } from "./notice";
import { ForWriters } from "./rights";

const RETRYABLE = new Set<Job["status"]>(["failed", "canceled", "expired"]);

function erase(job: Job): Promise<unknown> {
  if (job.kind === "edit")
    return ask(client.DELETE("/v1/edits/{edit_id}", { params: { path: { edit_id: job.edit_id ?? "" } } }));
  return ask(client.DELETE("/v1/priors/{prior_id}", { params: { path: { prior_id: job.prior_id ?? "" } } }));
}

/** Cancel an active job; retry one that ended without a result; erase what an ended one made. */
export function JobActions({ job }: { job: Job }) {
  return (
    <ForWriters>
      <Actions job={job} />
    </ForWriters>
  );
}

function Actions({ job }: { job: Job }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const fresh = () => void queries.invalidateQueries();
  const path = { job_id: job.id };
  const cancel = useMutation({
    mutationFn: () => ask(client.POST("/v1/jobs/{job_id}/cancel", { params: { path } })),
    onSettled: fresh,
  });
  const retry = useMutation({
    mutationFn: () => ask(client.POST("/v1/jobs/{job_id}/retry", { params: { path } })),
    onSuccess: (again) => go(`jobs/${again.id}`),
    onSettled: fresh,
  });
  const remove = useMutation({
    mutationFn: () => erase(job),
    onSuccess: () => {
      if (location.hash.endsWith(job.id)) go("history");
    },
    onSettled: fresh,
  });
  const canErase = !isActive(job) && (job.kind === "edit" ? job.edit_id : job.prior_id);
  return (
    <>
      <div className="actions">
        {isActive(job) && (
          <button
            type="button"
            disabled={cancel.isPending || job.cancel_requested_at !== null}
            onClick={() => cancel.mutate()}
          >
            Cancel
          </button>
        )}
        {RETRYABLE.has(job.status) && (
          <button type="button" disabled={retry.isPending} onClick={() => retry.mutate()}>
            Retry
          </button>
        )}
        {canErase && (
          <button type="button" className="quiet danger-text" onClick={() => setAsking(true)}>
            Erase
          </button>
        )}
      </div>
      <Refusal error={cancel.error ?? retry.error ?? remove.error} />
      {isAsking && (
        <Confirm
          title={job.kind === "edit" ? "Erase this edit?" : "Erase this training?"}
          action="Erase"
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>
            {job.kind === "edit"
              ? "Its results are deleted."
              : "Its prior is deleted, and no new edit can use it."}{" "}
            This cannot be undone.
          </p>
        </Confirm>
      )}
    </>
  );
}
