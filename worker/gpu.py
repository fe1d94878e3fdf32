"""What outlives a job on the GPU: the base model, the latest priors, and the way out of a full memory."""

import gc
import logging
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior, load_prior
from lipe_core.pretrained import public_name
from lipe_core.sdxl import BaseModel

Result = TypeVar("Result")
PRIORS_KEPT = 8
TOO_LARGE = "the job does not fit into the GPU's memory: ask for fewer or smaller pictures"

log = logging.getLogger(__name__)


class GpuOutOfMemory(RuntimeError):
    """The job does not fit into the GPU's memory, even in its leanest form."""


@dataclass
class Gpu:
    """One process's GPU. Nothing is loaded before it is asked for: a parent that forks stays clean."""

    checkpoint: str
    revision: str | None = None
    device: str = "auto"
    _model: BaseModel | None = None
    _priors: OrderedDict[str, Prior] = field(default_factory=OrderedDict)

    @property
    def name(self) -> str:
        """The checkpoint as users may see it."""
        return public_name(self.checkpoint)

    def base_model(self) -> BaseModel:
        """The base model, loaded at the first call: bf16 on CUDA, fp32 on a CPU."""
        if self._model is None:
            device = torch.device(self._device())
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
            self._model = sdxl.load(self.checkpoint, revision=self.revision, device=device, dtype=dtype)
        return self._model

    def prior(self, sha256: str, fetch: Callable[[Path], None]) -> Prior:
        """The prior whose adapter file has this hash; the latest PRIORS_KEPT stay in memory, none on disk.

        `fetch` writes its two files into a folder. Raises InvalidPrior and PriorMismatch.
        """
        if sha256 not in self._priors:
            with TemporaryDirectory() as folder:
                fetch(Path(folder))
                self._priors[sha256] = load_prior(Path(folder), self.base_model().fingerprint)
        self._priors.move_to_end(sha256)
        while len(self._priors) > PRIORS_KEPT:
            self._priors.popitem(last=False)
        return self._priors[sha256]

    def is_usable(self) -> bool:
        """False after an error that broke the CUDA context for good: every later call in this process would fail."""
        if self._device() != "cuda":
            return True
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return False
        return True

    def peak_memory(self) -> int:
        """Bytes at the peak since `reset_peak`: the GPU's where there is one, else this process's."""
        if torch.cuda.is_available() and self._device() == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def reset_peak(self) -> None:
        """Start a new measurement (a process's own peak cannot be reset)."""
        if torch.cuda.is_available() and self._device() == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def _device(self) -> str:
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


@contextmanager
def cpu_offloaded(model: BaseModel) -> Iterator[None]:
    """The base model waits in main memory, inside, and leaves the GPU to another."""
    networks = (model.unet, model.vae, *model.text_encoders)
    try:
        for network in networks:
            network.to("cpu")
        free()
        yield
    finally:
        for network in networks:
            network.to(model.device)


@contextmanager
def lean(model: BaseModel) -> Iterator[None]:
    """Less memory for more time, inside: activations are computed again, pictures decoded one by one."""
    model.unet.enable_gradient_checkpointing()
    model.vae.enable_slicing()
    try:
        yield
    finally:
        model.unet.disable_gradient_checkpointing()
        model.vae.disable_slicing()


def with_memory_fallbacks(rungs: Sequence[Callable[[], Result]]) -> Result:
    """Run the first rung; when the memory is full, free it and run the next, leaner one.

    Raises GpuOutOfMemory when the last rung did not fit either. The next job finds the memory free.
    """
    for number, rung in enumerate(rungs, start=1):
        try:
            return rung()
        except torch.OutOfMemoryError:
            log.warning("out of GPU memory on rung %d of %d", number, len(rungs))
        # Outside the handler: the exception's traceback would keep the rung's tensors alive.
        free()
    raise GpuOutOfMemory(TOO_LARGE)


def free() -> None:
    """Give back what no object holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
