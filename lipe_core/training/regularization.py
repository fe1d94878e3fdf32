"""The regularization set: images that the base model generates for class prompts, each with its prompt as caption.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236). The set depends on base model, prompts, settings and precision
only, so it is generated once and shared by all subjects of a class. It holds the generated latents: a round trip
through the VAE would only blur them.
"""

import fcntl
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

import torch
from annotated_types import Interval
from safetensors import SafetensorError

from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.memory import in_chunks
from lipe_core.settings import Steps, check_settings
from lipe_core.shapes import Latents
from lipe_core.training import dataset
from lipe_core.training.dataset import EncodedSet

_ROWS_AT_ONCE = 8
_POLL_SECONDS = 0.2
MAX_SETS = 100
"""The most sets of a cache. Users choose seeds and prompts, so that it would grow without end."""
_UNREADABLE = (SafetensorError, ValueError, LookupError, TypeError)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegularizationConfig:
    """Settings of the regularization set: images of the class that the base model generates. The paper publishes no
    values; the defaults are ours."""

    count: Annotated[int, Interval(ge=1)] = 48
    """Number of images. They are generated once per class and base model. Raise it for a class that varies much."""

    steps: Steps = 30
    """Denoising steps of each image. Lower it to save time."""

    guidance_scale: Annotated[float, Interval(ge=1, le=100)] = 5.0
    """Strength of classifier-free guidance; 1 means none. Most trainings need no change."""

    seed: int = 0
    """Seed of the first image; image k has the seed plus k. Change it if the images are poor."""

    def __post_init__(self) -> None:
        check_settings(self)


@runtime_checkable
class SharedSets(Protocol):
    """Sets that several machines share. The implementation handles the errors of its storage."""

    def fetch(self, file: Path) -> bool:
        """Write the set of the file's name into the file. False: there is none."""

    def store(self, file: Path, sha256: str) -> None:
        """Keep the set for other machines; `sha256` (hex) is that of the file."""


def regularization_set(
    model: BaseModel,
    prompts: Sequence[str],
    config: RegularizationConfig = RegularizationConfig(),
    *,
    cache: Path | None = None,
    shared: SharedSets | None = None,
    on_step: OnStep = no_progress,
) -> EncodedSet:
    """Generate one image for each prompt, prompt k from seed + k, or load the set from the folder `cache`.

    A set that the folder does not have comes from `shared`, or is stored there, if both are given.
    Of several processes that need the same set, one generates it. The others wait and call `on_step` with step 0
    meanwhile. A damaged file is generated again. Beyond MAX_SETS, the sets that were used longest ago are deleted.
    Raises ValueError without prompts.
    """
    if not prompts:
        raise ValueError("a regularization set needs at least one class prompt")
    if cache is None:
        return _generate(model, prompts, config, on_step)
    key = [model.fingerprint, list(prompts), asdict(config), str(model.dtype)]
    file = cache / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.safetensors"
    cache.mkdir(parents=True, exist_ok=True)
    total = config.steps * len(range(0, len(prompts), _ROWS_AT_ONCE))
    with _locked(file.with_suffix(".lock"), on_wait=lambda: on_step(0, total)):
        found = _read(file)
        if found is None and shared is not None and shared.fetch(file):
            _digest_file(file).write_text(_digest(file))
            found = _read(file)
        if found is None:
            dataset.save(_generate(model, prompts, config, on_step), file)
            _digest_file(file).write_text(_digest(file))
            found = _load(file)
            if shared is not None:
                shared.store(file, _digest(file))
        _evict(cache)
        return found


def _read(file: Path) -> EncodedSet | None:
    """The set in the file; None if there is no file, or if it was damaged and is deleted now."""
    if not file.exists():
        return None
    try:
        return _load(file)
    except _UNREADABLE as error:
        log.warning("regularization set %s is damaged and generated again: %s", file.name, error)
        file.unlink()
        return None


def _load(file: Path) -> EncodedSet:
    """Read a set, and mark it as used. Raises ValueError if the file is not the one that was written."""
    digest = _digest_file(file)
    if not digest.exists() or digest.read_text() != _digest(file):
        raise ValueError("its hash differs from the one that was written")
    os.utime(digest, ns=(time.time_ns(),) * 2)  # finer than the clock of `touch`
    return dataset.load(file)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest_file(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _evict(cache: Path) -> None:
    """Delete the sets that were used longest ago. A process that reads one keeps its open file."""
    used = {digest: digest.stat().st_mtime_ns for digest in cache.glob("*.sha256")}
    for digest in sorted(used, key=used.__getitem__)[:-MAX_SETS]:
        for suffix in (".safetensors", ".lock", ".sha256"):
            digest.with_suffix(suffix).unlink(missing_ok=True)


def _generate(model: BaseModel, prompts: Sequence[str], config: RegularizationConfig, on_step: OnStep) -> EncodedSet:
    size, count = (model.native_size, model.native_size), len(prompts)
    total = config.steps * math.ceil(count / _ROWS_AT_ONCE)

    def generate(rows: range) -> Latents:
        def report(step: int, steps: int) -> None:
            on_step(round(total * (rows.start + len(rows) * step / steps) / count), total)

        return backbone.generate_latents(
            model, prompts[rows.start : rows.stop], [config.seed + k for k in rows], size=size, steps=config.steps,
            guidance_scale=config.guidance_scale, on_step=report,
        )  # fmt: skip

    latents = in_chunks(count, generate, at_most=_ROWS_AT_ONCE)
    return dataset.with_captions(model, torch.cat(latents), prompts)


@contextmanager
def _locked(file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on the file. While another process holds it, `on_wait` is called; it may raise."""
    with file.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(_POLL_SECONDS)
        yield
