"""The cost of a bench: counts of steps and evaluations, and seconds from a few that are measured on this machine."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from cli.kit.runs import Bench, is_done, missing_priors, run_folder
from cli.kit.subjects import PhotoSubject
from cli.kit.systems import System
from lipe_core.backbone import BaseModel
from lipe_core.training.config import PriorConfig

_TRIALS = 3
_BACKWARD = 2.0
"""A backward pass costs about two forward passes."""

_EVALUATIONS_PER_STEP = 5.5
"""Network evaluations of an edit for each of its denoising steps, with inversion and both rows of guidance."""


@dataclass(frozen=True)
class Estimate:
    """Counts of what is still to do. `seconds` is for the networks alone; loading and storing come on top."""

    trainings: int
    training_rows: int
    edits: int
    evaluations: int
    seconds_per_row: float

    @property
    def seconds(self) -> float:
        """Seconds of the network on this device."""
        return self.seconds_per_row * (self.training_rows * (1 + _BACKWARD) + self.evaluations)

    def sentence(self, price_per_hour: float | None) -> str:
        """The estimate for people, with its price where the machine has one."""
        hours = self.seconds / 3600
        price = f", {hours * price_per_hour:.2f} at {price_per_hour:g} an hour" if price_per_hour else ""
        return (
            f"{self.trainings} trainings and {self.edits} edits to make: about {hours:.1f} hours of the network on "
            f"this machine{price} ({1000 * self.seconds_per_row:.0f} ms an evaluation)"
        )


def estimate(bench: Bench, subjects: list[PhotoSubject], systems: Mapping[str, System]) -> Estimate:
    """Count what is missing in the output folder, and measure one evaluation."""
    configs = [c for subject in subjects for c in missing_priors(bench, subject, list(systems.values()))]
    edits = evaluations = 0
    for subject in subjects:
        for system in systems.values():
            if is_done(run_folder(bench, subject, system)):
                continue
            steps = getattr(bench.method_config(system), "steps", 50)
            edits += len(subject.edits)
            evaluations += round(len(subject.edits) * steps * _EVALUATIONS_PER_STEP)
    rows = sum(map(_rows, configs))
    return Estimate(len(configs), rows, edits, evaluations, seconds_per_evaluation(bench.model))


def _rows(config: PriorConfig) -> int:
    return config.steps * (config.batch_size + config.preservation_batch_size)


def seconds_per_evaluation(model: BaseModel, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one network evaluation at the native size, the best of a few."""
    size = (model.native_size, model.native_size)
    denoise = model.denoiser(model.encode_prompt(["a photo"], size=size))
    x_t = torch.zeros(1, *model.latent_shape(size), device=model.device)
    durations = []
    for _ in range(_TRIALS):
        start = clock()
        denoise(x_t, 500).sum().item()  # waits for the device
        durations.append(clock() - start)
    return min(durations)
