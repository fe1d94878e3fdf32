"""The Celery application: three queues of notifications.

A message carries nothing but an id, and that of a job is not read (`worker.work`). The database row is the job, so a
message that is lost, duplicated or late costs only time. Hence the settings:

- No result backend: the row holds the result.
- Early acknowledgement: with a late one, the broker delivers a training again each time its visibility timeout ends.
- No prefetching: no message waits behind a training while another worker is idle.
- No ETA tasks: a worker would keep them in its memory.
- Events and inspection are on, so that Flower sees the fleet; commands that change something are off.
"""

import gc
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from multiprocessing.sharedctypes import RawValue
from threading import Thread
from typing import TYPE_CHECKING

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown, worker_shutting_down
from sqlalchemy import Engine

from ledger import broker_address, fetches, logs
from ledger.database import UnitOfWork, make_engine, unit_of_work
from ledger.metrics_server import MetricsPortTaken, serve_metrics
from ledger.notify import QUEUES
from ledger.settings import Settings
from ledger.states import JOB_KINDS, JobKind
from ledger.storage import Storage
from ledger.trace_settings import make_tracing
from ledger.tracing import Tracing
from provenance.certificates import InvalidCertificates
from worker.broker import drop_unreadable_messages
from worker.fetch import fetch, find_project
from worker.heartbeat import heartbeat_step
from worker.inspection import InspectionOnly
from worker.metrics import WebhookMetrics, WorkerMetrics
from worker.receiver_limiter import Receiver, ReceiverLimiter
from worker.signer import result_signer
from worker.webhooks import deliver, find_receiver

if TYPE_CHECKING:
    from worker.work import Work

BROKER_OPTIONS = {"visibility_timeout": 3600, "socket_keepalive": True, "socket_timeout": 30}
INVALID_MODEL_STATUS = 2  # as for the other wrong settings
WEBHOOK_THREADS = 128
WEBHOOK_THREADS_PER_RECEIVER = 4  # so that a receiver that hangs does not block the others
WEBHOOK_THREADS_PER_PROJECT = 32  # so that many of them do not block other projects
FETCH_THREADS = 4  # each holds a file in memory
FETCH_THREADS_PER_PROJECT = 3
START_SECONDS = {"off": 600.0, "auto": 7200.0}
"""By LIPE_COMPILE: a child process is up when the base model is loaded, and compiled."""
EVENT_SECONDS = 30.0
"""A worker tells monitors of Celery that it lives so often."""
LEAVE_SECONDS = 3.0
"""A worker that ends waits for so long until its row is deleted."""

log = logging.getLogger(__name__)


def make_app(
    settings: Settings,
    draining: Callable[[], bool] = lambda: False,
    *,
    webhooks_only: bool = False,
    kinds: Sequence[JobKind] = (),
    on_invalid_model: Callable[[], None] = lambda: None,
    webhook_metrics: WebhookMetrics | None = None,
) -> Celery:
    """The application with its six tasks. With `webhooks_only`, the worker has no model to load.

    `kinds` are the kinds of jobs that the worker takes, and reports to take, see `worker.presence`.

    The child process calls `on_invalid_model` if it refuses the base model. It must end the worker: Celery only logs
    the errors of a starting child, and each job would wait for ever in a worker that cannot run it.

    Only the child process imports torch: CUDA does not survive a fork.
    """
    drop_unreadable_messages()
    address = broker_address.read(settings.broker_url)
    app = Celery("lipe", broker=address.url, set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_routes={name: {"queue": queue} for name, queue in QUEUES.items()},
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=START_SECONDS[settings.compile],
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=address.options
        | BROKER_OPTIONS
        | _unacked_keys("webhooks" if webhooks_only else "jobs"),
    )

    is_loaded = RawValue("b", webhooks_only)  # shared with the child
    app.steps["consumer"].add(InspectionOnly)
    app.steps["consumer"].add(heartbeat_step(settings, lambda: bool(is_loaded.value)))

    worker_metrics, webhook_metrics = WorkerMetrics(), webhook_metrics or WebhookMetrics()
    metrics = webhook_metrics if webhooks_only else worker_metrics

    @cache
    def tracing() -> Tracing:
        made = make_tracing("webhooks" if webhooks_only else "worker")
        made.instrument()
        return made

    @cache
    def engine() -> Engine:
        tracing()  # before the first connection
        return make_engine(settings.database_url, on_wait=metrics.pool_wait.observe)

    @cache
    def begin() -> UnitOfWork:
        return unit_of_work(engine(), metrics.observe)

    presence: list[Thread] = []

    @cache
    def work() -> "Work":
        # Imported here, because these modules import torch.
        from worker.checkpoints import keep_forgetting
        from worker.compiling import compile_network
        from worker.context import make_context
        from worker.presence import report_presence
        from worker.short_thread import in_short_thread
        from worker.work import Work

        logs.adopt("transformers", "diffusers", "huggingface_hub")
        context = make_context(settings, engine(), draining, worker_metrics, tracing())
        worker_metrics.show_gpu(context.gpu.memory)
        in_short_thread(context.warm_up)
        if settings.compile == "auto":
            in_short_thread(partial(compile_network, context, kinds))
        jobs = Work(context, kinds)
        if kinds:
            presence.append(report_presence(context, kinds, lambda: jobs.is_over))
            keep_forgetting(context)
        jobs.start()
        return jobs

    @worker_process_init.connect(weak=False)
    def load(**_: object) -> None:
        from lipe_core.errors import InvalidModel  # the image of the API, which serves webhooks, has no lipe_core

        try:
            serve_metrics(settings, worker_metrics.registry)
            work()
        except (InvalidModel, MetricsPortTaken) as error:
            log.critical("this worker ends, because %s", error)
            on_invalid_model()
            return
        # The libraries keep half a million objects alive. Without `freeze`, the collection after each job would visit
        # all of them, which takes a third of a second.
        gc.collect()
        gc.freeze()
        is_loaded.value = 1

    @worker_process_shutdown.connect(weak=False)
    def finish(**_: object) -> None:
        if is_loaded.value and not webhooks_only:
            work().finish()
            for thread in presence:
                thread.join(LEAVE_SECONDS)  # the database may not answer
            tracing().close()

    @app.task(name="lipe.prior")
    def prior(_job_id: str) -> None:
        work().run_waiting()

    @app.task(name="lipe.edit")
    def edit(_job_id: str) -> None:
        work().run_waiting()

    @app.task(name="lipe.captions")
    def captions(_job_id: str) -> None:
        work().run_waiting()

    @app.task(name="lipe.mask")
    def mask(_job_id: str) -> None:
        work().run_waiting()

    fetch_limiter = ReceiverLimiter(FETCH_THREADS_PER_PROJECT, FETCH_THREADS, draining)

    @cache
    def storage() -> Storage:
        return Storage(settings)

    @app.task(name=fetches.TASK)
    def fetch_file(upload_id: str) -> None:
        act = partial(
            fetch,
            begin(),
            storage(),
            allow_private=settings.allow_private_urls,
            max_bytes=settings.max_upload_bytes,
        )
        fetch_limiter.run(Receiver(fetches.TASK, find_project(begin(), upload_id)), upload_id, act)

    limiter = ReceiverLimiter(WEBHOOK_THREADS_PER_RECEIVER, WEBHOOK_THREADS_PER_PROJECT, draining)

    @app.task(name="lipe.webhook")
    def webhook(delivery_id: str) -> None:
        send = partial(
            deliver,
            begin(),
            allow_private=settings.allow_private_urls,
            ports=settings.allowed_webhook_ports,
            metrics=webhook_metrics,
            tracing=tracing(),
        )
        limiter.run(find_receiver(begin(), delivery_id), delivery_id, send)

    return app


def serve(queues: Sequence[str]) -> None:
    """Work on the queues until SIGTERM: jobs in one child process, webhooks in threads.

    On SIGTERM the worker drains: a running job stops at its next step, keeps its checkpoint and returns to the queue.
    """
    webhooks_only = set(queues) == {QUEUES["lipe.webhook"]}
    if unknown := set(queues) - set(QUEUES.values()):
        known = ", ".join(dict.fromkeys(QUEUES.values()))
        raise ValueError(f"there is no queue {', '.join(sorted(unknown))}: choose from {known}")
    if QUEUES["lipe.webhook"] in queues and not webhooks_only:
        raise ValueError("webhooks need a worker of their own: they would wait behind every training")
    settings = Settings()
    if not settings.base_model and not webhooks_only:
        raise ValueError("LIPE_BASE_MODEL is not set: the workers of priors and edits need a checkpoint")
    if not webhooks_only:
        _check_signer(settings)
    # Shared with the child that is forked later. They have no lock, because a killed child could hold one forever.
    flag, is_refused = RawValue("b", 0), RawValue("b", 0)

    def drain(**_: object) -> None:
        flag.value = 1

    def refuse() -> None:
        is_refused.value = 1
        os.kill(os.getppid(), signal.SIGTERM)

    worker_shutting_down.connect(drain, weak=False)
    setup_logging.connect(_keep_logging, weak=False)
    # The warning about root concerns pickled messages. This worker accepts JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Read when torch is imported. The usual folder, in /tmp, is lost with the container, and often has noexec.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.compiled_dir))
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of libraries are no log lines
    kinds = [kind for kind in JOB_KINDS if QUEUES[f"lipe.{kind}"] in queues]
    webhook_metrics = WebhookMetrics()
    if webhooks_only:  # a worker of jobs serves those of its child
        serve_metrics(settings, webhook_metrics.registry)
    app = make_app(
        settings,
        lambda: bool(flag.value),
        webhooks_only=webhooks_only,
        kinds=kinds,
        on_invalid_model=refuse,
        webhook_metrics=webhook_metrics,
    )
    worker = app.Worker(
        queues=list(queues),
        hostname=f"{'-'.join(queues)}-{os.getpid()}@{socket.gethostname()}",
        pool="threads" if webhooks_only else "prefork",
        concurrency=WEBHOOK_THREADS if webhooks_only else 1,
        quiet=True,  # its banner is no log line
        without_gossip=True,
        without_mingle=True,
        heartbeat_interval=EVENT_SECONDS,
    )
    worker.start()
    raise SystemExit(INVALID_MODEL_STATUS if is_refused.value else worker.exitcode)


def _unacked_keys(program: str) -> dict[str, str]:
    """The keys of messages in progress. A program's user of the broker may read its own ones only."""
    return {f"unacked{part}_key": f"unacked.{program}{part}" for part in ("", "_index", "_mutex")}


def _keep_logging(**_: object) -> None:
    """Receive the signal, so that Celery adds no handlers and formats of its own."""


def _check_signer(settings: Settings) -> None:
    """Raise InvalidCertificates (a ValueError) if no result could be signed, before a job is claimed."""
    try:
        is_signing = result_signer(settings) is not None
    except InvalidCertificates as error:
        raise InvalidCertificates(f"the LIPE_CREDENTIALS_... settings cannot sign results: {error}") from error
    if not is_signing:
        log.warning("results carry no Content Credentials: LIPE_CREDENTIALS_CHAIN_FILE is not set")
