"""The captioner of one worker process: read when a job first needs it, on the GPU only while it is asked.

Between jobs it waits in main memory: reading it from the disk for each would take longer than an edit, and on the GPU
it would take the memory that a training needs.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from PIL import Image

from lipe_core.captioning import vlm
from lipe_core.captioning.captions import Captioner, plain_captions
from lipe_core.captioning.vlm import VisionLanguageModel
from lipe_core.diffusion.ddim import OnStep
from lipe_core.errors import InvalidModel
from lipe_core.pretrained import public_name
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from worker.gpu import cpu_offloaded, free, with_memory_fallbacks

log = logging.getLogger(__name__)


class CaptionerUnavailable(RuntimeError):
    """The service's captioner cannot be used. The message is for users: it does not tell where the model lies."""


@dataclass
class CaptionModel:
    """A vision-language model by its checkpoint, not loaded yet."""

    checkpoint: str
    revision: str | None = None
    _model: VisionLanguageModel | None = None

    @property
    def name(self) -> str:
        """The checkpoint as users may see it."""
        return public_name(self.checkpoint)

    def load(self, base: BaseModel) -> VisionLanguageModel:
        """The model in main memory, in the base model's precision. Raises CaptionerUnavailable."""
        if self._model is None:
            try:
                self._model = vlm.load(self.checkpoint, revision=self.revision, dtype=base.dtype)
            except InvalidModel as error:
                log.error("LIPE_CAPTIONER cannot be loaded: %s", error)
                raise CaptionerUnavailable(
                    f"{self.name} cannot describe the pictures: give every reference a caption, and an edit its source "
                    "prompt, or have LIPE_CAPTIONER put right (the worker's log tells what is wrong)"
                ) from error
        return self._model

    def captions(
        self, images: Sequence[Image.Image], subject: Subject, *, base: BaseModel, on_step: OnStep
    ) -> list[str]:
        """One caption for each picture, one after another: `on_step` may raise after each.

        Raises CaptionerUnavailable, and GpuOutOfMemory where it does not fit even without the base model.
        """
        model = self.load(base)

        def ask() -> list[str]:
            written: list[str] = []
            with _visiting(model, base):
                for number, image in enumerate(images, start=1):
                    written += vlm.captioner(model)([image], subject)
                    on_step(number, len(images))
            return written

        def ask_alone() -> list[str]:
            with cpu_offloaded(base):
                return ask()

        return with_memory_fallbacks([ask, ask_alone])


def captioner(model: CaptionModel | None, base: BaseModel, on_step: OnStep) -> Captioner:
    """What captions pictures without the user's words: the model, or without one the subject's name alone."""
    return plain_captions if model is None else partial(model.captions, base=base, on_step=on_step)


@contextmanager
def _visiting(model: VisionLanguageModel, base: BaseModel) -> Iterator[None]:
    """The model beside the base model, inside."""
    try:
        model.network.to(base.device)
        yield
    finally:
        model.network.to("cpu")
        free()
