"""A prior job with an import: a LoRA file of another program in, the same adapter with its manifest out."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger import jobs, priors, subjects
from lipe_core.adapters.foreign_lora import import_lora
from lipe_core.subject import Subject
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext
from worker.job_result import JobResult
from worker.train import prior_result


def import_prior(context: WorkerContext, attempt: Attempt) -> JobResult:
    """Convert the job's file for the base model. Raises ClaimLost, InvalidPrior, NoSuchObject, StorageError."""
    model = context.gpu.base_model()
    with context.begin() as session:
        job = jobs.get(session, attempt.claim.project_id, attempt.claim.job_id)
        row = subjects.get(session, job.project_id, job.subject_id) if job is not None else None
    if job is None or job.prior_id is None or row is None:
        raise ClaimLost
    key, subject = priors.import_key(job.project_id, job.prior_id), Subject(row.token, row.class_noun)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "lora.safetensors"
        with attempt.stage("loading"):
            attempt.retry_storage(partial(context.storage.download, key, job.parameters["import"]["sha256"], file))
        with attempt.stage("importing"):
            prior = attempt.run_in_thread(partial(import_lora, model, subject, file))
    return prior_result(prior, {"references": []}, [])
