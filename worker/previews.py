"""Pictures of what an attempt has made so far: a training paints some, an edit shows what it looks at anyway.

Painting needs the network and so holds the training up; the rest happens in a thread. Whatever goes wrong with a
preview costs that preview, never the job.
"""

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread

import torch
from PIL import Image

from ledger.artefacts import NewArtefact
from ledger.storage import Storage, StorageError, attempt_prefix
from lipe_core import sdxl
from lipe_core.sdxl import BaseModel
from lipe_core.training.regularization import RegularizationConfig
from worker.attempt import Attempt
from worker.gpu import free

PATIENCE_SECONDS = 3.0

log = logging.getLogger(__name__)


@dataclass
class Previews:
    """Previews of an attempt; `stored` were read back.

    One is on its way at a time: where the storage is slower than the work, there are fewer.
    """

    storage: Storage
    attempt: Attempt
    stored: list[NewArtefact] = field(default_factory=list)
    _uploading: Thread | None = None
    _is_closed: bool = False
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_busy(self) -> bool:
        """Whether one is on its way; another would not be shown."""
        return self._uploading is not None and self._uploading.is_alive()

    def show(self, picture: Image.Image, step: int, prompt: str) -> None:
        """Show what there is after `step`, unless another is on its way."""
        if not self.is_busy:
            self._uploading = Thread(target=self._store, args=(picture, step, prompt), daemon=True)
            self._uploading.start()

    def close(self, patience: float) -> None:
        """Wait a little for the one on its way. What comes later is not stored: its thread deletes it."""
        if self._uploading is not None:
            self._uploading.join(patience)
        with self._lock:
            self._is_closed = True

    def _store(self, picture: Image.Image, step: int, prompt: str) -> None:
        claim, content, name = self.attempt.claim, io.BytesIO(), f"preview-{step}.png"
        picture.save(content, "PNG")
        prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
        try:
            put = self.storage.put(prefix, name, content.getvalue(), "image/png")
        except StorageError as error:
            log.warning("job %s: the preview of step %d is lost: %s", claim.job_id, step, error)
            return
        with self._lock:
            if not self._is_closed:
                preview = NewArtefact("preview", name, "image/png", put, {"step": step, "prompt": prompt})
                self.stored.append(preview)
                self.attempt.preview = preview
                return
        with suppress(StorageError):
            self.storage.delete(put.key)


@dataclass(frozen=True)
class Painter:
    """Paints at most `count` previews of a training, as the pictures of the class are painted."""

    previews: Previews
    model: BaseModel
    prompt: str
    painting: RegularizationConfig
    count: int

    def every(self, steps: int) -> int:
        """At which interval to paint in a training of so many steps, the last time at its end; 0 = never."""
        return math.ceil(steps / self.count) if self.count else 0

    def paint(self, step: int) -> None:
        """Show what is learnt after `step`. Raises what `Attempt.report` raises."""
        if self.previews.is_busy:
            return
        try:
            picture = self._painted()
        except torch.OutOfMemoryError:
            log.warning("job %s: no memory for a preview", self.previews.attempt.claim.job_id)
        else:
            self.previews.show(picture, step, self.prompt)
            return
        free()  # outside the handler, whose traceback keeps tensors alive

    def _painted(self) -> Image.Image:
        (picture,) = sdxl.generate_images(
            self.model,
            [self.prompt],
            [self.painting.seed],  # the same noise each time: what changes is what was learnt
            size=(self.model.native_size,) * 2,
            steps=self.painting.steps,
            guidance_scale=self.painting.guidance_scale,
            on_step=lambda step, steps: self.previews.attempt.report_again(),
        )
        return picture


@contextmanager
def previewing(storage: Storage, attempt: Attempt, patience: float = PATIENCE_SECONDS) -> Iterator[Previews]:
    """Previews can be shown inside. At the end the last one is waited for so long; not if the attempt is to stop."""
    previews = Previews(storage, attempt)
    try:
        yield previews
        previews.close(patience)
    finally:
        previews.close(0.0)
