"""What every request needs: the settings and the three ways out, to database, storage and broker."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from sqlalchemy import Engine

from api.decoder import Decoder
from api.threads import Threads
from ledger.database import Autocommit, UnitOfWork, autocommit, make_engine, unit_of_work
from ledger.notify import Notifier, make_notifier
from ledger.settings import Settings
from ledger.storage import Storage

AUTHENTICATING, SUBMITTING = 2, 4


@dataclass(frozen=True)
class Service:
    """One for the process."""

    settings: Settings
    engine: Engine
    begin: UnitOfWork
    look: Autocommit
    storage: Storage
    ring: Notifier
    decoder: Decoder
    authenticating: Threads
    submitting: Threads


def lifespan(settings: Settings) -> Callable[[FastAPI], Any]:
    """Opens the service with the application, closes it with it."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        engine, storage, decoder = make_engine(settings.database_url), Storage(settings), Decoder()
        storage.open()
        threads = Threads("authenticating", AUTHENTICATING), Threads("submitting", SUBMITTING)
        app.state.service = Service(
            settings,
            engine,
            unit_of_work(engine),
            autocommit(engine),
            storage,
            make_notifier(settings),
            decoder,
            *threads,
        )
        # What is there now stays: searching it for garbage again and again took an eighth of each request's time.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            for pool in (*threads, decoder):
                pool.close()
            engine.dispose()

    return opened


def running_service(request: Request) -> Service:
    """The process's service."""
    service: Service = request.app.state.service
    return service


async def service_of(request: Request) -> Service:
    """The same as a dependency. A coroutine, as every dependency that waits for nothing: others cost a thread each."""
    return running_service(request)


ServiceDep = Annotated[Service, Depends(service_of)]
