"""What one worker process holds from job to job. Made after the fork: connections and CUDA do not survive one."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from ledger.database import Autocommit, UnitOfWork, autocommit, unit_of_work
from ledger.settings import Settings
from ledger.storage import Storage
from lipe_core.captioning.prompt_writer import ChatEndpoint
from worker.captioner import CaptionModel
from worker.gpu import Gpu


@dataclass(frozen=True)
class WorkerContext:
    """`draining` tells whether the worker was asked to stop; `name` is what jobs call it.

    `caption_model` and `prompt_writer` are None where the settings name none.
    """

    settings: Settings
    begin: UnitOfWork
    look: Autocommit
    storage: Storage
    gpu: Gpu
    draining: Callable[[], bool]
    name: str
    caption_model: CaptionModel | None = None
    prompt_writer: ChatEndpoint | None = None

    @property
    def checkpoints(self) -> Path:
        """Where trainings keep their state, for the next attempt on this machine."""
        return self.settings.data_dir / "checkpoints"


def make_context(settings: Settings, engine: Engine, draining: Callable[[], bool]) -> WorkerContext:
    """Nothing is loaded and nothing connected yet."""
    return WorkerContext(
        settings,
        unit_of_work(engine),
        autocommit(engine),
        Storage(settings),
        Gpu(settings.base_model, settings.base_model_revision or None, settings.device),
        draining,
        f"{socket.gethostname()}:{os.getpid()}",
        CaptionModel(settings.captioner, settings.captioner_revision or None) if settings.captioner else None,
        _prompt_writer(settings) if settings.prompt_writer_url else None,
    )


def _prompt_writer(settings: Settings) -> ChatEndpoint:
    return ChatEndpoint(
        settings.prompt_writer_url,
        settings.prompt_writer_key.get_secret_value(),
        settings.prompt_writer_model,
        settings.prompt_writer_timeout_seconds,
    )
