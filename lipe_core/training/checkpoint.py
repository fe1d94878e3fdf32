"""How far a training is, and that on disk: a run that was stopped goes on, bit for bit, where it was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from lipe_core.errors import InvalidCheckpoint
from lipe_core.training.dataset import write_tensors

Weights = Mapping[str, torch.nn.Parameter]


@dataclass
class TrainState:
    """Besides the weights and the optimizer's moments, which live in network and optimizer.

    `losses` has one value a step, `validations` (step, loss on fixed noise). `average` is the weights' running mean,
    empty where none is kept.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    average: dict[str, Tensor] = field(default_factory=dict)

    def advance(self, loss: float, weights: Weights, ema: float) -> None:
        """Count one step. The mean is quick at first: its decay is min(ema, (1 + n) / (10 + n)) after n steps."""
        self.step += 1
        self.losses.append(loss)
        if ema:
            decay = min(ema, (1 + self.step) / (10 + self.step))
            for name, weight in weights.items():
                mean = self.average.setdefault(name, weight.detach().clone())
                mean.lerp_(weight.detach(), 1 - decay)

    def is_on_plateau(self, patience: int) -> bool:
        """Whether the last `patience` validations all failed to beat the best one before them; never for 0."""
        losses = [loss for _, loss in self.validations]
        return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def save_checkpoint(
    file: Path, config: Mapping[str, Any], state: TrainState, weights: Weights, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint, whole or not at all."""
    tensors: dict[str, Tensor] = {f"weight.{name}": weight for name, weight in weights.items()}
    tensors |= {f"average.{name}": mean for name, mean in state.average.items()}
    for name, weight in weights.items():
        tensors |= {f"{moment}.{name}": value for moment, value in optimizer.state[weight].items()}
    progress = {"step": state.step, "losses": state.losses, "validations": state.validations}
    write_tensors(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        file,
        {"config": json.dumps(dict(config)), "progress": json.dumps(progress)},
    )


def load_checkpoint(
    file: Path | None, config: Mapping[str, Any], weights: Weights, optimizer: torch.optim.Optimizer
) -> TrainState:
    """The state in the checkpoint, its tensors put into place; a new state if there is none."""
    if file is None or not file.exists():
        return TrainState()
    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata()
        if metadata["config"] != json.dumps(dict(config)):
            raise InvalidCheckpoint(f"{file} belongs to a training with other settings: remove it to start anew")
        progress = json.loads(metadata["progress"])
        progress["validations"] = [(step, loss) for step, loss in progress["validations"]]
        state = TrainState(**progress)
        for name, weight in weights.items():
            weight.data.copy_(stored.get_tensor(f"weight.{name}"))
            optimizer.state[weight] = {
                moment: stored.get_tensor(f"{moment}.{name}").to(weight.device)
                for moment in ("step", "exp_avg", "exp_avg_sq")
            }
            if f"average.{name}" in stored.keys():  # noqa: SIM118 (no mapping)
                state.average[name] = stored.get_tensor(f"average.{name}").to(weight.device)
    return state
