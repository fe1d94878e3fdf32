"""The part of a NIMA edit that no target prompt changes, and a store of it: a further edit of an image starts there.

The inversion and the search for the subject are a third of an edit's evaluations. What they give takes memory of the
device, mostly for the source's features (SDXL at 1024 pixels in half precision, 20 steps: some 1.2 GB).
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from PIL import Image

from lipe_core.diffusion.ddim import OnStep
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.crop import Box
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.focus import focused
from lipe_core.methods.nima.source import Source, read_source
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import SourceFeatures, latest_lookup

_LEAN = 2.0
"""The grid's `lean`. The noisy end decides the place of the subject, and long steps there lose the inversion's
background."""


@dataclass(frozen=True)
class Preparation:
    """The crop that is edited, the source in it, and the source's features. A kept one has one row of silhouettes."""

    crop: Box
    source: Source
    features: SourceFeatures

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        tensors = self.source.trajectory.latents, self.source.silhouette, *self.features.states.values()
        return sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class PreparedSources:
    """The preparations used last, at most `most_bytes` of them. A preparation serves only edits of the same `scope`.

    `images` are the names of the images whose preparations are kept, as the caller named them.
    """

    most_bytes: int
    scope: str = ""
    image_name: str = ""
    _kept: OrderedDict[object, tuple[str, Preparation]] = field(default_factory=OrderedDict)

    def of(self, scope: str, image_name: str = "") -> "PreparedSources":
        """The same store for edits of one scope, such as a project, and of one image."""
        return replace(self, scope=scope, image_name=image_name)

    @property
    def images(self) -> list[str]:
        """The names of the images that are kept, the one that was used last at the end."""
        return list(dict.fromkeys(name for name, _ in self._kept.values() if name))

    def clear(self) -> None:
        """Free the memory."""
        self._kept.clear()

    def get(self, key: object) -> Preparation | None:
        """The preparation with this key."""
        entry = self._kept.get((self.scope, key))
        if entry is None:
            return None
        self._kept.move_to_end((self.scope, key))
        return entry[1]

    def keep(self, key: object, preparation: Preparation) -> None:
        """Keep the preparation, and drop those that were not used for longest. One that is too large is not kept."""
        if preparation.nbytes > self.most_bytes:
            return
        self._kept[self.scope, key] = self.image_name, preparation
        while sum(kept.nbytes for _, kept in self._kept.values()) > self.most_bytes:
            self._kept.popitem(last=False)


def prepare(
    session: EditSession, finder: SubjectFinder, config: NimaConfig, on_step: OnStep, kept: PreparedSources | None
) -> tuple[EditSession, Source, SourceFeatures]:
    """Choose the crop, invert the source and find the subject in it, or take all this from `kept`: the same to the bit.

    Returns the session on the crop. The source counts only the evaluations that were made.
    """
    key = _key(session, config) if kept is not None else None
    if kept is not None and key is not None and (found := kept.get(key)) is not None:
        with session.clock.stage("inverting"):
            session = session.cropped(found.crop)
            source = replace(found.source, silhouette=session.for_rows(found.source.silhouette), evaluations=0)
        read_targets(session, finder, config)
        return session, source, found.features
    timesteps = session.model.leaning_timesteps(config.steps, _LEAN, session.size)
    features = SourceFeatures(latest_lookup(timesteps, config.source_attention_start))
    if config.crops:
        session = focused(session, finder)
    with session.model.text_encoders_ready():
        read_source_prompt(session, finder)
        read_targets(session, finder, config)
    source = read_source(session, timesteps, finder, features, on_step)
    if kept is not None and key is not None:
        kept.keep(key, Preparation(session.crop, replace(source, silhouette=source.silhouette[:1]), features))
    return session, source, features


def read_targets(session: EditSession, finder: SubjectFinder, config: NimaConfig) -> None:
    """Encode the prompts of both passes, before the network works."""
    targets, size = session.target_prompts, session.size
    with session.model.text_encoders_ready():
        session.cache.read_ahead([targets, [session.source_and_negative_prompt]], size=size)
        if config.mask_mode == "union":
            finder.read_ahead(targets, size=size)


def read_source_prompt(session: EditSession, finder: SubjectFinder) -> None:
    """Encode the prompts of the inversion and of the search in the source."""
    session.cache.read_ahead([[session.source_prompt]], size=session.size)
    if session.request.mask is None:
        finder.read_ahead([session.source_prompt], size=session.size)


def _key(session: EditSession, config: NimaConfig) -> object | None:
    """All that a preparation depends on. None for a prior that no hash tells from another one."""
    request, model, prior = session.request, session.model, session.prior
    if prior is not None and prior.identity is None:
        return None
    return (
        model.fingerprint,
        model.vae.use_tiling,  # tiles change the latents a little
        prior.identity if prior is not None else None,
        _digest(request.image),
        _digest(request.mask) if request.mask is not None else None,
        request.subject,
        request.source_prompt,
        config.steps,
        config.source_attention_start,
        config.crops,
    )


def _digest(image: Image.Image) -> tuple[str, tuple[int, int], bytes]:
    return image.mode, image.size, hashlib.sha256(image.tobytes()).digest()
