"""The state that one worker process keeps between jobs.

It is made after the fork: database connections and CUDA do not survive one.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from ledger.database import Autocommit, UnitOfWork, autocommit, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage
from ledger.tracing import NO_TRACING, Tracing
from lipe_core.captioning.chat import ChatEndpoint
from provenance.signing import Signer
from worker.caption_checker import CaptionChecker
from worker.captioner import CaptionModel
from worker.gpu import Gpu
from worker.metrics import WorkerMetrics
from worker.prefetched import Prefetched
from worker.signer import result_signer


@dataclass(frozen=True)
class WorkerContext:
    """`draining` returns True once the worker must stop; `name` identifies this process in job rows.

    `caption_model`, `prompt_writer`, `caption_checker` and `signer` (of results) are None where the settings name none.
    `prefetched` has objects of the running job and of the next one.
    """

    settings: Settings
    begin: UnitOfWork
    autocommit: Autocommit
    storage: Storage
    gpu: Gpu
    draining: Callable[[], bool]
    name: str
    metrics: WorkerMetrics
    tracing: Tracing
    caption_model: CaptionModel | None = None
    prompt_writer: ChatEndpoint | None = None
    caption_checker: CaptionChecker | None = None
    signer: Signer | None = None
    prefetched: Prefetched = field(default_factory=Prefetched)

    def input(self, key: str, sha256: str) -> bytes:
        """An object that the running job needs, from `prefetched` or the storage.

        Raises ObjectDamaged, NoSuchObject and StorageError.
        """
        content = self.prefetched.take(key, sha256)
        self.metrics.count_input(content is not None)
        return self.storage.get(key, sha256) if content is None else content

    @property
    def checkpoints(self) -> Path:
        """The folder where trainings keep their state for the next attempt on this machine."""
        return self.settings.data_dir / "checkpoints"

    def warm_up(self) -> None:
        """Load the networks of every edit and connect to the storage, so that the first job does not wait for them."""
        self.gpu.base_model()
        self.gpu.segmenter()
        self.storage.open()


def make_context(
    settings: Settings,
    engine: Engine,
    draining: Callable[[], bool],
    metrics: WorkerMetrics | None = None,
    tracing: Tracing = NO_TRACING,
) -> WorkerContext:
    """The context by the settings. Loads no model and opens no connection. Raises InvalidCertificates."""
    metrics = metrics or WorkerMetrics()
    return WorkerContext(
        settings,
        unit_of_work(engine, metrics.observe),
        autocommit(engine),
        Storage(settings),
        Gpu(
            settings.base_model,
            settings.base_model_revision or None,
            settings.device,
            settings.data_dir / "hashes",
            settings.kept_source_bytes,
            metrics.count_prior,
            settings.segmenter,
            settings.segmenter_revision or None,
            uses_graphs=settings.cuda_graphs == "auto",
            allows_distilled=settings.allow_distilled,
            bits=settings.base_model_bits,
        ),
        draining,
        f"{socket.gethostname()}:{os.getpid()}",
        metrics,
        tracing,
        CaptionModel(settings.captioner, settings.captioner_revision or None, settings.captioner_bits)
        if settings.captioner
        else None,
        _prompt_writer(settings) if settings.prompt_writer_url else None,
        CaptionChecker(settings.caption_checker, settings.caption_checker_revision or None)
        if settings.caption_checker
        else None,
        result_signer(settings),
    )


def _prompt_writer(settings: Settings) -> ChatEndpoint:
    return ChatEndpoint(
        settings.prompt_writer_url,
        settings.prompt_writer_key.get_secret_value(),
        settings.prompt_writer_model,
        settings.prompt_writer_timeout_seconds,
    )
