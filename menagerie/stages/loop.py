"""The parts that all stages share: time budget, batches, averaged weights, training state on disk, loss curve."""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
_CURVE_INTERVAL = 10  # steps between two points of a curve: each point waits for the device


@dataclass(frozen=True)
class Settings:
    """The settings of one stage. `minutes` is the whole budget of the stage, over all resumed runs.

    With `steps`, the stage also ends after this number of steps.
    """

    out: Path
    minutes: float
    steps: int | None = None
    batch: int = 64
    lr: float = 2e-3
    warmup: int = 100
    device: str = "cpu"
    resume: bool = False
    save_every: float = 180.0
    seed: int = 0
    workers: int = 2
    compiled: bool = False
    images: int = 24_000
    """Number of drawings on which the VAE, the probe and the face generator are trained."""

    def state_file(self, stage: str) -> Path:
        return self.out / "states" / f"{stage}.pt"


@dataclass
class Progress:
    """The progress of a stage. It is saved with the stage's state."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    losses: list[tuple[int, float]] = field(default_factory=list)

    def record(self, loss: Tensor, samples: int) -> None:
        """Count one step. The curve shows an average over about 50 steps."""
        self.step += 1
        self.samples += samples
        keep = min(0.98, 1 - 1 / self.step)
        self.mean = keep * self.mean.to(loss.device) + (1 - keep) * loss.detach()
        if self.step % _CURVE_INTERVAL == 1:
            self.losses.append((self.samples, float(self.mean)))


class _Batches(IterableDataset[T]):
    def __init__(self, make: Callable[[np.random.Generator], T], seed: Sequence[int]) -> None:
        self.make, self.seed = make, seed

    def __iter__(self) -> Iterator[T]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0])
        while True:
            yield self.make(rng)


def stream(make: Callable[[np.random.Generator], T], seed: Sequence[int], settings: Settings) -> Iterator[T]:
    """An endless stream of the batches of `make`. For a GPU, worker processes make them: one process is too slow."""
    is_cuda = settings.device.startswith("cuda")
    loader = DataLoader(
        _Batches(make, seed), batch_size=None, num_workers=settings.workers if is_cuda else 0, pin_memory=is_cuda
    )
    return iter(loader)


def budgeted_steps(progress: Progress, settings: Settings, stage: str, save: Callable[[], None]) -> Iterator[float]:
    """Yield the elapsed share of the budget before each step. Call `save` at intervals and at the end."""
    budget, limit = settings.minutes * 60, settings.steps or math.inf
    last = saved = time.monotonic()
    with tqdm(total=round(budget), initial=round(progress.seconds), unit="s", desc=stage, mininterval=10) as bar:
        while progress.seconds < budget and progress.step < limit:
            yield max(progress.seconds / budget, progress.step / limit)
            now = time.monotonic()
            progress.seconds += now - last
            last = now
            if progress.losses:
                shown = {
                    "step": progress.step,
                    "samples": progress.samples,
                    "loss": f"{progress.losses[-1][1]:.4f}",
                }
                bar.set_postfix(shown, refresh=False)
            bar.update(round(progress.seconds) - bar.n)
            if now - saved > settings.save_every:
                saved = now
                save()
    save()


def learning_rate(fraction: float, step: int, peak: float, warmup: int) -> float:
    """Linear warm-up over `warmup` steps, then a cosine over the budget down to 2 % of `peak`."""
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction))))


def set_learning_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of each group to `rate`, times the group's `share` if it has one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)


def channels_last(module: M, device: str) -> M:
    """Move the module to the device, its convolutions' weights in channels-last memory order."""
    to: Any = module.to  # torch's types lack `memory_format`
    to(device, memory_format=torch.channels_last)
    return module


class Average(Generic[M]):
    """An exponential moving average of a model's weights, with decay min(limit, (1 + n) / (10 + n)) after n steps."""

    def __init__(self, model: M, limit: float = 0.999) -> None:
        self.model: M = copy.deepcopy(model).eval().requires_grad_(False)
        self.limit = limit

    @torch.no_grad()
    def update(self, model: M, step: int) -> None:
        decay = min(self.limit, (1 + step) / (10 + step))
        averaged: list[Tensor] = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(averaged, [p.detach() for p in model.parameters()], 1 - decay)


@dataclass
class Trainable(Generic[M]):
    """A model with its averaged weights, optimizers and progress. All of it is saved as the stage's state."""

    model: M
    average: Average[M]
    optimizers: list[torch.optim.Optimizer]
    progress: Progress

    def step(self, loss: Tensor, clip: float, samples: int) -> None:
        """Update the weights from `loss`; gradients are clipped to the norm `clip`."""
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update(self.model, self.progress.step)
        self.progress.record(loss, samples)

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": vars(self.progress),
        }
        write_state(path, state)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        vars(self.progress).update(state["progress"])


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state atomically: if the run dies while it writes, the previous state remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def draw_curve(progress: Progress, path: Path, title: str) -> None:
    """Plot the loss against samples, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.plot(*zip(*progress.losses, strict=True))
    axes.set(xlabel="samples", ylabel="loss (average over 50 steps)", title=title, xscale="log", yscale="log")
    axes.grid(True, which="both", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
