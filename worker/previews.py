"""Previews of a running attempt: a training generates some; an edit uploads intermediate images that it decodes anyway.

Generating a preview uses the network and so delays the training; the upload runs in a thread. An error of a preview
loses that preview and never fails the job.
"""

import io
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread

import torch
from PIL import Image

from ledger.artefacts import NewArtefact
from ledger.database import UNAVAILABLE
from ledger.storage import Storage, StorageError, attempt_prefix
from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.memory import free_memory
from lipe_core.training.regularization import RegularizationConfig
from worker.attempt import Attempt

CLOSE_SECONDS = 3.0
IsAllowed = Callable[[NewArtefact], bool]

log = logging.getLogger(__name__)


@dataclass
class PreviewUploader:
    """Uploads the previews of an attempt, one at a time; `stored` lists those whose upload was verified.

    While an upload runs, further previews are dropped: a slow storage gets fewer. `is_allowed` decides on each stored
    preview before it is visible.
    """

    storage: Storage
    attempt: Attempt
    is_allowed: IsAllowed
    stored: list[NewArtefact] = field(default_factory=list)
    _uploading: Thread | None = None
    _is_closed: bool = False
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_busy(self) -> bool:
        """Whether an upload runs; another preview would be dropped."""
        return self._uploading is not None and self._uploading.is_alive()

    def upload(self, image: Image.Image, step: int, prompt: str) -> None:
        """Upload the image after `step` in a thread, unless another upload runs."""
        if not self.is_busy:
            self._uploading = Thread(target=self._store, args=(image, step, prompt), daemon=True)
            self._uploading.start()

    def close(self, seconds: float) -> None:
        """Wait for the running upload for at most so many seconds. An upload that ends later is deleted again."""
        if self._uploading is not None:
            self._uploading.join(seconds)
        with self._lock:
            self._is_closed = True

    def _store(self, image: Image.Image, step: int, prompt: str) -> None:
        claim, content, name = self.attempt.claim, io.BytesIO(), f"preview-{step}.png"
        image.save(content, "PNG")
        prefix = attempt_prefix(claim.project_id, claim.job_id, claim.epoch)
        try:
            stored = self.storage.put(prefix, name, content.getvalue(), "image/png")
        except StorageError as error:
            log.warning("job %s: the preview of step %d is lost: %s", claim.job_id, step, error)
            return
        preview = NewArtefact("preview", name, "image/png", stored, {"step": step, "prompt": prompt})
        may_be_shown = self._may_be_shown(preview)
        with self._lock:
            if may_be_shown and not self._is_closed:
                self.stored.append(preview)
                self.attempt.preview = preview
                return
        with suppress(StorageError):
            self.storage.delete(stored.key)

    def _may_be_shown(self, preview: NewArtefact) -> bool:
        try:
            return self.is_allowed(preview)
        except UNAVAILABLE as error:  # without the database there is no record of the decision
            log.warning("job %s: the preview %s is lost: %s", self.attempt.claim.job_id, preview.name, error)
            return False


@dataclass(frozen=True)
class PreviewGenerator:
    """Generates at most `count` previews of a training, with the settings of the regularization images."""

    uploader: PreviewUploader
    model: BaseModel
    prompt: str
    config: RegularizationConfig
    count: int

    def interval(self, steps: int) -> int:
        """Steps from one preview to the next in a training of `steps` steps; 0 = no previews."""
        return math.ceil(steps / self.count) if self.count else 0

    def generate(self, step: int) -> None:
        """Generate and upload a preview after `step`. Raises the same exceptions as `Attempt.report`."""
        if self.uploader.is_busy:
            return
        try:
            image = self._generate_image()
        except torch.OutOfMemoryError:
            log.warning("job %s: no memory for a preview", self.uploader.attempt.claim.job_id)
        else:
            self.uploader.upload(image, step, self.prompt)
            return
        free_memory()  # outside the handler, whose traceback keeps tensors alive

    def _generate_image(self) -> Image.Image:
        (image,) = backbone.generate_images(
            self.model,
            [self.prompt],
            [self.config.seed],  # the same noise each time, so that only the training changes the preview
            size=(self.model.native_size,) * 2,
            steps=self.config.steps,
            guidance_scale=self.config.guidance_scale,
            on_step=lambda step, steps: self.uploader.attempt.renew_lease(),
        )
        return image


@contextmanager
def preview_uploads(
    storage: Storage, attempt: Attempt, is_allowed: IsAllowed, close_seconds: float = CLOSE_SECONDS
) -> Iterator[PreviewUploader]:
    """Context manager that yields an uploader. At the end it waits `close_seconds` for the last upload.

    It does not wait if the block raised: the attempt must then stop.
    """
    uploader = PreviewUploader(storage, attempt, is_allowed)
    try:
        yield uploader
        uploader.close(close_seconds)
    finally:
        uploader.close(0.0)
