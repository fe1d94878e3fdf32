"""The GPU of one worker process: the base model, a cache of priors, and the fallbacks when its memory is full."""

import logging
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from lipe_core import base_models, precision
from lipe_core.adapters.prior import Prior, load_prior
from lipe_core.backbone import BaseModel
from lipe_core.graphs import Graphs
from lipe_core.masks import segmenter
from lipe_core.masks.segmenter import Segmenter
from lipe_core.memory import free_memory
from lipe_core.methods.nima.preparation import PreparedSources
from lipe_core.methods.resources import Resources
from lipe_core.model_card import model_name
from lipe_core.pretrained import public_name

Result = TypeVar("Result")
KEPT_SOURCES_SHARE = 0.1
"""The share of a GPU's memory that inverted images may take, whatever the settings say."""
PRIOR_CACHE_BYTES = 4 * 2**30
"""Main memory for priors. A LoRA of SDXL takes 0.1 to 0.2 GB, a full tuning 1.9 GB."""
TOO_LARGE = "the job does not fit into the GPU's memory: ask for fewer or smaller images"

log = logging.getLogger(__name__)


class GpuOutOfMemory(RuntimeError):
    """The job does not fit into the GPU's memory, even with the last fallback."""


@dataclass
class Gpu:
    """The GPU and what is loaded on it. Construction loads nothing, so that a parent process can fork safely."""

    checkpoint: str
    revision: str | None = None
    device: str = "auto"
    hash_cache: Path | None = None
    """The folder that keeps the hashes of the base model's files between starts."""
    kept_source_bytes: int = 0
    """Memory for inverted images, from which further edits of an image start."""
    on_prior: Callable[[bool], None] = lambda is_hit: None
    """Called for each prior that a job needs: whether it was in memory."""
    segmenter_checkpoint: str = ""
    """A SAM 2 that finds outlines; empty: none."""
    segmenter_revision: str | None = None
    uses_graphs: bool = False
    """Whether a GPU records trainings and edits as CUDA graphs."""
    allows_distilled: bool = False
    """Whether a distilled klein is loaded, too."""
    bits: int = 16
    """Bits of the weights in the base model's linear layers: 16 or 8. With 16, a CPU keeps 32."""
    _model: BaseModel | None = None
    _priors: OrderedDict[str, Prior] = field(default_factory=OrderedDict)
    _sources: PreparedSources | None = None
    _segmenter: Segmenter | None = None

    @property
    def name(self) -> str:
        """The base model's name for users."""
        return model_name(self.checkpoint)

    @property
    def fingerprint(self) -> str | None:
        """That of the loaded base model; None before `base_model` was called."""
        return self._model.fingerprint if self._model else None

    @property
    def adapters(self) -> list[str]:
        """The SHA-256 of the adapters in memory."""
        return list(self._priors)

    def base_model(self) -> BaseModel:
        """The base model, loaded at the first call in `precision.network_dtype`."""
        if self._model is None:
            device = torch.device(self._device())
            dtype = precision.network_dtype(device)
            self._model = base_models.load(
                self.checkpoint,
                revision=self.revision,
                device=device,
                dtype=dtype,
                hash_cache=self.hash_cache,
                allow_distilled=self.allows_distilled,
                bits=self.bits,
            )
            if device.type == "cuda":
                self._model.fit_gpu(torch.cuda.get_device_properties(device).total_memory)
                if self.uses_graphs and self._model.records_graphs:
                    self._model = replace(self._model, graphs=Graphs(tuple(self._model.network.parameters())))
        return self._model

    @property
    def segmenter_name(self) -> str | None:
        """The segmenter's name for users; None without one."""
        return public_name(self.segmenter_checkpoint) if self.segmenter_checkpoint else None

    def segmenter(self) -> Segmenter | None:
        """The network that finds outlines, loaded at the first call. It stays on the device. Raises InvalidModel."""
        if self._segmenter is None and self.segmenter_checkpoint:
            device = torch.device(self._device())
            dtype = precision.network_dtype(device)
            self._segmenter = segmenter.load(
                self.segmenter_checkpoint, revision=self.segmenter_revision, device=device, dtype=dtype
            )
        return self._segmenter

    def resources(self, scope: str, image: str) -> Resources:
        """The resources that edits of one scope, such as a project, and of one image share with earlier ones."""
        return Resources(self.sources.of(scope, image), self.segmenter())

    @property
    def sources(self) -> PreparedSources:
        """The inverted images, in the memory of the device."""
        if self._sources is None:
            most = self.kept_source_bytes
            if self._device() == "cuda":
                most = min(most, int(KEPT_SOURCES_SHARE * torch.cuda.get_device_properties(0).total_memory))
            self._sources = PreparedSources(most)
        return self._sources

    def free_kept(self) -> None:
        """Free the memory of the device that only speeds up later jobs: inverted images, and recorded graphs."""
        self.sources.clear()
        if self._model is not None and self._model.graphs is not None:
            self._model.graphs.clear()

    @property
    def images(self) -> list[str]:
        """The SHA-256 of the images that are inverted."""
        return self._sources.images if self._sources else []

    def prior(self, sha256: str, fetch: Callable[[Path], None]) -> Prior:
        """The prior whose adapter file has this hash. Those used last stay in memory, PRIOR_CACHE_BYTES of them.

        `fetch` writes the prior's two files into a folder. Raises InvalidPrior and PriorMismatch.
        """
        self.on_prior(sha256 in self._priors)
        if sha256 not in self._priors:
            with TemporaryDirectory() as folder:
                fetch(Path(folder))
                self._priors[sha256] = load_prior(Path(folder), self.base_model().fingerprint)
        self._priors.move_to_end(sha256)
        while len(self._priors) > 1 and sum(map(_bytes, self._priors.values())) > PRIOR_CACHE_BYTES:
            self._priors.popitem(last=False)
        return self._priors[sha256]

    def is_usable(self) -> bool:
        """False after an error that broke the CUDA context: every later call in this process would fail."""
        if self._device() != "cuda":
            return True
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return False
        return True

    def peak_memory(self) -> int:
        """Peak memory in bytes: the GPU's since `reset_peak`; without a GPU, this process's since it started."""
        if torch.cuda.is_available() and self._device() == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def memory(self) -> dict[str, int]:
        """Bytes of the GPU: its total, and what this process has allocated and reserved. Empty on the CPU."""
        total = self.card()[1]
        if total is None or self._model is None:
            return {}
        return {"total": total, "allocated": torch.cuda.memory_allocated(), "reserved": torch.cuda.memory_reserved()}

    def reset_peak(self) -> None:
        """Start a new measurement of the GPU's peak memory. The peak of a process cannot be reset."""
        if torch.cuda.is_available() and self._device() == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def card(self) -> tuple[str | None, int | None]:
        """The name of the GPU and its memory in bytes; None for both on the CPU."""
        if self._device() != "cuda":
            return None, None
        properties = torch.cuda.get_device_properties(0)
        return properties.name, properties.total_memory

    def _device(self) -> str:
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


@contextmanager
def cpu_offloaded(model: BaseModel) -> Iterator[None]:
    """Context manager that moves the base model to main memory, so that another model has the GPU."""
    # The text encoder of a klein may lie in main memory already.
    moved = [network for network in model.networks if network.device.type == model.device.type]
    if model.graphs is not None:
        model.graphs.clear()
    try:
        for network in moved:
            network.to("cpu")
        free_memory()
        yield
    finally:
        for network in moved:
            network.to(model.device)


@contextmanager
def reduced_memory(model: BaseModel) -> Iterator[None]:
    """Context manager that saves memory and costs time: gradient checkpointing, and images in tiles, one by one."""
    is_sliced = model.vae.use_slicing
    model.network.enable_gradient_checkpointing()
    model.vae.enable_slicing()
    try:
        with model.tiled():
            yield
    finally:
        model.network.disable_gradient_checkpointing()
        if not is_sliced:
            model.vae.disable_slicing()


def halvings(count: int) -> list[int]:
    """A count, its half, and so on down to 1: the numbers of rows to try at once while the memory is too small."""
    return [count, *halvings(count // 2)] if count > 1 else [1]


def with_memory_fallbacks(variants: Sequence[Callable[[], Result]]) -> Result:
    """Run the first variant; if the memory is full, free it and run the next, which needs less.

    Raises GpuOutOfMemory if the last variant does not fit either. The memory is then free for the next job.
    """
    for number, variant in enumerate(variants, start=1):
        try:
            return variant()
        except torch.OutOfMemoryError:
            log.warning("out of GPU memory in variant %d of %d", number, len(variants))
        # Outside the handler: the exception's traceback would keep the variant's tensors alive.
        free_memory()
    raise GpuOutOfMemory(TOO_LARGE)


def _bytes(prior: Prior) -> int:
    return sum(tensor.nbytes for tensor in prior.adapter.values())
