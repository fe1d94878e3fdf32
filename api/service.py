"""The resources that every request shares: settings, database, object storage, broker, decoder and threads."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from sqlalchemy import Engine

from api.body_shares import BODIES, BodyShares
from api.decoder import Decoder
from api.fair_queue import FairQueue
from api.job_watch import JobWatch
from api.metrics import ApiMetrics
from api.threads import Threads
from ledger.database import Autocommit, UnitOfWork, autocommit, make_engine, unit_of_work
from ledger.metrics_server import serve_metrics
from ledger.notify import Notifier, make_notifier
from ledger.settings import Settings
from ledger.storage import Storage
from ledger.tracing import Tracing
from provenance.reading import Trust, load_trust

AUTHENTICATING_THREADS, SUBMITTING_THREADS, POLICY_THREADS = 2, 4, 8


@dataclass(frozen=True)
class Service:
    """The resources of one process. `begin` opens a transaction; `autocommit` a connection without one."""

    settings: Settings
    engine: Engine
    begin: UnitOfWork
    autocommit: Autocommit
    storage: Storage
    notify: Notifier
    decoder: Decoder
    trust: Trust
    authenticating: Threads
    submitting: Threads
    submissions: FairQueue
    asking_policy: Threads
    body_shares: BodyShares
    job_watch: JobWatch
    metrics: ApiMetrics
    tracing: Tracing


def lifespan(settings: Settings) -> Callable[[FastAPI], Any]:
    """The application's lifespan: opens the service at its start and closes it at its end."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        trust = load_trust(settings.credentials_chains, settings.credentials_trust_file)
        metrics, tracing = app.state.metrics, app.state.tracing
        engine = make_engine(settings.database_url, on_wait=metrics.pool_wait.observe)
        storage, decoder = Storage(settings), Decoder()
        storage.open()
        authenticating = Threads("authenticating", AUTHENTICATING_THREADS)
        submitting = Threads("submitting", SUBMITTING_THREADS)
        asking_policy = Threads("policy", POLICY_THREADS)
        begin = unit_of_work(engine, metrics.observe)
        job_watch = JobWatch(begin, settings.max_event_streams)
        metrics.watch(begin, job_watch.open_streams)
        close_metrics = serve_metrics(settings, metrics.registry)
        app.state.service = Service(
            settings=settings,
            engine=engine,
            begin=begin,
            autocommit=autocommit(engine),
            storage=storage,
            notify=make_notifier(settings),
            decoder=decoder,
            trust=trust,
            authenticating=authenticating,
            submitting=submitting,
            # More at once of one project would answer no more of them, and keep the interpreter from the others.
            submissions=FairQueue(SUBMITTING_THREADS, share=1),
            asking_policy=asking_policy,
            body_shares=BodyShares(BODIES * settings.max_upload_bytes),
            job_watch=job_watch,
            metrics=metrics,
            tracing=tracing,
        )
        # The objects that exist now live as long as the process. Collecting them took an eighth of each request's time.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            close_metrics()
            for pool in (job_watch, authenticating, submitting, asking_policy, decoder):
                pool.close()
            engine.dispose()
            tracing.close()

    return opened


def running_service(request: Request) -> Service:
    """The service of this process."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    """The same as a dependency. It is a coroutine, because FastAPI runs other functions in a thread each."""
    return running_service(request)


ServiceDep = Annotated[Service, Depends(_service)]
