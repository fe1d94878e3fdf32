"""A pool of drawings encoded once: training reads latents from disk and makes a new caption at each use.

Drawing k of a pool is a function of (seed, k), so only what is slow to make is kept. A pool may grow while it is read.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from lipe_core import precision
from menagerie.attributes import Drawing, sample_drawing
from menagerie.draw import render
from menagerie.emphasis import emphasis

_CHUNK = 256
_FACTOR = 8  # pixels to a side of one latent
_Mode = Literal["r", "r+"]
_Job = tuple[int, int, int, int]
_Drawn = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]


def drawing_of(seed: int, index: int) -> Drawing:
    """The drawing that a pool of this seed has at ``index``."""
    return sample_drawing(np.random.default_rng([seed, index]))


def to_pixels(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """(n, size, size, 3) bytes -> (n, 3, size, size) in [-1, 1], channels last in memory."""
    return (torch.from_numpy(pictures).float() / 127.5 - 1).permute(0, 3, 1, 2)


def to_pictures(pixels: Tensor) -> npt.NDArray[np.uint8]:
    """The inverse of ``to_pixels``; values out of [-1, 1] are clipped."""
    return ((pixels.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def render_chunk(seed: int, start: int, count: int, size: int) -> npt.NDArray[np.uint8]:
    """Drawings ``start .. start + count`` of a pool, (count, size, size, 3)."""
    return np.stack([render(drawing_of(seed, start + k), size) for k in range(count)])


def render_many(seed: int, count: int, size: int, workers: int) -> npt.NDArray[np.uint8]:
    """The first ``count`` drawings of a pool, drawn by several processes."""
    jobs = [(seed, start, min(_CHUNK, count - start), size) for start in range(0, count, _CHUNK)]
    if workers < 2:
        return np.concatenate([render_chunk(*job) for job in jobs])
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        return np.concatenate(processes.starmap(render_chunk, jobs))


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Scaled latents (n, c, h, w) of (n, size, size, 3) pictures: the posterior's mean."""
    device = vae.device
    with precision.autocast(device):
        posterior = vae.encode(to_pixels(pictures).to(device)).latent_dist
    return posterior.mean.float() * vae.config.scaling_factor


@dataclass(frozen=True)
class Pool:
    """Latents and their emphasis on disk, float16: ``capacity`` rows, of which the first ``count()`` are there."""

    folder: Path
    seed: int
    capacity: int
    shape: tuple[int, int, int]

    def count(self) -> int:
        """How many rows are there; they are written before they are counted."""
        file = self.folder / "count"
        return int(file.read_text()) if file.exists() else 0

    def latents(self, mode: _Mode = "r") -> npt.NDArray[np.float16]:
        """(capacity, c, h, w)."""
        return self._rows("latents.f16", self.shape, mode)

    def emphasis(self, mode: _Mode = "r") -> npt.NDArray[np.float16]:
        """(capacity, h, w)."""
        return self._rows("emphasis.f16", self.shape[1:], mode)

    def _rows(self, name: str, shape: tuple[int, ...], mode: _Mode) -> npt.NDArray[np.float16]:
        path = self.folder / name
        if mode == "r+" and not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            return np.memmap(path, np.float16, "w+", shape=(self.capacity, *shape))
        return np.memmap(path, np.float16, mode, shape=(self.capacity, *shape))

    def grow(self, vae: AutoencoderKL, target: int, workers: int) -> None:
        """Draw in ``workers`` processes, and encode in this one, until ``target`` rows are there."""
        start, target = self.count(), min(target, self.capacity)
        latents, weights, side = self.latents("r+"), self.emphasis("r+"), self.shape[-1]
        jobs = [(self.seed, k, min(_CHUNK, target - k), side) for k in range(start, target, _CHUNK)]
        vae.to(memory_format=torch.channels_last).eval()
        with tqdm(total=target, initial=start, desc="pool", mininterval=5) as bar:
            for (_, first, count, _), (pictures, emphases) in zip(jobs, _map(_drawn_chunk, jobs, workers), strict=True):
                encoded = [encode_pictures(vae, pictures[k : k + 32]) for k in range(0, count, 32)]
                latents[first : first + count] = torch.cat(encoded).half().cpu().numpy()
                weights[first : first + count] = emphases
                _write_count(self.folder, first + count)
                bar.update(count)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, list[Drawing]]:
        """``size`` latents (size, c, h, w), their emphasis (size, h, w), both float16, and their drawings, uniformly
        from what is there."""
        indices = rng.integers(self.count(), size=size)
        latents, weights = (torch.from_numpy(rows[indices]) for rows in (self.latents(), self.emphasis()))
        return latents, weights, [drawing_of(self.seed, int(index)) for index in indices]


def _map(work: Callable[[_Job], _Drawn], jobs: list[_Job], workers: int) -> Iterator[_Drawn]:
    if workers < 2:
        yield from map(work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        yield from processes.imap(work, jobs)


def _drawn_chunk(job: _Job) -> _Drawn:
    seed, start, count, side = job
    pictures = render_chunk(seed, start, count, _FACTOR * side)
    return pictures, np.stack([emphasis(drawing_of(seed, start + k), side) for k in range(count)])


def _write_count(folder: Path, count: int) -> None:
    partial = folder / "count.partial"
    partial.write_text(str(count))
    os.replace(partial, folder / "count")
