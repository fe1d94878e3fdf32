"""One job on a worker, without its loop: claim this very job, and run it."""

from ledger import attempts
from worker import run_job as worker_jobs
from worker.context import WorkerContext


def run_job(context: WorkerContext, job_id: str) -> None:
    """Claim the job and run it to its end. Does nothing if it is not queued, as for a second message about it."""
    if context.draining():
        return
    with context.begin() as session:
        claim = attempts.claim(session, job_id, context.name, lease_seconds=context.settings.lease_seconds)
    if claim is not None:
        worker_jobs.run_job(context, claim)
