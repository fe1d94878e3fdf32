"""The Celery application: three queues of doorbells.

A message carries nothing but an id. The database row is the job, so a message that is lost, doubled or late
costs only time: the claim refuses what is not there to be claimed, and the dispatcher rings again. Hence
the settings: no result backend; messages are acknowledged early (a late acknowledgement of a training that
outlives the broker's visibility timeout is delivered again, over and over); nothing is prefetched, so that
no message waits behind a training while another worker is idle; no ETA tasks, which a worker would hold in
its memory.
"""

import gc
import os
import socket
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from multiprocessing.sharedctypes import RawValue
from typing import TYPE_CHECKING

from celery import Celery
from celery.signals import worker_process_init, worker_shutting_down
from sqlalchemy import Engine

from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.notify import QUEUES
from ledger.settings import Settings
from worker.heartbeat import beating
from worker.receiver_limiter import ReceiverLimiter
from worker.webhooks import deliver, receiver

if TYPE_CHECKING:
    from worker.context import WorkerContext

WEBHOOKS_AT_ONCE = 128
WEBHOOKS_AT_ONE_RECEIVER = 4  # or one that hangs would keep all others waiting


def make_app(settings: Settings, draining: Callable[[], bool] = lambda: False, *, sends: bool = False) -> Celery:
    """The application with its three tasks. Torch is imported by the child, never by the parent.

    A worker that only `sends` webhooks has no model to load.
    """
    app = Celery("lipe", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_routes={name: {"queue": queue} for name, queue in QUEUES.items()},
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=600.0,  # a child is up when the base model is loaded
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": 3600, "socket_keepalive": True, "socket_timeout": 30},
    )

    loaded = RawValue("b", sends)  # shared with the child
    app.steps["consumer"].add(beating(settings, lambda: bool(loaded.value)))

    @cache
    def engine() -> Engine:
        return make_engine(settings.database_url)

    @cache
    def begin() -> UnitOfWork:
        return unit_of_work(engine())

    @cache
    def process() -> "WorkerContext":
        from worker.context import make_context

        return make_context(settings, engine(), draining)

    @worker_process_init.connect(weak=False)
    def load(**signal: object) -> None:
        import_module("worker.run_job")
        process().gpu.base_model()  # so that the first job does not wait for it
        process().storage.open()
        # Half a million objects of the libraries stay for ever: a collection after each job that looks at all of them
        # takes a third of a second.
        gc.collect()
        gc.freeze()
        loaded.value = 1

    def run_job(job_id: str) -> None:
        from worker.run_job import run_job

        run_job(process(), job_id)

    @app.task(name="lipe.prior")
    def prior(job_id: str) -> None:
        run_job(job_id)

    @app.task(name="lipe.edit")
    def edit(job_id: str) -> None:
        run_job(job_id)

    turns = ReceiverLimiter(WEBHOOKS_AT_ONE_RECEIVER, draining)

    @app.task(name="lipe.webhook")
    def webhook(delivery_id: str) -> None:
        turns.take(
            receiver(begin(), delivery_id),
            delivery_id,
            lambda identifier: deliver(begin(), identifier, allow_private=settings.allow_private_urls),
        )

    return app


def serve(queues: Sequence[str]) -> None:
    """Work on the queues until SIGTERM: jobs in one child process, webhooks in threads.

    SIGTERM drains: a running job stops at its next step, keeps its checkpoint and goes back to the queue.
    """
    sends = set(queues) == {QUEUES["lipe.webhook"]}
    if unknown := set(queues) - set(QUEUES.values()):
        raise ValueError(f"there is no queue {', '.join(sorted(unknown))}: choose from {', '.join(QUEUES.values())}")
    if QUEUES["lipe.webhook"] in queues and not sends:
        raise ValueError("webhooks need a worker of their own: they would wait behind every training")
    settings = Settings()
    if not settings.base_model and not sends:
        raise ValueError("LIPE_BASE_MODEL is not set: the workers of priors and edits need a checkpoint")
    # Shared with the child that is forked later; without a lock, which a killed child could keep for ever.
    flag = RawValue("b", 0)

    def drain(**signal: object) -> None:
        flag.value = 1

    worker_shutting_down.connect(drain, weak=False)
    worker = make_app(settings, lambda: bool(flag.value), sends=sends).Worker(
        queues=list(queues),
        hostname=f"{'-'.join(queues)}-{os.getpid()}@{socket.gethostname()}",
        pool="threads" if sends else "prefork",
        concurrency=WEBHOOKS_AT_ONCE if sends else 1,
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    raise SystemExit(worker.exitcode)
