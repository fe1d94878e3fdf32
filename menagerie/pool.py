"""A pool of drawings that the VAE encodes once. Training reads latents from disk and makes a new caption at each use.

Drawing k of a pool is a function of (seed, k): only latents and loss weights are stored. A pool can grow while it is
read. A second pool of the same seed may have the companion of each drawing: another image of the same subject.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from lipe_core import precision
from menagerie.attributes import Drawing, sample_action, sample_drawing
from menagerie.draw import render
from menagerie.loss_weights import loss_weights
from menagerie.subjects import random_drawing

_CHUNK = 256
_FACTOR = 8  # side of one latent in pixels
_Mode = Literal["r", "r+"]
_Draw = Callable[[int, int], Drawing]
_Job = tuple[_Draw, int, int, int, int]
_Rendered = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]


def drawing_of(seed: int, index: int) -> Drawing:
    """The drawing at `index` in a pool of this seed."""
    return sample_drawing(np.random.default_rng([seed, index]))


def companion_of(seed: int, index: int) -> Drawing:
    """Another drawing of the subject of `drawing_of`: another action, and in half of the cases another scene."""
    rng, first = np.random.default_rng([seed, index, 1]), drawing_of(seed, index)
    if rng.random() < 0.5:
        return replace(first, action=sample_action(rng, first.identity.class_noun))
    return random_drawing(rng, first.identity)


def to_pixels(images: npt.NDArray[np.uint8]) -> Tensor:
    """Convert (n, size, size, 3) bytes to (n, 3, size, size) in [-1, 1], channels last in memory."""
    return (torch.from_numpy(images).float() / 127.5 - 1).permute(0, 3, 1, 2)


def to_images(pixels: Tensor) -> npt.NDArray[np.uint8]:
    """The inverse of `to_pixels`. Values outside [-1, 1] are clipped."""
    return ((pixels.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def render_chunk(seed: int, start: int, count: int, size: int, draw: _Draw = drawing_of) -> npt.NDArray[np.uint8]:
    """Drawings `start` to `start + count` of a pool, (count, size, size, 3)."""
    return np.stack([render(draw(seed, start + k), size) for k in range(count)])


def render_many(seed: int, count: int, size: int, workers: int) -> npt.NDArray[np.uint8]:
    """The first `count` drawings of a pool, rendered by `workers` processes."""
    jobs = [(seed, start, min(_CHUNK, count - start), size) for start in range(0, count, _CHUNK)]
    if workers < 2:
        return np.concatenate([render_chunk(*job) for job in jobs])
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        return np.concatenate(processes.starmap(render_chunk, jobs))


@torch.no_grad()
def encode_images(vae: AutoencoderKL, images: npt.NDArray[np.uint8]) -> Tensor:
    """Scaled latents (n, c, h, w) of images (n, size, size, 3): the mean of the posterior."""
    device = vae.device
    with precision.autocast(device):
        posterior = vae.encode(to_pixels(images).to(device)).latent_dist
    latents: Tensor = posterior.mean.float() * vae.config.scaling_factor
    return latents


@dataclass(frozen=True)
class Pool:
    """Latents and their loss weights on disk, float16: `capacity` rows, of which the first `count()` are written.

    `draw(seed, k)` is the drawing of row k.
    """

    folder: Path
    seed: int
    capacity: int
    shape: tuple[int, int, int]
    draw: _Draw = drawing_of

    def count(self) -> int:
        """The number of written rows. The count is updated after the rows."""
        file = self.folder / "count"
        return int(file.read_text()) if file.exists() else 0

    def latents(self, mode: _Mode = "r") -> npt.NDArray[np.float16]:
        """(capacity, c, h, w)."""
        return self._rows("latents.f16", self.shape, mode)

    def loss_weights(self, mode: _Mode = "r") -> npt.NDArray[np.float16]:
        """(capacity, h, w)."""
        return self._rows("loss_weights.f16", self.shape[1:], mode)

    def _rows(self, name: str, shape: tuple[int, ...], mode: _Mode) -> npt.NDArray[np.float16]:
        path = self.folder / name
        if mode == "r+" and not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            return np.memmap(path, np.float16, "w+", shape=(self.capacity, *shape))
        return np.memmap(path, np.float16, mode, shape=(self.capacity, *shape))

    def grow(self, vae: AutoencoderKL, target: int, workers: int) -> None:
        """Render in `workers` processes and encode in this one, until the pool has `target` rows."""
        start, target = self.count(), min(target, self.capacity)
        latents, weights, side = self.latents("r+"), self.loss_weights("r+"), self.shape[-1]
        jobs = [(self.draw, self.seed, k, min(_CHUNK, target - k), side) for k in range(start, target, _CHUNK)]
        vae.to(memory_format=torch.channels_last).eval()
        with tqdm(total=target, initial=start, desc="pool", mininterval=5) as bar:
            rendered = _map(_render_with_weights, jobs, workers)
            for (_, _, first, count, _), (images, chunk_weights) in zip(jobs, rendered, strict=True):
                encoded = [encode_images(vae, images[k : k + 32]) for k in range(0, count, 32)]
                latents[first : first + count] = torch.cat(encoded).half().cpu().numpy()
                weights[first : first + count] = chunk_weights
                _write_count(self.folder, first + count)
                bar.update(count)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, list[Drawing]]:
        """Sample `size` rows: latents (size, c, h, w) and loss weights (size, h, w) in float16, and drawings."""
        return self.rows(rng.integers(self.count(), size=size))

    def rows(self, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, list[Drawing]]:
        """The rows with these indices, as `batch` has them."""
        latents, weights = (torch.from_numpy(rows[indices]) for rows in (self.latents(), self.loss_weights()))
        return latents, weights, [self.draw(self.seed, int(index)) for index in indices]


def _map(work: Callable[[_Job], _Rendered], jobs: list[_Job], workers: int) -> Iterator[_Rendered]:
    if workers < 2:
        yield from map(work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        yield from processes.imap(work, jobs)


def _render_with_weights(job: _Job) -> _Rendered:
    draw, seed, start, count, side = job
    images = render_chunk(seed, start, count, _FACTOR * side, draw)
    return images, np.stack([loss_weights(draw(seed, start + k), side) for k in range(count)])


def _write_count(folder: Path, count: int) -> None:
    partial = folder / "count.partial"
    partial.write_text(str(count))
    os.replace(partial, folder / "count")
