"""The captioner of one worker process: loaded when a job first needs it, on the GPU only while it writes captions.

Between jobs it stays in main memory. Reading it from disk for each job would take longer than an edit, and on the GPU
it would occupy the memory that a training needs.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from PIL import Image

from lipe_core.backbone import BaseModel
from lipe_core.captioning import vlm
from lipe_core.captioning.captions import Captioner, plain_captions
from lipe_core.captioning.vlm import VisionLanguageModel
from lipe_core.diffusion.ddim import OnStep
from lipe_core.errors import InvalidModel
from lipe_core.memory import free_memory
from lipe_core.pretrained import public_name
from lipe_core.subject import Subject
from worker.attempt import Attempt
from worker.gpu import cpu_offloaded, with_memory_fallbacks

log = logging.getLogger(__name__)


class CaptionerUnavailable(RuntimeError):
    """The service's captioner cannot be used. Users read the message, so it does not contain the model's path."""


@dataclass
class CaptionModel:
    """A vision-language model, loaded from its checkpoint at the first use."""

    checkpoint: str
    revision: str | None = None
    bits: int = 16
    _model: VisionLanguageModel | None = None
    _loading: Lock = field(default_factory=Lock)

    @property
    def name(self) -> str:
        """The checkpoint's name without its path."""
        return public_name(self.checkpoint)

    def load(self, base: BaseModel) -> VisionLanguageModel:
        """The model in main memory, in the base model's precision. Raises CaptionerUnavailable."""
        with self._loading:  # a job that was cancelled leaves its thread behind
            if self._model is None:
                self._model = self._read(base)
            return self._model

    def _read(self, base: BaseModel) -> VisionLanguageModel:
        try:
            return vlm.load(self.checkpoint, revision=self.revision, dtype=base.dtype, bits=self.bits)
        except InvalidModel as error:
            log.error("LIPE_CAPTIONER cannot be loaded: %s", error)
            raise CaptionerUnavailable(
                f"{self.name} cannot caption the images: give every reference a caption, and an edit its source "
                "prompt, or correct LIPE_CAPTIONER (the worker's log has the reason)"
            ) from error

    def captions(
        self, images: Sequence[Image.Image], subject: Subject, *, base: BaseModel, on_step: OnStep
    ) -> list[str]:
        """One caption for each image, written one after another: `on_step` may raise after each.

        Raises CaptionerUnavailable, and GpuOutOfMemory if the model does not fit even without the base model.
        """
        model = self.load(base)

        def write() -> list[str]:
            written: list[str] = []
            with _moved_to_device(model, base):
                for number, image in enumerate(images, start=1):
                    written += vlm.captioner(model)([image], subject)
                    on_step(number, len(images))
            return written

        def write_without_base_model() -> list[str]:
            with cpu_offloaded(base):
                return write()

        return with_memory_fallbacks([write, write_without_base_model])


def load_captioner(attempt: Attempt, model: CaptionModel | None, base: BaseModel) -> None:
    """Load the model, if there is one, and report meanwhile. Raises CaptionerUnavailable and what `report` raises."""
    if model is not None:
        attempt.run_in_thread(partial(model.load, base))


def captioner(model: CaptionModel | None, base: BaseModel, on_step: OnStep) -> Captioner:
    """The function that captions images: the model's, or plain captions by the subject's name if there is no model."""
    return plain_captions if model is None else partial(model.captions, base=base, on_step=on_step)


@contextmanager
def _moved_to_device(model: VisionLanguageModel, base: BaseModel) -> Iterator[None]:
    """Context manager that keeps the model on the base model's device."""
    try:
        model.network.to(base.device)
        yield
    finally:
        model.network.to("cpu")
        free_memory()
