"""The CLIP of one worker process that compares captions with their images. It stays in main memory, on the CPU.

A CLIP of the usual size reads an image and ten phrases in about a second there, and needs no memory of the GPU.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from lipe_core.captioning.phrase_check import Phrase, check_caption
from lipe_core.errors import InvalidModel
from lipe_core.metrics.features import Clip, load_clip
from lipe_core.subject import Subject

log = logging.getLogger(__name__)


@dataclass
class CaptionChecker:
    """A CLIP checkpoint, loaded at the first use. A check is an extra: without the model there are no phrases."""

    checkpoint: str
    revision: str | None = None
    _clip: Clip | None = None
    _is_unusable: bool = field(default=False)

    def check(self, image: Image.Image, caption: str, subject: Subject) -> Sequence[Phrase]:
        """The caption's phrases with their scores; none if the model cannot be loaded, which the log says once."""
        if self._clip is None and not self._is_unusable:
            try:
                self._clip = load_clip(self.checkpoint, revision=self.revision)
            except InvalidModel as error:
                log.error("captions are not checked, because LIPE_CAPTION_CHECKER cannot be loaded: %s", error)
                self._is_unusable = True
        return check_caption(self._clip, image, caption, subject) if self._clip is not None else []
