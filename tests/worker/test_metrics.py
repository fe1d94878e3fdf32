"""The metrics of workers and of the dispatcher count what really happened."""

from sqlalchemy import Engine

from ledger import attempts, reaper
from ledger.database import UnitOfWork, unit_of_work
from ledger.metrics import ProgramMetrics
from ledger.models import Project, Subject
from ledger.storage import Storage
from tests.support.factories import current, edit, learn
from tests.support.receiver import receiving
from tests.support.running import run_job
from tests.worker.test_deliveries import announced
from worker.context import WorkerContext
from worker.dispatcher import PeriodicTask, run_once
from worker.metrics import DispatcherMetrics, WebhookMetrics, WorkerMetrics
from worker.webhooks import deliver


def samples(metrics: ProgramMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_a_worker_counts_its_jobs(
    context: WorkerContext, begin: UnitOfWork, storage: Storage, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject, steps=1, rank=3)  # a prior that no other test has
    run_job(context, job.id)
    broken = edit(begin, storage, project, subject, job.prior_id, steps=3, no_such_parameter=1)
    run_job(context, broken.id)
    code = str(current(begin, broken).error_code)
    seen = samples(context.metrics)
    assert seen["lipe_jobs_finished_total", "prior", "succeeded", ""] == 1
    assert seen["lipe_jobs_finished_total", "edit", "failed", code] == 1
    assert seen["lipe_job_seconds_count", "prior", "succeeded"] == 1
    assert seen["lipe_job_queue_seconds_count", "prior"] == seen["lipe_job_queue_seconds_count", "edit"] == 1
    assert seen["lipe_job_stage_seconds_count", "prior", "training"] == 1
    assert 0 < seen["lipe_job_stage_seconds_sum", "prior", "training"] <= seen["lipe_gpu_seconds_total", "prior"]
    assert not [key for key in seen if key[0] == "lipe_gpu_memory_bytes"]  # it runs on the CPU


def test_renewals_priors_and_the_memory_of_a_gpu() -> None:
    metrics = WorkerMetrics()
    metrics.show_gpu(lambda: {"total": 80, "allocated": 40})
    for seconds in (0.002, None, 0.004):
        metrics.count_renewal(seconds)
    for is_hit in (True, False, True):
        metrics.count_prior(is_hit)
    seen = samples(metrics)
    assert (seen["lipe_lease_renewal_seconds_count",], seen["lipe_lease_renewals_failed_total",]) == (2, 1)
    assert (seen["lipe_prior_cache_total", "hit"], seen["lipe_prior_cache_total", "miss"]) == (2, 1)
    assert seen["lipe_gpu_memory_bytes", "allocated"] == 40


def test_a_transaction_that_is_rolled_back_counts_nothing(
    begin: UnitOfWork, engine: Engine, project: Project, subject: Subject
) -> None:
    job = learn(begin, project, subject).id
    with begin() as session:
        assert attempts.claim(session, job, "a worker that dies", lease_seconds=-1)
    metrics = DispatcherMetrics()
    observed = unit_of_work(engine, metrics.observe)
    try:
        with observed() as session:
            reaper.reap(session, max_attempts=1)
            raise LookupError
    except LookupError:
        assert ("lipe_attempts_lost_total", "prior") not in samples(metrics)
    with observed() as session:
        reaper.reap(session, max_attempts=1)
    seen = samples(metrics)
    assert seen["lipe_attempts_lost_total", "prior"] == 1
    assert seen["lipe_jobs_finished_total", "prior", "failed", "worker_lost"] == 1


def test_the_dispatcher_counts_its_tasks() -> None:
    metrics = DispatcherMetrics()
    for run in (lambda: None, lambda: 1 / 0, lambda: None):
        run_once(PeriodicTask("chore", 1.0, run), metrics)
    seen = samples(metrics)
    assert (seen["lipe_chore_seconds_count", "chore"], seen["lipe_chores_failed_total", "chore"]) == (3, 1)


def test_attempts_at_webhooks_are_counted_by_outcome(
    begin: UnitOfWork, sender_begin: UnitOfWork, project: Project, subject: Subject
) -> None:
    metrics = WebhookMetrics()
    with receiving(500, 200) as receiver:
        _, delivery = announced(begin, learn(begin, project, subject), receiver.url)
        for _ in range(2):  # the second is not due
            deliver(sender_begin, delivery.id, allow_private=True, metrics=metrics)
    seen = samples(metrics)
    assert seen["lipe_webhook_attempts_total", "retry"] == seen["lipe_webhook_attempt_seconds_count",] == 1
